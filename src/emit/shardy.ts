/** Shardy: a module with the mesh and, per virtual stage, a function whose arguments and results carry their shardings. */
import { DType } from '../model/index.js';
import { FineMesh, fineShardings, noteBlocks } from './meshAxes.js';
import type { FineSharding } from './meshAxes.js';
import { Notes, commented, headerLines } from './notes.js';
import { noteFrequency } from './sizes.js';
import { nodeStages } from './tensorStages.js';
import type { EmitInput, EmitModel, EmitTarget, Emitted } from './types.js';
import { oneLine } from '../util/errors.js';
import { TensorRole } from '../graph/types.js';

export const shardy: EmitTarget = {
  name: 'shardy',
  toolVersion: 'Shardy a0277a83 (dialect sdy), StableHLO types',
  about: 'MLIR text: the mesh, and every stage’s arguments and results with their shardings',
  needs: ['model'],
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
    const { pp, vpp } = plan.degrees;
    if (pp > 1)
      notes.differs(
        `pipeline of ${pp * vpp} stages, schedule ${plan.schedule}`,
        'a function per stage, each on a mesh of its own devices; the schedule is the runtime’s',
      );
    if (plan.classes.some((c) => c.recompute !== 'none'))
      notes.differs('recomputation', 'the program decides; shardings do not say');
    if (plan.zeroStage > 0 && plan.degrees.dp * plan.degrees.cp > 1)
      notes.differs(
        `ZeRO stage ${plan.zeroStage}`,
        'shardings are those of compute; states at rest are the optimizer’s',
      );
    if (plan.mesh.rankToDevice !== null || pp > 1)
      notes.differs(
        'devices of the ranks',
        'device numbers count the devices of one stage, in the order of its ranks',
      );
    const functions = stageFunctions(input, input.model!, shardings, mesh);
    const content = [
      commented(headerLines(shardy, input, notes), '//'),
      'module @plan {\n',
      `  sdy.mesh @mesh = <[${mesh.stageAxes.map((a) => `"${a.name}"=${a.size}`).join(', ')}]>\n`,
      ...functions,
      '}\n',
    ].join('');
    return { files: [{ name: 'shardings.mlir', content }], notExpressed: notes.all };
  },
};

function stageFunctions(
  { plan }: EmitInput,
  model: EmitModel,
  shardings: readonly FineSharding[],
  mesh: FineMesh,
): string[] {
  const { graph } = model;
  const byName = new Map(shardings.map((s) => [s.tensor, s]));
  const stage = nodeStages(plan, model);
  const outputs = new Set(graph.graphOutputs);
  const ids = Array.from({ length: graph.tensorCount }, (_, t) => t);
  const reads = (t: number, v: number): boolean => usedBy(graph, t).some((n) => stage[n] === v);
  const makes = (t: number, v: number): boolean => graph.producer[t] >= 0 && stage[graph.producer[t]] === v;
  return plan.stages.map(({ virtualStage: v }) => {
    const role = (t: number): TensorRole => graph.tensorRole[t];
    const isArgument = (t: number): boolean =>
      role(t) !== TensorRole.CONSTANT && !makes(t, v) && reads(t, v) && isTyped(graph.tensorDtype[t]);
    const leaves = (t: number): boolean =>
      outputs.has(t) || usedBy(graph, t).some((n) => stage[n] !== v && stage[n] >= 0);
    const line = (t: number, last: boolean): string => {
      const sharding = byName.get(graph.tensorName[t]);
      const text = typeOf(model, t, sharding) + attribute(model, t, sharding, mesh);
      return `      ${text}${last ? '' : ','} // ${oneLine(graph.tensorName[t], 200)}\n`;
    };
    const args = ids.filter(isArgument);
    const results = ids.filter((t) => makes(t, v) && leaves(t) && isTyped(graph.tensorDtype[t]));
    const list = (of: number[]): string => of.map((t, i) => line(t, i === of.length - 1)).join('');
    return `  func.func private @stage_${v}(\n${list(args)}    ) -> (\n${list(results)}    )\n`;
  });
}

function usedBy(
  graph: EmitModel['graph'],
  t: number,
): Int32Array & { some(f: (n: number) => boolean): boolean } {
  return graph.useNode.subarray(graph.useStart[t], graph.useStart[t + 1]);
}

/** Element types by their number in ONNX; strings and the like have none. */
const ELEMENT: Readonly<Partial<Record<DType, string>>> = {
  [DType.FLOAT]: 'f32',
  [DType.DOUBLE]: 'f64',
  [DType.FLOAT16]: 'f16',
  [DType.BFLOAT16]: 'bf16',
  [DType.BOOL]: 'i1',
  [DType.INT8]: 'i8',
  [DType.INT16]: 'i16',
  [DType.INT32]: 'i32',
  [DType.INT64]: 'i64',
  [DType.UINT8]: 'ui8',
  [DType.UINT16]: 'ui16',
  [DType.UINT32]: 'ui32',
  [DType.UINT64]: 'ui64',
  [DType.INT4]: 'i4',
  [DType.UINT4]: 'ui4',
  [DType.FLOAT8E4M3FN]: 'f8E4M3FN',
  [DType.FLOAT8E5M2]: 'f8E5M2',
};

function isTyped(dtype: DType): boolean {
  return ELEMENT[dtype] !== undefined;
}

function typeOf({ graph }: EmitModel, t: number, sharding: FineSharding | undefined): string {
  const own = Array.from(graph.shapeDim.subarray(graph.shapeStart[t], graph.shapeStart[t + 1]));
  const dims = sharding?.shape.length === own.length ? sharding.shape : own;
  return `tensor<${[...dims, ELEMENT[graph.tensorDtype[t] as DType]].join('x')}>`;
}

/** A tensor without a sharding of the plan is open: propagation decides. */
function attribute(model: EmitModel, t: number, sharding: FineSharding | undefined, mesh: FineMesh): string {
  const rank = model.graph.shapeStart[t + 1] - model.graph.shapeStart[t];
  if (sharding?.dims.length !== rank || mesh.stageAxes.length === 0) return '';
  const dims = sharding.dims.map((axes) => `{${axes.map((a) => `"${a}"`).join(', ')}}`);
  return ` {sdy.sharding = #sdy.sharding<@mesh, [${dims.join(', ')}]>}`;
}
