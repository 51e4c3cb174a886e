/** The part of the PyTorch file that does not depend on the plan. */
export const TORCH_SOURCE = `

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
    if "tp" in mesh.mesh_dim_names:
        styles = {}
        for name, style in STYLES.items():
            try:
                local, module = find(model, name)
            except LookupError:
                if whole:
                    raise
                continue
            is_table = isinstance(module, torch.nn.Embedding)
            if not is_table and not isinstance(module, torch.nn.Linear):
                raise TypeError(f"expected {name} to be Linear or Embedding, found {type(module).__name__}")
            # Shards of the sequence between layers are gathered before column-wise layers and scattered after row-wise ones.
            between = Shard(1) if SEQUENCE_PARALLEL else Replicate()
            if style == "head":
                styles[local] = ColwiseParallel(input_layouts=between, output_layouts=Replicate())
            elif style == "rowwise":
                styles[local] = RowwiseParallel(
                    input_layouts=Replicate() if is_table else Shard(-1), output_layouts=between
                )
            else:
                styles[local] = ColwiseParallel(
                    input_layouts=Replicate() if is_table else between,
                    output_layouts=between if is_table else Shard(-1),
                )
        for name in NORMS:
            try:
                # Each rank norms its part of the sequence; the gradients of the weights are summed.
                styles.setdefault(find(model, name)[0], SequenceParallel(use_local_output=True))
            except LookupError:
                if whole:
                    raise
        parallelize_module(model, mesh["tp"], styles)
    split_experts(model, mesh, whole)
    if RECOMPUTE == "full":
        for name in layers:
            parent, _, child = name.rpartition(".")
            holder = model.get_submodule(parent)
            setattr(holder, child, checkpoint_wrapper(getattr(holder, child)))
    shard_states(model, mesh, layers)
    return model


def split_experts(model, mesh, whole):
    """Weights of experts, [experts, ..., ...], over the mesh axes that make up ep and etp."""
    names = [n for n in mesh.mesh_dim_names if n in EXPERT_AXES["ep"] + EXPERT_AXES["etp"]]
    if not names or not EXPERTS:
        return
    for name, dims in EXPERTS.items():
        parent, _, child = name.rpartition(".")
        try:
            _, holder = find(model, parent)
        except LookupError:
            if whole:
                raise
            continue
        placements = []
        for axis in names:
            dim = dims["ep"] if axis in EXPERT_AXES["ep"] else dims["etp"]
            placements.append(Shard(dim) if dim >= 0 else Replicate())
        weight = distribute_tensor(getattr(holder, child), mesh[tuple(names)], placements)
        setattr(holder, child, torch.nn.Parameter(weight))


def shard_states(model, mesh, layers):
    """FSDP2 over the data-parallel axes: copies over the first of two, shards over the second."""
    shard = [n for n in mesh.mesh_dim_names if n.startswith("dp_shard")]
    replicate = [n for n in mesh.mesh_dim_names if n.startswith("dp_replicate")]
    if not shard and not replicate:
        return
    flat = [mesh[tuple(axes)]._flatten() if len(axes) > 1 else mesh[axes[0]] for axes in (replicate, shard) if axes]
    if len(flat) == 2:
        names = tuple(m.mesh_dim_names[0] for m in flat)
        on = mesh[names]
    elif ZERO_STAGE == 0 or not shard:
        from torch.distributed._composable.replicate import replicate as copies

        copies(model, device_mesh=flat[0])
        return
    else:
        on = flat[0]
    policy = MixedPrecisionPolicy(param_dtype=getattr(torch, DTYPE), reduce_dtype=torch.float32)
    for name in layers:
        fully_shard(model.get_submodule(name), mesh=on, mp_policy=policy, reshard_after_forward=ZERO_STAGE == 3)
    fully_shard(model, mesh=on, mp_policy=policy)


def build_pipeline(model, example_args, device, mesh, loss_fn, layers=(), example_kwargs=None):
    """
    The stages of this rank and the schedule that runs them: schedule.step(batch, target=...).

    model: the whole model, on the meta device if it is large
    example_args: inputs of one microbatch
    """
    cuts = {find(model, name)[0]: SplitPoint.BEGINNING for name in CUTS}
    if len(cuts) != STAGES - 1:
        raise ValueError(f"expected {STAGES - 1} cuts, found {len(cuts)}")
    pipe = pipeline(model, mb_args=tuple(example_args), mb_kwargs=example_kwargs, split_spec=cuts)
    rank = mesh["pp"].get_local_rank()
    stages = []
    inner = mesh[tuple(n for n in mesh.mesh_dim_names if n != "pp")] if len(mesh.mesh_dim_names) > 1 else None
    for index in range(rank, STAGES, PIPELINE_RANKS):
        module = pipe.get_stage_module(index)
        if inner is not None:
            parallelize(module, inner, [n for n in layers if has(module, n)], whole=False)
        stages.append(pipe.build_stage(index, device, mesh["pp"].get_group()))
    kind = getattr(schedules, SCHEDULE)
    several = issubclass(kind, schedules.PipelineScheduleMulti)
    return stages, kind(stages if several else stages[0], n_microbatches=MICROBATCHES, loss_fn=loss_fn)


def has(module, name):
    try:
        module.get_submodule(name)
        return True
    except AttributeError:
        return False
`;
