/** The front of time and energy as SVG: a point for each plan at full clock, a step line for the front with clocks. */
import { formatSeconds, formatSi } from '../util/format.js';
import { escapeXml } from './curveChart.js';
import type { ParetoFacts } from './paretoTable.js';

const WIDTH = 640;
const HEIGHT = 400;
const MARGIN = { left: 90, right: 20, top: 34, bottom: 46 };
const COLOURS = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#56b4e9', '#e69f00'];
const TICKS = 4;

export function paretoChart({ plans, front, model, devices }: ParetoFacts): string {
  const all = [...plans.map((p) => p.full), ...front];
  const times = all.map((p) => p.timeSec);
  const joules = all.map((p) => p.energyJoule);
  const x = scale(Math.min(...times), Math.max(...times), MARGIN.left, WIDTH - MARGIN.right);
  const y = scale(Math.min(...joules), Math.max(...joules), HEIGHT - MARGIN.bottom, MARGIN.top);
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="11">`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>`,
    `<text x="${MARGIN.left}" y="18" font-size="13">${escapeXml(`Time and energy: ${model}, ${devices} devices`)}</text>`,
  ];
  // A front of one point has one value on each axis.
  const ticks = Math.max(...times) > Math.min(...times) ? TICKS : 0;
  for (let i = 0; i <= ticks; i++) {
    const sec = Math.min(...times) + (i / Math.max(1, ticks)) * (Math.max(...times) - Math.min(...times));
    const joule =
      Math.min(...joules) + (i / Math.max(1, ticks)) * (Math.max(...joules) - Math.min(...joules));
    parts.push(
      `<line x1="${MARGIN.left}" x2="${WIDTH - MARGIN.right}" y1="${y(joule)}" y2="${y(joule)}" stroke="#ddd"/>`,
      `<text x="${MARGIN.left - 6}" y="${y(joule)}" text-anchor="end">${escapeXml(formatSi(joule, 'J'))}</text>`,
      `<text x="${x(sec)}" y="${HEIGHT - 26}" text-anchor="middle">${escapeXml(formatSeconds(sec))}</text>`,
    );
  }
  const line = front.map((p, i) =>
    i === 0 ? `M${x(p.timeSec)} ${y(p.energyJoule)}` : `H${x(p.timeSec)}V${y(p.energyJoule)}`,
  );
  parts.push(`<path d="${line.join('')}" fill="none" stroke="#444"/>`);
  for (const p of front)
    parts.push(
      `<circle cx="${x(p.timeSec)}" cy="${y(p.energyJoule)}" r="3" fill="${COLOURS[p.plan % COLOURS.length]}"/>`,
    );
  for (const p of plans)
    parts.push(
      `<rect x="${x(p.full.timeSec) - 4}" y="${y(p.full.energyJoule) - 4}" width="8" height="8" fill="none" stroke="${COLOURS[p.plan % COLOURS.length]}"><title>${escapeXml(`plan ${p.plan}: ${p.degrees}, full clock`)}</title></rect>`,
    );
  parts.push(
    `<text x="${WIDTH - MARGIN.right}" y="${HEIGHT - 8}" text-anchor="end">step time; squares: full clock, dots: clocks by task</text>`,
    '</svg>',
  );
  return `${parts.join('\n')}\n`;
}

function scale(least: number, most: number, from: number, to: number): (value: number) => number {
  return (value) =>
    Number((most === least ? from : from + ((value - least) / (most - least)) * (to - from)).toFixed(2));
}
