/** `--devices 256..4096`: one plan a device count, doubling, and which of them lie on the time/cost frontier. */
import { join } from 'node:path';
import type { PlanRequest, SweepEntry } from '../api/index.js';
import { sweepTable, underFailures, withFrontier, writePlanFiles } from '../api/index.js';
import { PartitionError } from '../util/errors.js';
import { onInterrupt } from './interrupt.js';
import type { CommonArgs } from './options.js';
import { integerBetween } from './options.js';
import { Progress, commandLine, print, printJson } from './output.js';
import { planInWorker } from './planThread.js';

/** Device counts of a range `least..most`, doubling, the last one included; `null` when the text is no range. */
export function deviceCounts(text: string, limit: number): number[] | null {
  const at = text.indexOf('..');
  if (at < 0) return null;
  const least = integerBetween(text.slice(0, at), '--devices', 1, limit);
  const most = integerBetween(text.slice(at + 2), '--devices', least, limit);
  const counts: number[] = [];
  for (let n = least; n < most; n *= 2) counts.push(n);
  return [...counts, most];
}

/** Plans every count, the time budget shared out evenly; writes `<folder>/<count>/plan.json`; prints the table. */
export async function sweep(
  request: PlanRequest,
  counts: readonly number[],
  folder: string,
  { json, quiet }: CommonArgs,
): Promise<void> {
  const progress = new Progress(quiet);
  const entries: SweepEntry[] = [];
  const release = onInterrupt(() => {
    progress.done();
    return `interrupted after ${entries.length} of ${counts.length} device counts`;
  });
  const budget = request.budget && { ...request.budget, maxSec: request.budget.maxSec / counts.length };
  for (const devices of counts) {
    const one: PlanRequest = { ...request, devices, ...(budget === undefined ? {} : { budget }) };
    try {
      const reply = await planInWorker(one, (status) =>
        progress.update(`${devices} devices: ${status}`, counts.indexOf(devices) / counts.length),
      );
      const summary = writePlanFiles(reply, one, join(folder, String(devices)), commandLine());
      const job = underFailures(reply.plan, one.failures, one, one.seed ?? 0);
      entries.push({
        devices,
        plan: { ...summary, ...job },
        costPerStep: reply.plan.prediction.costPerStep,
        reason: null,
      });
    } catch (e) {
      if (!(e instanceof PartitionError) || e.code !== 'infeasible') throw e;
      entries.push({ devices, plan: null, costPerStep: null, reason: e.line() });
    }
  }
  progress.done();
  release();
  const rows = withFrontier(entries);
  if (json) printJson({ sweep: rows });
  else print(sweepTable(rows, folder));
  if (rows.every((row) => row.plan === null)) {
    throw new PartitionError('infeasible', 'no plan fits any of these device counts', request.modelPath);
  }
}
