/** `partition simulate <model.onnx> <plan.json>`: prices a given plan and draws its time line. */
import { basename, dirname, join } from 'node:path';
import type { CommandModule } from 'yargs';
import {
  CHAKRA_RANKS,
  encodePlan,
  frequencyTable,
  pictureFacts,
  simulatePlan,
  simulationTable,
  terminalPicture,
} from '../api/index.js';
import type { ChakraRanks, Simulation, SimulationSummary } from '../api/index.js';
import { oneLine } from '../util/errors.js';
import { checkWritableFolder, writeFileAtomic } from '../util/files.js';
import type { CommonArgs, ModelArgs } from './options.js';
import {
  CALIBRATION_TEXT,
  COST_MODEL_TEXT,
  oneOf,
  parseBindings,
  positiveInteger,
  required,
  text,
  withCommon,
  withModel,
} from './options.js';
import { onInterrupt } from './interrupt.js';
import { print, printJson, printWarnings } from './output.js';
import { terminalStyle } from './terminal.js';

type Args = CommonArgs &
  ModelArgs & {
    model?: string;
    plan?: string;
    cluster?: string;
    stack?: string;
    calibration?: string;
    costModel?: string;
    trace?: string;
    chakra?: string;
    chakraRanks: string;
    explain: boolean;
    frequency: boolean;
    frequencyPlan?: string;
  };

const USAGE = 'simulate <model.onnx> <plan.json>';

export const simulateCommand: CommandModule<object, Args> = {
  command: 'simulate [model] [plan]',
  describe: 'price a plan event by event, judge it, write its time line',
  builder: (argv) =>
    withModel(
      withCommon(
        argv
          .usage(`partition ${USAGE}`)
          .positional('model', { type: 'string', describe: 'ONNX file' })
          .positional('plan', { type: 'string', describe: 'plan.json' }),
      ),
    )
      .option('cluster', text("another cluster than the plan's: preset or YAML file"))
      .option('stack', text("another stack profile than the plan's: name or YAML file"))
      .option('calibration', text(CALIBRATION_TEXT))
      .option('cost-model', text(COST_MODEL_TEXT))
      .option('explain', {
        type: 'boolean',
        default: false,
        describe: 'the time of every stage, and where the energy goes',
      })
      .option('frequency', {
        type: 'boolean',
        default: false,
        describe: 'what clocks by task save: the whole trade-off of time and energy',
      })
      .option('frequency-plan', text('write the plan with clocks that cost no time here'))
      .option('trace', text('write the time line here, for ui.perfetto.dev'))
      .option(
        'chakra',
        text('write MLCommons Chakra execution traces into this folder, for other simulators'),
      )
      .option(
        'chakra-ranks',
        text(
          `whose: ${CHAKRA_RANKS.join(' or ')} (a device of every pipeline rank, or every device)`,
          'distinct',
        ),
      )
      .epilogue(
        [
          'Examples:',
          '  partition simulate model.onnx model.partition/plan.json --trace step.json',
          '  partition simulate model.onnx model.partition/plan.json --chakra traces --chakra-ranks all',
          '  partition simulate model.onnx model.partition/plan.json --cluster a100-80gb',
          '  partition simulate model.onnx model.partition/plan.json --explain',
          '  partition simulate model.onnx model.partition/plan.json --frequency-plan clocked.json',
        ].join('\n'),
      ) as never,
  handler: (args) => {
    const modelPath = required(args.model, 'an ONNX file and a plan.json', USAGE);
    const planPath = required(args.plan, 'a plan.json', USAGE);
    const ranks = oneOf(args.chakraRanks, CHAKRA_RANKS, '--chakra-ranks');
    if (args.trace !== undefined) checkWritableFolder(dirname(args.trace));
    if (args.frequencyPlan !== undefined) checkWritableFolder(dirname(args.frequencyPlan));
    if (args.chakra !== undefined) checkWritableFolder(args.chakra);
    const result = simulatePlan(modelPath, planPath, {
      seq: positiveInteger(args.seq, '--seq'),
      bind: parseBindings(args.bind),
      strict: args.strict,
      cluster: args.cluster,
      stack: args.stack,
      calibration: args.calibration,
      costModel: args.costModel,
      trace: args.trace !== undefined,
      frequency: args.frequency || args.frequencyPlan !== undefined,
    });
    if (args.frequencyPlan !== undefined && result.clockedPlan !== null)
      writeFileAtomic(args.frequencyPlan, encodePlan(result.clockedPlan));
    if (args.trace !== undefined && result.trace !== null) {
      const release = onInterrupt(() => 'interrupted');
      writeFileAtomic(args.trace, result.trace);
      release();
    }
    const chakra = args.chakra === undefined ? null : writeChakra(result, modelPath, args.chakra, ranks);
    if (args.json)
      printJson({
        ...result.summary,
        tracePath: args.trace ?? null,
        frequencyPlanPath: args.frequencyPlan ?? null,
        chakra,
      });
    else {
      if (!args.quiet) printWarnings(result.summary.warnings);
      print(simulationTable(result.summary, args.explain));
      if (!args.quiet) print(`\n${picture(result.summary)}`);
      if (result.summary.frequency !== null) print(frequencyTable(result.summary.frequency));
      if (chakra !== null)
        print(`execution traces: ${chakra.files} files, ${oneLine(chakra.prefix, 300)}.<rank>.et`);
    }
  },
};

function picture({ explanation, estimateSec, memoryPerRank }: SimulationSummary): string {
  return terminalPicture(pictureFacts(explanation, estimateSec, memoryPerRank), terminalStyle());
}

/** Writes the execution traces as `<model>.<rank>.et`; what their names begin with, and how many there are. */
function writeChakra(
  { chakra }: Simulation,
  modelPath: string,
  folder: string,
  ranks: ChakraRanks,
): { prefix: string; files: number } {
  const prefix = join(folder, basename(modelPath).replace(/\.onnx$/, ''));
  const release = onInterrupt(() => `interrupted; some traces stand in ${folder}`);
  let files = 0;
  for (const { suffix, bytes } of chakra(ranks)) {
    writeFileAtomic(`${prefix}${suffix}`, bytes);
    files++;
  }
  release();
  return { prefix, files };
}
