/**
 * Environments in threads, stepped together: as `VectorEnvironment`, and with the very same episodes whatever the number
 * of threads. Worth it where a step takes longer than the message about it (some 50 us): plans that are priced, not bandits.
 */
import { Worker } from 'node:worker_threads';
import { Bandit } from './bandit.js';
import type { Environment, EnvironmentSpec, Observation } from './environment.js';
import type { EnvironmentSource, PoolMessage, ThreadMessage, ThreadTask } from './environmentMessages.js';
import { unpackObservations } from './environmentMessages.js';
import { PlacementEpisode } from './placementEpisode.js';
import type { PlacementProblem } from './placementGraph.js';
import { ScheduleEpisode } from './scheduleEpisode.js';
import type { ScheduleProblem } from './scheduleState.js';
import type { Batch } from './scorer.js';
import { packBatch } from './scorer.js';
import type { VectorStep } from './vector.js';

/** Environments that can be built in any thread from plain data. */
export function banditOf(_data: unknown, _index: number): Environment {
  return new Bandit();
}
export function placementEpisodeOf(data: unknown, _index: number): Environment {
  return new PlacementEpisode(data as PlacementProblem);
}
export function scheduleEpisodeOf(data: unknown, _index: number): Environment {
  return new ScheduleEpisode(data as ScheduleProblem);
}

/** A source for one of the three functions above. */
export function builtInSource(
  name: 'banditOf' | 'placementEpisodeOf' | 'scheduleEpisodeOf',
  data: unknown,
): EnvironmentSource {
  return { module: import.meta.url, name, data };
}

/** One thread and who waits for its next message. */
class EnvironmentThread {
  private readonly worker: Worker;
  private settle: { resolve: (m: ThreadMessage) => void; reject: (e: Error) => void } | null = null;
  private failure: Error | null = null;

  constructor(task: ThreadTask, execArgv?: readonly string[]) {
    // The same file, compiled or not, as this one.
    const file = import.meta.url.endsWith('.ts') ? './environmentWorker.ts' : './environmentWorker.js';
    this.worker = new Worker(new URL(file, import.meta.url), {
      workerData: task,
      ...(execArgv === undefined ? {} : { execArgv: [...execArgv] }),
    });
    this.worker.on('message', (message: ThreadMessage) => {
      if (message.kind === 'fault')
        this.fail(Object.assign(new Error(message.message), { stack: message.stack }));
      else this.settle?.resolve(message);
    });
    this.worker.on('error', (error: Error) => this.fail(error));
    this.worker.on('exit', (code) =>
      this.fail(new Error(`internal: an environment thread stopped with code ${code}`)),
    );
  }

  next(): Promise<ThreadMessage> {
    return new Promise((resolve, reject) => {
      this.settle = { resolve, reject };
      if (this.failure !== null) reject(this.failure);
    });
  }

  ask(message: PoolMessage): Promise<ThreadMessage> {
    this.worker.postMessage(message);
    return this.next();
  }

  async stop(): Promise<void> {
    this.settle = null;
    await this.worker.terminate();
  }

  private fail(error: Error): void {
    this.failure ??= error;
    this.settle?.reject(this.failure);
  }
}

export class EnvironmentPool {
  private observations: readonly Observation[] = [];

  private constructor(
    readonly spec: EnvironmentSpec,
    readonly count: number,
    private readonly threads: readonly EnvironmentThread[],
    /** First environment of each thread, and the count. */
    private readonly starts: readonly number[],
  ) {}

  /**
   * @param count environments, dealt evenly to `threads` threads
   * @param execArgv options of Node in the threads; as this process's unless given (TypeScript that is not compiled
   *   needs its loader there)
   * @throws Error when a thread cannot build its environments
   */
  static async start(
    source: EnvironmentSource,
    count: number,
    threads: number,
    execArgv?: readonly string[],
  ): Promise<EnvironmentPool> {
    const n = Math.min(threads, count);
    const starts = Array.from({ length: n + 1 }, (_, k) => Math.floor((k * count) / n));
    const running = starts
      .slice(0, n)
      .map((first, k) => new EnvironmentThread({ source, first, count: starts[k + 1] - first }, execArgv));
    try {
      const ready = await Promise.all(running.map((t) => t.next()));
      return new EnvironmentPool(
        (ready[0] as ThreadMessage & { kind: 'ready' }).spec,
        count,
        running,
        starts,
      );
    } catch (error) {
      await Promise.all(running.map((t) => t.stop()));
      throw error;
    }
  }

  async reset(seed: number): Promise<readonly Observation[]> {
    return (await this.all(() => ({ kind: 'reset', seed }))).observations;
  }

  /** @throws Error as `Environment.step`; the pool must then be closed */
  step(actions: Int32Array): Promise<VectorStep> {
    const { starts } = this;
    return this.all((k) => ({ kind: 'step', actions: actions.slice(starts[k], starts[k + 1]) }));
  }

  /** What all environments offer now, as rows for the network. */
  batch(): Batch {
    return packBatch(this.spec, this.observations);
  }

  async close(): Promise<void> {
    await Promise.all(this.threads.map((t) => t.stop()));
  }

  private async all(message: (thread: number) => PoolMessage): Promise<VectorStep> {
    const answers = await Promise.all(this.threads.map((t, k) => t.ask(message(k))));
    const { count, spec, starts } = this;
    const observations: Observation[] = [];
    const rewards = new Float64Array(count);
    const excesses = new Float64Array(count);
    const terminated = new Uint8Array(count);
    const truncated = new Uint8Array(count);
    const last = new Array<Observation | null>(count).fill(null);
    answers.forEach((m, k) => {
      const answer = m as ThreadMessage & { kind: 'answer' };
      observations.push(...unpackObservations(spec, answer.observations));
      rewards.set(answer.rewards, starts[k]);
      excesses.set(answer.excesses, starts[k]);
      terminated.set(answer.terminated, starts[k]);
      truncated.set(answer.truncated, starts[k]);
      const ended = unpackObservations(spec, answer.last);
      let next = 0;
      for (let i = starts[k]; i < starts[k + 1]; i++)
        if (terminated[i] === 1 || truncated[i] === 1) last[i] = ended[next++];
    });
    this.observations = observations;
    return { observations, rewards, excesses, terminated, truncated, last };
  }
}
