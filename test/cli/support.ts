/** Runs the built program as a user does. */
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import Ajv from 'ajv';
import { expect } from 'chai';

export const root = fileURLToPath(new URL('../../', import.meta.url));
export const graphs = join(root, 'graphs');
export const hostile = join(root, 'test/fixtures/hostile');
export const gpt2 = join(graphs, 'gpt2-small.onnx');

const program = join(root, 'bin/partition');

export interface Ended {
  /** Exit code; `null` when a signal ended it. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Running {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
}

/** Starts `partition ...args` in a folder. */
export function start(args: readonly string[], cwd: string): Running {
  const child = spawn(process.execPath, [program, ...args], { cwd, stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const ended = new Promise<Ended>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, stdout, stderr }));
  });
  return { child, ended };
}

export function partition(args: readonly string[], cwd: string): Promise<Ended> {
  return start(args, cwd).ended;
}

/** One line on stderr, no stack trace, nothing on stdout. */
export function expectOneLine(ended: Ended, code: number, pattern: RegExp): void {
  expect(ended.stderr).to.match(pattern);
  // Progress is shown after a second, which a busy machine may well need.
  const said = ended.stderr.replace(/^.* \(\d+ s(, about \d+ s left)?\)\n/gm, '');
  expect(said).to.match(/^partition: [^\n]+\n$/);
  expect(ended.stderr).to.not.match(/\n\s+at |internal:|undefined|NaN|\[object/);
  expect(ended.stdout).to.equal('');
  expect(ended.code).to.equal(code);
}

/** A folder for one suite, gone afterwards. Skips the suite, aloud, when the program has not been built. */
export function scratchFolder(name: string): () => string {
  let folder = '';
  before(function () {
    if (!existsSync(join(root, 'dist/cli/main.js'))) {
      console.log('      skipped: the program is not built (npm run build)');
      this.skip();
    }
    folder = mkdtempSync(join(tmpdir(), `${name}-`));
  });
  after(() => {
    if (folder !== '') rmSync(folder, { recursive: true, force: true });
  });
  return () => folder;
}

/** Checks a value against a published schema. */
export function expectValid(schemaName: string, value: unknown): void {
  const read = (name: string): object =>
    JSON.parse(readFileSync(join(root, 'src/data/schemas', `${name}.schema.json`), 'utf8')) as object;
  const ajv = new Ajv.default({ allErrors: true, strict: true, allowUnionTypes: true });
  if (schemaName === 'sweep') ajv.addSchema(read('plan-result'));
  const validate = ajv.compile(read(schemaName));
  validate(value);
  expect(validate.errors ?? []).to.deep.equal([]);
}
