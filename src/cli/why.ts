/** `partition why <plan.json> --instead tp=8,pp=4`: what another decision would cost, term by term. */
import type { CommandModule } from 'yargs';
import { explainDifference, whySentence, whyTable } from '../api/index.js';
import { PartitionError } from '../util/errors.js';
import type { CommonArgs, ModelArgs } from './options.js';
import { parseBindings, positiveInteger, required, text, withCommon, withModel } from './options.js';
import { print, printJson, printWarnings } from './output.js';

type Args = CommonArgs & ModelArgs & { plan?: string; model?: string; instead?: string; cluster?: string };

const USAGE = 'why <plan.json> [model.onnx] --instead tp=8,pp=4';

export const whyCommand: CommandModule<object, Args> = {
  command: 'why [plan] [model]',
  describe: 'what other decisions would cost, term by term',
  builder: (argv) =>
    withModel(
      withCommon(
        argv
          .usage(`partition ${USAGE}`)
          .positional('plan', { type: 'string', describe: 'plan.json' })
          .positional('model', {
            type: 'string',
            describe: 'ONNX file; default: the one that the plan was made from',
          }),
      ),
    )
      .option('instead', text('decisions to change, or another plan.json (required)'))
      .option('cluster', text('where the plan was made, if run.json beside it does not say'))
      .epilogue(
        [
          'Decisions: dp, tp, pp, vpp, cp, ep, etp, zero, microbatch, recompute, schedule,',
          'contextExchange, axisOrder, leanness (1 = one step leaner than the usual sharding, -1 = faster and',
          'keeping more). Setting: devices, batch, precision, cluster, stack, powerCap (watt), oversubscription.',
          'What is not stated follows: dp takes the devices that are left, the microbatch the nearest legal size,',
          'stages are cut anew.',
          '',
          'Examples:',
          '  partition why model.partition/plan.json --instead tp=8,pp=4',
          '  partition why model.partition/plan.json --instead recompute=full,microbatch=4',
          '  partition why model.partition/plan.json model.onnx --instead cluster=h200',
          '  partition why model.partition/plan.json --instead powerCap=500',
          '  partition why model.partition/plan.json --instead other.partition/plan.json',
        ].join('\n'),
      ) as never,
  handler: (args) => {
    const planPath = required(args.plan, 'a plan.json', USAGE);
    if (args.instead === undefined)
      throw new PartitionError('usage', 'expected --instead with what to change', null, `partition ${USAGE}`);
    const facts = explainDifference(planPath, {
      instead: args.instead,
      modelPath: args.model,
      cluster: args.cluster,
      seq: positiveInteger(args.seq, '--seq'),
      bind: parseBindings(args.bind),
      strict: args.strict,
    });
    if (args.json) printJson({ summary: whySentence(facts), ...facts });
    else {
      if (!args.quiet) printWarnings(facts.warnings);
      print(whyTable(facts));
    }
  },
};
