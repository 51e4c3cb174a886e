/**
 * ONNX Runtime, where the user has installed it: `onnxruntime-node` first, else `onnxruntime-web` (WebAssembly, one thread).
 * Neither is a dependency of ours.
 */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { isExternal, parseExternal, readModel } from '../../model/index.js';
import type { ModelProto } from '../../model/index.js';
import { PartitionError, oneLine } from '../../util/errors.js';
import type { Elements } from './elements.js';

export interface RuntimeTensor {
  /** The runtime's word: `float32`, `float16`, `int64`, `bool`, ... */
  readonly type: string;
  readonly data: Elements;
  readonly dims: readonly number[];
}

export interface Session {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  run(feeds: Readonly<Record<string, RuntimeTensor>>): Promise<Record<string, RuntimeTensor>>;
  release(): Promise<void>;
}

export interface Runtime {
  readonly name: string;
  /** @throws PartitionError input when the runtime refuses the model */
  open(path: string): Promise<Session>;
}

/** What we use of the packages. */
interface Package {
  readonly env: { logLevel?: string; wasm?: { numThreads?: number } };
  readonly Tensor: new (type: string, data: unknown, dims: readonly number[]) => unknown;
  readonly InferenceSession: {
    create(model: string | Uint8Array, options?: object): Promise<PackageSession>;
  };
}

interface PackageSession {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  run(
    feeds: Record<string, unknown>,
  ): Promise<Record<string, { type: string; data: unknown; dims: number[] }>>;
  release(): Promise<void>;
}

const PACKAGES = ['onnxruntime-node', 'onnxruntime-web'] as const;

/** @throws PartitionError usage when neither package is installed */
export async function loadRuntime(): Promise<Runtime> {
  for (const name of PACKAGES) {
    const found = await importPackage(name);
    if (found !== null) return runtimeOf(name, found);
  }
  throw new PartitionError(
    'usage',
    'ONNX Runtime is not installed',
    null,
    'npm install onnxruntime-node, or onnxruntime-web where that has no build for this system',
  );
}

async function importPackage(name: string): Promise<Package | null> {
  try {
    const module = (await import(name)) as Package & { default?: Package };
    return module.InferenceSession === undefined ? (module.default ?? null) : module;
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code === 'ERR_MODULE_NOT_FOUND') return null;
    throw new PartitionError(
      'usage',
      `${name} does not load: ${oneLine(String(e), 200)}`,
      null,
      'install it again',
    );
  }
}

function runtimeOf(name: string, found: Package): Runtime {
  found.env.logLevel = 'error';
  if (found.env.wasm !== undefined) found.env.wasm.numThreads = 1;
  return {
    name,
    async open(path) {
      let session: PackageSession;
      try {
        const options = { graphOptimizationLevel: 'basic', logSeverityLevel: 3 };
        session =
          name === 'onnxruntime-node'
            ? await found.InferenceSession.create(path, options)
            : await found.InferenceSession.create(readFileSync(path), { ...options, ...externalFiles(path) });
      } catch (e) {
        throw refused(path, e);
      }
      return {
        inputNames: session.inputNames,
        outputNames: session.outputNames,
        async run(feeds) {
          const given: Record<string, unknown> = {};
          for (const input of session.inputNames) {
            const { type, data, dims } = feeds[input];
            given[input] = new found.Tensor(type, data, dims);
          }
          try {
            return (await session.run(given)) as unknown as Record<string, RuntimeTensor>;
          } catch (e) {
            throw refused(path, e);
          }
        },
        release: () => session.release(),
      };
    },
  };
}

/** WebAssembly sees no files: those that the model refers to are handed over. */
function externalFiles(path: string): { externalData?: { path: string; data: Uint8Array }[] } {
  const locations = new Set<string>();
  const model: ModelProto = readModel(path);
  for (const tensor of model.graph?.initializer ?? [])
    if (isExternal(tensor)) locations.add(parseExternal(tensor, path).location);
  const externalData = [...locations]
    .map((location) => ({ path: location, file: join(dirname(path), location) }))
    .filter(({ file }) => existsSync(file))
    .map(({ path: location, file }) => ({ path: location, data: new Uint8Array(readFileSync(file)) }));
  return externalData.length === 0 ? {} : { externalData };
}

function refused(path: string, e: unknown): PartitionError {
  const text = e instanceof Error ? e.message : String(e);
  return new PartitionError('input', `ONNX Runtime: ${oneLine(text, 400)}`, path, null);
}
