/** An operator: a gated unit that one kernel computes, y = gelu(a) * b for x = [a | b]; it halves the last dimension. */
export default ({ registerOperator }) => {
  const elements = (shape) => (shape ?? []).reduce((n, d) => n * d, 1);
  const GELU_AND_PRODUCT_FLOP = 9;
  registerOperator('lab', 'GatedGelu', {
    infer(node) {
      const shape = node.shape(0);
      if (shape === null) return node.setTensor(0, node.dtype(0), null);
      const last = shape[shape.length - 1];
      if (typeof last !== 'number' || last % 2 !== 0)
        node.fail(`expected an even last dimension, found ${last}`);
      node.setTensor(0, node.dtype(0), [...shape.slice(0, -1), last / 2]);
    },
    work: (op) => ({ flop: GELU_AND_PRODUCT_FLOP * elements(op.outputShape(0)), kernel: 'elementwise' }),
    // Every dimension may be split but the last, whose halves belong together.
    factors(op) {
      const shape = op.outputShape(0);
      const rows = shape.slice(0, -1);
      const inner = rows.length;
      const dims = rows.map((_, d) => [d]);
      return {
        factors: [...rows, shape[inner], 2].map((size, d) => ({
          size,
          kind: d < inner ? 'parallel' : 'whole',
        })),
        inputs: [[...dims, [inner + 1, inner]]],
        outputs: [[...dims, [inner]]],
      };
    },
    backward: (op) => ({
      grads: [{ input: 0, flop: 2 * GELU_AND_PRODUCT_FLOP * elements(op.outputShape(0)) }],
      savesInputs: [0],
      savesOutputs: [],
    }),
  });
};
