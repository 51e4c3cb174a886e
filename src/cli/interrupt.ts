/** Ctrl-C: a command that searches says what it has; one that writes finishes its file first. */
import { printError } from './output.js';

const SIGNALS = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;

/**
 * Ends the process on Ctrl-C, once the code that is running returns to the event loop, with a last word. Files that are
 * being written then are whole.
 *
 * @param lastWord the line for stderr, asked for at the moment of the signal
 * @returns puts things back as they were
 */
export function onInterrupt(lastWord: () => string): () => void {
  return onSignal((exitCode) => {
    printError(`partition: ${lastWord()}`);
    process.exit(exitCode);
  });
}

/** Calls on Ctrl-C instead of ending; the code is the one to end with. */
export function onSignal(call: (exitCode: number) => void): () => void {
  const handlers = Object.entries(SIGNALS).map(([signal, exitCode]) => {
    const handler = (): void => call(exitCode);
    process.on(signal as NodeJS.Signals, handler);
    return [signal, handler] as const;
  });
  return () => handlers.forEach(([signal, handler]) => process.off(signal, handler));
}
