/** One thread of an environment pool: builds its share of the environments and answers messages, one at a time. */
import { parentPort, workerData } from 'node:worker_threads';
import type { Environment, Observation } from './environment.js';
import type { PoolMessage, ThreadMessage, ThreadTask } from './environmentMessages.js';
import { buffersOf, packObservations } from './environmentMessages.js';
import { VectorEnvironment } from './vector.js';

type Make = (data: unknown, index: number) => Environment | Promise<Environment>;

const port = parentPort!;

function fault(error: unknown): void {
  const e = error instanceof Error ? error : new Error(String(error));
  port.postMessage({ kind: 'fault', message: e.message, stack: e.stack ?? '' } satisfies ThreadMessage);
}

async function build({ source, first, count }: ThreadTask): Promise<VectorEnvironment> {
  const module = (await import(source.module)) as Record<string, unknown>;
  const make = module[source.name];
  if (typeof make !== 'function')
    throw new Error(`internal: ${source.module} exports no function ${source.name}`);
  const environments: Environment[] = [];
  for (let i = 0; i < count; i++) environments.push(await (make as Make)(source.data, first + i));
  return new VectorEnvironment((i) => environments[i - first], count, first);
}

function answer(environments: VectorEnvironment, message: PoolMessage): void {
  const { spec, count } = environments;
  const step =
    message.kind === 'step'
      ? environments.step(message.actions)
      : {
          observations: environments.reset(message.seed),
          rewards: new Float64Array(count),
          excesses: new Float64Array(count),
          terminated: new Uint8Array(count),
          truncated: new Uint8Array(count),
          last: [],
        };
  const observations = packObservations(spec, step.observations);
  const last = packObservations(
    spec,
    step.last.filter((o): o is Observation => o !== null),
  );
  const { rewards, excesses, terminated, truncated } = step;
  const reply: ThreadMessage = {
    kind: 'answer',
    observations,
    rewards,
    excesses,
    terminated,
    truncated,
    last,
  };
  port.postMessage(reply, [...buffersOf(observations), ...buffersOf(last)]);
}

try {
  const environments = await build(workerData as ThreadTask);
  port.on('message', (message: PoolMessage) => {
    try {
      answer(environments, message);
    } catch (error) {
      fault(error);
    }
  });
  port.postMessage({ kind: 'ready', spec: environments.spec } satisfies ThreadMessage);
} catch (error) {
  fault(error);
}
