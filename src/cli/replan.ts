/** `partition replan <model.onnx> <plan.json>`: keep or change the plan of a running job. */
import { dirname, join } from 'node:path';
import type { CommandModule } from 'yargs';
import type { ReplanReply, ReplanRequest } from '../api/index.js';
import {
  REPLAN_DEFAULTS,
  methodNames,
  parseMtbf,
  parseRisk,
  replanRisk,
  replanTable,
  riskTable,
  writeReplanFiles,
} from '../api/index.js';
import { checkWritableFolder } from '../util/files.js';
import type { RiskArgs } from './failureOptions.js';
import { riskFlags, withRisk } from './failureOptions.js';
import { onInterrupt } from './interrupt.js';
import type { CommonArgs } from './options.js';
import {
  integerBetween,
  oneOf,
  parseBudget,
  parseSeconds,
  positiveInteger,
  required,
  text,
  withCommon,
} from './options.js';
import { Progress, commandLine, print, printJson } from './output.js';
import { MOST_DEVICES } from './problemOptions.js';
import { startThread } from './thread.js';

type Args = CommonArgs &
  RiskArgs & {
    model?: string;
    plan?: string;
    observed?: string;
    cluster?: string;
    devices?: string;
    failed?: string;
    slow?: string;
    degraded?: string;
    method: string;
    budget: string;
    seed: string;
    steps: string;
    restart: string;
    rollback: string;
    out?: string;
  };

const USAGE = 'replan <model.onnx> <plan.json>';
const LARGEST_SEED = 2 ** 32 - 1;

export const replanCommand: CommandModule<object, Args> = {
  command: 'replan [model] [plan]',
  describe: 'keep or change the plan of a running job, moving its state included',
  builder: (argv) =>
    withRisk(
      withCommon(
        argv
          .usage(`partition ${USAGE}`)
          .positional('model', { type: 'string', describe: 'ONNX file' })
          .positional('plan', { type: 'string', describe: 'plan.json of the running job' }),
      ),
    )
      .option('observed', text('log of the job, or the state that partition monitor left'))
      .option('failed', text('devices that are gone: hosts and ranks, host7,rank12'))
      .option('slow', text('devices below their rate: rank3=0.7,host2=0.9'))
      .option('degraded', text('links below their rate: rail=0.5,host3.spine=0.25'))
      .option('cluster', text('the cluster from now on, if it is another one: preset or YAML file'))
      .option('devices', text('devices there from now on, failed ones included (a preset that grew)'))
      .option('steps', text('steps that are left', String(REPLAN_DEFAULTS.steps)))
      .option(
        'restart',
        text('from the decision until the job works again', `${REPLAN_DEFAULTS.restartSec}s`),
      )
      .option(
        'rollback',
        text(
          'reading the last checkpoint and the work since, where state is lost',
          `${REPLAN_DEFAULTS.rollbackSec}s`,
        ),
      )
      .option('method', text('search method, as for planning', REPLAN_DEFAULTS.method))
      .option('budget', text('search budget: seconds, evaluations or both', `${REPLAN_DEFAULTS.budgetSec}s`))
      .option('seed', text('random seed', '0'))
      .option('out', text('output folder; default replanned beside the plan'))
      .epilogue(
        [
          'The global batch stays. Dynamic programming looks at how many of the devices left to use; the',
          'agent and annealing go on from the running plan and the best found. A change is taken when it has',
          'paid before the last step. A log (--observed) corrects how fast devices compute and links carry, and',
          'names slow ranks, hosts and links. Writes plan.json, run.json and migration.json, which says who',
          'sends what to whom.',
          '',
          'Examples:',
          '  partition replan model.onnx model.partition/plan.json --failed host7,rank12',
          '  partition replan model.onnx model.partition/plan.json --slow rank3=0.7 --steps 50000',
          '  partition replan model.onnx model.partition/plan.json --observed job.jsonl --json',
          '  partition replan model.onnx model.partition/plan.json --observed model.partition/monitor/state.json',
          '  partition replan model.onnx model.partition/plan.json --devices 1536 --restart 300s',
          '  partition replan model.onnx model.partition/plan.json --failed host7 --mtbf device=50000h --deadline 9d',
        ].join('\n'),
      ) as never,
  handler: async (args) => {
    const modelPath = required(args.model, 'a model', USAGE);
    const planPath = required(args.plan, 'a plan.json', USAGE);
    const out = args.out ?? join(dirname(planPath), 'replanned');
    const budget = parseBudget(args.budget);
    const request: ReplanRequest = {
      modelPath,
      planPath,
      observed: args.observed,
      failed: args.failed,
      slow: args.slow,
      degraded: args.degraded,
      cluster: args.cluster,
      devices: positiveInteger(args.devices, '--devices', MOST_DEVICES),
      method: oneOf(args.method, methodNames(), '--method'),
      ...(budget.maxEvaluations === Infinity ? {} : { maxEvaluations: budget.maxEvaluations }),
      ...(budget.maxSec === Infinity ? {} : { budgetSec: budget.maxSec }),
      seed: integerBetween(args.seed, '--seed', 0, LARGEST_SEED),
      steps: integerBetween(args.steps, '--steps', 1, Number.MAX_SAFE_INTEGER),
      restartSec: parseSeconds(args.restart, '--restart'),
      rollbackSec: parseSeconds(args.rollback, '--rollback'),
      failures: riskFlags(args),
      out,
    };
    if (args.mtbf !== undefined) parseMtbf(args.mtbf);
    parseRisk(args);
    checkWritableFolder(out);
    const progress = new Progress(args.quiet);
    const release = onInterrupt(() => {
      progress.done();
      return 'interrupted; nothing is written';
    });
    const thread = startThread<ReplanRequest, string, ReplanReply>('./replanWorker.js', request, (news) =>
      progress.update(news),
    );
    const reply = await thread.ended.finally(() => progress.done());
    const risk = replanRisk(reply, request.failures, request.seed ?? 0);
    const facts = writeReplanFiles(reply, request, out, commandLine());
    release();
    if (args.json) printJson(risk === null ? facts : { ...facts, risk });
    else {
      print(replanTable(facts));
      if (risk?.keep) print(`\ngoing on as it is\n${riskTable(risk.keep)}`);
      if (risk?.change) print(`\nwith the new plan\n${riskTable(risk.change)}`);
    }
  },
};
