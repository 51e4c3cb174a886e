/** Files that are not what they should be: exit code 3 and one line that says what they are. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { writeModel } from '../../src/model/index.js';
import { model, node, tensor, value } from '../model/support.js';
import { expectOneLine, gpt2, graphs, partition, scratchFolder } from './support.js';

const tiny = join(graphs, 'gpt2-tiny.ts.onnx');

describe('bad input', function () {
  this.timeout(30_000);
  const folder = scratchFolder('input');
  before(() => {
    const at = (name: string): string => join(folder(), name);
    mkdirSync(at('folder'));
    writeFileSync(at('page.onnx'), '<!DOCTYPE html>\n<html><body>Sign in</body></html>\n');
    const pointer = `version https://git-lfs.github.com/spec/v1\noid sha256:${'0'.repeat(64)}\nsize 497000000\n`;
    writeFileSync(at('lfs.onnx'), pointer);
    writeFileSync(at('torch.onnx'), Buffer.concat([Buffer.from('PK\u0003\u0004'), Buffer.alloc(60)]));
    const bytes = readFileSync(tiny);
    writeFileSync(at('packed.onnx'), gzipSync(bytes));
    writeFileSync(at('half.onnx'), bytes.subarray(0, bytes.length >> 1));
    const x = value('x', [4]);
    const twoStep = (first: string, second: string): Parameters<typeof model>[0] => ({
      node: [node('Relu', [first], ['h']), node('Relu', [second], ['y'])],
      input: [x],
      output: [value('y', [4])],
    });
    writeModel(model(twoStep('y', 'h')), at('cycle.onnx'));
    writeModel(model(twoStep('x', 'ghost')), at('dangling.onnx'));
    writeModel(model({ ...twoStep('x', 'h'), input: [x, x] }), at('twice.onnx'));
    const vast = tensor('w', 1, [2 ** 40, 2 ** 40]);
    writeModel(model({ ...twoStep('x', 'h'), initializer: [vast] }), at('vast.onnx'));
    const evil = 'x\u001b[2J\u202eevil\nname';
    writeModel(model({ ...twoStep(evil, 'h') }), at('evil.onnx'));
    writeFileSync(at('broken.yaml'), 'groups: [{');
    writeFileSync(at('other.yaml'), 'shopping: [milk]\n');
    writeFileSync(at('broken.json'), '{"schemaVersion": 1,');
    writeFileSync(at('other.json'), '{"schemaVersion": 1}');
  });

  const files: [string, string, RegExp][] = [
    ['a missing file', 'absent.onnx', /absent\.onnx: no such file/],
    ['a directory', 'folder', /folder: expected an ONNX file, found a directory/],
    ['a web page', 'page.onnx', /HTML/],
    ['a Git-LFS pointer', 'lfs.onnx', /Git.LFS pointer.*git lfs pull/],
    ['a PyTorch checkpoint', 'torch.onnx', /PyTorch/],
    ['a gzipped model', 'packed.onnx', /gzip/],
    ['half a model', 'half.onnx', /truncated at byte \d+/],
    ['a cycle', 'cycle.onnx', /a cycle of 2 nodes/],
    ['an input that nothing produces', 'dangling.onnx', /nothing produces the input "ghost"/],
    ['two inputs of one name', 'twice.onnx', /two inputs are named "x"/],
    ['absurd dimensions', 'vast.onnx', /vast\.onnx: .*"w"/],
    ['a name that would take over the terminal', 'evil.onnx', /\\u001b\[2J\\u202eevil\\u000aname/],
  ];
  for (const [what, file, pattern] of files) {
    it(`${what} is named, under inspection as in planning`, async () => {
      expectOneLine(await partition(['inspect', file], folder()), 3, pattern);
      expectOneLine(await partition([file, '--devices', '8'], folder()), 3, pattern);
    });
  }

  const others: [string, string[], RegExp][] = [
    [
      'a cluster file that is missing',
      [gpt2, '--devices', '8', '--cluster', 'absent.yaml'],
      /absent\.yaml: no such/,
    ],
    [
      'a cluster file that is not YAML',
      [gpt2, '--devices', '8', '--cluster', 'broken.yaml'],
      /broken\.yaml: .*YAML/,
    ],
    ['a cluster file of something else', ['clusters', 'other.yaml'], /other\.yaml: groups: expected a list/],
    ['a plan that is missing', ['simulate', gpt2, 'absent.json'], /absent\.json: no such file/],
    ['a plan that is not JSON', ['simulate', gpt2, 'broken.json'], /broken\.json: expected a plan in JSON/],
    ['a plan without its fields', ['simulate', gpt2, 'other.json'], /other\.json: .*model/],
    ['a config.json that is missing', ['zoo', '--config', 'absent.json'], /absent\.json: no such file/],
    ['a config.json that is not JSON', ['zoo', '--config', 'broken.json'], /broken\.json: not JSON/],
    ['a config.json of nothing known', ['zoo', '--config', 'other.json'], /other\.json: /],
  ];
  for (const [what, args, pattern] of others) {
    it(`${what} is one line and exit code 3`, async () => {
      expectOneLine(await partition(args, folder()), 3, pattern);
    });
  }
});
