import { expect } from 'chai';
import { remainingSec } from '../../src/cli/output.js';
import { terminalStyle } from '../../src/cli/terminal.js';
import type { MemoryBreakdown } from '../../src/plan/types.js';
import type { PictureFacts, TerminalStyle } from '../../src/report/terminalPicture.js';
import { terminalPicture } from '../../src/report/terminalPicture.js';

const PLAIN: TerminalStyle = { width: 80, colour: false, unicode: false };

function memory(stateBytes: number, passingBytes: number): MemoryBreakdown {
  return {
    ...{ parameterBytes: stateBytes, gradientBytes: 0, optimizerBytes: 0, cacheBytes: 0, reservedBytes: 0 },
    ...{ activationBytes: passingBytes, transientBytes: 0, totalBytes: stateBytes + passingBytes },
  };
}

function facts(stages: number): PictureFacts {
  return {
    stepTimeSec: 2,
    stages: Array.from({ length: stages }, () => ({ works: 0.5, communicates: 0.25, waits: 0.25 })),
    memoryPerRank: Array.from({ length: stages }, (_, r) => memory(40, r === 17 ? 50 : 20)),
    capacityBytes: Array.from({ length: stages }, () => 80),
  };
}

/** Cells of each kind in the bars of a stage's line. */
function cellsOf(line: string): Record<string, number> {
  const count = (mark: string): number => line.split(mark).length - 1;
  return { '=': count('='), '+': count('+') };
}

describe('the picture in a terminal', () => {
  it('has a line a stage, of shares in whole cells, that is as wide as it may be', () => {
    for (let width = 60; width <= 200; width += 7) {
      const lines = terminalPicture(facts(2), { ...PLAIN, width }).split('\n');
      expect(lines.length).to.equal(5);
      for (const line of lines) expect(line.length).to.be.at.most(width);
      expect(lines[1].length).to.be.at.least(width - 1);
      const bar = Math.floor((width - 24) / 2);
      const { '=': full, '+': part } = cellsOf(lines[1]);
      expect(full).to.equal(Math.round(bar / 2) * 2);
      expect(full + part).to.be.closeTo(1.5 * bar, 1);
      expect(lines[1]).to.match(/^0 .* 75\.0% .* 75\.0%$/);
    }
  });

  it('leaves out stages in the middle of many, but not the fullest and the last', () => {
    const lines = terminalPicture(facts(64), PLAIN).split('\n');
    expect(lines.length).to.be.below(20);
    expect(lines.filter((line) => line === '...').length).to.equal(2);
    expect(lines.map((line) => line.split(' ')[0])).to.include.members(['0', '8', '17', '63']);
  });

  it('marks a stage that does not fit', () => {
    expect(
      terminalPicture(facts(18), PLAIN)
        .split('\n')
        .find((l) => l.startsWith('17')),
    ).to.match(/!{20,} +112\.5%$/);
  });

  it('is plain ASCII without a UTF-8 locale, and has no colours where nobody wants them', () => {
    const isAscii = (text: string): boolean => [...text].every((c) => c === '\n' || (c >= ' ' && c <= '~'));
    expect(isAscii(terminalPicture(facts(3), PLAIN))).to.equal(true);
    const blocks = terminalPicture(facts(3), { ...PLAIN, unicode: true });
    expect(blocks).to.include('█').and.not.include('\u001b');
    expect(terminalPicture(facts(3), { ...PLAIN, colour: true })).to.include('\u001b[34m');
  });
});

describe('what a terminal can show', () => {
  const terminal = { isTTY: true, columns: 132 };

  it('is colour on a terminal, unless NO_COLOR or a dumb terminal says no', () => {
    expect(terminalStyle(terminal, { LANG: 'C' }).colour).to.equal(true);
    expect(terminalStyle(terminal, { NO_COLOR: '1' }).colour).to.equal(false);
    expect(terminalStyle(terminal, { NO_COLOR: '' }).colour).to.equal(true);
    expect(terminalStyle(terminal, { TERM: 'dumb' }).colour).to.equal(false);
    expect(terminalStyle({}, {}).colour).to.equal(false);
  });

  it('is as wide as COLUMNS or the terminal says, within reason', () => {
    expect(terminalStyle(terminal, {}).width).to.equal(132);
    expect(terminalStyle(terminal, { COLUMNS: '70' }).width).to.equal(70);
    expect(terminalStyle(terminal, { COLUMNS: '12' }).width).to.equal(60);
    expect(terminalStyle(terminal, { COLUMNS: '5000' }).width).to.equal(200);
    expect(terminalStyle(terminal, { COLUMNS: 'wide' }).width).to.equal(132);
    expect(terminalStyle({}, {}).width).to.equal(100);
  });

  it('is block characters where the locale says UTF-8', () => {
    expect(terminalStyle({}, { LANG: 'de_DE.UTF-8' }).unicode).to.equal(true);
    expect(terminalStyle({}, { LANG: 'de_DE.UTF-8', LC_ALL: 'C' }).unicode).to.equal(false);
    expect(terminalStyle({}, {}).unicode).to.equal(false);
  });
});

describe('the time that is left', () => {
  it('is told from the share that is done, else from the time that was given, else not at all', () => {
    expect(remainingSec(10, 0.25, Infinity)).to.equal(30);
    expect(remainingSec(10, 1, Infinity)).to.equal(0);
    expect(remainingSec(4, null, 10)).to.equal(6);
    expect(remainingSec(12, null, 10)).to.equal(null);
    expect(remainingSec(4, 0, Infinity)).to.equal(null);
    expect(remainingSec(4, null, Infinity)).to.equal(null);
  });
});
