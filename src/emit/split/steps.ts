/** The order in which sub-models run, with the transfers and collectives between them. */
import type { ManifestStep } from './manifest.js';
import type { Schedule } from './schedule.js';

export function stepsOf({ pieces, after }: Schedule): ManifestStep[] {
  const home = new Map<string, number>();
  const steps: ManifestStep[] = [];
  const arrived = new Map<number, Set<string>>();
  pieces.forEach((piece, i) => {
    const here = arrived.get(piece.stage) ?? new Set<string>();
    arrived.set(piece.stage, here);
    const bySender = new Map<number, string[]>();
    for (const name of piece.inputs) {
      const from = home.get(name);
      if (from === undefined || from === piece.stage || here.has(name)) continue;
      here.add(name);
      bySender.set(from, [...(bySender.get(from) ?? []), name]);
    }
    for (const [fromStage, tensors] of [...bySender].sort((a, b) => a[0] - b[0]))
      steps.push({ kind: 'send', fromStage, toStage: piece.stage, tensors });
    steps.push({ kind: 'run', stage: piece.stage, segment: segmentOf(pieces, i) });
    for (const name of piece.outputs) home.set(name, piece.stage);
    for (const { kind, from, to, joined, stage } of after[i]) {
      home.set(to, stage);
      if (kind === 'allReduce') steps.push({ kind, stage, from, to, op: 'sum' });
      else if (joined !== null) steps.push({ kind, stage, from, to, ...joined });
    }
  });
  return steps;
}

/** Position of a piece among those of its stage. */
export function segmentOf(pieces: Schedule['pieces'], i: number): number {
  let segment = 0;
  for (let k = i - 1; k >= 0 && pieces[k].stage === pieces[i].stage; k--) segment++;
  return segment;
}
