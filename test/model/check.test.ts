import { expect } from 'chai';
import { checkModel, decodeModel, encodeModel } from '../../src/model/index.js';
import type { GraphProto, ModelProto, NodeProto } from '../../src/model/index.js';
import { PartitionError } from '../../src/util/errors.js';
import { attribute, bytes, functionOf, graph, model, node, tensor, value } from './support.js';

const warnings = (m: ModelProto): string[] => checkModel(m, 'memory').map((d) => `${d.where}: ${d.message}`);

function refuses(m: ModelProto, pattern: RegExp): void {
  expect(() => checkModel(m, 'memory')).to.throw(PartitionError, pattern);
}

function ifNode(condition: string, output: string, branch: GraphProto): NodeProto {
  const attributes = [
    attribute('then_branch', { type: 5, g: branch }),
    attribute('else_branch', { type: 5, g: branch }),
  ];
  return node('If', [condition], [output], { attribute: attributes });
}

const simple = (nodes: NodeProto[], more: Partial<GraphProto> = {}): ModelProto =>
  model({ input: [value('x', [2])], output: [value('y')], node: nodes, ...more });

describe('the check of a model', () => {
  it('finds nothing to say about a sound one', () => {
    expect(warnings(simple([node('Relu', ['x'], ['y'])]))).to.deep.equal([]);
  });

  describe('names', () => {
    it('a branch sees the enclosing scopes, however deep', () => {
      let branch = graph({ node: [node('Relu', ['x'], ['r'])], output: [value('r')] });
      for (let depth = 0; depth < 200; depth++) {
        branch = graph({ node: [ifNode('x', `r${depth}`, branch)], output: [value(`r${depth}`)] });
      }
      const m = simple([ifNode('x', 'y', graph({ ...branch, node: branch.node }))]);
      // Both branches share one object, so the file would be 2^200 nodes: keep one.
      const prune = (g: GraphProto): GraphProto => {
        const inner = g.node[0].attribute[0]?.g;
        if (inner === undefined) return g;
        return {
          ...g,
          node: [{ ...g.node[0], attribute: [attribute('then_branch', { type: 5, g: prune(inner) })] }],
        };
      };
      const single = { ...m, graph: prune(m.graph!) };
      expect(warnings(single)).to.deep.equal([]);
      expect(decodeModel(encodeModel(single))).to.deep.equal(single);
    });

    it('a tensor of a branch is not seen outside', () => {
      const branch = graph({ node: [node('Relu', ['x'], ['inner'])], output: [value('inner')] });
      refuses(
        simple([ifNode('x', 'h', branch), node('Relu', ['inner'], ['y'])]),
        /nothing produces the input "inner"/,
      );
    });

    it('a cycle through what a branch captures is found, and the order of nodes alone is no cycle', () => {
      const branch = graph({ node: [node('Relu', ['late'], ['inner'])], output: [value('inner')] });
      refuses(simple([ifNode('x', 'y', branch), node('Relu', ['y'], ['late'])]), /a cycle of 2 nodes/);
      const unsorted = simple([ifNode('x', 'y', branch), node('Relu', ['x'], ['late'])]);
      expect(warnings(unsorted)).to.deep.equal(['graph: nodes are not in topological order']);
    });

    it('an inner name that is used before the inner tensor exists means the outer one', () => {
      const branch = graph({ node: [node('Relu', ['h'], ['h'])], output: [value('h')] });
      const found = warnings(simple([node('Relu', ['x'], ['h']), ifNode('x', 'y', branch)]));
      expect(found.join()).to.match(/"h" hides a tensor/);
      expect(found.join()).to.not.match(/cycle/);
    });

    it('a chain of 100,000 nodes in reverse order takes no time and no stack', () => {
      const count = 100_000;
      const nodes = Array.from({ length: count }, (_, i) =>
        node('Relu', [i === 0 ? 'x' : `h${i}`], [i === count - 1 ? 'y' : `h${i + 1}`]),
      ).reverse();
      const start = performance.now();
      expect(warnings(simple(nodes))).to.have.length(1);
      expect(performance.now() - start).to.be.below(3000);
    });

    it('warnings of one kind are spelled out five times, then counted', () => {
      const nodes = Array.from({ length: 50 }, (_, i) =>
        node('Relu', ['x'], [i === 0 ? 'y' : `h${i}`], { name: 'same' }),
      );
      const found = warnings(simple(nodes));
      expect(found).to.have.length(6);
      expect(found.at(-1)).to.equal('model: and 44 more repeated node names');
    });

    it('refuses doubled producers with the name and both places', () => {
      refuses(
        simple([node('Relu', ['x'], ['y']), node('Relu', ['x'], ['y'])]),
        /node 1 .*"y" is already produced by node 0/,
      );
      refuses(
        simple([node('Relu', ['x'], ['w'])], { initializer: [tensor('w', 1, [1])] }),
        /by an initializer/,
      );
    });
  });

  describe('functions', () => {
    const call = (name: string, input = ['x'], output = ['y']): NodeProto =>
      node(name, input, output, { domain: 'local' });
    const withFunctions = (functions: ModelProto['functions'], ...nodes: NodeProto[]): ModelProto => ({
      ...simple(nodes),
      functions,
    });

    it('a function that calls itself, directly or not, is refused', () => {
      refuses(withFunctions([functionOf('F', [call('F', ['a'], ['b'])])], call('F')), /calls itself/);
      const ring = [functionOf('F', [call('G', ['a'], ['b'])]), functionOf('G', [call('F', ['a'], ['b'])])];
      refuses(withFunctions(ring, call('F')), /calls itself/);
    });

    it('a call inside a branch of a function counts too', () => {
      const branch = graph({ node: [call('F', ['a'], ['c'])], output: [value('c')] });
      refuses(withFunctions([functionOf('F', [ifNode('a', 'b', branch)])], call('F')), /calls itself/);
    });

    it('overloads are different functions', () => {
      const inner = { ...call('F', ['a'], ['b']), overload: 'two' };
      const functions = [
        functionOf('F', [inner]),
        functionOf('F', [node('Relu', ['a'], ['b'])], { overload: 'two' }),
      ];
      expect(warnings(withFunctions(functions, call('F')))).to.deep.equal([]);
      refuses(withFunctions([functions[1], functions[1]], call('F')), /defined twice/);
    });

    it('faults of a body count when it is used', () => {
      const broken = functionOf('F', [node('Relu', ['ghost'], ['b'])]);
      refuses(withFunctions([broken], call('F')), /"ghost"/);
      expect(warnings(withFunctions([broken], node('Relu', ['x'], ['y']))).join()).to.match(/"ghost"/);
    });
  });

  describe('data', () => {
    const holds = (t: ReturnType<typeof tensor>): ModelProto =>
      simple([node('Relu', ['x'], ['y'])], { initializer: [t] });

    it('too little, too much and doubled data are refused', () => {
      refuses(
        holds(tensor('w', 1, [2], { rawData: bytes(1, 2, 3, 4) })),
        /2 elements of FLOAT take 8 bytes, found 4/,
      );
      refuses(
        holds(tensor('w', 1, [1], { floatData: bytes(1, 2, 3, 4, 1, 2, 3, 4) })),
        /take 1 floats, found 2/,
      );
      refuses(holds(tensor('w', 7, [3], { int64Data: bytes(1, 0x80, 1) })), /take 3 integers, found 2/);
      refuses(holds(tensor('w', 8, [2], { stringData: [Uint8Array.of(65)] })), /take 2 strings, found 1/);
      const twice = tensor('w', 1, [1], { rawData: bytes(0, 0, 0, 0), floatData: bytes(0, 0, 0, 0) });
      refuses(holds(twice), /as raw_data and float_data/);
    });

    it('sparse tensors need indices inside their shape, linear or by coordinates', () => {
      const sparse = (dims: number[], ...indices: number[]): ModelProto =>
        simple([node('Relu', ['x'], ['y'])], {
          sparseInitializer: [
            {
              values: tensor('s', 2, [2], { rawData: bytes(1, 2) }),
              indices: tensor('i', 7, dims, { int64Data: bytes(...indices) }),
              dims: [3, 4],
            },
          ],
        });
      expect(warnings(sparse([2], 0, 11))).to.deep.equal([]);
      expect(warnings(sparse([2, 2], 0, 0, 2, 3))).to.deep.equal([]);
      refuses(sparse([2], 0, 12), /sparse index 12 is not below 12/);
      refuses(sparse([2, 2], 0, 0, 0, 4), /sparse index 4 is not below 4/);
      refuses(sparse([3], 0, 1, 2), /2 values need 2 indices/);
    });

    it('dimensions of a declared value stay below 2^53 elements', () => {
      refuses(
        simple([node('Relu', ['x'], ['y'])], { input: [value('x', [2 ** 30, 2 ** 30])] }),
        /more than 2\^53 elements/,
      );
      refuses(simple([node('Relu', ['x'], ['y'])], { input: [value('x', [-5])] }), /dimension 0 is -5/);
    });
  });

  it('device annotations are held against the model, and faults are warnings', () => {
    const spec = {
      tensorName: 'x',
      device: [0, 1],
      indexToDeviceGroupMap: [],
      shardedDim: [{ axis: 0, simpleSharding: [{ numShards: 2 }] }],
    };
    const annotated = (more: object, entry: object = {}): ModelProto => ({
      ...simple([
        node('Relu', ['x'], ['y'], {
          deviceConfigurations: [
            { configurationId: 'two', pipelineStage: 0, shardingSpec: [{ ...spec, ...more }], ...entry },
          ],
        }),
      ]),
      configuration: [{ name: 'two', numDevices: 2, device: ['a', 'b'] }],
    });
    expect(warnings(annotated({}))).to.deep.equal([]);
    const groups = { device: [-1], indexToDeviceGroupMap: [{ key: -1, value: [0, 1] }], shardedDim: [] };
    expect(warnings(annotated(groups))).to.deep.equal([]);
    const faults: [object, object, RegExp][] = [
      [{ tensorName: 'z' }, {}, /no such input or output/],
      [{ device: [0, 7] }, {}, /device 7 is neither/],
      [{ shardedDim: [{ axis: 3, simpleSharding: [] }] }, {}, /axis 3 of a tensor of rank 1/],
      [{ device: [0] }, {}, /2 shards and 1 devices/],
      [{}, { configurationId: 'three' }, /does not define/],
      [{}, { pipelineStage: -1 }, /pipeline stage -1/],
      [{ ...groups, indexToDeviceGroupMap: [{ key: -1, value: [0, 5] }] }, {}, /holds device 5/],
    ];
    for (const [more, entry, pattern] of faults)
      expect(warnings(annotated(more, entry)).join()).to.match(pattern);
    expect(warnings({ ...annotated({}), irVersion: 10 }).join()).to.match(/need IR version 11/);
    expect(decodeModel(encodeModel(annotated(groups)))).to.deep.equal(annotated(groups));
  });
});
