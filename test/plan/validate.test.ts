import { expect } from 'chai';
import { validatePlan } from '../../src/plan/validate.js';
import type { Candidate, Plan } from '../../src/plan/types.js';
import { tinyPlan } from '../support/tinyPlan.js';

describe('the judge of plans', () => {
  it('finds nothing wrong with sound plans of every kind', () => {
    const kinds: Partial<Candidate>[] = [
      {},
      { tp: 4, pp: 2 },
      { pp: 4, microbatch: 2 },
      { pp: 2, vpp: 3, zeroStage: 2 },
      { tp: 2, dpReplicate: 2, zeroStage: 3 },
      { tp: 2, pp: 2, axisOrder: 'tp-cp-pp-dp', recompute: Uint8Array.of(1) },
      { pp: 8, schedule: 'gpipe' },
      { tp: 2, pp: 4, schedule: 'zb-h1' },
    ];
    for (const given of kinds) {
      const { plan, graph, problem } = tinyPlan(given);
      expect(validatePlan(plan, graph, problem.cluster, problem.segmentation)).to.deep.equal([]);
    }
  });

  it('finds each fault that is planted', () => {
    const faults: [(plan: Plan) => void, string][] = [
      [(p) => void (p.model.digest = 'x'), 'another model'],
      [(p) => void (p.degrees.tp = 4), 'the degrees multiply to 16'],
      [(p) => void (p.degrees.dp = 3), 'dp = 3 is not dpReplicate * dpShard'],
      [(p) => void (p.mesh.axes[0].stride = 2), 'do not reach every rank exactly once'],
      [(p) => void p.mesh.axes.pop(), 'the mesh has axes'],
      [(p) => void (p.mesh.expertAxes[2].size = 2), 'expert mesh axis edp has size 2'],
      [(p) => void (p.mesh.rankToDevice = [0, 1, 2, 3, 4, 5, 6, 6]), 'rankToDevice'],
      [(p) => void (p.microbatches = 7), 'the global batch is 32'],
      [(p) => void (p.schedule = 'interleaved'), 'interleaving with pp = 2 and vpp = 1'],
      [(p) => void (p.contextExchange = 'all-to-all'), 'all-to-all context exchange with cp = 1'],
      [(p) => void zeroBubbleInInference(p), 'schedule zb-h1 in inference'],
      [(p) => void p.stages[0].ops.pop(), 'op op 5 is in no stage'],
      [(p) => void p.stages[1].ops.push('op 0'), 'op op 0 is in stages 0 and 1'],
      [(p) => void p.stages[1].ops.push('nonsense'), 'op nonsense of stage 1 is not in the model'],
      [(p) => swapOps(p), 'stage 0 reads x6, which only stage 1 makes'],
      [(p) => void (p.stages[1].pipelineRank = 0), 'virtual stage 1 runs on pipeline rank 0, expected 1'],
      [(p) => void (p.stages[1].firstSegment = 7), 'virtual stage 1 holds segments 7 to 12, expected 6 on'],
      [(p) => void (p.classes[0].segments = 3), 'class 0 has 12 segments, the plan says 3'],
      [(p) => void (p.shardings[0].shape = [64, 32]), 'tensor w0 has shape [64, 64]'],
      [(p) => void (p.shardings[0].dims = [['dp'], []]), 'parameter w0 is split over dp'],
      [(p) => void (p.shardings[0].dims = [['tp'], ['tp']]), 'axis tp splits w0 4 ways'],
      [(p) => void (p.shardings[0].dims = [[]]), 'tensor w0 has 2 dimensions, 1 are sharded'],
      [(p) => void (p.shardings[0].tensor = 'w99'), 'sharded tensor w99 is not in the model'],
      [(p) => void p.shardings.push(p.shardings[0]), 'tensor w0 is sharded twice'],
      [(p) => void (p.shardings[0].blocks = [1, 3]), 'not 3 equal blocks'],
      [(p) => void (p.shardings[0].blocks = [1, 64]), 'split 2 ways and no padding is announced'],
      [(p) => void (p.prediction.breakdown.bubbleSec += 1), 'the parts of the step add up to'],
      [(p) => void (p.lowerBoundSec = 1), 'lowerBoundSec 1 is above planBoundSec'],
      [(p) => void (p.planBoundSec = 1), 'planBoundSec 1 is above the predicted step'],
      [(p) => void (p.prediction.tokensPerSec *= 2), 'the step time gives'],
      [(p) => void (p.prediction.hfu = 0), 'is below mfu'],
      [(p) => void (p.prediction.memoryPerRank[0].cacheBytes = 1e9), 'memory of rank 0 adds up to'],
      [(p) => void (p.prediction.peakMemoryBytes = 1), 'is the total of no rank'],
      [(p) => void (p.prediction.memoryCapacityBytes = 1e6), 'exceeds the capacity'],
      [(p) => void (p.prediction.memoryCapacityBytes = 1e15), 'the largest device has'],
      [(p) => void moreParameters(p), 'rank 0 holds 24576 bytes of parameters, the plan predicts 26000'],
      [(p) => void p.shardings.shift(), 'rank 0 holds 28672 bytes of parameters, the plan predicts 24576'],
    ];
    for (const [plant, message] of faults) {
      const { plan, graph, problem } = tinyPlan();
      const broken = structuredClone(plan);
      plant(broken);
      const found = validatePlan(broken, graph, problem.cluster, problem.segmentation).join('\n');
      expect(found).to.include(message);
    }
  });

  it('lists a few faults of one kind and counts the rest', () => {
    const { plan, graph, problem } = tinyPlan({}, 40);
    plan.stages[0].ops = [];
    const problems = validatePlan(plan, graph, problem.cluster);
    expect(problems).to.have.length(6);
    expect(problems[5]).to.equal('... and 35 more of this kind');
  });

  it('allows padding that the plan announces', () => {
    const { plan, graph, problem } = tinyPlan({ tp: 2 });
    plan.degrees.tp = 3;
    const complaint = 'dimension 1 of w0 has 64 elements, split 3 ways and no padding is announced';
    expect(validatePlan(plan, graph, problem.cluster)).to.include(complaint);
    plan.warnings.push('a dimension of 64 split 3 ways is padded to 66 (w0 and 11 more)');
    expect(validatePlan(plan, graph, problem.cluster)).not.to.include(complaint);
  });
});

function zeroBubbleInInference(plan: Plan): void {
  plan.schedule = 'zb-h1';
  plan.phase = 'inference';
}

function swapOps(plan: Plan): void {
  const [first, second] = plan.stages;
  const last = first.ops.pop()!;
  first.ops.push(second.ops.shift()!);
  second.ops.push(last);
}

function moreParameters(plan: Plan): void {
  const memory = plan.prediction.memoryPerRank[0];
  memory.parameterBytes = 26000;
}
