/**
 * A monitor to be killed: follows a log and a pipe with its state in a folder, saving all the time.
 *
 *     node --import tsx monitorVictim.ts <folder> <log> <hosts> [once]
 */
import { finish, openFile, readInput, save, takeFiles, takeInput } from '../../src/api/monitorSources.js';
import { Journal } from '../../src/validation/monitor/journal.js';
import { MonitorSession } from '../../src/validation/monitor/session.js';
import { jobLayoutOf } from './jobLog.js';

const [folder, log, hosts, once] = process.argv.slice(2);
const layout = jobLayoutOf(Number(hosts));
const journal = new Journal(folder, layout.planDigest);
const session = new MonitorSession(layout, 'jsonl', journal, () => undefined);
session.open();
const files = [openFile(log, session, false)];
const input = readInput(process.stdin);
process.stdout.write('up\n');
for (let turn = 0; ; turn++) {
  const taken = takeFiles(files, session) + takeInput(input, session);
  if (turn % 3 === 0) save(session, files);
  if (taken === 0 && once !== undefined && input.ended) break;
  await new Promise((resolve) => setTimeout(resolve, taken > 0 ? 0 : 2));
}
finish(session, files);
save(session, files);
session.watch.finish();
const { accepted, late, twice } = session.watch.counts;
const counts = { accepted, late, twice, lines: session.lines, findings: session.watch.incidents.count };
process.stdout.write(`${JSON.stringify(counts)}\n`);
process.exit();
