/**
 * Text of protobuf strings: UTF-8, read fast and written back exactly.
 *
 * A byte that is not UTF-8 becomes the lone surrogate U+DC00 + byte (Python's "surrogateescape"), so that two broken
 * names never collide and writing restores the very bytes. `hasBrokenText` finds such strings.
 */

const SLOTS = 8192;
/** Longer texts are documentation and traces: they do not repeat, and hashing them would cost more than it saves. */
const LONGEST_INTERNED = 96;

/**
 * A direct-mapped cache from bytes to strings: a tensor's name appears at its producer and at each consumer, and one
 * string serves them all. A newcomer replaces what was in its slot, so crafted collisions cost nothing.
 */
export class TextReader {
  private readonly slots: string[] = new Array<string>(SLOTS).fill('');

  /** The text of `bytes[start, end)`. */
  decode(bytes: Buffer, start: number, end: number): string {
    const length = end - start;
    if (length > LONGEST_INTERNED) return decodeText(bytes, start, end);
    let hash = length;
    let seen = 0;
    for (let i = start; i < end; i++) {
      const byte = bytes[i];
      seen |= byte;
      hash = Math.imul(hash, 31) + byte;
    }
    if (seen > 127) return decodeText(bytes, start, end);
    const slot = (hash ^ (hash >>> 15)) & (SLOTS - 1);
    const cached = this.slots[slot];
    if (cached.length === length && isSame(cached, bytes, start)) return cached;
    const text = bytes.toString('latin1', start, end);
    this.slots[slot] = text;
    return text;
  }
}

function isSame(text: string, bytes: Buffer, start: number): boolean {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) !== bytes[start + i]) return false;
  return true;
}

function decodeText(bytes: Buffer, start: number, end: number): string {
  const text = bytes.toString('utf8', start, end);
  return text.includes('\ufffd') ? decodeEscaping(bytes, start, end) : text;
}

/** Byte by byte: valid sequences as they are (among them a true U+FFFD), every other byte escaped. */
function decodeEscaping(bytes: Buffer, start: number, end: number): string {
  const parts: string[] = [];
  let good = start;
  let at = start;
  while (at < end) {
    const length = sequenceLength(bytes, at, end);
    if (length > 0) {
      at += length;
      continue;
    }
    if (good < at) parts.push(bytes.toString('utf8', good, at));
    parts.push(String.fromCharCode(0xdc00 + bytes[at]));
    good = ++at;
  }
  if (good < end) parts.push(bytes.toString('utf8', good, end));
  return parts.join('');
}

/** Length of the well-formed UTF-8 sequence at `at` (Unicode table 3-7), 0 when there is none. */
function sequenceLength(bytes: Buffer, at: number, end: number): number {
  const lead = bytes[at];
  if (lead < 0x80) return 1;
  const length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || at + length > end) return 0;
  const second = bytes[at + 1];
  const low = lead === 0xe0 ? 0xa0 : lead === 0xf0 ? 0x90 : 0x80;
  const high = lead === 0xed ? 0x9f : lead === 0xf4 ? 0x8f : 0xbf;
  if (second < low || second > high) return 0;
  for (let i = 2; i < length; i++) if ((bytes[at + i] & 0xc0) !== 0x80) return 0;
  return length;
}

const LONE_ESCAPE = /[\udc80-\udcff]/u;

/** Whether the text holds bytes that were not UTF-8. */
export function hasBrokenText(text: string): boolean {
  return LONE_ESCAPE.test(text);
}

/** Bytes that `text` takes when written. */
export function encodedLength(text: string): number {
  const length = Buffer.byteLength(text, 'utf8');
  // Fast for ASCII; an escaped byte is counted as the three bytes of U+FFFD.
  if (length === text.length || !hasBrokenText(text)) return length;
  return length - 2 * (text.match(/[\udc80-\udcff]/gu)?.length ?? 0);
}

/** The bytes of `text`, escaped bytes restored. */
export function encodeText(text: string): Buffer {
  if (!hasBrokenText(text)) return Buffer.from(text, 'utf8');
  const parts: Buffer[] = [];
  for (const part of text.split(/([\udc80-\udcff])/u)) {
    parts.push(
      part.length === 1 && LONE_ESCAPE.test(part)
        ? Buffer.from([part.charCodeAt(0) - 0xdc00])
        : Buffer.from(part, 'utf8'),
    );
  }
  return Buffer.concat(parts);
}
