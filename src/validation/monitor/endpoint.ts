/** Reads a Prometheus endpoint that may hang, lie or never end: a deadline, a limit on size, no redirections. */
import { oneLine } from '../../util/errors.js';

const LARGEST_BYTES = 32 * 2 ** 20;

export interface EndpointLimits {
  readonly timeoutSec: number;
  readonly largestBytes?: number;
}

/** The body, or one line that says why there is none. */
export async function fetchExposition(
  url: string,
  { timeoutSec, largestBytes = LARGEST_BYTES }: EndpointLimits,
): Promise<{ text: string } | { fault: string }> {
  try {
    const response = await fetch(url, {
      redirect: 'error',
      signal: AbortSignal.timeout(timeoutSec * 1000),
      headers: { accept: 'text/plain; version=0.0.4' },
    });
    if (!response.ok) return { fault: `answered ${response.status}` };
    if (response.body === null) return { text: '' };
    const chunks: Uint8Array[] = [];
    let bytes = 0;
    for await (const chunk of response.body as AsyncIterable<Uint8Array>) {
      bytes += chunk.length;
      if (bytes > largestBytes) return { fault: `sent more than ${largestBytes} bytes` };
      chunks.push(chunk);
    }
    return { text: Buffer.concat(chunks).toString('utf8') };
  } catch (e) {
    const error = e as Error & { cause?: { code?: string; message?: string } };
    if (error.name === 'TimeoutError' || error.name === 'AbortError')
      return { fault: `said nothing for ${timeoutSec} s` };
    return { fault: oneLine(error.cause?.code ?? error.cause?.message ?? error.message, 120) };
  }
}
