/** The files of a replanned job. */
import { join } from 'node:path';
import { encodePlan } from '../plan/codec.js';
import type { ReplanFacts } from '../report/replanTable.js';
import { makeFolder, writeFileAtomic } from '../util/files.js';
import type { ReplanReply, ReplanRequest } from './replan.js';
import { readRun } from './runFile.js';

/** Writes plan.json, migration.json and run.json. */
export function writeReplanFiles(
  reply: ReplanReply,
  request: ReplanRequest,
  folder: string,
  command?: string,
): ReplanFacts {
  makeFolder(folder);
  const planPath = join(folder, 'plan.json');
  const manifestPath = join(folder, 'migration.json');
  const run = readRun(request.planPath);
  writeFileAtomic(planPath, encodePlan(reply.plan));
  writeFileAtomic(manifestPath, `${JSON.stringify(reply.manifest)}\n`);
  writeFileAtomic(
    join(folder, 'run.json'),
    `${JSON.stringify(
      {
        ...(command === undefined ? {} : { command }),
        model: request.modelPath,
        request: {
          cluster: request.cluster ?? run.cluster ?? reply.plan.cluster.name,
          ...(run.calibration === undefined ? {} : { calibration: run.calibration }),
          ...(run.bind === undefined ? {} : { bind: run.bind }),
          failures: request.failures ?? run.failures,
        },
      },
      null,
      2,
    )}\n`,
  );
  return { ...reply.facts, planPath, manifestPath };
}
