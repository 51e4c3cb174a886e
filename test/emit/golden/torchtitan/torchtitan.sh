#!/usr/bin/env bash
# Written by partition emit --target torchtitan, for torchtitan 0.2.2.
# Plan of llama-six.onnx on 16 devices of h100-sxm, 768 sequences a step.
#
# The plan asks what these files do not say:
# - ZeRO stage 1: torchtitan shards parameters too (FSDP2), and keeps them after the forward pass
# - tensor parallelism without sequence parallelism: torchtitan 0.2.2 always splits the sequence too
#
# The flavor must have 6 layers of width 512, 8 heads (4 for keys and values), and 128256 entries in its vocabulary.
set -euo pipefail

: "${TITAN_MODEL:?set it: name of the model in torchtitan, such as llama3}"
: "${TITAN_FLAVOR:?set it: flavor of the model, such as 8B}"
: "${TRAIN_STEPS:?set it: steps to train}"
: "${LR:?set it: peak learning rate}"
: "${NODE_RANK:?set it: number of this host, from 0}"
: "${MASTER_ADDR:?set it: address of host 0}"

CONFIG=${CONFIG:-"$(cd "$(dirname "$0")" && pwd)/torchtitan.toml"}

exec torchrun --nnodes 2 --nproc-per-node 8 --node-rank "$NODE_RANK" \
  --master-addr "$MASTER_ADDR" --master-port "${MASTER_PORT:-29500}" -m torchtitan.train --job.config_file "$CONFIG" \
  --model.name "$TITAN_MODEL" --model.flavor "$TITAN_FLAVOR" \
  --training.steps "$TRAIN_STEPS" --optimizer.lr "$LR" "$@"
