/** A headless browser, where one is installed. */
import { existsSync } from 'node:fs';
import type { Browser } from 'playwright-core';
import { chromium } from 'playwright-core';

const PLACES = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];
/** It must ask nobody anything: whatever request is seen is the page's. */
const QUIET = [
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--no-first-run',
];

/** Path of the browser: `CHROMIUM` in the environment, or where systems put it; null when there is none. */
export function chromiumPath(): string | null {
  const places = [process.env['CHROMIUM'] ?? '', ...PLACES];
  return places.find((path) => path !== '' && existsSync(path)) ?? null;
}

export function startChromium(executablePath: string): Promise<Browser> {
  return chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu', ...QUIET] });
}
