/** Numbers as people read them. */

/** `1.50 GiB`; exact bytes below 1 KiB. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'];
  return scaled(bytes, 1024, units);
}

/** `1.24 P` style: SI prefixes for counts, FLOP and rates. */
export function formatSi(value: number, unit = ''): string {
  return scaled(
    value,
    1000,
    ['', 'k', 'M', 'G', 'T', 'P', 'E', 'Z'].map((p) => `${p}${unit}`),
  ).trimEnd();
}

/** `12.3 s`, `4.56 ms`, `7.8 us`. */
export function formatSeconds(timeSec: number): string {
  if (!Number.isFinite(timeSec)) return 'inf';
  if (timeSec >= 100) return `${timeSec.toFixed(0)} s`;
  if (timeSec >= 1) return `${timeSec.toPrecision(3)} s`;
  if (timeSec >= 1e-3) return `${(timeSec * 1e3).toPrecision(3)} ms`;
  return `${(timeSec * 1e6).toPrecision(3)} us`;
}

/** Long times in the unit that suits: `45.0 s`, `94.6 min`, `3.15 h`, `9.84 days`. */
export function formatSpan(timeSec: number): string {
  if (!(timeSec >= 120) || timeSec === Infinity) return formatSeconds(timeSec);
  if (timeSec < 7200) return `${(timeSec / 60).toPrecision(3)} min`;
  if (timeSec < 172_800) return `${(timeSec / 3600).toPrecision(3)} h`;
  return `${(timeSec / 86_400).toPrecision(4)} days`;
}

/** `0.0323 USD`, `1.69 k USD`. */
export function formatUsd(value: number): string {
  return value < 1000 ? `${Number(value.toPrecision(3))} USD` : `${formatSi(value)} USD`;
}

/** `12.3%` of a fraction. */
export function formatPercent(fraction: number): string {
  return `${(fraction * 100).toFixed(1)}%`;
}

/** The quantile that this share of a sample exceeds: 0.1 is the `90th percentile`. */
export function quantileName(share: number): string {
  const n = Number((100 * (1 - share)).toFixed(2));
  const isTeen = n > 10 && n < 14;
  const suffix = Number.isInteger(n) && !isTeen ? ['th', 'st', 'nd', 'rd'][n % 10] : undefined;
  return `${n}${suffix ?? 'th'} percentile`;
}

function scaled(value: number, base: number, units: readonly string[]): string {
  if (!Number.isFinite(value)) return String(value);
  let i = 0;
  let v = value;
  while (Math.abs(v) >= base && i < units.length - 1) {
    v /= base;
    i++;
  }
  const digits =
    i === 0
      ? Number.isInteger(v)
        ? String(v)
        : String(Number(v.toPrecision(3)))
      : v.toPrecision(Math.abs(v) >= 1000 ? 4 : 3);
  return `${digits} ${units[i]}`;
}

/** Left-aligned first column, right-aligned others, two spaces between. */
export function formatTable(rows: readonly (readonly string[])[], leftColumns = 1): string {
  const widths: number[] = [];
  for (const row of rows) row.forEach((cell, i) => (widths[i] = Math.max(widths[i] ?? 0, cell.length)));
  return rows
    .map((row) =>
      row
        .map((cell, i) => (i < leftColumns ? cell.padEnd(widths[i]) : cell.padStart(widths[i])))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
