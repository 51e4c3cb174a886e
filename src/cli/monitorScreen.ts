/** What a monitor shows meanwhile: a picture that is redrawn on a terminal, else findings as they come. */
import type { Finding, MonitorSummary } from '../api/index.js';
import { monitorTable, monitorView } from '../api/index.js';
import { Progress, print, printError, printJson } from './output.js';
import { terminalStyle } from './terminal.js';

/** The terminal, or what stands for it. */
export interface Screen {
  readonly isTTY?: boolean;
  readonly columns?: number;
  readonly rows?: number;
  write(text: string): unknown;
  on(event: 'resize', call: () => void): unknown;
  off(event: 'resize', call: () => void): unknown;
}

export interface ScreenOptions {
  readonly json: boolean;
  readonly findings: boolean;
  readonly quiet: boolean;
}

/** Another page of the terminal, without a cursor; what stood there comes back afterwards. */
const ENTER = '\u001b[?1049h\u001b[?25l';
const LEAVE = '\u001b[?25h\u001b[?1049l';
const HOME = '\u001b[H';
const REST_OF_LINE = '\u001b[K';
const REST_OF_SCREEN = '\u001b[0J';
const WIPE = '\u001b[2J';
const USUAL_ROWS = 24;

export class MonitorScreen {
  readonly isLive: boolean;
  private readonly progress: Progress;
  private isOpen = false;
  private latest: MonitorSummary | null = null;
  private readonly resized = (): void => {
    this.screen.write(WIPE);
    if (this.latest !== null) this.draw(this.latest);
  };

  constructor(
    private readonly options: ScreenOptions,
    private readonly screen: Screen = process.stdout,
    private readonly env: Readonly<Record<string, string | undefined>> = process.env,
  ) {
    const { json, findings, quiet } = options;
    this.isLive = screen.isTTY === true && env['TERM'] !== 'dumb' && !json && !findings && !quiet;
    this.progress = new Progress(quiet || this.isLive);
  }

  finding(finding: Finding): void {
    if (this.options.findings) print(JSON.stringify(finding));
    else if (!this.isLive && !this.options.quiet) printError(`step ${finding.step}: ${finding.message}`);
  }

  status(summary: () => MonitorSummary): void {
    if (!this.isLive) {
      this.progress.updateNow('following');
      return;
    }
    if (!this.isOpen) {
      this.isOpen = true;
      this.screen.write(ENTER + WIPE);
      this.screen.on('resize', this.resized);
    }
    this.latest = summary();
    this.draw(this.latest);
  }

  /** The last word stays on the terminal. */
  done(summary: MonitorSummary): void {
    this.close();
    if (this.options.json) printJson(summary);
    else if (this.isLive) this.screen.write(`${monitorTable(summary)}\n`);
    else if (!this.options.findings) print(monitorTable(summary));
  }

  /** Gives the terminal back, also after a fault. */
  close(): void {
    this.progress.done();
    if (!this.isOpen) return;
    this.isOpen = false;
    this.screen.off('resize', this.resized);
    this.screen.write(LEAVE);
  }

  private draw(summary: MonitorSummary): void {
    // The size is the terminal's at this moment, whatever it was when the shell started.
    const style = terminalStyle(this.screen, { ...this.env, COLUMNS: undefined });
    const width = Math.min(style.width, this.screen.columns ?? style.width);
    const lines = monitorView(summary, { ...style, width }, this.screen.rows ?? USUAL_ROWS);
    this.screen.write(`${HOME}${lines.map((line) => line + REST_OF_LINE).join('\r\n')}${REST_OF_SCREEN}`);
  }
}
