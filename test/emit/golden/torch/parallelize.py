# Written by partition emit --target torch, for PyTorch 2.6 or later (DTensor, FSDP2, torch.distributed.pipelining).
# Plan of llama-six.onnx on 16 devices of h100-sxm, 768 sequences a step.
#
# The plan asks what these files do not say:
# - ZeRO stage 1: FSDP2 shards parameters too, and keeps them after the forward pass
"""Parallelism of a plan for a PyTorch model: build_mesh(), parallelize(), build_pipeline()."""
MESH = [
    ["pp", 4],
    ["dp_shard", 2],
    ["tp", 2],
]
SEQUENCE_PARALLEL = False
ZERO_STAGE = 1
RECOMPUTE = "full"
DTYPE = "bfloat16"
PIPELINE_RANKS = 4
STAGES = 4
SCHEDULE = "Schedule1F1B"
GLOBAL_BATCH = 768
MICROBATCH = 2
MICROBATCHES = 192
CUTS = [
    "model.layers.1",
    "model.layers.3",
    "model.layers.5",
]
STYLES = {
    "model.embed_tokens": "colwise",
    "model.layers.0.self_attn.k_proj": "colwise",
    "model.layers.0.self_attn.q_proj": "colwise",
    "model.layers.0.self_attn.v_proj": "colwise",
    "model.layers.0.self_attn.o_proj": "rowwise",
    "model.layers.0.mlp.gate_proj": "colwise",
    "model.layers.0.mlp.up_proj": "colwise",
    "model.layers.0.mlp.down_proj": "rowwise",
    "model.layers.1.self_attn.k_proj": "colwise",
    "model.layers.1.self_attn.q_proj": "colwise",
    "model.layers.1.self_attn.v_proj": "colwise",
    "model.layers.1.self_attn.o_proj": "rowwise",
    "model.layers.1.mlp.gate_proj": "colwise",
    "model.layers.1.mlp.up_proj": "colwise",
    "model.layers.1.mlp.down_proj": "rowwise",
    "model.layers.2.self_attn.k_proj": "colwise",
    "model.layers.2.self_attn.q_proj": "colwise",
    "model.layers.2.self_attn.v_proj": "colwise",
    "model.layers.2.self_attn.o_proj": "rowwise",
    "model.layers.2.mlp.gate_proj": "colwise",
    "model.layers.2.mlp.up_proj": "colwise",
    "model.layers.2.mlp.down_proj": "rowwise",
    "model.layers.3.self_attn.k_proj": "colwise",
    "model.layers.3.self_attn.q_proj": "colwise",
    "model.layers.3.self_attn.v_proj": "colwise",
    "model.layers.3.self_attn.o_proj": "rowwise",
    "model.layers.3.mlp.gate_proj": "colwise",
    "model.layers.3.mlp.up_proj": "colwise",
    "model.layers.3.mlp.down_proj": "rowwise",
    "model.layers.4.self_attn.k_proj": "colwise",
    "model.layers.4.self_attn.q_proj": "colwise",
    "model.layers.4.self_attn.v_proj": "colwise",
    "model.layers.4.self_attn.o_proj": "rowwise",
    "model.layers.4.mlp.gate_proj": "colwise",
    "model.layers.4.mlp.up_proj": "colwise",
    "model.layers.4.mlp.down_proj": "rowwise",
    "model.layers.5.self_attn.k_proj": "colwise",
    "model.layers.5.self_attn.q_proj": "colwise",
    "model.layers.5.self_attn.v_proj": "colwise",
    "model.layers.5.self_attn.o_proj": "rowwise",
    "model.layers.5.mlp.gate_proj": "colwise",
    "model.layers.5.mlp.up_proj": "colwise",
    "model.layers.5.mlp.down_proj": "rowwise",
    "lm_head": "head",
}
NORMS = []
EXPERTS = {}
EXPERT_AXES = {
    "ep": [],
    "etp": [],
}


import torch
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.pipelining import SplitPoint, pipeline
from torch.distributed.pipelining import schedules
from torch.distributed.tensor import Replicate, Shard, distribute_tensor
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    RowwiseParallel,
    SequenceParallel,
    parallelize_module,
)
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper


def build_mesh(device_type="cuda"):
    """All ranks in row-major order, axes outermost first."""
    return init_device_mesh(
        device_type, tuple(size for _, size in MESH), mesh_dim_names=tuple(name for name, _ in MESH)
    )


def find(model, name):
    """The module of a name in the plan; exporters may put a wrapper's name in front."""
    parts = name.split(".")
    for first in range(len(parts)):
        try:
            return ".".join(parts[first:]), model.get_submodule(".".join(parts[first:]))
        except AttributeError:
            continue
    raise LookupError(f"no module {name} in the model: export and training must use the same names")


def parallelize(model, mesh, layers=(), whole=True):
    """
    Splits weights over tp, experts over their axes, recomputes and shards states, in place.

    layers: names of the modules that FSDP shards and recomputation wraps, such as "layers.0", "layers.1", ...
    whole: False for a stage of a pipeline, which holds only some of the modules
    """