/**
 * Measured collectives from text: a csv table (`device,ranks,bytes,seconds`, optionally `collective` and
 * `ranks_per_host`) or what the programs of NVIDIA's nccl-tests print. Bytes are counted as `src/cost/collective.ts`
 * does, which is nccl-tests' way.
 */
import type { CollectiveKind } from '../cost/collective.js';
import { COLLECTIVE_KINDS } from '../cost/collective.js';
import { PartitionError, oneLine } from '../util/errors.js';
import { nearNames } from '../util/near.js';
import { readCsv } from './csv.js';

export interface CollectiveSample {
  /** Hardware as the file calls it; null when it does not say. */
  readonly device: string | null;
  readonly kind: CollectiveKind;
  readonly ranks: number;
  /** Ranks on each host; null when the file does not say. */
  readonly ranksPerHost: number | null;
  /** Distance between the group's ranks in the job's; null when it is not known. */
  readonly rankStride: number | null;
  /** Nothing else was on the wire: a benchmark, not a job whose other groups communicate at the same time. */
  readonly alone: boolean;
  readonly bytes: number;
  readonly timeSec: number;
}

/** What collectives are called: in tables, by nccl-tests' programs, by torch. Compared without case, `_` and `-`. */
const NAMES: Readonly<Record<string, CollectiveKind>> = {
  allreduce: 'allReduce',
  allreducecoalesced: 'allReduce',
  reducescatter: 'reduceScatter',
  reducescatterbase: 'reduceScatter',
  reducescattertensorcoalesced: 'reduceScatter',
  allgather: 'allGather',
  allgatherbase: 'allGather',
  allgatherintotensor: 'allGather',
  allgatherintotensorcoalesced: 'allGather',
  alltoall: 'allToAll',
  alltoallbase: 'allToAll',
  alltoallv: 'allToAll',
  alltoallsingle: 'allToAll',
  broadcast: 'broadcast',
  sendrecv: 'p2p',
  send: 'p2p',
  recv: 'p2p',
  p2p: 'p2p',
};

/** The collective of a name such as `all_reduce`, `_allgather_base` or `ReduceScatter`; null for others. */
export function collectiveKind(name: string): CollectiveKind | null {
  return NAMES[name.toLowerCase().replace(/[^a-z]/g, '')] ?? null;
}

/** Whether a text is what a program of nccl-tests prints. */
export function isNcclTests(text: string): boolean {
  return /^#.*\bsize\s+count\s+type\b.*\btime\b/m.test(text);
}

/** @throws PartitionError input naming the line and column that is wrong, or that nothing is measured */
export function readCollectiveTable(text: string, where: string): CollectiveSample[] {
  const samples = isNcclTests(text) ? readNcclTests(text, where) : readCollectiveCsv(text, where);
  if (samples.length === 0)
    throw new PartitionError('input', 'expected at least one measured collective, found none', where);
  return samples;
}

function readCollectiveCsv(text: string, where: string): CollectiveSample[] {
  const table = readCsv(text, where);
  const column = (name: string): number => table.columns.findIndex((c) => c.toLowerCase() === name);
  const missing = ['ranks', 'bytes', 'seconds'].filter((name) => column(name) < 0);
  if (missing.length > 0)
    throw new PartitionError(
      'input',
      `missing column${missing.length > 1 ? 's' : ''} ${missing.join(', ')}`,
      where,
      'a collective table has the columns device,ranks,bytes,seconds and may have collective,ranks_per_host',
    );
  const at = {
    device: column('device'),
    ranks: column('ranks'),
    bytes: column('bytes'),
    seconds: column('seconds'),
    kind: column('collective'),
    perHost: column('ranks_per_host'),
  };
  return table.records.map(({ line, fields }) => {
    const place = `${where}:${line}`;
    const ranks = whole(fields[at.ranks], 2, 'ranks', place);
    const perHost = at.perHost < 0 || (fields[at.perHost] ?? '') === '' ? null : fields[at.perHost];
    return {
      device: at.device < 0 ? null : named(fields[at.device]),
      kind: at.kind < 0 ? 'allReduce' : kindNamed(fields[at.kind] ?? '', place),
      ranks,
      ranksPerHost:
        perHost === null ? null : divisor(whole(perHost, 1, 'ranks_per_host', place), ranks, place),
      rankStride: null,
      alone: true,
      bytes: whole(fields[at.bytes], 1, 'bytes', place),
      timeSec: positive(fields[at.seconds], 'seconds', place),
    };
  });
}

/**
 * Ranks and hosts come from the `# Rank` lines, the collective from the program's name where the text has it, or from
 * the quotient of bus and algorithm bandwidth. Times are those of the out-of-place columns.
 */
function readNcclTests(text: string, where: string): CollectiveSample[] {
  const lines = text.split(/\r?\n/);
  const samples: CollectiveSample[] = [];
  const hosts = new Map<string, number>();
  let ranks = 0;
  let device: string | null = null;
  let named: CollectiveKind | null = null;
  let timeColumn = -1;
  lines.forEach((line, i) => {
    const place = `${where}:${i + 1}`;
    // `#  Rank  0 Group  0 Pid 3337 on  node1 device  0 [0x07] NVIDIA A100-SXM4-80GB`
    const rank = /^#\s+Rank\s+(\d+)\b.*?\bPid\s+\d+\s+on\s+(\S+)\s+device\s+\d+\s+\[[^\]]*\]\s*(.*)$/.exec(
      line,
    );
    const program = /\b([a-z]+(?:_[a-z]+)?)_perf\b/.exec(line);
    if (program !== null) named = collectiveKind(program[1]) ?? named;
    if (rank !== null) {
      // A second run in the same log starts counting ranks anew.
      if (Number(rank[1]) === 0) {
        hosts.clear();
        ranks = 0;
      }
      ranks++;
      hosts.set(rank[2], (hosts.get(rank[2]) ?? 0) + 1);
      device = rank[3].trim() || device;
      return;
    }
    if (/^#\s+size\s+count\s+type\b/.test(line)) {
      timeColumn = line.replace(/^#/, '').trim().split(/\s+/).indexOf('time');
      return;
    }
    if (timeColumn < 0 || line.startsWith('#') || !/^\s*\d+\s+\d+\s+[a-z]/i.test(line)) return;
    const cells = line.trim().split(/\s+/);
    const bytes = whole(cells[0], 0, 'size', place);
    if (cells[timeColumn] === 'N/A' || bytes === 0) return;
    const timeUs = positive(cells[timeColumn], 'time', place);
    if (ranks < 2)
      throw new PartitionError(
        'input',
        'expected the lines "# Rank ..." of at least two ranks before the first time',
        place,
        'keep the head of the program’s output',
      );
    const algorithmGBps = Number(cells[timeColumn + 1]);
    const busGBps = Number(cells[timeColumn + 2]);
    const kind = named ?? kindByBandwidth(busGBps / algorithmGBps, ranks, cells[3] ?? '');
    if (kind === undefined) return;
    if (kind === null)
      throw new PartitionError(
        'input',
        'cannot tell which collective was measured',
        place,
        'put the program’s name on a line of its own before the table: # all_gather_perf',
      );
    const perHost = ranks / hosts.size;
    samples.push({
      device,
      kind,
      ranks,
      ranksPerHost: Number.isInteger(perHost) ? perHost : null,
      rankStride: null,
      alone: true,
      bytes,
      timeSec: timeUs * 1e-6,
    });
  });
  return samples;
}

/** Bandwidths of small messages are rounded to nothing: undefined then; null when the quotient fits several collectives. */
function kindByBandwidth(
  quotient: number,
  ranks: number,
  reduction: string,
): CollectiveKind | null | undefined {
  if (!Number.isFinite(quotient)) return undefined;
  const share = (ranks - 1) / ranks;
  if (ranks > 2 && Math.abs(quotient / (2 * share) - 1) < 0.02) return 'allReduce';
  if (Math.abs(quotient / share - 1) < 0.02 && reduction === 'sum') return 'reduceScatter';
  return ranks === 2 && reduction === 'sum' && Math.abs(quotient - 1) < 0.02 ? 'allReduce' : null;
}

function named(cell: string | undefined): string | null {
  const name = (cell ?? '').trim();
  return name === '' ? null : name;
}

function kindNamed(cell: string, place: string): CollectiveKind {
  const kind = collectiveKind(cell);
  if (kind !== null) return kind;
  const near = nearNames(cell, COLLECTIVE_KINDS);
  throw new PartitionError(
    'input',
    `collective: expected one of ${COLLECTIVE_KINDS.join(', ')}, found ${shown(cell)}`,
    place,
    near.length > 0 ? `did you mean ${near.join(' or ')}?` : null,
  );
}

function whole(cell: string | undefined, least: number, column: string, place: string): number {
  const value = Number((cell ?? '').trim() || NaN);
  if (Number.isSafeInteger(value) && value >= least) return value;
  throw new PartitionError(
    'input',
    `${column}: expected a whole number of at least ${least}, found ${shown(cell)}`,
    place,
  );
}

function positive(cell: string | undefined, column: string, place: string): number {
  const value = Number((cell ?? '').trim() || NaN);
  if (Number.isFinite(value) && value > 0) return value;
  throw new PartitionError('input', `${column}: expected a number above 0, found ${shown(cell)}`, place);
}

function divisor(perHost: number, ranks: number, place: string): number {
  if (ranks % perHost === 0) return perHost;
  throw new PartitionError(
    'input',
    `ranks_per_host: expected a divisor of ${ranks} ranks, found ${perHost}`,
    place,
  );
}

function shown(cell: string | undefined): string {
  const text = (cell ?? '').trim();
  return text === '' ? 'nothing' : oneLine(JSON.stringify(text), 60);
}
