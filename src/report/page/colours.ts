/** Colours that hold on light and on dark ground. */
import type { TermGroup } from '../../simulate/terms.js';

/** Colour of a pipeline rank: round the circle of hues, so that neighbours are told apart and the order is seen. */
export function stageColour(rank: number, ranks: number): string {
  const hue = (215 + (300 * rank) / Math.max(1, ranks)) % 360;
  // Many ranks have close hues: every other one is lighter.
  const lightness = ranks > 6 && rank % 2 === 1 ? 66 : 50;
  return `hsl(${hue.toFixed(0)} 62% ${lightness}%)`;
}

const GROUP_HUE: Readonly<Record<TermGroup, readonly [hue: number, saturation: number]>> = {
  compute: [212, 70],
  communication: [24, 80],
  other: [265, 18],
};

/** Colour of the i-th of `count` terms of a group. */
export function termColour(group: TermGroup, i: number, count: number): string {
  const [hue, saturation] = GROUP_HUE[group];
  const lightness = 42 + (30 * i) / Math.max(1, count - 1 || 1);
  return `hsl(${hue + 10 * (i % 3)} ${saturation}% ${lightness.toFixed(0)}%)`;
}
