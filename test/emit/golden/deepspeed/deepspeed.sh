#!/usr/bin/env bash
# Written by partition emit --target deepspeed, for DeepSpeed 0.19.6 (edaa72212).
# Plan of llama-six.onnx on 16 devices of h100-sxm, 768 sequences a step.
#
# The plan asks what these files do not say:
# - tensor parallelism inside a pipeline: layers must be split by the model itself; the topology in pipeline.py has their groups
# - stage boundaries of the plan: PipelineModule takes none: pipeline.py sets them on the module (parts) through its own partitioning hook
set -euo pipefail

: "${TRAIN_SCRIPT:?set it: your training script, which calls deepspeed.initialize}"
HERE=$(cd "$(dirname "$0")" && pwd)
# The hostfile numbers hosts host-0, host-1, ...: write your own names, in this order.
exec deepspeed --hostfile "${HOSTFILE:-$HERE/hostfile}" --master_port "${MASTER_PORT:-29500}" \
  "$TRAIN_SCRIPT" --deepspeed --deepspeed_config "$HERE/ds_config.json" "$@"
