/**
 * Writes the table of residuals that intervals are read off, after stacks or devices have changed:
 * `node --import tsx bench/intervals.ts`
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { dataPath } from '../src/util/files.js';
import { readCsv } from '../src/validation/csv.js';
import { intervalsYaml } from '../src/validation/intervals.js';
import { Predictor } from '../src/validation/predict.js';
import { residualCells } from '../src/validation/residuals.js';
import { readRows } from '../src/validation/row.js';
import { outcomeOf } from '../src/validation/validate.js';

const path = dataPath('measured/measured.csv');
const { rows } = readRows(readCsv(readFileSync(path, 'utf8'), path.pathname), path.pathname);
const predictor = new Predictor();
const { prepared } = predictor.prepareAll(rows);
const cells = residualCells(predictor.predictAll(prepared).map(outcomeOf));
writeFileSync(dataPath('measured/intervals.yaml'), intervalsYaml(cells));
console.log(`${cells.length} cells of ${prepared.length} rows`);
