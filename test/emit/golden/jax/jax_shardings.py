# Written by partition emit --target jax, for JAX 0.10.2.
# Plan of llama-six.onnx on 16 devices of h100-sxm, 768 sequences a step.
#
# The plan asks what these files do not say:
# - pipeline of 4 stages, schedule 1f1b: JAX has none of its own: tensors name their stage, and stage_mesh(stage) its devices
# - recomputation: wrap layers in jax.checkpoint
# - precision bf16: the model decides its types
"""Shardings of a plan for JAX: mesh(), stage_mesh(stage), sharding(name, mesh), place(parameters, mesh)."""
import json
import math
from pathlib import Path

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

PLAN = json.loads((Path(__file__).parent / "jax_shardings.json").read_text())


def _device_array(devices=None):
    devices = list(jax.devices() if devices is None else devices)
    shape = PLAN["mesh"]["shape"]
    if len(devices) != math.prod(shape):
        raise ValueError(f"expected {math.prod(shape)} devices, found {len(devices)}")
    order = PLAN["mesh"]["device_ids"]
    if order is not None:
        devices = [devices[i] for i in order]
    array = np.empty(len(devices), dtype=object)
    array[:] = devices
    return array.reshape(shape)


def mesh(devices=None):
    """All devices, axes outermost first."""
    return Mesh(_device_array(devices), tuple(PLAN["mesh"]["axis_names"]))


def stage_mesh(stage, devices=None):
    """The devices of a virtual stage; stage v runs on pipeline rank v % pipeline_ranks."""
    names = list(PLAN["mesh"]["axis_names"])
    array = _device_array(devices)
    axis = PLAN["mesh"]["pipeline_axis"]
    if axis is not None:
        at = names.index(axis)
        array = np.take(array, stage % PLAN["pipeline_ranks"], axis=at)
        names.pop(at)
    return Mesh(array, tuple(names))


def spec(name, state=False):
    """PartitionSpec of a tensor; state=True: of its optimizer state, and of itself at rest under ZeRO 3."""
    tensor = PLAN["tensors"][name]
    entries = tensor.get("state_spec", tensor["spec"]) if state else tensor["spec"]
    return PartitionSpec(*(tuple(e) if isinstance(e, list) else e for e in entries))


def sharding(name, on, state=False):
    return NamedSharding(on, spec(name, state))


def place(parameters, on, state=None):
    """Puts a dict of arrays by tensor name on the mesh, padded where the plan pads; of other names, whole."""
    if state is None:
        state = PLAN["zero_stage"] == 3
    placed = {}
    for name, value in parameters.items():
        tensor = PLAN["tensors"].get(name)
        if tensor is None:
            placed[name] = jax.device_put(value, NamedSharding(on, PartitionSpec()))
            continue
        shape = tensor.get("padded_shape", tensor["shape"])
        if tuple(value.shape) != tuple(shape):
            value = np.pad(value, [(0, p - s) for p, s in zip(shape, value.shape)])
        placed[name] = jax.device_put(value, sharding(name, on, state))
    return placed
