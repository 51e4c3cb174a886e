/**
 * What launchers and terminals put around a program's lines: colours, time stamps and the rank that speaks.
 *
 *     [rank0]:...  [default3]:...          torchrun --tee: role and local rank ("[${role_name}${local_rank}]:" in
 *                                          torch/distributed/elastic/multiprocessing)
 *     [1,3]<stdout>:...                    mpirun --tag-output: job and rank
 *     12: ...                              srun --label: task
 *     2026-08-01T12:00:05.123456789Z ...   kubectl logs --timestamps, docker logs -t
 */

export interface Prefixed {
  /** The line without what stands around it. */
  readonly text: string;
  /** Who speaks, as it stands in the log; empty where nobody is named. */
  readonly speaker: string;
  /** Rank in the whole job; null where the line does not say. A local rank is one only on a single host. */
  readonly rank: number | null;
  /** Seconds since 1970 of the launcher's time stamp. */
  readonly timeSec: number | null;
}

const ESCAPE = '\u001b';
// eslint-disable-next-line no-control-regex
const COLOUR = /\u001b\[[0-9;]*[A-Za-z]/g;
const LOCAL = /^\s*\[([A-Za-z_]+)(\d{1,5})\]:? ?/;
const TAGGED = /^\s*\[\d+,(\d{1,7})\]<std(?:out|err)>: ?/;
const LABELLED = /^\s*(\d{1,7}): /;
const STAMPED = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)) /;
/** Launchers within launchers. */
const MOST_PREFIXES = 4;

export function withoutPrefix(line: string, hosts: number): Prefixed {
  let text = line.includes(ESCAPE) ? line.replace(COLOUR, '') : line;
  let speaker = '';
  let rank: number | null = null;
  let timeSec: number | null = null;
  for (let i = 0; i < MOST_PREFIXES; i++) {
    const stamped = STAMPED.exec(text);
    const local = stamped === null ? LOCAL.exec(text) : null;
    const ranked = stamped === null && local === null ? (TAGGED.exec(text) ?? LABELLED.exec(text)) : null;
    const found = stamped ?? local ?? ranked;
    if (found === null) break;
    if (stamped !== null) {
      const ms = Date.parse(stamped[1]);
      timeSec = Number.isFinite(ms) ? ms / 1000 : null;
    } else speaker += found[0].trim();
    if (ranked !== null) rank = Number(ranked[1]);
    else if (local !== null && hosts === 1) rank ??= Number(local[2]);
    text = text.slice(found[0].length);
  }
  return { text, speaker, rank, timeSec };
}
