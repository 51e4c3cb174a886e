/** `partition completion <shell>`: a script that completes commands, options and their values; it starts no program. */
import type { CommandModule } from 'yargs';
import { METHODS, PRECISIONS, STACKS, emitTargets, listClusters } from '../api/index.js';
import { shellWord } from '../util/shell.js';
import type { CommandFacts } from './commandTable.js';
import { commandTable } from './commandTable.js';
import { oneOf, required } from './options.js';
import { print } from './output.js';

const SHELLS = ['bash', 'zsh', 'fish'] as const;
const USAGE = `completion <${SHELLS.join('|')}>`;

interface Args {
  shell?: string;
}

/** @param commands all of the program's; asked for when the command runs, because this one is among them */
export function completionCommand(commands: () => readonly CommandModule[]): CommandModule<object, Args> {
  return {
    command: 'completion [shell]',
    describe: 'a script that completes commands, options and values in bash, zsh or fish',
    builder: (argv) =>
      argv
        .usage(`partition ${USAGE}`)
        .positional('shell', { type: 'string', describe: SHELLS.join(', ') })
        .epilogue(
          [
            'Examples:',
            '  partition completion bash > ~/.local/share/bash-completion/completions/partition',
            '  partition completion zsh > ~/.zfunc/_partition         (a folder of $fpath)',
            '  partition completion fish > ~/.config/fish/completions/partition.fish',
          ].join('\n'),
        ) as never,
    handler: (args) => {
      const shell = oneOf(required(args.shell, SHELLS.join(', '), USAGE), SHELLS, 'completion');
      print(WRITERS[shell](commandTable(commands())));
    },
  };
}

/** Words that an option takes, where they are known beforehand. */
function valuesOf(option: string): readonly string[] {
  switch (option) {
    case 'cluster':
      return listClusters().map((c) => c.name);
    case 'method':
    case 'methods':
      return METHODS;
    case 'precision':
      return PRECISIONS;
    case 'stack':
      return STACKS;
    case 'phase':
      return ['train', 'inference'];
    case 'objective':
      return ['time', 'energy', 'cost', 'utilisation', 'pareto'];
    case 'target':
      return emitTargets().map((t) => t.name);
    case 'shell':
      return SHELLS;
    default:
      return [];
  }
}

type Writer = (table: readonly CommandFacts[]) => string;

const WRITERS: Readonly<Record<(typeof SHELLS)[number], Writer>> = { bash, zsh, fish };

const named = (table: readonly CommandFacts[]): CommandFacts[] => table.filter((c) => c.name !== null);
const unnamed = (table: readonly CommandFacts[]): CommandFacts => table.find((c) => c.name === null)!;
const flags = ({ options }: CommandFacts): string => options.map((o) => `--${o.name}`).join(' ');

/** Options whose values are known, each once. */
function valued(table: readonly CommandFacts[]): [option: string, values: readonly string[]][] {
  const names = new Set(table.flatMap((c) => c.options.filter((o) => o.takesValue).map((o) => o.name)));
  return [...names]
    .map((name): [string, readonly string[]] => [name, valuesOf(name)])
    .filter(([, v]) => v.length > 0);
}

function bash(table: readonly CommandFacts[]): string {
  const names = named(table).map((c) => c.name!);
  return `# bash completion for partition
_partition() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD-1]} command= options word
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case $word in
      ${names.join('|')}) command=$word; break ;;
    esac
  done
  case $previous in
${valued(table)
  .map(
    ([option, values]) =>
      `    --${option}) COMPREPLY=($(compgen -W '${values.join(' ')}' -- "$current") $(compgen -f -- "$current")); return ;;`,
  )
  .join('\n')}
  esac
  case $command in
${named(table)
  .map((c) => `    ${c.name}) options='${flags(c)}' ;;`)
  .join('\n')}
    *) options='${flags(unnamed(table))} --version' ;;
  esac
  COMPREPLY=()
  if [[ $current == -* ]]; then
    COMPREPLY=($(compgen -W "$options" -- "$current"))
  else
    if [[ -z $command && COMP_CWORD -eq 1 ]]; then
      COMPREPLY=($(compgen -W '${names.join(' ')}' -- "$current"))
    elif [[ $command == completion ]]; then
      COMPREPLY=($(compgen -W '${SHELLS.join(' ')}' -- "$current"))
    fi
    COMPREPLY+=($(compgen -f -- "$current"))
  fi
}
complete -o filenames -F _partition partition
`;
}

function zsh(table: readonly CommandFacts[]): string {
  const names = named(table).map((c) => c.name!);
  const described = (name: string, text: string): string =>
    shellWord(`${name}:${text.replaceAll(':', ' -')}`);
  const options = (c: CommandFacts): string =>
    c.options.map((o) => described(`--${o.name}`, o.describe)).join(' ');
  return `#compdef partition
# zsh completion for partition
_partition() {
  local -a names options
  local command= word
  names=(${named(table)
    .map((c) => described(c.name!, c.describe))
    .join(' ')})
  for word in "\${(@)words[2,CURRENT-1]}"; do
    case $word in
      ${names.join('|')}) command=$word; break ;;
    esac
  done
  case \${words[CURRENT-1]} in
${valued(table)
  .map(
    ([option, values]) => `    --${option}) compadd -- ${values.map(shellWord).join(' ')}; _files; return ;;`,
  )
  .join('\n')}
  esac
  case $command in
${named(table)
  .map((c) => `    ${c.name}) options=(${options(c)}) ;;`)
  .join('\n')}
    *) options=(${options(unnamed(table))}) ;;
  esac
  if [[ $PREFIX == -* ]]; then
    _describe -o option options
  else
    if [[ -z $command && CURRENT -eq 2 ]]; then
      _describe command names
    elif [[ $command == completion ]]; then
      compadd -- ${SHELLS.join(' ')}
    fi
    _files
  fi
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
  _partition "$@"
else
  compdef _partition partition
fi
`;
}

function fish(table: readonly CommandFacts[]): string {
  const names = named(table).map((c) => c.name!);
  const quoted = (text: string): string => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
  const lines = ['# fish completion for partition'];
  for (const c of named(table))
    lines.push(`complete -c partition -n __fish_use_subcommand -a ${c.name} -d ${quoted(c.describe)}`);
  for (const c of table) {
    const seen =
      c.name === null
        ? `not __fish_seen_subcommand_from ${names.join(' ')}`
        : `__fish_seen_subcommand_from ${c.name}`;
    for (const { name, describe, takesValue } of c.options) {
      const values = takesValue ? valuesOf(name) : [];
      const taken = values.length > 0 ? ` -a ${quoted(values.join(' '))}` : '';
      lines.push(
        `complete -c partition -n ${quoted(seen)} -l ${name}${takesValue ? ' -r' : ''}${taken} -d ${quoted(describe)}`,
      );
    }
  }
  lines.push(`complete -c partition -n '__fish_seen_subcommand_from completion' -a '${SHELLS.join(' ')}'`);
  return `${lines.join('\n')}\n`;
}
