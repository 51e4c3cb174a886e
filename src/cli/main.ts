/** The command line: parses, dispatches, and turns every failure into one line and an exit code. */
import type { CommandModule } from 'yargs';
import yargs from 'yargs';
import { EXIT_CODE, PartitionError, oneLine } from '../util/errors.js';
import { calibrateCommand } from './calibrate.js';
import { clustersCommand } from './clusters.js';
import { commandNames, commandOf, commandTable } from './commandTable.js';
import { compareCommand } from './compare.js';
import { completionCommand } from './completion.js';
import { emitCommand } from './emit.js';
import { inspectCommand } from './inspect.js';
import { printError } from './output.js';
import { monitorCommand } from './monitor.js';
import { placeCommand } from './place.js';
import { loadPlugins } from '../api/plugins.js';
import { usePolicy } from '../api/policy.js';
import { text } from './options.js';
import { planCommand } from './plan.js';
import { replayCommand } from './replay.js';
import { replanCommand } from './replan.js';
import { reportCommand } from './report.js';
import { shardCommand } from './shard.js';
import { simulateCommand } from './simulate.js';
import { splitCommand } from './split.js';
import { trainCommand } from './train.js';
import { validateCommand } from './validate.js';
import { nearNames } from '../util/near.js';
import { version } from '../util/version.js';
import { verifyCommand } from './verify.js';
import { whyCommand } from './why.js';
import { zooCommand } from './zoo.js';

/** Every command, in the order of the help. */
const COMMANDS: CommandModule[] = (
  [
    planCommand(() => NAMES),
    compareCommand,
    inspectCommand,
    simulateCommand,
    placeCommand,
    shardCommand,
    whyCommand,
    emitCommand,
    splitCommand,
    verifyCommand,
    replanCommand,
    monitorCommand,
    replayCommand,
    reportCommand,
    calibrateCommand,
    trainCommand,
    validateCommand,
    zooCommand,
    clustersCommand,
    completionCommand(() => COMMANDS),
  ] as unknown[]
).map((command) => command as CommandModule);

const NAMES = commandNames(COMMANDS);

/** Runs the program and ends the process with its exit code. */
export async function main(args: readonly string[]): Promise<void> {
  process.exitCode = await run(args);
  // Worker threads and WASM backends may keep handles open; everything is written by now.
  process.exit();
}

/** Runs one command; the exit code. */
export async function run(args: readonly string[]): Promise<number> {
  const parser = yargs([...args])
    .scriptName('partition')
    .locale('en')
    .usage('partition <model.onnx> --devices N\n\nPlans how to split a model over N accelerators.')
    .command(COMMANDS)
    .option('plugin', {
      type: 'string',
      array: true,
      requiresArg: true,
      describe: 'JavaScript module that registers solvers, rewards, costs, clusters, operators, ...',
    })
    .option(
      'policy',
      text(
        'policy of partition train that stands for the one that ships, in every method that starts from it',
      ),
    )
    .middleware(async ({ plugin, policy }) => {
      await loadPlugins(plugin ?? []);
      if (policy !== undefined) usePolicy(policy);
    })
    .strict()
    // The last of two equal flags counts; a list takes one value per flag, so that it never swallows the model.
    .parserConfiguration({ 'greedy-arrays': false })
    .version(version())
    .help()
    .alias('h', 'help')
    .wrap(Math.min(110, process.stdout.columns ?? 110))
    .exitProcess(false)
    .showHelpOnFail(false)
    .fail((message: string | null, error: Error | undefined) => {
      if (error !== undefined && error.name !== 'YError') throw error;
      throw usageError(error?.message ?? message ?? 'wrong usage', args);
    });
  try {
    if (args.length === 0) throw nothingAsked();
    // Help and version are printed here too.
    await parser.parseAsync();
    return 0;
  } catch (error) {
    return report(error);
  }
}

function nothingAsked(): PartitionError {
  return new PartitionError(
    'usage',
    `expected a model or a command: partition <model.onnx> --devices N, or ${NAMES.join(', ')}`,
    null,
    'partition --help explains, with examples',
  );
}

/** The parser's complaint as one of ours; a flag that is nearly one of the command's is asked after. */
function usageError(message: string, args: readonly string[]): PartitionError {
  const argument = /^Unknown arguments?: (.*)$/s.exec(message);
  const lacking = /^Not enough arguments following: (.*)$/s.exec(message);
  const what =
    argument !== null
      ? `unknown argument ${argument[1]}`
      : lacking !== null
        ? `--${lacking[1]} needs a value`
        : message;
  const { name, options } = commandOf(commandTable(COMMANDS), args);
  const [unknown = ''] = argument?.[1].split(', ') ?? [];
  const near = nearNames(
    unknown,
    options.map((o) => o.name),
  ).filter(() => args.some((word) => word.replace(/=.*$/s, '') === `--${unknown}`));
  const hint =
    near.length > 0
      ? `did you mean ${near.map((n) => `--${n}`).join(' or ')}?`
      : `partition ${name === null ? '' : `${name} `}--help shows the options`;
  return new PartitionError('usage', what, null, hint);
}

/** One line on stderr; the exit code. */
export function report(error: unknown): number {
  if (error instanceof PartitionError) {
    printError(`partition: ${error.line()}`);
    return EXIT_CODE[error.code];
  }
  const message = error instanceof Error ? error.message : String(error);
  printError(
    `partition: ${oneLine(message.startsWith('internal:') ? message : `internal: ${message}`, 400)}`,
  );
  printError('this is a fault of the program, not of the model; PARTITION_DEBUG=1 shows where');
  if (process.env['PARTITION_DEBUG'] && error instanceof Error) printError(error.stack ?? '');
  return EXIT_CODE.internal;
}
