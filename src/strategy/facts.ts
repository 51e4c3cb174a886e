/** What a planning problem says of a model beside its cost tables. */
import type { ShardKey } from '../cost/types.js';
import type { StrategyBook } from './book.js';

/** Named as in `PlanProblem`, which takes them over. */
export interface ModelFacts {
  /** FLOP of one sequence (causal attention halved); backward is 0 in inference. */
  readonly forwardFlopPerSequence: number;
  readonly backwardFlopPerSequence: number;
  /** Trainable elements, all and those inside experts. */
  readonly parameters: number;
  readonly expertParameters: number;
  /** 1 where nothing can be split that way. */
  readonly maxCp: number;
  readonly experts: number;
  readonly contextHeads: number;
}

export function modelFacts(book: StrategyBook): ModelFacts {
  const trains = book.options.phase === 'train';
  const work = book.workPerSequence();
  return {
    ...countParameters(book),
    forwardFlopPerSequence: work.forward,
    backwardFlopPerSequence: trains ? work.backward : 0,
    maxCp: book.hasSequence && trains ? book.graph.sequenceLength : 1,
    experts: book.experts,
    contextHeads: book.contextHeads,
  };
}

const UNSHARDED: ShardKey = {
  ...{ tp: 1, cp: 1, ep: 1, etp: 1, microbatch: 1, deviceGroup: 0 },
  contextExchange: 'ring',
};

function countParameters(book: StrategyBook): { parameters: number; expertParameters: number } {
  const costs = book.costs(UNSHARDED);
  const { classSize, sharedParameter, sharedStart } = book.segmentation;
  let dense = 0;
  let expertParameters = 0;
  classSize.forEach((size, c) => {
    dense += size * costs.denseParameters[c];
    expertParameters += size * costs.expertParameters[c];
  });
  // A tied weight is held by each segment that uses it but is one parameter.
  sharedParameter.forEach((t, i) => {
    dense -= book.graph.tensorElements[t] * (sharedStart[i + 1] - sharedStart[i] - 1);
  });
  return { parameters: dense + expertParameters, expertParameters };
}
