#!/usr/bin/env bash
# Written by partition emit --target accelerate, for Accelerate 1.15.0.dev0 (16cb6eb8), PyTorch 2.6 or later.
# Plan of llama-six.onnx on 16 devices of h100-sxm, 768 sequences a step.
#
# The plan asks what these files do not say:
# - stages of unlike numbers of layers: layers are dealt out evenly
# - microbatches of 2 sequences, 192 of them: set the batch size in the data loader of the script
set -euo pipefail

: "${TRAIN_SCRIPT:?set it: your training script, which uses accelerate.Accelerator}"
: "${NODE_RANK:?set it: number of this host, from 0}"
: "${MASTER_ADDR:?set it: address of host 0}"
HERE=$(cd "$(dirname "$0")" && pwd)
exec accelerate launch --config_file "$HERE/accelerate.yaml" --machine_rank "$NODE_RANK" \
  --main_process_ip "$MASTER_ADDR" --main_process_port "${MASTER_PORT:-29500}" "$TRAIN_SCRIPT" "$@"
