/** What commands and options there are, read off their own definitions: for completion and for mistyped words. */
import type { Argv, CommandModule } from 'yargs';
import yargs from 'yargs';

export interface OptionFacts {
  /** Without dashes. */
  readonly name: string;
  readonly describe: string;
  readonly takesValue: boolean;
}

export interface CommandFacts {
  /** `null`: the command that no word names. */
  readonly name: string | null;
  readonly describe: string;
  readonly options: readonly OptionFacts[];
}

/** What yargs knows of a parser and its own types do not tell. */
interface Parser {
  getOptions(): {
    readonly key: Readonly<Record<string, unknown>>;
    readonly boolean: readonly string[];
    readonly alias: Readonly<Record<string, readonly string[]>>;
  };
  getInternalMethods(): {
    getUsageInstance(): { getDescriptions(): Readonly<Record<string, string | undefined>> };
  };
}

/** Every command takes these. */
const COMMON: readonly OptionFacts[] = [
  { name: 'plugin', describe: 'JavaScript module to load', takesValue: true },
  { name: 'policy', describe: 'policy that stands for the one that ships', takesValue: true },
  { name: 'help', describe: 'show help', takesValue: false },
];

/** The words that name commands. */
export function commandNames(commands: readonly CommandModule[]): string[] {
  return commands.map((c) => String(c.command).split(' ')[0]).filter((word) => word !== '$0');
}

export function commandTable(commands: readonly CommandModule[]): CommandFacts[] {
  return commands.map((command) => {
    const [word] = String(command.command).split(' ');
    return {
      name: word === '$0' ? null : word,
      describe: typeof command.describe === 'string' ? command.describe : '',
      options: [...optionsOf(command), ...COMMON],
    };
  });
}

function optionsOf({ builder }: CommandModule): OptionFacts[] {
  if (typeof builder !== 'function') return [];
  const parser = yargs([]).help(false).version(false);
  void builder(parser);
  const { key, boolean, alias } = (parser as Argv & Parser).getOptions();
  const described = (parser as Argv & Parser).getInternalMethods().getUsageInstance().getDescriptions();
  const short = new Set(Object.values(alias).flat());
  const camel = (name: string): boolean => /[A-Z]/.test(name);
  // Positional arguments are keys as well, of which no description is kept here.
  return Object.keys(key)
    .filter((name) => !short.has(name) && !camel(name) && described[name] !== undefined)
    .map((name) => ({
      name,
      describe: described[name]!.replace('__yargsString__:', ''),
      takesValue: !boolean.includes(name),
    }));
}

/** The command that an argument list names. */
export function commandOf(table: readonly CommandFacts[], args: readonly string[]): CommandFacts {
  const named = table.find((c) => c.name !== null && c.name === args.find((word) => !word.startsWith('-')));
  return named ?? table.find((c) => c.name === null)!;
}
