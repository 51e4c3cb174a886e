/** Sequences, optionals, text: containers and operators that planning only has to recognise. */
import { DType } from '../model/dtype.js';
import { mergeTypes } from './control.js';
import { broadcastShapes } from './broadcast.js';
import type { InferContext, OpFamily, OpRule, ValueType } from './types.js';

const noWork = { flop: 0, kernel: 'view' } as const;

const rule = (infer: (ctx: InferContext) => void): OpRule => ({
  infer,
  work: () => noWork,
  backward: () => null,
});

/** Element type of a sequence (or of an optional sequence). */
function elementOf(type: ValueType | null): ValueType | null {
  if (type?.kind === 'optional') return elementOf(type.elem);
  return type?.kind === 'sequence' ? type.elem : null;
}

function sequenceOf(ctx: InferContext, elem: ValueType | null): void {
  ctx.setOutput(0, { kind: 'sequence', elem });
}

/** Infers the body for each element; every output is a sequence. */
const sequenceMap = rule((ctx) => {
  const body = ctx.attrs.graph('body') ?? ctx.fail('SequenceMap without its graph `body`');
  const inputs: (ValueType | null)[] = [];
  for (let i = 0; i < ctx.inputCount; i++) inputs.push(elementOf(ctx.type(i)) ?? ctx.type(i));
  const outputs = ctx.subgraph(body, inputs);
  for (let i = 0; i < ctx.outputCount; i++) ctx.setOutput(i, { kind: 'sequence', elem: outputs[i] ?? null });
});

export const family: OpFamily = {
  domain: '',
  rules: {
    SequenceConstruct: rule((ctx) => {
      let elem = ctx.type(0);
      for (let i = 1; i < ctx.inputCount; i++) elem = mergeTypes(ctx, elem, ctx.type(i));
      sequenceOf(ctx, elem);
    }),
    SequenceEmpty: rule((ctx) => {
      sequenceOf(ctx, { kind: 'tensor', dtype: ctx.attrs.int('dtype', DType.FLOAT), shape: null });
    }),
    SequenceInsert: rule((ctx) => {
      const elem = elementOf(ctx.type(0));
      const known = elem?.kind === 'tensor' && elem.shape === null ? null : elem;
      sequenceOf(ctx, known === null ? ctx.type(1) : mergeTypes(ctx, known, ctx.type(1)));
    }),
    SequenceErase: rule((ctx) => sequenceOf(ctx, elementOf(ctx.type(0)))),
    SequenceAt: rule((ctx) => {
      const elem = elementOf(ctx.type(0));
      if (elem !== null) ctx.setOutput(0, elem);
    }),
    SequenceLength: rule((ctx) => ctx.setTensor(0, DType.INT64, [])),
    SequenceMap: sequenceMap,
    Optional: rule((ctx) => {
      const type = ctx.hasInput(0) ? ctx.type(0) : null;
      ctx.setOutput(0, { kind: 'optional', elem: type });
    }),
    OptionalGetElement: rule((ctx) => {
      const type = ctx.type(0);
      const elem = type?.kind === 'optional' ? type.elem : type;
      if (elem !== null) ctx.setOutput(0, elem);
    }),
    OptionalHasElement: rule((ctx) => ctx.setTensor(0, DType.BOOL, [])),

    StringConcat: rule((ctx) =>
      ctx.setTensor(0, DType.STRING, broadcastShapes(ctx, ctx.shape(0), ctx.shape(1))),
    ),
    StringNormalizer: rule((ctx) => {
      const shape = ctx.shape(0);
      const stopwords = ctx.attrs.strings('stopwords');
      const filtered = stopwords !== null && stopwords.length > 0;
      const out = filtered
        ? (shape?.map((d, i) => (i === shape.length - 1 ? ctx.freshDim() : d)) ?? null)
        : shape;
      ctx.setTensor(0, DType.STRING, out);
    }),
    StringSplit: rule((ctx) => {
      const shape = ctx.shape(0);
      ctx.setTensor(0, DType.STRING, shape === null ? null : [...shape, ctx.freshDim()]);
      if (ctx.outputCount > 1) ctx.setTensor(1, DType.INT64, shape);
    }),
    RegexFullMatch: rule((ctx) => ctx.setTensor(0, DType.BOOL, ctx.shape(0))),
    TfIdfVectorizer: rule((ctx) => {
      const indexes = ctx.attrs.ints('ngram_indexes') ?? [];
      const width = indexes.reduce((a, b) => Math.max(a, b), -1) + 1;
      const shape = ctx.shape(0);
      ctx.setTensor(0, DType.FLOAT, shape === null ? null : [...shape.slice(0, -1), width]);
    }),
  },
};
