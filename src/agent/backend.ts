/**
 * TensorFlow.js, loaded only when an agent runs: `@tensorflow/tfjs-node-gpu` when the user has installed it, else
 * `@tensorflow/tfjs-node`, else the WebAssembly backend that comes with the package. All are silent on stdout.
 * Results are reproducible on the same backend and machine type, not across backends (sums associate differently).
 */
import { createRequire } from 'node:module';
import type * as tfjs from '@tensorflow/tfjs';
import { invariant } from '../util/errors.js';

/** The TensorFlow.js namespace. */
export type TensorFlow = typeof tfjs;

export type BackendName = 'tfjs-node-gpu' | 'tfjs-node' | 'wasm';

export interface Backend {
  readonly tf: TensorFlow;
  readonly name: BackendName;
}

let loaded: Promise<Backend> | null = null;
let inUse: BackendName | null = null;

/** The backend that networks run on; `null` until an agent has asked for one. */
export function backendInUse(): BackendName | null {
  return inUse;
}

/** Loads the best backend there is; the same one on every call. */
export function loadBackend(): Promise<Backend> {
  loaded ??= load().then((backend) => {
    inUse = backend.name;
    return backend;
  });
  return loaded;
}

async function load(): Promise<Backend> {
  for (const name of ['tfjs-node-gpu', 'tfjs-node'] as const) {
    const native = await loadNative(`@tensorflow/${name}`);
    if (native !== null) return { tf: native, name };
  }
  const tf = await import('@tensorflow/tfjs');
  tf.enableProdMode();
  await import('@tensorflow/tfjs-backend-wasm');
  invariant(await tf.setBackend('wasm'), 'the WebAssembly backend of TensorFlow.js did not start');
  await tf.ready();
  return { tf, name: 'wasm' };
}

/** An optional native package; null when it is not installed or its library does not load on this machine. */
async function loadNative(packageName: string): Promise<TensorFlow | null> {
  try {
    createRequire(import.meta.url).resolve(packageName);
    process.env['TF_CPP_MIN_LOG_LEVEL'] ??= '2';
    const module = (await import(packageName)) as TensorFlow & { default?: TensorFlow };
    const tf = module.default ?? module;
    tf.enableProdMode();
    await tf.ready();
    return tf;
  } catch {
    return null;
  }
}
