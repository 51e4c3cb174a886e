#!/usr/bin/env bash
# Written by partition emit --target rankfile, for Open MPI 6.1.0a1 (8efebee745).
# Plan of llama-six.onnx on 16 devices of h100-sxm, 768 sequences a step.
#
# The plan asks what these files do not say:
# - processes of a host beside their accelerators: the k-th rank of a host is bound to its logical core k; set the cores of your hosts, or --bind-to none
set -euo pipefail

: "${TRAIN_COMMAND:?set it: program that every rank runs; its rank is in OMPI_COMM_WORLD_RANK}"
HERE=$(cd "$(dirname "$0")" && pwd)
# The hostfile names hosts host-0, host-1, ...: write your own names, in this order.
exec mpirun -n 16 --hostfile "${HOSTFILE:-$HERE/hostfile}" \
  --map-by "rankfile:file=$HERE/rankfile" $TRAIN_COMMAND "$@"
