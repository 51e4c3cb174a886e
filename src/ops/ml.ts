/** Domain ai.onnx.ml: classical machine learning. Shapes only; none of it is trained here. */
import { DType } from '../model/dtype.js';
import type { Dim, InferContext, OpFamily, OpRule, Shape } from './types.js';

const rule = (infer: (ctx: InferContext) => void): OpRule => ({ infer, backward: () => null });

/** The last dimension replaced. */
function withLast(shape: Shape | null, last: Dim): Shape | null {
  return shape === null || shape.length === 0 ? shape : [...shape.slice(0, -1), last];
}

/** Rows of a [n, features] input (or a single [features] one). */
function rows(ctx: InferContext): Dim {
  const shape = ctx.shape(0);
  if (shape === null) return ctx.freshDim();
  return shape.length === 1 ? 1 : (shape[0] ?? 1);
}

function labelCount(ctx: InferContext): number {
  const { attrs } = ctx;
  const names = ['classlabels_strings', 'classlabels_int64s', 'classlabels_ints'];
  for (const name of names) {
    const n = attrs.strings(name)?.length ?? attrs.ints(name)?.length ?? 0;
    if (n > 0) return n;
  }
  return 0;
}

function labelType(ctx: InferContext): DType {
  const names = ['classlabels_strings', 'label_strings', 'keys_strings'];
  return names.some((n) => (ctx.attrs.strings(n)?.length ?? 0) > 0) ? DType.STRING : DType.INT64;
}

/** Labels [n] and scores [n, classes]. */
const classifier = rule((ctx) => {
  const n = rows(ctx);
  const classes = labelCount(ctx);
  ctx.setTensor(0, labelType(ctx), [n]);
  if (ctx.outputCount > 1) ctx.setTensor(1, DType.FLOAT, [n, classes > 0 ? classes : ctx.freshDim()]);
});

const regressor = (targets: string): OpRule =>
  rule((ctx) => ctx.setTensor(0, DType.FLOAT, [rows(ctx), ctx.attrs.int(targets, 1)]));

const sameAsFloat = rule((ctx) => ctx.setTensor(0, DType.FLOAT, ctx.shape(0)));

/** Which of `values_*` or `default_*` attributes names the output type. */
function encodedType(ctx: InferContext): DType {
  const { attrs } = ctx;
  if (attrs.has('values_strings')) return DType.STRING;
  if (attrs.has('values_int64s')) return DType.INT64;
  if (attrs.has('values_floats')) return DType.FLOAT;
  const tensor = attrs.raw('values_tensor')?.t;
  if (tensor !== undefined) return tensor.dataType ?? DType.UNDEFINED;
  // Opset 1 maps one way or the other between text and integers.
  return ctx.dtype(0) === DType.STRING ? DType.INT64 : DType.STRING;
}

export const family: OpFamily = {
  domain: 'ai.onnx.ml',
  rules: {
    ArrayFeatureExtractor: rule((ctx) => {
      const shape = ctx.shape(0);
      const count = ctx.shape(1)?.at(-1) ?? ctx.freshDim();
      if (shape === null) return ctx.setTensor(0, ctx.dtype(0), null);
      ctx.setTensor(0, ctx.dtype(0), shape.length === 1 ? [1, count] : withLast(shape, count));
    }),
    Binarizer: rule((ctx) => ctx.setTensor(0, ctx.dtype(0), ctx.shape(0))),
    CastMap: rule((ctx) => {
      const types: Record<string, DType> = {
        TO_FLOAT: DType.FLOAT,
        TO_STRING: DType.STRING,
        TO_INT64: DType.INT64,
      };
      const to = ctx.attrs.string('cast_to', 'TO_FLOAT');
      ctx.setTensor(0, Object.hasOwn(types, to) ? types[to] : DType.FLOAT, [1, ctx.freshDim()]);
    }),
    CategoryMapper: rule((ctx) => {
      ctx.setTensor(0, ctx.dtype(0) === DType.STRING ? DType.INT64 : DType.STRING, ctx.shape(0));
    }),
    DictVectorizer: rule((ctx) => {
      const type = ctx.type(0);
      const value = type?.kind === 'map' && type.value?.kind === 'tensor' ? type.value.dtype : DType.FLOAT;
      const { attrs } = ctx;
      const width =
        attrs.strings('string_vocabulary')?.length ??
        attrs.ints('int64_vocabulary')?.length ??
        ctx.freshDim();
      ctx.setTensor(0, value, [1, width]);
    }),
    FeatureVectorizer: rule((ctx) => {
      const sizes = ctx.attrs.ints('inputdimensions') ?? [];
      ctx.setTensor(0, DType.FLOAT, [rows(ctx), sizes.reduce((a, b) => a + b, 0)]);
    }),
    Imputer: rule((ctx) => ctx.setTensor(0, ctx.dtype(0), ctx.shape(0))),
    LabelEncoder: rule((ctx) => ctx.setTensor(0, encodedType(ctx), ctx.shape(0))),
    LinearClassifier: classifier,
    LinearRegressor: regressor('targets'),
    Normalizer: sameAsFloat,
    OneHotEncoder: rule((ctx) => {
      const shape = ctx.shape(0);
      const width =
        ctx.attrs.strings('cats_strings')?.length ?? ctx.attrs.ints('cats_int64s')?.length ?? ctx.freshDim();
      ctx.setTensor(0, DType.FLOAT, shape === null ? null : [...shape, width]);
    }),
    SVMClassifier: classifier,
    SVMRegressor: rule((ctx) => ctx.setTensor(0, DType.FLOAT, [rows(ctx), 1])),
    Scaler: sameAsFloat,
    TreeEnsemble: rule((ctx) => ctx.setTensor(0, ctx.dtype(0), [rows(ctx), ctx.attrs.int('n_targets', 1)])),
    TreeEnsembleClassifier: classifier,
    TreeEnsembleRegressor: regressor('n_targets'),
    ZipMap: rule((ctx) => {
      const key = (ctx.attrs.strings('classlabels_strings')?.length ?? 0) > 0 ? DType.STRING : DType.INT64;
      const value = { kind: 'tensor', dtype: DType.FLOAT, shape: [] } as const;
      ctx.setOutput(0, { kind: 'sequence', elem: { kind: 'map', key, value } });
    }),
  },
};
