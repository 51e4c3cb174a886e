/** `partition validate [runs.csv]`: predictions beside measured runs. */
import type { CommandModule } from 'yargs';
import { validateRuns, VALIDATION_DEFAULTS, validationTable } from '../api/index.js';
import { PartitionError } from '../util/errors.js';
import type { CommonArgs } from './options.js';
import { text, withCommon } from './options.js';
import { Progress, print, printJson } from './output.js';

type Args = CommonArgs & { runs?: string; calibration?: string; stack?: string };

const USAGE = 'validate [runs.csv]';

/** Rows between two looks at the progress line. */
const ROWS_PER_STATUS = 8;

export const validateCommand: CommandModule<object, Args> = {
  command: 'validate [runs]',
  describe: 'predict measured training runs and compare: errors per source, ranking, regret, intervals',
  builder: (argv) =>
    withCommon(
      argv.usage(`partition ${USAGE}`).positional('runs', {
        type: 'string',
        describe:
          'csv of measured runs, columns as in src/data/measured/measured.csv; default: the shipped rows',
      }),
    )
      .option('calibration', text('calibration file to predict with'))
      .option('stack', text('stack profile for every row, whatever its source says'))
      .epilogue(
        [
          'Examples:',
          '  partition validate',
          '  partition validate runs.csv --calibration ours.yaml',
          '  partition validate runs.csv --json > validation.json',
          '',
          'What a row leaves open is filled in alike for all rows:',
          ...VALIDATION_DEFAULTS.map((line) => `  ${line}`),
        ].join('\n'),
      ) as never,
  handler: (args) => {
    const progress = new Progress(args.quiet);
    try {
      const validation = validateRuns(
        { file: args.runs, calibration: args.calibration, stack: args.stack },
        (done, total) => {
          if (done % ROWS_PER_STATUS === 0) progress.updateNow(`${done} of ${total} runs`);
        },
      );
      progress.done();
      if (args.json) printJson(validation);
      else print(validationTable(validation));
      if (validation.overall === null) {
        throw new PartitionError(
          'input',
          'no row could be predicted',
          args.runs ?? null,
          'each is named above',
        );
      }
    } finally {
      progress.done();
    }
  },
};
