/** The command line: parses, dispatches, and turns every failure into one line and an exit code. */
import yargs from 'yargs';
import { EXIT_CODE, PartitionError, oneLine } from '../util/errors.js';
import { clustersCommand } from './clusters.js';
import { inspectCommand } from './inspect.js';
import { print, printError } from './output.js';
import { planCommand } from './plan.js';
import { simulateCommand } from './simulate.js';
import { version } from './version.js';
import { zooCommand } from './zoo.js';

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
    .usage('$0 <model.onnx> --devices N\n\nPlans how to split a model over N accelerators.')
    .command(planCommand)
    .command(inspectCommand)
    .command(simulateCommand)
    .command(zooCommand)
    .command(clustersCommand)
    .strict()
    .parserConfiguration({ 'duplicate-arguments-array': false, 'parse-numbers': true })
    .version(version())
    .help()
    .alias('h', 'help')
    .wrap(Math.min(110, process.stdout.columns ?? 100))
    .exitProcess(false)
    .showHelpOnFail(false)
    .fail((message: string | null, error: Error | undefined) => {
      throw (
        error ??
        new PartitionError('usage', message ?? 'wrong usage', null, 'partition --help shows the options')
      );
    });
  try {
    // parseAsync with a callback-free call prints help and version itself.
    await parser.parseAsync();
    return 0;
  } catch (error) {
    return report(error);
  }
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
  if (process.env['PARTITION_DEBUG'] && error instanceof Error) print(error.stack ?? '');
  return EXIT_CODE.internal;
}
