/** Every example of every --help: its flags are the command's, and it runs where the files that it names are here. */
import { expect } from 'chai';
import { existsSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { partition, root, scratchFolder } from './support.js';

/** Folders of the repository that examples name. */
const FOLDERS = ['graphs', 'partitions'];
/** A file that an example reads; outputs are named by flags. */
const FILE = /\.[a-z][a-z0-9]*$/i;
const OUTPUTS = ['--out', '--trace', '--chart', '--record', '--frequency-plan', '--chakra'];
/** A search in an example is cut short. */
const BUDGET = '40ev';

/** The words of an example line, without what is said beside it. */
function wordsOf(line: string): string[] {
  const [command] = line.trim().split(/ {2,}| > /);
  return command.split(' ').slice(1);
}

function needsMissingFile(words: readonly string[]): boolean {
  return words.some((word, i) => {
    if (word === 'report' || word.startsWith('--') || OUTPUTS.includes(words[i - 1])) return false;
    return (FILE.test(word) || word.includes('/')) && !existsSync(join(root, word));
  });
}

describe('the examples of --help', function () {
  this.timeout(300_000);
  const folder = scratchFolder('examples');
  /** Flags by command; the command that no word names is ''. */
  const flags = new Map<string, readonly string[]>();

  before(async () => {
    for (const name of FOLDERS) symlinkSync(join(root, name), join(folder(), name));
    const { stdout } = await partition(['completion', 'bash'], folder());
    for (const [, name, options] of stdout.matchAll(/^ {4}([a-z]+|\*)\) options='([^']*)'/gm))
      flags.set(name === '*' ? '' : name, options.split(' '));
  });

  it('use flags that are there, and run', async () => {
    expect(flags.size).to.be.at.least(14);
    const ran: string[] = [];
    for (const [name, known] of flags) {
      const help = await partition([...(name === '' ? [] : [name]), '--help'], folder());
      expect(help.code, name).to.equal(0);
      const examples = help.stdout
        .split('\n')
        .filter((line) => /^ {2,}partition /.test(line) && !/\[|</.test(line));
      const own = help.stdout.slice(help.stdout.indexOf('Examples:'));
      const lines = examples.filter((line) => own.includes(line));
      expect(help.stdout, name).to.include('Examples:');
      for (const line of lines) {
        const words = wordsOf(line);
        const command = flags.has(words[0]) ? words[0] : '';
        const used = words.filter((w) => w.startsWith('--')).map((w) => w.replace(/=.*$/, ''));
        expect(flags.get(command), line).to.include.members(used);
        if (needsMissingFile(words) || command === 'train') continue;
        const short = known.includes('--budget') && command === name ? ['--budget', BUDGET] : [];
        const { code, stderr } = await partition([...words, ...short], folder());
        expect(code, `${line}\n${stderr}`).to.equal(0);
        ran.push(line);
      }
    }
    expect(ran.length).to.be.at.least(8);
  });
});
