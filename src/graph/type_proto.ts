/** Types as a model declares them, read into inference's types: dimension names become symbols, bound names numbers. */
import { DType } from '../model/dtype.js';
import type { DimensionProto, TensorShapeProto, TypeProto } from '../model/types.js';
import * as dim from '../ops/dim.js';
import { parseDim } from '../ops/dim_text.js';
import type { Dim, Shape, ValueType } from '../ops/types.js';
import { oneLine, PartitionError } from '../util/errors.js';

/** Fresh symbols are called `unk__N`. */
const FRESH = /^unk__(\d+)$/;

/** Reads declared types under one binding of names; also the source of fresh symbols. */
export class TypeReader {
  private readonly dims = new Map<string, Dim>();
  private readonly used = new Set<string>();
  private next = 0;

  /**
   * @param bind values of symbols, by name or by a whole `dim_param` text
   * @param where the file, for messages
   */
  constructor(
    private readonly bind: ReadonlyMap<string, number>,
    private readonly where: string | null,
  ) {}

  /** A dimension nothing is known of; bound when the user says what it is. */
  fresh(): Dim {
    const name = `unk__${String(this.next++)}`;
    return this.bind.get(name) ?? dim.symbol(name);
  }

  /** Bound names that no declared dimension has: probably misspelt. */
  unusedBindings(): string[] {
    return [...this.bind.keys()].filter((name) => !this.used.has(name) && !FRESH.test(name));
  }

  /** Fresh symbols get numbers above every `unk__N` that the model itself uses. */
  avoid(dimParam: string): void {
    const m = FRESH.exec(dimParam);
    if (m !== null) this.next = Math.max(this.next, Number(m[1]) + 1);
  }

  type(proto: TypeProto | undefined, name: string): ValueType | null {
    if (proto === undefined) return null;
    const tensor = proto.tensorType ?? proto.sparseTensorType;
    if (tensor !== undefined) {
      const kind = proto.tensorType === undefined ? 'sparse' : 'tensor';
      return { kind, dtype: tensor.elemType ?? DType.UNDEFINED, shape: this.shape(tensor.shape, name) };
    }
    if (proto.sequenceType !== undefined) {
      return { kind: 'sequence', elem: this.type(proto.sequenceType.elemType, name) };
    }
    if (proto.optionalType !== undefined) {
      return { kind: 'optional', elem: this.type(proto.optionalType.elemType, name) };
    }
    if (proto.mapType !== undefined) {
      const { keyType, valueType } = proto.mapType;
      return { kind: 'map', key: keyType ?? DType.UNDEFINED, value: this.type(valueType, name) };
    }
    return proto.opaqueType === undefined ? null : { kind: 'opaque' };
  }

  private shape(proto: TensorShapeProto | undefined, name: string): Shape | null {
    if (proto === undefined) return null;
    const list = proto.dim;
    const shape = new Array<Dim>(list.length);
    for (let i = 0; i < list.length; i++) shape[i] = this.dim(list[i], name, i);
    return shape;
  }

  private dim(proto: DimensionProto, name: string, index: number): Dim {
    const value = proto.dimValue;
    if (value !== undefined) {
      // -1 is how some exporters spell an unknown dimension.
      if (value === -1) return this.fresh();
      if (typeof value === 'bigint' || value < 0) {
        throw new PartitionError(
          'input',
          `dimension ${String(index)} of "${name}" is ${String(value)}; expected 0 to 2^53 - 1`,
          this.where,
        );
      }
      return value;
    }
    const param = proto.dimParam;
    return param === undefined || param === '' ? this.fresh() : this.symbol(param);
  }

  /** The dimension a `dim_param` means under the binding. */
  symbol(param: string): Dim {
    let d = this.dims.get(param);
    if (d === undefined) {
      const whole = this.bind.get(param);
      const parsed = parseDim(param);
      for (const name of whole === undefined ? dim.symbolsOf(parsed) : [param]) this.used.add(name);
      d = whole ?? dim.bind(parsed, this.bind);
      this.dims.set(param, d);
    }
    return d;
  }
}

/** Bindings by name. @throws PartitionError `usage` on a value that is no dimension */
export function bindMap(bind: Readonly<Record<string, number>>): ReadonlyMap<string, number> {
  const map = new Map(Object.entries(bind));
  for (const [name, value] of map) {
    if (Number.isSafeInteger(value) && value >= 0) continue;
    throw new PartitionError(
      'usage',
      `"${oneLine(name)}" is bound to ${String(value)}; expected an integer >= 0`,
      '--bind',
    );
  }
  return map;
}
