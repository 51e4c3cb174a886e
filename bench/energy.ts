/** Published power of runs beside the simulator's: `npx tsx bench/energy.ts`. */
import { energyError, predictEnergy, readEnergyRows } from '../src/validation/energy.js';
import { formatPercent, formatSeconds, formatTable } from '../src/util/format.js';

const data = readEnergyRows();
const predictions = predictEnergy(data);
const kw = (value: number | null): string => (value === null ? '' : value.toFixed(3));
console.log(
  formatTable(
    [
      [
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
      ],
      ...predictions.map((p) => [
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
      ]),
    ],
    2,
  ),
);
for (const { id, notModelled } of data.rows)
  if (notModelled !== null) console.log(`${id} not modelled: ${notModelled}`);
