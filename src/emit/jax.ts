/** JAX: the mesh and a PartitionSpec per tensor as JSON, and a loader that makes shardings of them. */
import { denseShards } from '../parallel/degrees.js';
import { FineMesh, PIPELINE_AXIS, fineShardings, noteBlocks, paddedDims } from './meshAxes.js';
import type { FineSharding } from './meshAxes.js';
import { Notes, commented, headerLines } from './notes.js';
import { noteFrequency } from './sizes.js';
import { tensorStages } from './tensorStages.js';
import type { EmitInput, EmitTarget, Emitted } from './types.js';

type SpecEntry = null | string | readonly string[];

export const jax: EmitTarget = {
  name: 'jax',
  toolVersion: 'JAX 0.10.2',
  about: 'mesh axes and a PartitionSpec per tensor as JSON, and a loader in Python',
  needs: [],
  emit(input: EmitInput): Emitted {
    const notes = new Notes();
    const { plan } = input;
    noteFrequency(plan, notes);
    const mesh = new FineMesh(plan, notes);
    const shardings = fineShardings(plan, mesh, notes);
    noteBlocks(
      shardings,
      notes,
      'the whole dimension is split at once: right results, and XLA moves columns about',
    );
    for (const [size, padded] of paddedDims(shardings, mesh))
      notes.differs(
        `a dimension of ${size} that its axes do not divide`,
        `build the model with ${padded}: padded_shape in the JSON`,
      );
    noteProgram(input, notes);
    const stages = input.model === null ? null : tensorStages(plan, input.model);
    const document = {
      tool: jax.toolVersion,
      notExpressed: notes.all,
      mesh: {
        axis_names: mesh.axes.map((a) => a.name),
        shape: mesh.axes.map((a) => a.size),
        pipeline_axis: plan.degrees.pp > 1 ? PIPELINE_AXIS : null,
        device_ids: plan.mesh.rankToDevice,
      },
      pipeline_ranks: plan.degrees.pp,
      global_batch: plan.globalBatch,
      microbatch: plan.microbatch,
      microbatches: plan.microbatches,
      zero_stage: plan.zeroStage,
      tensors: Object.fromEntries(
        shardings.map((s) => [s.tensor, tensorEntry(s, input, mesh, stages?.get(s.tensor) ?? null)]),
      ),
    };
    return {
      files: [
        { name: 'jax_shardings.json', content: `${jsonLines(document)}\n` },
        { name: 'jax_shardings.py', content: commented(headerLines(jax, input, notes)) + LOADER },
      ],
      notExpressed: notes.all,
    };
  },
};

function noteProgram({ plan, model }: EmitInput, notes: Notes): void {
  const { pp, vpp, cp } = plan.degrees;
  if (pp > 1)
    notes.differs(
      `pipeline of ${pp * vpp} stages, schedule ${plan.schedule}`,
      model === null
        ? 'JAX has none of its own, and without the model (--model) the stages of tensors are not known'
        : 'JAX has none of its own: tensors name their stage, and stage_mesh(stage) its devices',
    );
  if (cp > 1)
    notes.differs(
      `context exchange ${plan.contextExchange ?? 'ring'}`,
      'the sequence is split; attention is for XLA or your kernel',
    );
  if (plan.classes.some((c) => c.recompute !== 'none'))
    notes.differs('recomputation', 'wrap layers in jax.checkpoint');
  if (plan.precision !== 'fp32') notes.differs(`precision ${plan.precision}`, 'the model decides its types');
}

function tensorEntry(
  sharding: FineSharding,
  input: EmitInput,
  mesh: FineMesh,
  stages: readonly number[] | null,
): Record<string, unknown> {
  const { role, shape, dims } = sharding;
  const padded = shape.map((size, d) => {
    const parts = role === 'parameter' ? mesh.size(dims[d]) : 1;
    return Math.ceil(size / parts) * parts;
  });
  const state = role === 'parameter' ? stateDims(sharding, padded, input, mesh) : null;
  const { pp } = input.plan.degrees;
  return {
    role,
    shape,
    ...(padded.some((size, d) => size !== shape[d]) ? { padded_shape: padded } : {}),
    spec: dims.map(specEntry),
    ...(state === null ? {} : { state_spec: state.map(specEntry) }),
    ...(stages === null || pp === 1
      ? {}
      : { stages, pipeline_ranks: [...new Set(stages.map((v) => v % pp))] }),
  };
}

/** With ZeRO: where the state of a parameter is split too, along the first dimension that divides; null where nowhere. */
function stateDims(
  { dims, shape }: FineSharding,
  padded: readonly number[],
  { plan }: EmitInput,
  mesh: FineMesh,
): string[][] | null {
  if (plan.zeroStage === 0 || denseShards(plan.degrees) === 1) return null;
  const taken = new Set(dims.flat());
  const free = mesh.shardParts().filter((name) => !taken.has(name));
  const more = mesh.size(free);
  if (more === 1) return null;
  const at = shape.findIndex((_, d) => padded[d] % (mesh.size(dims[d]) * more) === 0);
  return at < 0 ? null : dims.map((axes, d) => (d === at ? [...axes, ...free] : [...axes]));
}

function specEntry(axes: readonly string[]): SpecEntry {
  return axes.length === 0 ? null : axes.length === 1 ? axes[0] : axes;
}

/** One tensor a line. */
function jsonLines(document: Record<string, unknown>): string {
  const rows = Object.entries(document).map(([key, value]) => {
    if (key !== 'tensors') return `  ${JSON.stringify(key)}: ${JSON.stringify(value)}`;
    const lines = Object.entries(value as object).map(
      ([k, v]) => `    ${JSON.stringify(k)}: ${JSON.stringify(v)}`,
    );
    return `  "tensors": {\n${lines.join(',\n')}\n  }`;
  });
  return `{\n${rows.join(',\n')}\n}`;
}

const LOADER = `"""Shardings of a plan for JAX: mesh(), stage_mesh(stage), sharding(name, mesh), place(parameters, mesh)."""
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
`;
