/**
 * Reads JSON that comes in pieces, of any length, without building it: what is found is told to a listener. Numbers are
 * the hot path; strings are short.
 */
export interface JsonListener {
  number(value: number): void;
  /** A string that is a value. */
  text(value: string): void;
  key(name: string): void;
  /** true, false or null. */
  literal(value: boolean | null): void;
  beginArray(): void;
  endArray(): void;
  beginObject(): void;
  endObject(): void;
}

/** What may come next. */
const VALUE = 0;
const FIRST_ITEM = 1;
const FIRST_KEY = 2;
const KEY = 3;
const COLON = 4;
const COMMA = 5;
const NOTHING = 6;

const EXPECTED = [
  'a value',
  'a value or ]',
  'a key or }',
  'a key',
  ':',
  'a comma or the end of what was begun',
  'the end',
];

const ARRAY = 1;
const OBJECT = 2;
/** Nothing that is read here nests deeper. */
const DEEPEST = 64;
/** Digits that a double adds up exactly. */
const EXACT_DIGITS = 15;
/** Powers of ten up to this one are exact. */
const EXACT_POWER = 22;
const LONGEST_WORD = 4096;

export class JsonScanner {
  private expects = VALUE;
  private readonly stack = new Uint8Array(DEEPEST);
  private depth = 0;
  /** Bytes of a word (string, literal, number with more than digits) that is not at its end. */
  private word: number[] = [];
  private inString = false;
  private inWord = false;
  private escaped = false;
  private offset = 0;
  /** A number of digits only, so far. */
  private digits = 0;
  private whole = 0;
  /** Zeros after as many digits as are exact. */
  private zeros = 0;

  constructor(private readonly listener: JsonListener) {}

  /**
   * Takes the next piece.
   *
   * @throws SyntaxError with the byte where the text is no JSON
   */
  push(bytes: Uint8Array): void {
    const length = bytes.length;
    let at = 0;
    while (at < length) {
      const c = bytes[at];
      if (this.inString) {
        at = this.string(bytes, at);
        continue;
      }
      if (c >= 48 && c <= 57 && !this.inWord) {
        // The hot path: a run of digits, summed as it comes.
        let { whole, digits } = this;
        if (digits === 0) this.needValue(at);
        let d = c;
        let long = false;
        while (d >= 48 && d <= 57) {
          if (digits > 0 && whole === 0) throw this.fault(at, 'a number without leading zeros');
          if (digits < EXACT_DIGITS) {
            whole = whole * 10 + (d - 48);
            digits++;
          } else if (d === 48 && this.zeros < EXACT_POWER) this.zeros++;
          else {
            long = true;
            break;
          }
          if (++at === length) break;
          d = bytes[at];
        }
        this.whole = whole;
        this.digits = digits;
        // Too long to add up exactly: the digits so far begin a word.
        if (long) this.digitsBecomeWord();
        continue;
      }
      if (this.inWord) {
        if (isWord(c)) {
          if (this.word.length > LONGEST_WORD) throw this.fault(at, 'a shorter word');
          this.word.push(c);
          at++;
          continue;
        }
        this.endWord(at);
        continue;
      }
      if (this.digits > 0) {
        if (isWord(c)) {
          this.digitsBecomeWord();
          continue;
        }
        this.endDigits();
        continue;
      }
      this.mark(c, at);
      at++;
    }
    this.offset += length;
  }

  /** @throws SyntaxError when the text is not at its end */
  end(): void {
    if (this.inWord) this.endWord(0);
    if (this.digits > 0) this.endDigits();
    if (this.expects !== NOTHING)
      throw new SyntaxError(`it ends where ${EXPECTED[this.expects]} was expected`);
  }

  private startWord(soFar: string): void {
    this.word = Array.from(soFar, (c) => c.charCodeAt(0));
    this.inWord = true;
    this.digits = 0;
    this.whole = 0;
    this.zeros = 0;
  }

  private digitsBecomeWord(): void {
    this.startWord(String(this.whole) + '0'.repeat(this.zeros));
  }

  private endDigits(): void {
    // Both factors are exact, so that the product is rounded once, as it should be.
    const value = this.zeros === 0 ? this.whole : this.whole * 10 ** this.zeros;
    this.digits = 0;
    this.whole = 0;
    this.zeros = 0;
    this.afterValue();
    this.listener.number(value);
  }

  private mark(c: number, at: number): void {
    switch (c) {
      case 32:
      case 9:
      case 10:
      case 13:
        return;
      case 44: // ,
        if (this.expects !== COMMA) throw this.fault(at, EXPECTED[this.expects]);
        this.expects = this.stack[this.depth - 1] === ARRAY ? VALUE : KEY;
        return;
      case 91: // [
        this.needValue(at);
        this.open(ARRAY, at);
        this.expects = FIRST_ITEM;
        this.listener.beginArray();
        return;
      case 93: // ]
        this.close(ARRAY, at);
        this.listener.endArray();
        return;
      case 123: // {
        this.needValue(at);
        this.open(OBJECT, at);
        this.expects = FIRST_KEY;
        this.listener.beginObject();
        return;
      case 125: // }
        this.close(OBJECT, at);
        this.listener.endObject();
        return;
      case 58: // :
        if (this.expects !== COLON) throw this.fault(at, EXPECTED[this.expects]);
        this.expects = VALUE;
        return;
      case 34: // "
        if (this.expects !== KEY && this.expects !== FIRST_KEY) this.needValue(at);
        this.inString = true;
        this.word = [];
        return;
      default:
        this.needValue(at);
        if (!isWord(c)) throw this.fault(at, EXPECTED[this.expects]);
        this.startWord(String.fromCharCode(c));
    }
  }

  private needValue(at: number): void {
    if (this.expects !== VALUE && this.expects !== FIRST_ITEM) throw this.fault(at, EXPECTED[this.expects]);
  }

  private open(kind: number, at: number): void {
    if (this.depth === DEEPEST) throw this.fault(at, `no more than ${DEEPEST} levels`);
    this.stack[this.depth++] = kind;
  }

  private close(kind: number, at: number): void {
    const empty = kind === ARRAY ? FIRST_ITEM : FIRST_KEY;
    if (
      this.depth === 0 ||
      this.stack[this.depth - 1] !== kind ||
      (this.expects !== COMMA && this.expects !== empty)
    )
      throw this.fault(at, EXPECTED[this.expects]);
    this.depth--;
    this.afterValue();
  }

  private afterValue(): void {
    this.expects = this.depth === 0 ? NOTHING : COMMA;
  }

  /** @returns where the string, or this piece of it, ends */
  private string(bytes: Uint8Array, from: number): number {
    for (let at = from; at < bytes.length; at++) {
      const c = bytes[at];
      if (c < 32) throw this.fault(at, 'a string without control characters');
      if (c === 34 && !this.escaped) {
        this.inString = false;
        this.endString(at);
        return at + 1;
      }
      this.escaped = c === 92 && !this.escaped;
      if (this.word.length < LONGEST_WORD) this.word.push(c);
    }
    return bytes.length;
  }

  private endString(at: number): void {
    const raw = Buffer.from(this.word).toString('utf8');
    let value: string;
    try {
      value = raw.includes('\\') ? (JSON.parse(`"${raw}"`) as string) : raw;
    } catch {
      // Cut short, or a bad escape: only the first is forgiven.
      if (this.word.length < LONGEST_WORD) throw this.fault(at, 'a legal escape');
      value = raw;
    }
    if (this.expects === KEY || this.expects === FIRST_KEY) {
      this.expects = COLON;
      this.listener.key(value);
    } else {
      this.afterValue();
      this.listener.text(value);
    }
  }

  private endWord(at: number): void {
    const word = String.fromCharCode(...this.word);
    this.inWord = false;
    this.afterValue();
    if (word === 'true' || word === 'false') this.listener.literal(word === 'true');
    else if (word === 'null') this.listener.literal(null);
    else if (/^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/.test(word)) this.listener.number(Number(word));
    else throw this.fault(at, `a value, found ${word.slice(0, 40)}`);
  }

  private fault(at: number, expected: string): SyntaxError {
    return new SyntaxError(`at byte ${this.offset + at}: expected ${expected}`);
  }
}

/** Characters of numbers and literals. */
function isWord(c: number): boolean {
  return (
    (c >= 48 && c <= 57) || (c >= 97 && c <= 122) || (c >= 65 && c <= 90) || c === 43 || c === 45 || c === 46
  );
}
