/** Dense feed-forward layers and their activations, decomposed. */
import type { GraphBuilder } from '../builder.js';
import type { Activation, ArchConfig } from '../config.js';
import { linear } from './linear.js';

export function activate(b: GraphBuilder, x: string, activation: Activation): string {
  switch (activation) {
    case 'relu':
      return b.op('Relu', [x]);
    case 'silu':
      return b.op('Mul', [x, b.op('Sigmoid', [x])]);
    case 'gelu': {
      const bell = b.op('Add', [b.op('Erf', [b.op('Div', [x, b.float(Math.SQRT2)])]), b.float(1)]);
      return b.op('Mul', [b.op('Mul', [x, bell]), b.float(0.5)]);
    }
    case 'gelu-tanh': {
      // 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), arXiv:1606.08415.
      const half = b.op('Mul', [x, b.float(0.5)]);
      const cubic = b.op('Mul', [b.op('Pow', [x, b.float(3)]), b.float(0.044715)]);
      const inner = b.op('Mul', [b.op('Add', [x, cubic]), b.float(Math.sqrt(2 / Math.PI))]);
      return b.op('Mul', [half, b.op('Add', [b.op('Tanh', [inner]), b.float(1)])]);
    }
  }
}

/** `down(act(gate x) * up x)` of inner width `ffn` (arXiv:2002.05202). */
export function gatedMlp(b: GraphBuilder, x: string, name: string, config: ArchConfig, ffn: number): string {
  const { hidden, activation, ffnBias } = config;
  const gate = activate(b, linear(b, x, `${name}.gate_proj`, hidden, ffn, ffnBias), activation);
  const up = linear(b, x, `${name}.up_proj`, hidden, ffn, ffnBias);
  return linear(b, b.op('Mul', [gate, up]), `${name}.down_proj`, ffn, hidden, ffnBias);
}

/** `down(act(up x))` of inner width `ffn`. */
export function plainMlp(b: GraphBuilder, x: string, name: string, config: ArchConfig, ffn: number): string {
  const { hidden, activation, ffnBias } = config;
  const up = activate(b, linear(b, x, `${name}.up_proj`, hidden, ffn, ffnBias), activation);
  return linear(b, up, `${name}.down_proj`, ffn, hidden, ffnBias);
}
