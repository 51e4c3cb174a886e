/**
 * The stated plan space of a problem: which decisions there are, in which order they are taken, and what each may be
 * given those before it. Every solver and the agent draw from here, so they search the same space.
 *
 *     mesh (pp, tp, cp, ep, etp, dp) -> context exchange -> sharding -> microbatch -> schedule (and vpp) -> ZeRO stage and shards -> recompute -> axis order -> cuts
 */
import { RECOMPUTE_KINDS, RECOMPUTE_NONE } from '../cost/types.js';
import { divisors } from '../parallel/degrees.js';
import { CONTEXT_EXCHANGES, contextFault } from '../parallel/context.js';
import type { ContextExchange } from '../parallel/context.js';
import type { AxisOrder, Candidate, ScheduleKind } from '../plan/types.js';
import type { PlanProblem } from '../simulate/types.js';

/** Degrees that fix which devices work together; devices = dp * cp * tp * pp. */
export interface MeshDegrees {
  readonly pp: number;
  readonly tp: number;
  readonly cp: number;
  readonly ep: number;
  readonly etp: number;
  readonly dp: number;
}

export interface ScheduleChoice {
  readonly schedule: ScheduleKind;
  readonly vpp: number;
}

export interface ZeroChoice {
  readonly zeroStage: 0 | 1 | 2 | 3;
  readonly dpShard: number;
}

/** All decisions but the stage cuts. */
export type Decisions = Omit<Candidate, 'stageStart'>;

/** Interleaving beyond this many chunks per rank is left out of the space. */
export const MAX_VPP = 8;
/** Context parallelism beyond this is left out of the space. */
export const MAX_CP = 32;
/** A microbatch holds at most this many tokens per device (or one sequence). */
export const MAX_MICROBATCH_TOKENS = 65536;
const USUAL_ONLY: readonly number[] = [0];
/** Neighbouring microbatch sizes differ by at least this factor. */
const MICROBATCH_RATIO = 1.3;

export class PlanSpace {
  /** Every legal mesh, in a fixed order (pp, tp, cp, ep, etp ascending). */
  readonly meshes: readonly MeshDegrees[];
  /** Family of each layer class: classes of one family recompute alike. */
  readonly familyOfClass: Uint8Array;
  readonly familyCount: number;
  readonly recomputes: readonly Uint8Array[];

  constructor(readonly problem: PlanProblem) {
    this.meshes = enumerateMeshes(problem);
    const { classSize, classCount } = problem.segmentation;
    const repeated = Uint8Array.from({ length: classCount }, (_, k) => (classSize[k] > 1 ? 0 : 1));
    // Family 0: repeated layers; family 1: what stands alone (embedding, head). One family when all are of a kind.
    this.familyCount = repeated.includes(0) && repeated.includes(1) ? 2 : 1;
    this.familyOfClass = this.familyCount === 2 ? repeated : new Uint8Array(classCount);
    this.recomputes = this.enumerateRecomputes();
  }

  /** Sequences per microbatch: divisors of a replica's batch, ascending. */
  microbatches(mesh: MeshDegrees): number[] {
    const { globalBatch, sequenceLength } = this.problem;
    const most = Math.max(1, Math.floor((MAX_MICROBATCH_TOKENS * mesh.cp) / sequenceLength));
    const sizes: number[] = [];
    for (const d of divisors(globalBatch / mesh.dp))
      if (d <= most && (sizes.length === 0 || d >= MICROBATCH_RATIO * sizes[sizes.length - 1])) sizes.push(d);
    return sizes;
  }

  schedules(mesh: MeshDegrees, microbatch: number): ScheduleChoice[] {
    const choices: ScheduleChoice[] = [{ schedule: '1f1b', vpp: 1 }];
    if (mesh.pp === 1 || this.problem.phase === 'inference') return choices;
    choices.push({ schedule: 'gpipe', vpp: 1 }, { schedule: 'zb-h1', vpp: 1 });
    const microbatches = this.problem.globalBatch / (mesh.dp * microbatch);
    if (microbatches % mesh.pp === 0) {
      const most = Math.min(MAX_VPP, Math.floor(this.problem.segmentation.segmentCount / mesh.pp));
      for (let vpp = 2; vpp <= most; vpp++) choices.push({ schedule: 'interleaved', vpp });
    }
    return choices;
  }

  /** How ranks of the context axis see the whole sequence: one choice where there is no such axis. */
  contextExchanges({ tp, cp }: MeshDegrees): ContextExchange[] {
    const { contextHeads } = this.problem;
    return CONTEXT_EXCHANGES.filter((exchange) => contextFault(exchange, tp, cp, contextHeads) === null);
  }

  /** Shardings of the mesh to choose from, ascending; 0 is the usual one. */
  leannesses(mesh: MeshDegrees): readonly number[] {
    return this.problem.costs.leannesses?.(mesh) ?? USUAL_ONLY;
  }

  /** Stage 0 shards nothing, so its split of dp is one choice; there must be ranks to shard over for the others. */
  zeros(mesh: MeshDegrees): ZeroChoice[] {
    const choices: ZeroChoice[] = [{ zeroStage: 0, dpShard: 1 }];
    if (this.problem.phase === 'inference') return choices;
    for (const zeroStage of [1, 2, 3] as const)
      for (const dpShard of divisors(mesh.dp))
        if (dpShard * mesh.cp > 1) choices.push({ zeroStage, dpShard });
    return choices;
  }

  /** Whether data-parallel groups or pipeline neighbours stand closer; one choice when only one of the axes exists. */
  axisOrders(mesh: MeshDegrees): AxisOrder[] {
    return mesh.pp > 1 && mesh.dp > 1 ? ['tp-cp-dp-pp', 'tp-cp-pp-dp'] : ['tp-cp-dp-pp'];
  }

  /** Number of ways to cut the chain into that many non-empty stages: C(segments - 1, stages - 1); exact below 2^53. */
  cutCount(virtualStages: number): number {
    const n = this.problem.segmentation.segmentCount - 1;
    const k = Math.min(virtualStages - 1, n - virtualStages + 1);
    let count = 1;
    for (let i = 1; i <= k; i++) count = Math.round((count * (n - k + i)) / i);
    return count;
  }

  /** Plans in the space; a float that may be as large as Infinity. */
  count(): number {
    let total = 0;
    for (const mesh of this.meshes) {
      const perCut =
        this.contextExchanges(mesh).length *
        this.leannesses(mesh).length *
        this.zeros(mesh).length *
        this.recomputes.length *
        this.axisOrders(mesh).length;
      for (const microbatch of this.microbatches(mesh))
        for (const { vpp } of this.schedules(mesh, microbatch))
          total += perCut * this.cutCount(mesh.pp * vpp);
    }
    return total;
  }

  /** Every decision but the cuts, lazily, in a fixed order. */
  *decisions(mesh: MeshDegrees, microbatch: number): Generator<Decisions> {
    const { pp, tp, cp, ep, etp } = mesh;
    for (const contextExchange of this.contextExchanges(mesh))
      for (const leanness of this.leannesses(mesh))
        for (const { schedule, vpp } of this.schedules(mesh, microbatch))
          for (const { zeroStage, dpShard } of this.zeros(mesh))
            for (const recompute of this.recomputes)
              for (const axisOrder of this.axisOrders(mesh)) {
                const dpReplicate = mesh.dp / dpShard;
                yield {
                  ...{ dpReplicate, dpShard, tp, pp, vpp, cp, ep, etp },
                  ...{ zeroStage, schedule, microbatch, axisOrder, contextExchange, leanness, recompute },
                };
              }
  }

  /** Every plan of the space, lazily. `stageStart` is reused between plans: copy what must live. */
  *enumerate(): Generator<Candidate> {
    const { segmentCount } = this.problem.segmentation;
    for (const mesh of this.meshes)
      for (const microbatch of this.microbatches(mesh))
        for (const decisions of this.decisions(mesh, microbatch))
          for (const stageStart of allCuts(segmentCount, mesh.pp * decisions.vpp))
            yield { ...decisions, stageStart };
  }

  /** The space in words, for plan.json. */
  describe(): string {
    const { problem } = this;
    const families =
      this.familyCount === 2
        ? 'one recompute policy for repeated layers and one for the rest'
        : 'one recompute policy';
    return (
      `${this.meshes.length} meshes of ${problem.devices} devices (pp, tp, cp <= ${MAX_CP}, ep, etp in {1, tp}, dp); microbatches that divide ` +
      `the replica's batch; 1F1B, GPipe, ZB-H1 and interleaving up to vpp = ${MAX_VPP}; ring or all-to-all context exchange; shardings of the Pareto set of time against kept activations; ZeRO 0-3 over any divisor of dp; ` +
      `${families}; two axis orders; every cut between segments`
    );
  }

  private enumerateRecomputes(): Uint8Array[] {
    if (this.problem.phase === 'inference')
      return [new Uint8Array(this.familyOfClass.length).fill(RECOMPUTE_NONE)];
    const vectors: Uint8Array[] = [];
    for (let code = 0; code < RECOMPUTE_KINDS ** this.familyCount; code++) {
      const policy = [code % RECOMPUTE_KINDS, Math.floor(code / RECOMPUTE_KINDS)];
      vectors.push(this.familyOfClass.map((family) => policy[family]));
    }
    return vectors;
  }
}

function enumerateMeshes(problem: PlanProblem): MeshDegrees[] {
  const { devices, segmentation, globalBatch, tpChoices, maxCp, experts } = problem;
  const meshes: MeshDegrees[] = [];
  for (const pp of divisors(devices)) {
    if (pp > segmentation.segmentCount) break;
    for (const tp of tpChoices) {
      if ((devices / pp) % tp !== 0) continue;
      for (const cp of divisors(devices / (pp * tp))) {
        const dp = devices / (pp * tp * cp);
        if (cp > MAX_CP || maxCp % cp !== 0 || globalBatch % dp !== 0) continue;
        for (const ep of experts > 1 ? divisors(experts) : [1])
          for (const etp of experts > 1 && tp > 1 ? [1, tp] : [1])
            if ((dp * cp * tp) % (ep * etp) === 0) meshes.push({ pp, tp, cp, ep, etp, dp });
      }
    }
  }
  return meshes;
}

/** Every way to cut `segments` into `stages` non-empty runs, in lexicographic order. The array is reused. */
export function* allCuts(segments: number, stages: number): Generator<Int32Array> {
  if (stages > segments) return;
  const start = Int32Array.from({ length: stages + 1 }, (_, v) => v);
  start[stages] = segments;
  for (;;) {
    yield start;
    // The last cut that can still move right moves, those after it follow at its heels.
    let v = stages - 1;
    while (v > 0 && start[v] === segments - stages + v) v--;
    if (v <= 0) return;
    start[v]++;
    for (let u = v + 1; u < stages; u++) start[u] = start[u - 1] + 1;
  }
}
