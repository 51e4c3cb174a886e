/**
 * Measured runs beside their predictions: one line per row of a csv (default: the shipped rows), for those who fit stack and
 * device figures. `node --import tsx bench/fit-inspect.ts [file.csv] [id prefix]`
 */
import { readFileSync } from 'node:fs';
import { Predictor } from '../src/validation/predict.js';
import { readCsv } from '../src/validation/csv.js';
import { groupOf, readRows } from '../src/validation/row.js';
import { mean, median } from '../src/util/stats.js';

const path = process.argv[2] ?? new URL('../src/data/measured/measured.csv', import.meta.url).pathname;
const prefix = process.argv[3] ?? '';
const { rows, faults } = readRows(readCsv(readFileSync(path, 'utf8'), path), path);
const predictor = new Predictor();
const start = performance.now();
const wanted = rows.filter((row) => row.id.startsWith(prefix));
const { prepared, faults: impossible } = predictor.prepareAll(wanted);
const preparedSec = (performance.now() - start) / 1000;
predictor.predictAll(prepared);
const again = performance.now();
const predictions = predictor.predictAll(prepared);
const repricedSec = (performance.now() - again) / 1000;
const byGroup = new Map<string, number[]>();
for (const p of predictions) {
  const { row, setting, candidate } = p.prepared;
  const ratio = p.value / row.value;
  const group = byGroup.get(groupOf(row.id)) ?? [];
  byGroup.set(groupOf(row.id), [...group, ratio]);
  const b = p.breakdown;
  const share = (sec: number): string => `${Math.round((100 * sec) / p.stepTimeSec)}`;
  console.log(
    [
      row.id.padEnd(20),
      setting.stack.padEnd(10),
      `${row.modelName} x${row.devices} ${setting.preset} ${setting.precision}`.padEnd(46),
      `tp${row.tp} pp${row.pp}x${setting.vpp} cp${row.cp} ep${row.ep} z${setting.zeroStage} mb${setting.microbatch} gb${setting.globalBatch} r${candidate.recompute[1]}`.padEnd(
        44,
      ),
      row.metric.slice(0, 6),
      row.value.toPrecision(4).padStart(9),
      p.value.toPrecision(4).padStart(9),
      ratio.toFixed(3).padStart(7),
      `comp ${share(b.computeSec)} rec ${share(b.recomputeSec)} tp ${share(b.tensorParallelSec)} cp ${share(b.contextParallelSec)} ep ${share(b.expertParallelSec)} p2p ${share(b.pipelineTransferSec)} bub ${share(b.bubbleSec)} dp ${share(b.dataParallelExposedSec)} opt ${share(b.optimizerSec)} host ${share(b.overheadSec)}`,
      p.peakMemoryBytes > p.memoryCapacityBytes
        ? `mem ${Math.round((100 * p.peakMemoryBytes) / p.memoryCapacityBytes)}%`
        : '',
    ].join(' '),
  );
}
for (const fault of [...faults, ...impossible])
  console.log(`skipped ${fault.id} (line ${fault.line}): ${fault.reason}`);
console.log(`\ngroup                n    MAPE  median ratio`);
for (const [name, ratios] of byGroup)
  console.log(
    name.padEnd(18),
    String(ratios.length).padStart(4),
    `${(100 * mean(ratios.map((r) => Math.abs(r - 1)))).toFixed(1)} %`.padStart(8),
    median(ratios).toFixed(3).padStart(8),
  );
console.log(`prepared in ${preparedSec.toFixed(1)} s, re-priced in ${repricedSec.toFixed(2)} s`);
