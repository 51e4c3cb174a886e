/**
 * Learning curves as SVG: median and interquartile band over runs of the best value so far, against evaluations or seconds
 * on a logarithmic axis. Panels stand in rows.
 */

/** The best value so far of one run: `y[i]` holds from `x[i]` on. Both ascending in x. */
export interface CurveRun {
  readonly x: readonly number[];
  readonly y: readonly number[];
}

export interface CurveSeries {
  readonly name: string;
  readonly runs: readonly CurveRun[];
}

export interface CurvePanel {
  readonly title: string;
  readonly xLabel: string;
  readonly yLabel: string;
  readonly xMin: number;
  readonly xMax: number;
  readonly series: readonly CurveSeries[];
}

const WIDTH = 360;
const PLOT_HEIGHT = 190;
const MARGIN = { left: 56, right: 14, top: 26, bottom: 38 };
const LEGEND_LINE = 14;
const LEGEND_COLUMNS = 3;
/** Samples along the x axis. */
const SAMPLES = 120;
/** Curves are cut off above this many times the lowest value. */
const HIGHEST = 3;
/** Okabe and Ito's colours, told apart by most eyes, less the yellow, and four more. */
const COLOURS = [
  '#0072b2',
  '#d55e00',
  '#009e73',
  '#cc79a7',
  '#56b4e9',
  '#e69f00',
  '#000000',
  '#7b3294',
  '#8c510a',
  '#4d4d4d',
];
/** Beyond the colours, lines of the same colours are dashed. */
const DASHES = ['', '5 3', '2 2'];

/** @param columns panels side by side */
export function curveChart(panels: readonly CurvePanel[], columns = 2): string {
  const across = Math.min(columns, Math.max(1, panels.length));
  const rows: CurvePanel[][] = [];
  for (let i = 0; i < panels.length; i += across) rows.push(panels.slice(i, i + across));
  const parts: string[] = [];
  let top = 0;
  for (const row of rows) {
    row.forEach((panel, i) => parts.push(`<g transform="translate(${i * WIDTH},${top})">${draw(panel)}</g>`));
    top += Math.max(...row.map(heightOf));
  }
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH * across} ${top}" font-family="sans-serif" font-size="11">\n` +
    `<rect width="100%" height="100%" fill="white"/>\n${parts.join('\n')}\n</svg>\n`
  );
}

function legendHeight(panel: CurvePanel): number {
  return LEGEND_LINE * Math.ceil(panel.series.length / LEGEND_COLUMNS);
}

function heightOf(panel: CurvePanel): number {
  return MARGIN.top + legendHeight(panel) + PLOT_HEIGHT + MARGIN.bottom;
}

/** Quartiles over runs at sampled x; null before every run has a value. */
function sampled(series: CurveSeries, xs: readonly number[]): ([number, number, number] | null)[] {
  const at = series.runs.map(() => -1);
  return xs.map((x) => {
    const values: number[] = [];
    series.runs.forEach((run, i) => {
      while (at[i] + 1 < run.x.length && run.x[at[i] + 1] <= x) at[i]++;
      if (at[i] >= 0) values.push(run.y[at[i]]);
    });
    if (values.length === 0 || values.length < series.runs.length) return null;
    values.sort((a, b) => a - b);
    return [ordered(values, 0.25), ordered(values, 0.5), ordered(values, 0.75)];
  });
}

/** Quantile of sorted values by linear interpolation. */
function ordered(values: readonly number[], q: number): number {
  const at = (values.length - 1) * q;
  const low = Math.floor(at);
  return values[low] + (values[Math.ceil(at)] - values[low]) * (at - low);
}

function draw(panel: CurvePanel): string {
  const { xMin, xMax, series } = panel;
  const legend = legendHeight(panel);
  const plotTop = MARGIN.top + legend;
  const bottom = plotTop + PLOT_HEIGHT;
  const span = Math.log(xMax / xMin) || 1;
  const xs = Array.from({ length: SAMPLES }, (_, i) => xMin * Math.exp((span * i) / (SAMPLES - 1)));
  const curves = series.map((s) => sampled(s, xs));
  const medians = curves.flat().flatMap((c) => (c === null ? [] : [c[1]]));
  const low = Math.min(...medians, Infinity);
  const high = Math.min(HIGHEST * low, Math.max(...medians, -Infinity));
  const floor = Number.isFinite(low) ? low - 0.03 * (high - low || low) : 0;
  const ceiling = Number.isFinite(high) ? high + 0.03 * (high - low || high) : 1;
  const placeX = (x: number): number =>
    MARGIN.left + ((WIDTH - MARGIN.left - MARGIN.right) * Math.log(x / xMin)) / span;
  const placeY = (y: number): number =>
    bottom - PLOT_HEIGHT * Math.max(0, Math.min(1, (y - floor) / (ceiling - floor)));
  const parts = [
    `<text x="${MARGIN.left}" y="16" font-weight="bold">${escapeXml(panel.title)}</text>`,
    `<text x="${(WIDTH + MARGIN.left) / 2}" y="${bottom + 30}" text-anchor="middle">${escapeXml(panel.xLabel)}</text>`,
    `<text x="12" y="${plotTop + PLOT_HEIGHT / 2}" text-anchor="middle" transform="rotate(-90 12 ${plotTop + PLOT_HEIGHT / 2})">${escapeXml(panel.yLabel)}</text>`,
  ];
  series.forEach((s, i) => {
    const x = MARGIN.left + (i % LEGEND_COLUMNS) * 100;
    const y = 31 + LEGEND_LINE * Math.floor(i / LEGEND_COLUMNS);
    parts.push(`<text x="${x}" y="${y}" fill="${colourOf(i)}">${escapeXml(legendText(s.name, i))}</text>`);
  });
  for (let power = Math.ceil(Math.log10(xMin) - 1e-9); 10 ** power <= xMax * 1.0001; power++) {
    const at = placeX(10 ** power).toFixed(1);
    parts.push(
      `<line x1="${at}" y1="${plotTop}" x2="${at}" y2="${bottom}" stroke="#ddd"/>`,
      `<text x="${at}" y="${bottom + 14}" text-anchor="middle">${10 ** power}</text>`,
    );
  }
  for (let k = 0; k <= 4; k++) {
    const value = floor + ((ceiling - floor) * k) / 4;
    const at = placeY(value);
    parts.push(
      `<line x1="${MARGIN.left}" y1="${at.toFixed(1)}" x2="${WIDTH - MARGIN.right}" y2="${at.toFixed(1)}" stroke="#ddd"/>`,
      `<text x="${MARGIN.left - 5}" y="${(at + 4).toFixed(1)}" text-anchor="end">${value.toPrecision(4)}</text>`,
    );
  }
  curves.forEach((curve, i) => {
    const line = (q: 0 | 1 | 2): string[] =>
      curve.flatMap((c, k) => (c === null ? [] : [`${placeX(xs[k]).toFixed(1)},${placeY(c[q]).toFixed(1)}`]));
    if (line(1).length === 0) return;
    const dash = DASHES[Math.floor(i / COLOURS.length) % DASHES.length];
    parts.push(
      `<polygon points="${[...line(0), ...line(2).reverse()].join(' ')}" fill="${colourOf(i)}" opacity="0.12"/>`,
      `<polyline points="${line(1).join(' ')}" fill="none" stroke="${colourOf(i)}" stroke-width="1.8"${dash === '' ? '' : ` stroke-dasharray="${dash}"`}/>`,
    );
  });
  return parts.join('\n');
}

function colourOf(i: number): string {
  return COLOURS[i % COLOURS.length];
}

function legendText(name: string, i: number): string {
  return i < COLOURS.length ? name : `${name} (dashed)`;
}

/** Text that stands for itself between tags and in attributes. */
export function escapeXml(text: string): string {
  return text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;').replace(/"/g, '&quot;');
}
