/** `partition report <plan.json>`: a plan as one self-contained page. */
import { spawn } from 'node:child_process';
import { dirname, join, resolve } from 'node:path';
import type { CommandModule } from 'yargs';
import { makeReport } from '../api/index.js';
import { oneLine } from '../util/errors.js';
import { checkWritableFolder, writeFileAtomic } from '../util/files.js';
import { formatBytes } from '../util/format.js';
import type { RiskArgs } from './failureOptions.js';
import { riskFlags, withRisk } from './failureOptions.js';
import { onInterrupt } from './interrupt.js';
import type { CommonArgs, ModelArgs } from './options.js';
import {
  CALIBRATION_TEXT,
  parseBindings,
  positiveInteger,
  required,
  text,
  withCommon,
  withModel,
} from './options.js';
import { print, printError, printJson, printWarnings } from './output.js';

type Args = CommonArgs &
  ModelArgs &
  RiskArgs & {
    plan?: string;
    model?: string;
    cluster?: string;
    calibration?: string;
    compare?: string;
    out?: string;
    open: boolean;
  };

const USAGE = 'report <plan.json>';

export const reportCommand: CommandModule<object, Args> = {
  command: 'report [plan]',
  describe: 'a plan as one HTML page: bound, time line, memory, cluster, layers, energy',
  builder: (argv) =>
    withRisk(
      withModel(
        withCommon(
          argv.usage(`partition ${USAGE}`).positional('plan', { type: 'string', describe: 'plan.json' }),
        ),
      ),
    )
      .option('model', text('ONNX file; default: the one that the plan was made from'))
      .option('out', text('the page; default report.html beside the plan'))
      .option('open', { type: 'boolean', default: false, describe: 'show it in the browser' })
      .option('compare', text('file of partition compare --json: adds its table and curves'))
      .option('cluster', text('where the plan was made, if run.json beside it does not say'))
      .option('calibration', text(CALIBRATION_TEXT))
      .epilogue(
        [
          'Without the model the page lacks the time line, memory over time and the layers. What was said of failures',
          'when the plan was made stands in run.json beside it; --mtbf and the others here go before it.',
          '',
          'Examples:',
          '  partition report partitions/gpt2-small.8.json --model graphs/gpt2-small.onnx --out page.html',
          '  partition report model.partition/plan.json --open',
          '  partition report model.partition/plan.json --compare compare.json --out plan.html',
          '  partition report model.partition/plan.json --mtbf device=50000h,steps=100000 --deadline 30d',
        ].join('\n'),
      ) as never,
  handler: (args) => {
    const planPath = required(args.plan, 'a plan.json', USAGE);
    const out = args.out ?? join(dirname(planPath), 'report.html');
    checkWritableFolder(dirname(out));
    const { html, summary } = makeReport(planPath, {
      modelPath: args.model,
      cluster: args.cluster,
      calibration: args.calibration,
      compare: args.compare,
      failures: riskFlags(args),
      seq: positiveInteger(args.seq, '--seq'),
      bind: parseBindings(args.bind),
      strict: args.strict,
    });
    const release = onInterrupt(() => 'interrupted');
    writeFileAtomic(out, html);
    release();
    if (args.json) printJson({ ...summary, reportPath: out });
    else {
      if (!args.quiet) printWarnings(summary.warnings);
      print(`report written to ${oneLine(out, 400)} (${formatBytes(summary.bytes)})`);
    }
    if (args.open) showInBrowser(resolve(out));
  },
};

const OPENERS: Readonly<Partial<Record<NodeJS.Platform, readonly string[]>>> = {
  darwin: ['open'],
  win32: ['cmd', '/c', 'start', ''],
};

/** Hands the page to the system's browser; where that is not possible the page is there all the same. */
function showInBrowser(path: string): void {
  const [program, ...args] = OPENERS[process.platform] ?? ['xdg-open'];
  const child = spawn(program, [...args, path], { stdio: 'ignore', detached: true });
  child.on('error', () => printError(`warning: cannot open a browser (${program}); the page is ${path}`));
  child.unref();
}
