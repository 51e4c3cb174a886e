import { expect } from 'chai';
import { checkEnvironment, randomAction } from '../../src/agent/checker.js';
import { PlacementEpisode } from '../../src/agent/placementEpisode.js';
import type { PlacementProblem } from '../../src/agent/placementGraph.js';
import { GraphEmbedding } from '../../src/agent/graphEmbedding.js';
import { placementOf } from '../../src/agent/placementOf.js';
import { judgePlacement } from '../../src/search/place/judge.js';
import type { PlaceProblem } from '../../src/search/place/problem.js';
import { Random } from '../../src/util/random.js';
import { randomPlacement } from '../support/placements.js';

/** Plays one episode and returns the sum of its rewards. */
function play(env: PlacementEpisode, choose: () => number): number {
  env.reset(0);
  let sum = 0;
  for (;;) {
    const step = env.step(choose());
    sum += step.reward;
    if (step.terminated) return sum;
  }
}

/** Rewards of one random episode. */
function playRandomly(env: PlacementEpisode, random: Random): number {
  let observation = env.reset(0);
  let sum = 0;
  for (;;) {
    const step = env.step(randomAction(observation, random));
    sum += step.reward;
    observation = step.observation;
    if (step.terminated) return sum;
  }
}

/** The largest load, summed anew from the definition. */
function largestLoad(p: PlacementProblem, device: Int32Array): number {
  const loads = Array.from(p.deviceKind, (kind, d) => {
    let sec = 0;
    for (let v = 0; v < p.opCount; v++) if (device[v] === d) sec += p.timeSec[v * p.kindCount + kind];
    const most = new Map<string, number>();
    p.transferSec.forEach((x, e) => {
      const [a, b] = [device[p.edgeFrom[e]], device[p.edgeTo[e]]];
      if (a === b || (a !== d && b !== d)) return;
      const key = `${p.edgeFrom[e]} ${a === d ? 'out' : 'in'}`;
      most.set(key, Math.max(most.get(key) ?? 0, x));
    });
    if (p.paysTransfers[d] === 1) for (const x of most.values()) sec += x;
    return sec;
  });
  return Math.max(...loads);
}

/** Fails unless devices run one op at a time and data arrives before it is read; returns the last end. */
function checkedMakespan(p: PlacementProblem, env: PlacementEpisode): number {
  const { device, finishSec } = env.state;
  const sec = (v: number): number => p.timeSec[v * p.kindCount + p.deviceKind[device[v]]];
  const start = (v: number): number => finishSec[v] - sec(v);
  p.transferSec.forEach((x, e) => {
    const [u, v] = [p.edgeFrom[e], p.edgeTo[e]];
    expect(start(v)).to.be.at.least(finishSec[u] + (device[u] === device[v] ? 0 : x) - 1e-9);
  });
  for (let d = 0; d < p.deviceKind.length; d++) {
    const mine = [...device.keys()].filter((v) => device[v] === d).sort((a, b) => start(a) - start(b));
    mine.slice(1).forEach((v, i) => expect(start(v)).to.be.at.least(finishSec[mine[i]] - 1e-9));
  }
  return Math.max(...finishSec);
}

/** Best value of any assignment of devices, by trying all of them in the episode's order. */
function bruteForce(env: PlacementEpisode, problem: PlacementProblem): number {
  const devices = problem.deviceKind.length;
  let best = Infinity;
  for (let code = 0; code < devices ** problem.opCount; code++) {
    let rest = code;
    const { state } = env;
    state.clear();
    let legal = true;
    for (const op of env.graph.order) {
      const d = rest % devices;
      rest = Math.floor(rest / devices);
      const forced = state.forced(op);
      if (!state.runs(op, d) || (forced >= 0 && forced !== d) || (forced < 0 && !state.fits(op, d))) {
        legal = false;
        break;
      }
      state.place(op, d);
    }
    if (legal) best = Math.min(best, state.valueSec);
  }
  return best;
}

/** A profiled workload in which some operators send two tensors and some share a colour. */
function randomWorkload(random: Random, ops: number): PlaceProblem {
  const shape = { ops, devices: 3, objective: 'load' } as const;
  const { edgeFrom, edgeTo, sizeBytes, timeSec } = randomPlacement(random, shape);
  const color = Int32Array.from({ length: ops }, (_, v) => (v === 7 ? 3 : v === 23 ? 7 : v));
  return {
    names: Array.from({ length: ops }, (_, v) => `op${v}`),
    ids: Array.from({ length: ops }, (_, v) => v),
    kinds: [
      { name: 'accelerator', count: 2, memoryBytes: Infinity, paysTransfers: true },
      { name: 'cpu', count: 1, memoryBytes: Infinity, paysTransfers: false },
    ],
    time: Float64Array.from({ length: 2 * ops }, (_, i) =>
      i < ops ? timeSec[2 * i] : 3 * timeSec[2 * (i - ops)],
    ),
    sizeBytes,
    backward: new Uint8Array(ops),
    color,
    colors: ops,
    edgeSource: edgeFrom,
    edgeTarget: edgeTo,
    edgeTensor: edgeFrom.map((u) => 2 * u + random.int(2)),
    tensorTime: Float64Array.from({ length: 2 * ops }, () => random.next()),
    tensorSource: Int32Array.from({ length: 2 * ops }, (_, t) => t >> 1),
  };
}

const SHAPES = [
  { ops: 40, devices: 3, objective: 'latency' },
  { ops: 40, devices: 4, objective: 'load', memorySlack: 1.3 },
  { ops: 25, devices: 2, objective: 'latency', groups: 4, memorySlack: 1.5 },
  { ops: 30, devices: 5, objective: 'load', groups: 6 },
  { ops: 1, devices: 1, objective: 'latency' },
] as const;

describe('agent/placementEpisode', () => {
  SHAPES.forEach((shape, i) => {
    it(`keeps the environment contract (problem ${i})`, () => {
      const problem = randomPlacement(new Random(i), shape);
      expect(checkEnvironment(() => new PlacementEpisode(problem), 10)).to.deep.equal([]);
    });
  });

  it('keeps the contract with embeddings of the ops', () => {
    const problem = randomPlacement(new Random(5), { ops: 60, devices: 3, objective: 'latency' });
    const embedding = GraphEmbedding.of({
      nodeCount: problem.opCount,
      featureCount: 1,
      features: Float32Array.from({ length: problem.opCount }, (_, v) => problem.timeSec[2 * v]),
      edgeFrom: problem.edgeFrom,
      edgeTo: problem.edgeTo,
    });
    expect(checkEnvironment(() => new PlacementEpisode(problem, embedding), 5)).to.deep.equal([]);
  });

  it('pays 0 for the greedy placement, and the logarithm of the improvement over it otherwise', () => {
    const random = new Random(3);
    for (const shape of SHAPES.slice(0, 4)) {
      const env = new PlacementEpisode(randomPlacement(random, { ...shape, memorySlack: Infinity }));
      expect(play(env, () => env.greedyAction())).to.be.closeTo(0, 1e-9);
      for (let k = 0; k < 10; k++) {
        const reward = playRandomly(env, random);
        expect(reward).to.be.closeTo(Math.log(env.referenceSec / env.state.valueSec), 1e-9);
      }
    }
  });

  it('values a placement as its definition does: makespan of a real schedule, or the largest load', () => {
    const random = new Random(4);
    for (let k = 0; k < 40; k++) {
      const objective = random.pick(['latency', 'load'] as const);
      const problem = randomPlacement(random, { ops: 30, devices: 3, objective });
      const env = new PlacementEpisode(problem);
      playRandomly(env, random);
      const truth =
        objective === 'latency' ? checkedMakespan(problem, env) : largestLoad(problem, env.placement);
      expect(env.state.valueSec).to.be.closeTo(Math.max(truth, env.graph.boundSec), 1e-9);
      expect(truth).to.be.at.least(env.graph.boundSec - 1e-9);
    }
  });

  it('never rewards more than the best of all assignments allows', () => {
    const random = new Random(6);
    for (let k = 0; k < 12; k++) {
      const objective = random.pick(['latency', 'load'] as const);
      const shape = { ops: 7, devices: 3, objective, memorySlack: 2, groups: random.int(3) };
      const problem = randomPlacement(random, shape);
      const env = new PlacementEpisode(problem);
      const best = bruteForce(env, problem);
      for (let i = 0; i < 50; i++)
        expect(playRandomly(env, random)).to.be.at.most(Math.log(env.referenceSec / best) + 1e-9);
    }
  });

  it('masks devices without room, and punishes a placement that does not fit', () => {
    const problem = randomPlacement(new Random(8), {
      ops: 20,
      devices: 2,
      objective: 'load',
      memorySlack: 1.6,
    });
    const env = new PlacementEpisode(problem);
    const random = new Random(9);
    for (let k = 0; k < 20; k++) {
      playRandomly(env, random);
      expect(env.state.memoryRatio()).to.be.at.most(1);
    }
    const tight = new PlacementEpisode({ ...problem, memoryBytes: new Float64Array(2).fill(100) });
    expect(playRandomly(tight, random)).to.be.below(-1);
  });

  it('keeps groups together', () => {
    const problem = randomPlacement(new Random(10), {
      ops: 30,
      devices: 4,
      objective: 'latency',
      groups: 8,
    });
    const env = new PlacementEpisode(problem);
    playRandomly(env, new Random(1));
    for (let v = 0; v < 30; v++)
      for (let w = 0; w < v; w++)
        if (problem.group[v] >= 0 && problem.group[v] === problem.group[w])
          expect(env.placement[v]).to.equal(env.placement[w]);
  });

  it('takes profiled workloads, and loads devices as their judge does', () => {
    const random = new Random(12);
    for (let k = 0; k < 20; k++) {
      const workload = randomWorkload(random, 24);
      const env = new PlacementEpisode(placementOf(workload, 'load'));
      playRandomly(env, random);
      const verdict = judgePlacement(workload, env.placement);
      expect(verdict.faults).to.deep.equal([]);
      expect(env.state.valueSec).to.be.closeTo(Math.max(verdict.maxLoad, env.graph.boundSec), 1e-9);
    }
  });

  it('refuses a cycle', () => {
    const problem = randomPlacement(new Random(11), { ops: 2, devices: 2, objective: 'latency' });
    const cyclic = {
      ...problem,
      edgeFrom: Int32Array.of(0, 1),
      edgeTo: Int32Array.of(1, 0),
      transferSec: new Float64Array(2),
      edgeTensor: Int32Array.of(0, 1),
    };
    expect(() => new PlacementEpisode(cyclic)).to.throw('cycle');
  });
});
