/** What a check finds: faults end it with a PartitionError, oddities are collected and capped. */
import { PartitionError } from '../../util/errors.js';

/** Something odd that planning can live with. */
export interface Diagnostic {
  readonly severity: 'warning';
  readonly message: string;
  /** The element of the model concerned, e.g. `graph "main", node 17 "Relu_3"`. */
  readonly where: string;
}

/** Warnings of one kind that are spelled out; the rest is counted. */
const SPELLED_OUT = 5;

export class Report {
  private readonly diagnostics: Diagnostic[] = [];
  private readonly counts = new Map<string, number>();

  /** @param file what error messages call the model */
  constructor(readonly file: string) {}

  /** @param kind completes "and 12 more ..." when there are many */
  warn(kind: string, where: string, message: string): void {
    const count = (this.counts.get(kind) ?? 0) + 1;
    this.counts.set(kind, count);
    if (count <= SPELLED_OUT) this.diagnostics.push({ severity: 'warning', message, where });
  }

  /** The model cannot be used. */
  fail(where: string, message: string, hint: string | null = null): never {
    throw new PartitionError('input', `${where}: ${message}`, this.file, hint);
  }

  finish(): Diagnostic[] {
    for (const [kind, count] of this.counts) {
      if (count <= SPELLED_OUT) continue;
      this.diagnostics.push({
        severity: 'warning',
        message: `and ${count - SPELLED_OUT} more ${kind}`,
        where: 'model',
      });
    }
    return this.diagnostics;
  }
}
