import { expect } from 'chai';
import fc from 'fast-check';
import { encodedLength, encodeText, hasBrokenText, TextReader } from '../../src/model/text.js';

const read = (bytes: Uint8Array): string => new TextReader().decode(Buffer.from(bytes), 0, bytes.length);

describe('text of protobuf strings', () => {
  it('gives back the bytes of any string, UTF-8 or not', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        const text = read(bytes);
        expect(new Uint8Array(encodeText(text))).to.deep.equal(bytes);
        expect(encodedLength(text)).to.equal(bytes.length);
      }),
      { numRuns: 1000, seed: 3 },
    );
  });

  it('never maps two different byte strings to one text', () => {
    const names = [[0xff], [0xfe], [0xef, 0xbf, 0xbd], [0xed, 0xb2, 0x80], [0xc0, 0x80]].map((b) =>
      Uint8Array.from(b),
    );
    expect(new Set(names.map(read)).size).to.equal(names.length);
  });

  it('tells broken text from a true replacement character and from a surrogate pair', () => {
    expect(hasBrokenText(read(Uint8Array.of(0x61, 0xff)))).to.equal(true);
    expect(hasBrokenText('\ufffd')).to.equal(false);
    expect(hasBrokenText('a\u{1f600}b')).to.equal(false);
  });

  it('keeps names apart that Unicode would normalise to one', () => {
    const [composed, decomposed] = ['\u00e9', 'e\u0301'].map((t) => read(new Uint8Array(Buffer.from(t))));
    expect(composed).to.not.equal(decomposed);
  });

  it('hands out one string for a name that comes again, and survives its cache being too small', () => {
    const reader = new TextReader();
    const bytes = Buffer.from(Array.from({ length: 30000 }, (_, i) => `name_${i}`).join(''));
    let at = 0;
    for (let i = 0; i < 30000; i++) {
      const length = `name_${i}`.length;
      expect(reader.decode(bytes, at, at + length)).to.equal(`name_${i}`);
      at += length;
    }
  });
});
