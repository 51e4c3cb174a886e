/** The program of a model that is cut into stages only: its own nodes, each once, as they are written. */
import type { SplitFacts } from './facts.js';
import type { Program, WeightSource } from './program.js';

export function wholeProgram(facts: SplitFacts, stageOf: Int32Array, stages: number): Program {
  const weights = new Map<string, WeightSource>();
  for (const [name, tensor] of facts.initializers)
    weights.set(name, { kind: 'tensor', tensor, sharding: null });
  return {
    stages,
    tp: 1,
    nodes: facts.nodes.map((node, n) => ({
      proto: node.proto,
      reads: node.reads,
      stage: stageOf[n],
      runsLate: false,
    })),
    weights,
    collectives: [],
    inputs: facts.inputs,
    outputs: facts.outputs,
    type: (name) => facts.type(name),
  };
}
