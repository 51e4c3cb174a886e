/** Colours that hold on light and on dark ground. */
import type { TermGroup } from '../../simulate/terms.js';

/** Colour of a pipeline rank: round the circle of hues, so that neighbours are told apart and the order is seen. */
export function stageColour(rank: number, ranks: number): string {
  const hue = (215 + (300 * rank) / Math.max(1, ranks)) % 360;
  // Many ranks have close hues: every other one is lighter.
  const lightness = ranks > 6 && rank % 2 === 1 ? 66 : 50;
  return `hsl(${hue.toFixed(0)} 62% ${lightness}%)`;
}

/** Blue to green computes, yellow to red communicates, grey to violet does neither. Neighbours differ in lightness too. */
const GROUP_COLOURS: Readonly<Record<TermGroup, readonly string[]>> = {
  compute: [
    '#2f6fbf',
    '#63b3d9',
    '#1f8a70',
    '#8ccf9b',
    '#3f51a3',
    '#7fa3e0',
    '#0f6b7a',
    '#5fc4b8',
    '#4c7f2a',
  ],
  communication: ['#e08a2c', '#c2407a', '#f0b860', '#a83232', '#e88aa8', '#d95f3b', '#8a5a1f', '#f2a07a'],
  other: ['#7d8897', '#9a7bd0', '#5c6470', '#b9bfc9', '#c4b0e6'],
};

/** Colour of the i-th term of a group. */
export function termColour(group: TermGroup, i: number): string {
  const colours = GROUP_COLOURS[group];
  return colours[i % colours.length];
}
