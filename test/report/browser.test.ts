/** The page in a real browser: headless Chromium where it is installed (`CHROMIUM` may name it). */
import { expect } from 'chai';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Browser, Page } from 'playwright-core';
import { makeReport } from '../../src/api/report.js';
import { gpt2 } from '../cli/support.js';
import { chromiumPath, startChromium } from '../support/chromium.js';
import { writePlanned } from '../support/plannedFolder.js';

const COMMAND = 'partition graphs/gpt2-small.onnx --devices 1024 --seq 1024 --batch 4096';

// What the page is asked, in its own language.
/** Size of the smallest text that is seen, CSS pixels. */
const SMALLEST_TEXT = `Math.min(
  ...[...document.querySelectorAll('p, td, th, li, figcaption, button, a, dd')]
    .filter((e) => e.offsetParent !== null)
    .map((e) => parseFloat(getComputedStyle(e).fontSize)))`;
/** Whether a good part of the time line is painted, and a sum of its colours. */
const PAINTED = `(() => {
  const canvas = document.getElementById('timeline-canvas');
  const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  let sum = 0;
  let opaque = 0;
  for (let i = 0; i < data.length; i += 4) {
    sum = (sum * 31 + data[i] + 7 * data[i + 1] + 13 * data[i + 2]) % 1_000_003;
    if (data[i + 3] > 200) opaque++;
  }
  return (opaque > 0.2 * canvas.width * canvas.height) + ' ' + sum;
})()`;
/** What has the focus. */
const FOCUSED = `document.activeElement.id || document.activeElement.getAttribute('aria-label') ||
  document.activeElement.textContent.trim()`;

/** A colour of the page as numbers, 0 to 255. */
async function ground(page: Page): Promise<number> {
  const colour = await page.evaluate<string>('getComputedStyle(document.body).backgroundColor');
  const [red, green, blue] = colour.match(/\d+/g)!.map(Number);
  return (red + green + blue) / 3;
}

describe('a report in a browser', function () {
  this.timeout(120_000);
  const folder = mkdtempSync(join(tmpdir(), 'report-'));
  let browser: Browser;
  let url = '';

  before(async function () {
    const path = chromiumPath();
    if (path === null) {
      console.log('      skipped: no Chromium is installed');
      this.skip();
    }
    const planPath = await writePlanned(
      folder,
      { modelPath: gpt2, devices: 1024, seq: 1024, batch: 4096 },
      { pp: 4, tp: 2, vpp: 3, microbatch: 1, schedule: 'interleaved' },
      COMMAND,
    );
    const { html, summary } = makeReport(planPath);
    expect(summary.bytes).to.be.below(3e6);
    writeFileSync(join(folder, 'report.html'), html);
    url = pathToFileURL(join(folder, 'report.html')).href;
    browser = await startChromium(path);
  });
  after(async () => {
    await browser?.close();
    rmSync(folder, { recursive: true });
  });

  /** Opens the page; what it says to the console and whom it asks. */
  async function open(
    width: number,
    colorScheme: 'light' | 'dark' = 'light',
  ): Promise<{ page: Page; heard: string[]; openedMs: number }> {
    const page = await browser.newPage({ viewport: { width, height: 900 }, colorScheme });
    const heard: string[] = [];
    page.on('console', (message) => heard.push(`console: ${message.text()}`));
    page.on('pageerror', (error) => heard.push(`error: ${error.message}`));
    page.on('request', (request) => {
      if (request.url() !== url && !request.url().startsWith('data:')) heard.push(`asks ${request.url()}`);
    });
    const started = performance.now();
    await page.goto(url);
    await page.waitForFunction(`document.documentElement.dataset.ready === 'yes'`);
    return { page, heard, openedMs: performance.now() - started };
  }

  for (const width of [1280, 400])
    for (const scheme of ['light', 'dark'] as const)
      it(`opens without a word or a request, ${width} wide and ${scheme}, and nothing sticks out`, async () => {
        const { page, heard, openedMs } = await open(width, scheme);
        expect(heard).to.deep.equal([]);
        // 2 s on a machine of its own; this one may be shared.
        expect(openedMs).to.be.below(10_000);
        const wide = await page.evaluate<number>('document.documentElement.scrollWidth');
        expect(wide).to.be.at.most(width);
        const light = await ground(page);
        if (scheme === 'light') expect(light).to.be.above(200);
        else expect(light).to.be.below(60);
        const small = await page.evaluate<number>(SMALLEST_TEXT);
        expect(small).to.be.at.least(12);
        await page.close();
      });

  it('draws the time line, zooms by key and button, and says what is pointed at', async () => {
    const { page } = await open(1280);
    const painted = (): Promise<string> => page.evaluate<string>(PAINTED);
    const settle = (): Promise<void> => page.waitForTimeout(100);
    const whole = await painted();
    expect(whole).to.match(/^true/);
    await page.focus('#timeline-canvas');
    await page.keyboard.press('+');
    await settle();
    const zoomed = await painted();
    expect(zoomed).to.not.equal(whole);
    await page.keyboard.press('ArrowRight');
    await settle();
    expect(await painted()).to.not.equal(zoomed);
    await page.click('[data-zoom=all]');
    await settle();
    expect(await painted()).to.equal(whole);
    await page.click('[data-zoom=in]');
    await page.hover('#timeline-canvas', { position: { x: 600, y: 40 } });
    await settle();
    expect(await page.textContent('#timeline-tip')).to.match(
      /stage \d · (forward|backward).* · microbatch \d+ · .* to /,
    );
    await page.close();
  });

  it('is reached by keyboard: links, buttons, the time line, what scrolls, what opens', async () => {
    const { page } = await open(1280);
    const seen = new Set<string>();
    for (let i = 0; i < 60; i++) {
      await page.keyboard.press('Tab');
      seen.add(await page.evaluate<string>(FOCUSED));
    }
    expect([...seen]).to.include.members([
      'To the summary',
      'theme',
      'Memory',
      'Zoom in',
      'timeline-canvas',
      'Layer graph, to be scrolled sideways',
      'Command',
    ]);
    await page.close();
  });

  it('takes light or dark by its button and remembers', async () => {
    const { page } = await open(1280, 'light');
    await page.click('#theme');
    await page.click('#theme');
    expect(await page.textContent('#theme')).to.equal('Colours: dark');
    expect(await ground(page)).to.be.below(60);
    await page.reload();
    expect(await page.textContent('#theme')).to.equal('Colours: dark');
    expect(await ground(page)).to.be.below(60);
    await page.close();
  });
});
