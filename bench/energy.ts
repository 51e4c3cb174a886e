/** Published power of runs beside the simulator's: `npx tsx bench/energy.ts` prints every row. */
import { fileURLToPath } from 'node:url';
import { energyError, predictEnergy, readEnergyRows } from '../src/validation/energy.js';
import { formatPercent, formatSeconds, formatTable } from '../src/util/format.js';

export function run(): { name: string; value: number; unit: string }[] {
  return predictEnergy().map((p) => ({
    name: `power of a host, ${p.row.id}: predicted over measured less one`,
    value: 100 * energyError(p),
    unit: '%',
  }));
}

function print(): void {
  const data = readEnergyRows();
  const kw = (value: number | null): string => (value === null ? '' : value.toFixed(3));
  const head = [
    'row',
    'workload',
    'host kW',
    'predicted',
    'error',
    'switch kW',
    'predicted',
    'device W',
    'step',
    'busy',
  ];
  const rows = predictEnergy(data).map((p) => [
    p.row.id,
    p.row.workload,
    kw(p.row.hostKw),
    kw(p.hostKw),
    formatPercent(energyError(p)),
    kw(p.row.switchKw),
    p.row.switchKw === null ? '' : kw(p.switchKw),
    p.deviceWatt.toFixed(0),
    formatSeconds(p.stepTimeSec),
    formatPercent(p.busyShare),
  ]);
  console.log(formatTable([head, ...rows], 2));
  for (const { id, notModelled } of data.rows)
    if (notModelled !== null) console.log(`${id}  not modelled: ${notModelled}`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) print();
