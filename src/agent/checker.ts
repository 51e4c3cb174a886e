/**
 * Does an environment keep its contract? Plays random episodes and returns every breach found, as sentences.
 * Written like Gymnasium's `check_env`: run it in the test of each new environment.
 */
import { Random } from '../util/random.js';
import type { Environment, Observation } from './environment.js';
import { MAX_FEATURES, MAX_OPTIONS } from './environment.js';

/** Features beyond this size are not "of order 1" and would saturate a network. */
const FEATURE_LIMIT = 100;

/**
 * @param make builds a fresh environment; called twice, to compare replays
 * @param episodes random episodes to play
 * @returns breaches, [] when the contract is kept
 */
export function checkEnvironment(make: () => Environment, episodes = 20, seed = 1): string[] {
  const faults = new Set<string>();
  const first = make();
  const second = make();
  checkSpec(first, faults);
  for (let episode = 0; episode < episodes; episode++) {
    const actions = play(first, seed + episode, faults);
    replay(second, seed + episode, actions, faults);
  }
  checkRefusals(make(), seed, faults);
  return [...faults];
}

function checkSpec(env: Environment, faults: Set<string>): void {
  const { optionFeatures, contextFeatures, maxSteps } = env.spec;
  for (const [name, n] of [
    ['optionFeatures', optionFeatures],
    ['contextFeatures', contextFeatures],
  ] as const)
    if (!Number.isInteger(n) || n < 1 || n > MAX_FEATURES)
      faults.add(`${name} is ${n}, expected 1 to ${MAX_FEATURES}`);
  if (!Number.isInteger(maxSteps) || maxSteps < 1) faults.add(`maxSteps is ${maxSteps}, expected at least 1`);
}

interface Recorded {
  readonly actions: number[];
  readonly rewards: number[];
  readonly observations: Observation[];
}

/** One random episode; records it for the replay. */
function play(env: Environment, seed: number, faults: Set<string>): Recorded {
  const random = new Random(seed);
  const record: Recorded = { actions: [], rewards: [], observations: [] };
  let observation = env.reset(seed);
  for (let step = 0; ; step++) {
    if (step === env.spec.maxSteps) {
      faults.add(`an episode runs past maxSteps = ${env.spec.maxSteps}`);
      return record;
    }
    checkObservation(env, observation, faults);
    const action = randomAction(observation, random);
    if (action < 0) return record;
    const kept = observation.options.slice();
    record.observations.push(observation);
    const result = env.step(action);
    if (!sameNumbers(kept, observation.options)) faults.add('step wrote to an observation it had handed out');
    if (!Number.isFinite(result.reward)) faults.add(`reward is ${result.reward}, expected a finite number`);
    record.actions.push(action);
    record.rewards.push(result.reward);
    if (result.terminated || result.truncated) return record;
    observation = result.observation;
  }
}

function checkObservation(env: Environment, observation: Observation, faults: Set<string>): void {
  const { optionCount, options, mask, context } = observation;
  if (!Number.isInteger(optionCount) || optionCount < 1 || optionCount > MAX_OPTIONS)
    faults.add(`optionCount is ${optionCount}, expected 1 to ${MAX_OPTIONS}`);
  if (options.length !== optionCount * env.spec.optionFeatures)
    faults.add(
      `options has ${options.length} numbers, expected ${optionCount} x ${env.spec.optionFeatures} features`,
    );
  if (context.length !== env.spec.contextFeatures)
    faults.add(`context has ${context.length} numbers, expected ${env.spec.contextFeatures}`);
  if (mask.length !== optionCount) faults.add(`mask has ${mask.length} entries for ${optionCount} options`);
  if (!mask.includes(1)) faults.add('every option is masked');
  if (mask.some((m) => m > 1)) faults.add('mask holds a value other than 0 and 1');
  for (const values of [options, context])
    for (const x of values)
      if (!(Math.abs(x) <= FEATURE_LIMIT)) faults.add(`a feature is ${x}, expected |x| <= ${FEATURE_LIMIT}`);
}

function replay(env: Environment, seed: number, record: Recorded, faults: Set<string>): void {
  let observation = env.reset(seed);
  for (let step = 0; step < record.actions.length; step++) {
    const seen = record.observations[step];
    if (!sameNumbers(seen.options, observation.options) || !sameNumbers(seen.context, observation.context))
      faults.add('the same seed and actions gave another observation');
    const result = env.step(record.actions[step]);
    if (result.reward !== record.rewards[step]) faults.add('the same seed and actions gave another reward');
    observation = result.observation;
  }
}

/** Actions that are not on offer must throw, whatever state they leave behind. */
function checkRefusals(env: Environment, seed: number, faults: Set<string>): void {
  const attempt = (action: number, what: string): void => {
    try {
      env.step(action);
    } catch {
      return;
    }
    faults.add(`${what} was accepted`);
  };
  const observation = env.reset(seed);
  attempt(observation.optionCount, 'an action beyond the last option');
  attempt(-1, 'a negative action');
  attempt(0.5, 'a fractional action');
  const masked = observation.mask.indexOf(0);
  if (masked >= 0) attempt(masked, 'a masked action');
  const random = new Random(seed);
  let current = env.reset(seed);
  for (let step = 0; step < env.spec.maxSteps; step++) {
    const action = randomAction(current, random);
    if (action < 0) return;
    const result = env.step(action);
    current = result.observation;
    if (result.terminated || result.truncated) {
      attempt(0, 'a step after the end of the episode');
      return;
    }
  }
}

/** A legal option, uniformly; -1 when all are masked. */
export function randomAction(observation: Observation, random: Random): number {
  let legal = 0;
  for (const m of observation.mask) legal += m;
  if (legal === 0) return -1;
  let k = random.int(legal);
  for (let i = 0; i < observation.optionCount; i++) if (observation.mask[i] === 1 && k-- === 0) return i;
  return -1;
}

function sameNumbers(a: Float32Array, b: Float32Array): boolean {
  return a.length === b.length && a.every((x, i) => Object.is(x, b[i]));
}
