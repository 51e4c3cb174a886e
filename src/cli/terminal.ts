/** What the terminal at hand can show. */
import type { TerminalStyle } from '../api/index.js';

const NARROWEST = 60;
const WIDEST = 200;
/** Where nobody says how wide: a pipe, a log. */
const USUAL = 100;

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Colours on a terminal that takes them and whose user does (`NO_COLOR`, see no-color.org); block characters where the
 * locale says UTF-8; the width of the terminal, or `COLUMNS`.
 */
export function terminalStyle(
  { isTTY, columns }: { readonly isTTY?: boolean; readonly columns?: number } = process.stdout,
  env: Environment = process.env,
): TerminalStyle {
  const told = Number(env['COLUMNS']);
  const width = Number.isInteger(told) && told > 0 ? told : (columns ?? USUAL);
  const locale = env['LC_ALL'] || env['LC_CTYPE'] || env['LANG'] || '';
  return {
    width: Math.min(WIDEST, Math.max(NARROWEST, width)),
    colour: isTTY === true && !env['NO_COLOR'] && env['TERM'] !== 'dumb',
    unicode: /utf-?8/i.test(locale),
  };
}
