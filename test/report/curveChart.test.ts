import { expect } from 'chai';
import { compareChart, comparePage } from '../../src/report/compareChart.js';
import type { CompareFacts } from '../../src/report/compareTable.js';
import { compareTable } from '../../src/report/compareTable.js';
import { curveChart } from '../../src/report/curveChart.js';

const series = (name: string, ys: number[][]) => ({
  name,
  runs: ys.map((y) => ({ x: y.map((_, i) => 10 ** i), y })),
});

describe('report/curveChart', () => {
  it('draws the median as steps that never rise, and names in the legend safely', () => {
    const svg = curveChart([
      {
        ...{ title: 'a <b> & "c"', xLabel: 'evaluations', yLabel: 'time', xMin: 1, xMax: 1000 },
        series: [series('one', [[4, 3, 2]]), series('two', [[5, 4], [3]])],
      },
    ]);
    expect(svg).to.match(/^<svg [^>]*viewBox="0 0 360 \d+"/);
    expect(svg).to.contain('a &lt;b&gt; &amp; &quot;c&quot;');
    expect(svg).to.not.match(/NaN|Infinity|undefined/);
    const lines = [...svg.matchAll(/<polyline points="([^"]+)"/g)].map((m) =>
      m[1].split(' ').map((p) => Number(p.split(',')[1])),
    );
    expect(lines).to.have.length(2);
    for (const heights of lines)
      for (let i = 1; i < heights.length; i++) expect(heights[i]).to.be.at.least(heights[i - 1]);
  });

  it('draws a panel without any plan', () => {
    const svg = curveChart([
      { title: 't', xLabel: 'x', yLabel: 'y', xMin: 1, xMax: 10, series: [series('none', [[]])] },
    ]);
    expect(svg).to.not.match(/NaN|Infinity|undefined|polyline/);
  });
});

describe('report/compareTable', () => {
  const row = {
    ...{ method: 'ppo', isAgent: true, lowerQuartile: 1, median: 1.5, upperQuartile: null, wonShare: 1 },
    ...{ beatsRandomShare: 0.5, evaluations: 100, wallSec: 0.2, gapToBound: 0.5, gapToBest: 0, proved: 0 },
    ...{ endedEarly: true, capped: false, failure: null },
  };
  const facts: CompareFacts = {
    ...{ model: 'm.onnx', devices: 8, cluster: 'h100', objective: 'time', lowerBound: 1, seeds: [1, 2] },
    best: { value: 1, method: 'ppo', seed: 1 },
    comparisons: [
      {
        by: 'evaluations',
        amount: 100,
        methods: [row, { ...row, method: 'gpmetis', failure: 'not installed' }],
      },
    ],
  };

  it('shows rows, what did not run, and what to compare by time', () => {
    const table = compareTable(facts);
    expect(table).to.match(
      /ppo \* +1\.50 s +1\.00 s \.\. no plan +\+0\.0% +\+50\.0% +100% +50% +100 +200 ms/,
    );
    expect(table).to.contain('gpmetis did not run: not installed');
    expect(table).to.contain('to be compared by time');
    expect(table).to.contain('best: 1.00 s by ppo, seed 1');
  });

  it('goes on a page with its curves, which loads nothing', () => {
    const curve = [
      { evaluations: 1, wallSec: 0, value: 2 },
      { evaluations: 50, wallSec: 0.1, value: 1.5 },
    ];
    const runs = [{ method: 'ppo', by: 'evaluations', curve }];
    expect(compareChart(facts, runs)).to.contain('<polyline');
    const page = comparePage(facts, runs);
    expect(page).to.match(/^<!DOCTYPE html>/);
    expect(page).to.not.match(/src=|href=|NaN/);
  });
});
