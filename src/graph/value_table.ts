/** Every value of an inference: name, type, known elements, and what the model declares of it. */
import type { ValueInfoProto } from '../model/types.js';
import { symbolsOf } from '../ops/dim.js';
import type { KnownValue, ValueType } from '../ops/types.js';
import { oneLine } from '../util/errors.js';
import { contradicts, renameDims, typeText } from './declared.js';
import type { TypeReader } from './type_proto.js';

const MAX_WARNINGS = 100;

export class ValueTable {
  readonly names: string[] = [];
  readonly type: (ValueType | null)[] = [];
  readonly known: (KnownValue | null)[] = [];
  /** Outputs of the main graph. */
  readonly outputs = new Set<number>();
  readonly promised = new Map<number, ValueType>();
  private readonly info: (ValueInfoProto | undefined)[] = [];
  private readonly warningList: string[] = [];
  private droppedWarnings = 0;
  private inputSymbols: ReadonlySet<string> = new Set();

  constructor(readonly types: TypeReader) {}

  /** A new value; returns its index. */
  add(name: string): number {
    this.type.push(null);
    this.known.push(null);
    this.info.push(undefined);
    return this.names.push(name) - 1;
  }

  /** Remembers a declaration: of two the first counts, but of an output that is listed twice the last. */
  declare(v: number, info: ValueInfoProto, isOutput: boolean): void {
    if (isOutput) this.outputs.add(v);
    if (isOutput || this.info[v] === undefined) this.info[v] = info;
  }

  isDeclared(v: number): boolean {
    return this.info[v] !== undefined;
  }

  /** Type that the model declares for a value. */
  declared(v: number): ValueType | null {
    return this.types.type(this.info[v]?.type, this.names[v]);
  }

  /**
   * The type of a graph output. Its declaration is often the only place where an equality such as `total = past + seq` is
   * written; where it contradicts inference it is reported.
   */
  settleOutput(v: number, inferred: ValueType): ValueType {
    const declared = this.declared(v);
    if (declared === null) return inferred;
    if (!contradicts(inferred, declared)) return renameDims(inferred, declared, this.inputSymbols);
    this.promised.set(v, declared);
    return inferred;
  }

  /** Symbols that a declared output may be spelled with. */
  setInputs(inputs: readonly number[]): void {
    this.inputSymbols = new Set(this.symbolsOf(inputs).map((s) => s.name));
  }

  /** Unbound symbols of some values, each with the first that has it. */
  symbolsOf(inputs: readonly number[]): { name: string; firstTensor: string }[] {
    const first = new Map<string, string>();
    for (const v of inputs) {
      const type = this.type[v];
      if (type?.kind !== 'tensor' && type?.kind !== 'sparse') continue;
      for (const d of type.shape ?? [])
        for (const name of symbolsOf(d)) if (!first.has(name)) first.set(name, this.names[v]);
    }
    return [...first].map(([name, firstTensor]) => ({ name, firstTensor }));
  }

  warn(message: string): void {
    if (this.warningList.length < MAX_WARNINGS) this.warningList.push(message);
    else this.droppedWarnings++;
  }

  warnings(): string[] {
    const dropped = this.droppedWarnings;
    return dropped === 0 ? this.warningList : [...this.warningList, `${String(dropped)} more warnings`];
  }

  /** Reports every declaration that inference contradicts. */
  compareDeclared(): void {
    for (let v = 0; v < this.names.length; v++) {
      if (this.info[v] === undefined) continue;
      const [inferred, declared] = [this.type[v], this.declared(v)];
      if (inferred === null || declared === null || !contradicts(inferred, declared)) continue;
      const name = oneLine(this.names[v]);
      this.warn(
        `"${name}" is declared ${typeText(declared)} but inferred ${typeText(inferred)}; the latter is used`,
      );
    }
  }

  /** Values of unknown type, and tensors of unknown rank. */
  notInferred(): string[] {
    const names: string[] = [];
    for (let v = 0; v < this.names.length; v++) {
      const t = this.type[v];
      if (t === null || (t.kind === 'tensor' && t.shape === null)) names.push(this.names[v]);
    }
    return names;
  }
}
