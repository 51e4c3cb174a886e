/** Words of a command line for a POSIX shell. */

/** A word as it may be typed; in single quotes where it would mean something else bare. */
export function shellWord(word: string): string {
  return /^[A-Za-z0-9_@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** Words as one line. */
export function shellLine(words: readonly string[]): string {
  return words.map(shellWord).join(' ');
}
