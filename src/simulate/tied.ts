/**
 * Parameters used by several segments, such as an embedding that is also the output projection. Within one pipeline
 * rank they are held once; across ranks every rank holds a copy and their gradients are summed after the last backward.
 * Every class that uses a shared parameter counts it in its `denseParameters`.
 */
import type { Segmentation } from '../graph/types.js';
import type { Candidate } from '../plan/types.js';
import type { Layout } from './layout.js';
import { ALL_REDUCE } from './network.js';
import type { Network } from './network.js';
import type { StateBytes } from './state.js';

export class TiedParameters {
  private readonly elements: Float64Array;
  private tiedRank = new Uint8Array(16);
  /** Uses of the parameter at hand on each rank; all zero between parameters. */
  private uses = new Int32Array(16);
  /** Per shared parameter after `place`: ranks that hold it, the first and the last of them. */
  private readonly holders: Int32Array;
  private readonly firstRank: Int32Array;
  private readonly lastRank: Int32Array;
  private readonly span = { size: 1, stride: 1 };

  constructor(private readonly segmentation: Segmentation) {
    const count = segmentation.sharedParameter.length;
    this.elements = Float64Array.from(segmentation.sharedParameter, (t) => elementsOf(segmentation, t));
    this.holders = new Int32Array(count);
    this.firstRank = new Int32Array(count);
    this.lastRank = new Int32Array(count);
  }

  /** Finds the ranks that hold each shared parameter and takes repeated uses off their parameter counts. */
  place(c: Candidate, rankDenseParameters: Float64Array): void {
    if (this.holders.length === 0) return;
    if (c.pp > this.uses.length) {
      this.uses = new Int32Array(2 * c.pp);
      this.tiedRank = new Uint8Array(2 * c.pp);
    }
    this.tiedRank.fill(0, 0, c.pp);
    const { sharedStart, sharedSegment } = this.segmentation;
    for (let i = 0; i < this.holders.length; i++) {
      const begin = sharedStart[i];
      const end = sharedStart[i + 1];
      let holders = 0;
      let first = c.pp;
      let last = -1;
      for (let k = begin; k < end; k++) {
        const r = rankOf(c, sharedSegment[k]);
        if (this.uses[r]++ === 0) {
          holders++;
          if (r < first) first = r;
          if (r > last) last = r;
        } else rankDenseParameters[r] -= this.elements[i] / c.tp;
      }
      for (let k = begin; k < end; k++) {
        const r = rankOf(c, sharedSegment[k]);
        this.uses[r] = 0;
        if (holders > 1) this.tiedRank[r] = 1;
      }
      this.holders[i] = holders;
      this.firstRank[i] = first;
      this.lastRank[i] = last;
    }
  }

  rankIsTied(rank: number): boolean {
    return this.holders.length > 0 && this.tiedRank[rank] === 1;
  }

  /** What is summed across ranks: the pipeline ranks that hold each parameter, and its elements on one device. */
  sums(c: Candidate): { ranks: number[]; elements: number }[] {
    const { sharedStart, sharedSegment } = this.segmentation;
    return Array.from(this.elements, (elements, i) => {
      const segments = sharedSegment.subarray(sharedStart[i], sharedStart[i + 1]);
      const ranks = [...new Set(Array.from(segments, (s) => rankOf(c, s)))].sort((a, b) => a - b);
      return { ranks, elements: elements / c.tp };
    }).filter(({ ranks }) => ranks.length > 1);
  }

  /** Seconds of all sums across ranks, after `place`. */
  reduceSec(c: Candidate, state: StateBytes, network: Network, layout: Layout): number {
    let timeSec = 0;
    for (let i = 0; i < this.holders.length; i++) {
      const holders = this.holders[i];
      if (holders < 2) continue;
      this.span.size = holders;
      this.span.stride =
        layout.pipelineStride *
        Math.max(1, Math.floor((this.lastRank[i] - this.firstRank[i]) / (holders - 1)));
      const route = layout.uniform ? layout.network[0] : -1;
      timeSec += network.timeSec(ALL_REDUCE, (this.elements[i] / c.tp) * state.grad, this.span, route);
    }
    return timeSec;
  }
}

/**
 * Elements of a parameter, read off the factors of a block that uses it: a dimension's size is the product of its
 * factors' sizes.
 */
function elementsOf(segmentation: Segmentation, parameter: number): number {
  for (const block of segmentation.blocks) {
    const dims = block.factors.inputs[block.inputs.indexOf(parameter)];
    if (dims) return dims.flat().reduce((product, f) => product * block.factors.factors[f].size, 1);
  }
  return 0;
}

/** Pipeline rank of a segment: binary search in the stage starts. */
function rankOf(c: Candidate, segment: number): number {
  const start = c.stageStart;
  let low = 0;
  let high = c.pp * c.vpp - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (start[middle] <= segment) low = middle;
    else high = middle - 1;
  }
  return low % c.pp;
}
