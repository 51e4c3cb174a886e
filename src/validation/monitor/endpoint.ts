/**
 * Reads a Prometheus endpoint that may hang, drip, break off or never end: a deadline for the whole answer, a limit on its
 * size, no redirections, and nothing of an answer that is not whole.
 */
import { oneLine } from '../../util/errors.js';

const LARGEST_BYTES = 32 * 2 ** 20;
const BROKE_OFF = 'broke off in the middle of its answer';

export interface EndpointLimits {
  readonly timeoutSec: number;
  readonly largestBytes?: number;
}

/** The body, or one line that says why there is none. */
export async function fetchExposition(
  url: string,
  { timeoutSec, largestBytes = LARGEST_BYTES }: EndpointLimits,
): Promise<{ text: string } | { fault: string }> {
  let bytes = 0;
  try {
    const response = await fetch(url, {
      redirect: 'error',
      signal: AbortSignal.timeout(timeoutSec * 1000),
      headers: { accept: 'text/plain; version=0.0.4' },
    });
    if (!response.ok) return { fault: `answered ${response.status}` };
    if (response.body === null) return { text: '' };
    const chunks: Uint8Array[] = [];
    for await (const chunk of response.body as AsyncIterable<Uint8Array>) {
      bytes += chunk.length;
      if (bytes > largestBytes) return { fault: `sent more than ${largestBytes} bytes` };
      chunks.push(chunk);
    }
    const text = Buffer.concat(chunks).toString('utf8');
    // The format ends every line; a number whose end is missing is another number.
    return text === '' || text.endsWith('\n') ? { text } : { fault: BROKE_OFF };
  } catch (e) {
    const error = e as Error & { cause?: { code?: string; message?: string } };
    if (error.name === 'TimeoutError' || error.name === 'AbortError')
      return {
        fault: bytes === 0 ? `said nothing for ${timeoutSec} s` : `was not done after ${timeoutSec} s`,
      };
    if (bytes > 0 || error.message === 'terminated') return { fault: BROKE_OFF };
    return { fault: oneLine(error.cause?.code ?? error.cause?.message ?? error.message, 120) };
  }
}
