/** What is in a model, and how people read it. */
import { oneLine } from '../util/errors.js';
import { formatBytes, formatSi, formatTable } from '../util/format.js';

/** A tensor's name, type and shape; a dimension is a number, or text when symbolic; `null` when the rank is unknown. */
export interface TensorLine {
  readonly name: string;
  readonly dtype: string;
  readonly shape: (number | string)[] | null;
}

export interface Inspection {
  readonly model: string;
  readonly producer: string;
  readonly irVersion: number;
  /** Opset of the default domain, and of every domain imported. */
  readonly opset: number;
  readonly opsets: Record<string, number>;
  /** Trainable elements; weights that nothing reads are not counted once the graph is known. */
  readonly parameters: number;
  readonly parameterBytes: number;
  /** FLOP of one forward pass of one batch as bound; `null` while symbols are unbound (see `flopNote`). */
  readonly forwardFlop: number | null;
  /** How attention is counted: causal masks halve it. */
  readonly flopConvention: 'causal' | 'full';
  /** The same with attention counted in full. */
  readonly forwardFlopFull: number | null;
  readonly backwardFlop: number | null;
  readonly flopNote: string | null;
  readonly batch: number | null;
  readonly sequenceLength: number | null;
  /** Nodes as written in the main graph, and how many of each operator. */
  readonly ops: number;
  readonly opCounts: Record<string, number>;
  readonly unknownOps: readonly { readonly op: string; readonly count: number }[];
  readonly functions: number;
  readonly layers: number;
  readonly layerClasses: number;
  readonly inputs: readonly TensorLine[];
  readonly outputs: readonly TensorLine[];
  readonly symbols: readonly string[];
  readonly notInferred: readonly string[];
  readonly externalFiles: readonly string[];
  readonly tensors: number | readonly TensorLine[];
  readonly warnings: readonly string[];
}

/** The inspection as people read it. */
export function inspectionTable(i: Inspection): string {
  const shape = (t: TensorLine): string =>
    `${oneLine(t.name, 60)} ${t.dtype}[${t.shape === null ? '?' : t.shape.map((d) => oneLine(String(d), 40)).join(', ')}]`;
  const flop = forwardText(i);
  const rows: string[][] = [
    ['model', oneLine(i.model)],
    ['producer', oneLine(i.producer || 'not stated')],
    [
      'IR / opsets',
      `${i.irVersion} / ${Object.entries(i.opsets)
        .map(([d, v]) => `${oneLine(d, 40)} ${v}`)
        .join(', ')}`,
    ],
    ['parameters', `${formatSi(i.parameters)} (${i.parameters}), ${formatBytes(i.parameterBytes)} as stored`],
    ['forward', flop],
    [
      'layers',
      i.layers === 0 ? 'none that repeat' : `${i.layers} alike, ${i.layerClasses} kinds of segment in all`,
    ],
    [
      'inputs',
      i.inputs.slice(0, 4).map(shape).join('; ') +
        (i.inputs.length > 4 ? `; ${i.inputs.length - 4} more` : ''),
    ],
    [
      'outputs',
      i.outputs.slice(0, 4).map(shape).join('; ') +
        (i.outputs.length > 4 ? `; ${i.outputs.length - 4} more` : ''),
    ],
    [
      'operators',
      `${i.ops} nodes: ${Object.entries(i.opCounts)
        .slice(0, 12)
        .map(([op, n]) => `${oneLine(op, 40)} ${n}`)
        .join(', ')}`,
    ],
  ];
  if (i.symbols.length > 0) rows.push(['symbols', i.symbols.map((s) => oneLine(s, 40)).join(', ')]);
  if (i.externalFiles.length > 0)
    rows.push([
      'external data',
      i.externalFiles
        .slice(0, 3)
        .map((f) => oneLine(f))
        .join(', '),
    ]);
  if (i.unknownOps.length > 0)
    rows.push([
      'not known',
      i.unknownOps.map((u) => `${oneLine(u.op, 60)} x${u.count} (costed by bytes)`).join(', '),
    ]);
  if (i.notInferred.length > 0)
    rows.push(['not inferred', `${i.notInferred.length} tensors, first ${oneLine(i.notInferred[0], 60)}`]);
  const table = formatTable(rows, 2);
  if (typeof i.tensors === 'number') return table;
  return `${table}\n\n${i.tensors.map(shape).join('\n')}`;
}

function forwardText(i: Inspection): string {
  if (i.forwardFlop === null) return `unknown: ${i.flopNote ?? ''}`;
  const size = `batch ${i.batch}${(i.sequenceLength ?? 1) > 1 ? `, ${i.sequenceLength} tokens` : ''}`;
  const full = formatSi(i.forwardFlopFull ?? 0, 'FLOP');
  const convention = i.flopConvention === 'causal' ? ` (attention counted causal; ${full} in full)` : '';
  return `${formatSi(i.forwardFlop, 'FLOP')} at ${size}${convention}`;
}
