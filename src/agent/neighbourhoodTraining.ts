/** Training of a policy that chooses neighbourhoods: PPO on drawn instances, so many updates, nothing timed. */
import { reduceInstance } from '../shard/index.js';
import type { Random } from '../util/random.js';
import { Adam } from './adam.js';
import type { TensorFlow } from './backend.js';
import type { Checkpoint } from './checkpoint.js';
import { weightsOf } from './checkpoint.js';
import type { Demonstration } from './cloning.js';
import { cloningGradients } from './cloning.js';
import type { Teacher } from './demonstrations.js';
import { follow } from './demonstrations.js';
import { NEIGHBOURHOOD_SPEC, drawByRate } from './neighbourhoodArms.js';
import type { NeighbourhoodTask } from './neighbourhoodEpisode.js';
import { NeighbourhoodEpisode, neighbourhoodTask } from './neighbourhoodEpisode.js';
import { drawShardInstance } from './neighbourhoodInstance.js';
import type { PpoOptions, PpoProgress } from './ppo.js';
import { DEFAULT_PPO, trainPpo } from './ppo.js';
import { Scorer } from './scorer.js';

/** Episodes of an update. */
export const NEIGHBOURHOOD_EPISODES = 12;

/** A block costs about as much as a thousand weights: the network is small. */
const PPO: PpoOptions = {
  ...DEFAULT_PPO,
  environments: NEIGHBOURHOOD_EPISODES,
  hidden: 24,
  floorQuantile: 0,
  entropyBonus: 0.01,
  minibatch: 256,
  // What an arm buys shows at once; what follows from it drowns in what other slices buy.
  discount: 0.6,
  learningRate: 2e-3,
};
/** Smaller cores are solved at once. */
const LEAST_VARIABLES = 200;

/** Draws instances until so many are worth an episode. */
export function drawNeighbourhoodTasks(random: Random, count: number): NeighbourhoodTask[] {
  const tasks: NeighbourhoodTask[] = [];
  while (tasks.length < count) {
    const { core } = reduceInstance(drawShardInstance(random).instance);
    if (core === null || core.count < LEAST_VARIABLES) continue;
    const task = neighbourhoodTask(core, random.fork());
    if (task.starts.length > 0) tasks.push(task);
  }
  return tasks;
}

/** Episodes that the teacher shows, and steps of the gradient towards it. */
const SHOWN = 16;
const CLONING_STEPS = 200;
const CLONING_BATCH = 256;
const CLONING_RATE = 5e-3;

/** Makes a policy choose like a bandit that draws arms by their gain per work over the long memory. */
function cloneBandit(scorer: Scorer, tasks: readonly NeighbourhoodTask[], random: Random): void {
  const episode = new NeighbourhoodEpisode(tasks);
  const shown: Demonstration[] = [];
  for (let k = 0; k < SHOWN; k++) {
    const teacher: Teacher = (observation) => drawByRate(observation, random);
    follow(episode, random.uint32(), teacher, (observation, choice) => shown.push({ observation, choice }));
  }
  const adam = new Adam(scorer.tf, scorer.variables, PPO.maxGradientNorm);
  for (let step = 0; step < CLONING_STEPS; step++) {
    const batch = Array.from({ length: CLONING_BATCH }, () => random.pick(shown));
    adam.apply(cloningGradients(scorer, batch).gradients, CLONING_RATE * (1 - step / CLONING_STEPS));
  }
}

/** A policy, ready to be saved or injected. @param isCloned whether it starts as a copy of a bandit instead of uniform */
export function trainNeighbourhoods(
  tf: TensorFlow,
  tasks: readonly NeighbourhoodTask[],
  updates: number,
  isCloned: boolean,
  random: Random,
  onUpdate: (report: PpoProgress) => void,
): Pick<Checkpoint, 'weights' | 'environment'> {
  const { name, optionFeatures, contextFeatures } = NEIGHBOURHOOD_SPEC;
  const scorer = new Scorer(tf, NEIGHBOURHOOD_SPEC, PPO.hidden, random.fork());
  if (isCloned) cloneBandit(scorer, tasks, random);
  let done = 0;
  trainPpo(
    tf,
    () => new NeighbourhoodEpisode(tasks),
    PPO,
    random,
    () => done / updates,
    (report) => {
      done++;
      onUpdate(report);
    },
    scorer,
  );
  const weights = weightsOf(scorer);
  scorer.dispose();
  return { weights, environment: { name, optionFeatures, contextFeatures, hidden: PPO.hidden } };
}
