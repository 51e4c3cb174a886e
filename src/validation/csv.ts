/** Comma-separated values as RFC 4180 defines them: quoted fields may hold commas, doubled quotes and line breaks. */
import { PartitionError } from '../util/errors.js';

export interface CsvRecord {
  /** Line of the file on which the record begins, from 1. */
  readonly line: number;
  readonly fields: readonly string[];
}

/** The first record names the columns. */
export interface CsvTable {
  readonly columns: readonly string[];
  readonly records: readonly CsvRecord[];
}

const QUOTE = 34;
const COMMA = 44;
const LINE_FEED = 10;
const CARRIAGE_RETURN = 13;

/**
 * @param where the file, for messages
 * @throws PartitionError input: no header, an unclosed quote, or text after a closing quote, with the line
 */
export function readCsv(text: string, where: string): CsvTable {
  const records = readRecords(text, where);
  const header = records.shift();
  if (header === undefined) throw new PartitionError('input', 'expected a header line, found nothing', where);
  const columns = header.fields.map((name) => name.trim());
  const twice = columns.find((name, i) => name !== '' && columns.indexOf(name) < i);
  if (twice !== undefined)
    throw new PartitionError('input', `two columns are called ${JSON.stringify(twice)}`, `${where}:1`);
  return { columns, records };
}

/** Records that hold anything; blank lines are none. */
function readRecords(text: string, where: string): CsvRecord[] {
  const records: CsvRecord[] = [];
  // A byte order mark is no part of the first column's name.
  let at = text.charCodeAt(0) === 0xfeff ? 1 : 0;
  let line = 1;
  while (at < text.length) {
    const start = line;
    const fields: string[] = [];
    for (;;) {
      if (text.charCodeAt(at) === QUOTE) {
        const close = closingQuote(text, at + 1);
        if (close < 0)
          throw new PartitionError('input', 'a quoted field is never closed', `${where}:${line}`);
        const field = text.slice(at + 1, close);
        for (let i = field.indexOf('\n'); i >= 0; i = field.indexOf('\n', i + 1)) line++;
        fields.push(field.replaceAll('""', '"'));
        at = close + 1;
        if (at < text.length && !endsField(text.charCodeAt(at)))
          throw new PartitionError(
            'input',
            'expected a comma or the end of the line after a quoted field',
            `${where}:${line}`,
          );
      } else {
        const from = at;
        while (at < text.length && !endsField(text.charCodeAt(at))) at++;
        fields.push(text.slice(from, at));
      }
      if (text.charCodeAt(at) !== COMMA) break;
      at++;
    }
    if (text.charCodeAt(at) === CARRIAGE_RETURN) at++;
    if (text.charCodeAt(at) === LINE_FEED) at++;
    line++;
    if (fields.length > 1 || fields[0].trim() !== '') records.push({ line: start, fields });
  }
  return records;
}

function endsField(code: number): boolean {
  return code === COMMA || code === LINE_FEED || code === CARRIAGE_RETURN;
}

/** Position of the quote that ends the field which begins at `from`; -1 when none does. */
function closingQuote(text: string, from: number): number {
  for (let at = text.indexOf('"', from); at >= 0; at = text.indexOf('"', at + 2))
    if (text.charCodeAt(at + 1) !== QUOTE) return at;
  return -1;
}
