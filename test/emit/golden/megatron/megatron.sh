#!/usr/bin/env bash
# Written by partition emit --target megatron, for Megatron-LM, Megatron-Core 0.20.0 (d98e8a64dd).
# Plan of llama-six.onnx on 16 devices of h100-sxm, 768 sequences a step.
set -euo pipefail

: "${MEGATRON_DIR:?set it: folder of Megatron-LM}"
: "${TRAIN_ITERS:?set it: steps to train}"
: "${LR:?set it: peak learning rate}"
: "${NODE_RANK:?set it: number of this host, from 0}"
: "${MASTER_ADDR:?set it: address of host 0}"
export CUDA_DEVICE_MAX_CONNECTIONS=1

MODEL_ARGS=(
  --num-layers 6
  --hidden-size 512
  --ffn-hidden-size 1408
  --num-attention-heads 8
  --group-query-attention
  --num-query-groups 4
  --seq-length 1024
  --max-position-embeddings 1024
  --position-embedding-type rope
  --rotary-base 500000
  --normalization RMSNorm
  --swiglu
  --disable-bias-linear
  --untie-embeddings-and-output-weights
)
PARALLEL_ARGS=(
  --tensor-model-parallel-size 2
  --pipeline-model-parallel-size 4
  --pipeline-model-parallel-layout 'Et|t*2|t*2|tL'
  --context-parallel-size 1
)
TRAINING_ARGS=(
  --micro-batch-size 2
  --global-batch-size 768
  --use-distributed-optimizer
  --overlap-grad-reduce
  --overlap-param-gather
  --recompute-granularity full
  --recompute-method uniform
  --recompute-num-layers 1
  --bf16
  --train-iters "$TRAIN_ITERS"
  --lr "$LR"
)
# Without DATA_ARGS: made-up data, which is enough to time a step.
DATA_ARGS=${DATA_ARGS:-"--mock-data --tokenizer-type NullTokenizer --vocab-size 128256"}

exec torchrun --nnodes 2 --nproc-per-node 8 --node-rank "$NODE_RANK" \
  --master-addr "$MASTER_ADDR" --master-port "${MASTER_PORT:-29500}" "$MEGATRON_DIR/pretrain_gpt.py" \
  "${MODEL_ARGS[@]}" "${PARALLEL_ARGS[@]}" "${TRAINING_ARGS[@]}" $DATA_ARGS "$@"
