/**
 * Draws partitions/training-curve.jsonl, the metrics of the shipped policy's training, as partitions/training-curve.svg.
 *
 *     node --import tsx bench/training-curve.ts
 */
import { readFileSync, writeFileSync } from 'node:fs';
import type { TrainingReport } from '../src/agent/training.js';

const folder = new URL('../partitions/', import.meta.url);
/** Updates that one point is the mean of. */
const WINDOW = 15;
const WIDTH = 640;
const HEIGHT = 320;
const MARGIN = { left: 60, right: 20, top: 40, bottom: 44 };

interface Line {
  readonly label: string;
  readonly colour: string;
  readonly value: (r: TrainingReport) => number;
}

const LINES: readonly Line[] = [
  { label: 'best of 12 episodes', colour: '#0072b2', value: (r) => r.bestReturn },
  { label: 'mean episode', colour: '#d55e00', value: (r) => r.meanReturn },
];

const reports = readFileSync(new URL('training-curve.jsonl', folder), 'utf8')
  .split('\n')
  .filter(Boolean)
  .map((line) => JSON.parse(line) as TrainingReport);

const episodes = reports[reports.length - 1].episodes;
const curves = LINES.map(({ value }) =>
  reports.map((r, i) => {
    const part = reports.slice(Math.max(0, i + 1 - WINDOW), i + 1);
    return [r.episodes, part.reduce((sum, x) => sum + value(x), 0) / part.length] as const;
  }),
);
const low = Math.floor(2 * Math.min(...curves.flat().map(([, y]) => y))) / 2;
const x = (n: number): string =>
  (MARGIN.left + ((WIDTH - MARGIN.left - MARGIN.right) * n) / episodes).toFixed(1);
const y = (v: number): string => (MARGIN.top + ((HEIGHT - MARGIN.top - MARGIN.bottom) * v) / low).toFixed(1);

const parts = [
  `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12">`,
  '<rect width="100%" height="100%" fill="white"/>',
  `<text x="${WIDTH / 2}" y="${HEIGHT - 8}" text-anchor="middle">episodes</text>`,
  `<text x="14" y="${HEIGHT / 2}" text-anchor="middle" transform="rotate(-90 14 ${HEIGHT / 2})">log(teacher's value / value)</text>`,
];
for (let v = 0; v >= low; v -= 0.5)
  parts.push(
    `<line x1="${MARGIN.left}" y1="${y(v)}" x2="${WIDTH - MARGIN.right}" y2="${y(v)}" stroke="#ddd"/>`,
    `<text x="${MARGIN.left - 6}" y="${Number(y(v)) + 4}" text-anchor="end">${v.toFixed(1)}</text>`,
  );
for (let n = 0; n <= episodes; n += 10_000)
  parts.push(`<text x="${x(n)}" y="${HEIGHT - MARGIN.bottom + 16}" text-anchor="middle">${n}</text>`);
curves.forEach((curve, i) => {
  const { label, colour } = LINES[i];
  const points = curve.map(([n, v]) => `${x(n)},${y(v)}`).join(' ');
  parts.push(
    `<polyline points="${points}" fill="none" stroke="${colour}" stroke-width="1.8"/>`,
    `<text x="${MARGIN.left + 170 * i}" y="24" fill="${colour}">${label}</text>`,
  );
});
writeFileSync(new URL('training-curve.svg', folder), `${parts.join('\n')}\n</svg>\n`);
