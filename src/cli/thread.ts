/** Work in a second thread, so that Ctrl-C and progress are answered while it runs. */
import { Worker, parentPort, workerData } from 'node:worker_threads';
import { loadPlugins, loadedPlugins } from '../api/plugins.js';
import { policyInUse, usePolicy } from '../api/policy.js';
import { PartitionError } from '../util/errors.js';
import { onSignal } from './interrupt.js';

/** What went wrong in a thread, as a message. */
export type Failure =
  | { readonly kind: 'fault'; readonly fault: Pick<PartitionError, 'code' | 'message' | 'where' | 'hint'> }
  | { readonly kind: 'crash'; readonly message: string; readonly stack: string };

/** Messages of a thread: news on the way, the reply, or what went wrong. */
type Message<News, Reply> =
  { readonly kind: 'news'; readonly news: News } | { readonly kind: 'done'; readonly reply: Reply } | Failure;

export interface Thread<Reply> {
  /** @throws PartitionError as the work does */
  readonly ended: Promise<Reply>;
  /** Asks the work to end soon with what it has. */
  stop(): void;
}

/** @param script module beside this one that calls `work` */
export function startThread<Request, News, Reply>(
  script: string,
  request: Request,
  onNews: (news: News) => void,
): Thread<Reply> {
  // Shared memory, because the thread is too busy to read messages.
  const flag = new Int32Array(new SharedArrayBuffer(4));
  const worker = new Worker(new URL(script, import.meta.url), {
    workerData: { request, flag, plugins: loadedPlugins(), policy: policyInUse() },
  });
  const ended = new Promise<Reply>((resolve, reject) => {
    worker.on('message', (message: Message<News, Reply>) => {
      if (message.kind === 'news') onNews(message.news);
      else if (message.kind === 'done') resolve(message.reply);
      else reject(failed(message));
    });
    worker.on('error', reject);
    worker.on('exit', (code) => reject(new Error(`internal: ${script} stopped with code ${code}`)));
  }).finally(() => worker.terminate());
  return { ended, stop: () => void Atomics.store(flag, 0, 1) };
}

/**
 * The thread's reply; the first Ctrl-C asks it to end soon, the second ends the process.
 *
 * @returns the reply, and the exit code that Ctrl-C asks for, or null
 */
export async function awaitOrStop<Reply>(
  thread: Thread<Reply>,
): Promise<{ reply: Reply; interrupted: number | null }> {
  let interrupted: number | null = null;
  const release = onSignal((exitCode) => {
    if (interrupted !== null) process.exit(exitCode);
    interrupted = exitCode;
    thread.stop();
  });
  const reply = await thread.ended.finally(release);
  return { reply, interrupted };
}

/**
 * The other side: runs the request of this thread.
 *
 * @param perform gets a way to tell news, and to ask whether it should end soon
 */
export async function work<Request, News, Reply>(
  perform: (request: Request, tell: (news: News) => void, stopped: () => boolean) => Reply | Promise<Reply>,
): Promise<void> {
  const { request, flag, plugins, policy } = workerData as {
    request: Request;
    flag: Int32Array;
    plugins: readonly string[];
    policy: string | null;
  };
  const post = (message: Message<News, Reply>): void => parentPort!.postMessage(message);
  try {
    await loadPlugins(plugins);
    usePolicy(policy);
    const reply = await perform(
      request,
      (news) => post({ kind: 'news', news }),
      () => Atomics.load(flag, 0) === 1,
    );
    post({ kind: 'done', reply });
  } catch (error) {
    post(failureOf(error));
  }
}

export function failureOf(error: unknown): Failure {
  if (error instanceof PartitionError) {
    const { code, message, where, hint } = error;
    return { kind: 'fault', fault: { code, message, where, hint } };
  }
  const e = error instanceof Error ? error : new Error(String(error));
  return { kind: 'crash', message: e.message, stack: e.stack ?? '' };
}

/** The error that a message stands for. */
export function failed(failure: Failure): Error {
  if (failure.kind === 'crash') return Object.assign(new Error(failure.message), { stack: failure.stack });
  const { code, message, where, hint } = failure.fault;
  return new PartitionError(code, message, where, hint);
}
