/**
 * A text per segment that is equal exactly when two segments are interchangeable for planning: same operators, factors,
 * shapes and element types, wired alike. What enters from outside is told apart by order of first use, not by origin.
 */
import type { FactorRule } from '../ops/types.js';
import { TensorRole, type Block, type Graph } from './types.js';

export function segmentKeys(graph: Graph, blocks: readonly Block[], blockStart: Int32Array): string[] {
  const count = blockStart.length - 1;
  // Last segment that reads each tensor; a tensor that leaves its segment is not the same as one that stays.
  const lastReader = new Int32Array(graph.tensorCount).fill(-1);
  for (let s = 0; s < count; s++)
    for (let b = blockStart[s]; b < blockStart[s + 1]; b++)
      for (const t of blocks[b].inputs) lastReader[t] = s;
  const texts = new BlockTexts(graph);
  const keys: string[] = [];
  for (let s = 0; s < count; s++) {
    const label = new Map<number, string>();
    const parts: string[] = [];
    let entering = 0;
    for (let b = blockStart[s]; b < blockStart[s + 1]; b++) {
      const block = blocks[b];
      let wiring = '';
      for (const t of block.inputs) {
        let name = label.get(t);
        if (name === undefined) {
          name = `${roleText(graph, t)}${String(entering++)}`;
          label.set(t, name);
        }
        wiring += `${name} `;
      }
      wiring += '>';
      block.outputs.forEach((t, o) => {
        const name = `${String(b - blockStart[s])}.${String(o)}`;
        label.set(t, name);
        wiring += lastReader[t] > s ? `${name}! ` : `${name} `;
      });
      parts.push(`${texts.of(block)}|${wiring}`);
    }
    keys.push(parts.join('\n'));
  }
  return keys;
}

function roleText(graph: Graph, t: number): string {
  const role: TensorRole = graph.tensorRole[t];
  return role === TensorRole.PARAMETER
    ? 'w'
    : role === TensorRole.CONSTANT
      ? 'c'
      : role === TensorRole.INPUT
        ? 'i'
        : 'a';
}

class BlockTexts {
  constructor(private readonly graph: Graph) {}

  of(block: Block): string {
    const { graph } = this;
    // Views cost nothing: two segments that differ by one are the same to a planner.
    const ops = Array.from(block.nodes, (n) =>
      graph.nodeKernel[n] === 'view' ? '' : `${graph.nodeOp[n]},`,
    ).join('');
    const saved = Array.from(block.saved, (t) => this.place(block, t)).join(',');
    return [
      block.kind,
      block.causal ? 'causal' : '',
      ops,
      tensorsText(graph, block.inputs),
      tensorsText(graph, block.outputs),
      ruleText(block.factors),
      block.factorAxis.join(''),
      block.flop,
      block.gradInputFlop,
      block.gradWeightFlop,
      block.touchedElements,
      saved,
      block.extraSavedBytes,
      block.innerSavedElements ?? 0,
      block.unfused === undefined ? '' : `${String(block.unfused.elements)}+${String(block.unfused.bytes)}`,
    ].join(' ');
  }

  /** Where a saved tensor stands on the block's border, or its size when it is inside. */
  private place(block: Block, t: number): string {
    const i = block.inputs.indexOf(t);
    if (i >= 0) return `i${String(i)}`;
    const o = block.outputs.indexOf(t);
    return o >= 0 ? `o${String(o)}` : String(this.graph.tensorBytes[t]);
  }
}

function tensorsText(graph: Graph, tensors: Int32Array): string {
  let text = '';
  for (const t of tensors) {
    text += `${String(graph.tensorDtype[t])}:`;
    for (let d = graph.shapeStart[t]; d < graph.shapeStart[t + 1]; d++)
      text += `${String(graph.shapeDim[d])}x`;
    text += ' ';
  }
  return text;
}

function ruleText(rule: FactorRule): string {
  let text = rule.linear === true ? 'linear ' : '';
  for (const f of rule.factors) text += `${String(f.size)}${f.kind[0]} `;
  for (const list of [rule.inputs, rule.outputs])
    for (const layout of list)
      text += layout === null ? '-;' : `${layout.map((d) => d.join('.')).join('|')};`;
  return text;
}
