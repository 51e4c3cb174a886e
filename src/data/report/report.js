/* global document, window, localStorage, getComputedStyle, Blob, Response, DecompressionStream, ResizeObserver, matchMedia, requestAnimationFrame, atob */
/** Script of a report page: the choice of colours, and the time line. Its data is packed by report/page/timelineSection.ts. */
(() => {
  'use strict';

  // Colours: as the system has them, or as chosen.
  const THEMES = ['system', 'light', 'dark'];
  const button = document.getElementById('theme');
  const stored = () => {
    try {
      return localStorage.getItem('partition-report-theme') ?? 'system';
    } catch {
      return 'system';
    }
  };
  const changed = [];
  function setTheme(theme) {
    if (theme === 'system') delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    button.textContent = `Colours: ${theme}`;
    button.setAttribute('aria-label', `Colours: ${theme === 'system' ? 'as the system' : theme}`);
    changed.forEach((redraw) => redraw());
  }
  setTheme(THEMES.includes(stored()) ? stored() : 'system');
  button.addEventListener('click', () => {
    const now = document.documentElement.dataset.theme ?? 'system';
    const next = THEMES[(THEMES.indexOf(now) + 1) % THEMES.length];
    try {
      localStorage.setItem('partition-report-theme', next);
    } catch {
      // The choice is forgotten.
    }
    setTheme(next);
  });
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () =>
    changed.forEach((redraw) => redraw()),
  );

  const source = document.getElementById('timeline-data');
  if (source === null) return;
  const setting = JSON.parse(source.textContent);
  const canvas = document.getElementById('timeline-canvas');
  const tip = document.getElementById('timeline-tip');
  const NONE = 0xffffffff;
  const TICKS = 2 ** 31;
  const LANES = ['computes', 'waits for a collective', 'data parallel', 'transfer'];

  /** Columns of a lane of a rank, in order of time: shares of the step, kind of work, microbatch. */
  function unpack(words) {
    const n = words[0];
    const lanes = new Map();
    let end = 0;
    let microbatch = 0;
    let from = 0;
    const start = new Float64Array(n);
    const stop = new Float64Array(n);
    const work = new Uint8Array(n);
    const stage = words.subarray(1 + n, 1 + 2 * n);
    const batch = new Int32Array(n);
    for (let i = 0; i < n; i++) {
      const code = words[1 + i];
      const at = (end + words[1 + 3 * n + i]) >>> 0;
      end = (at + words[1 + 4 * n + i]) >>> 0;
      microbatch = (microbatch + words[1 + 2 * n + i]) | 0;
      start[i] = at / TICKS;
      stop[i] = end / TICKS;
      work[i] = code % 16;
      batch[i] = microbatch;
      const lane = code >>> 4;
      if (i + 1 === n || words[2 + i] >>> 4 !== lane) {
        lanes.set(lane, { from, to: i + 1 });
        from = i + 1;
      }
    }
    return { lanes, start, stop, work, stage, batch };
  }

  function seconds(sec) {
    if (sec >= 1) return `${sec.toPrecision(4)} s`;
    return sec >= 1e-3 ? `${(sec * 1e3).toPrecision(4)} ms` : `${(sec * 1e6).toPrecision(4)} us`;
  }

  let data = null;
  let view = { from: 0, to: 1 };
  const LEFT = 34;
  const TOP = 22;

  /** Heights: a rank's row, and where its lanes stand in it. */
  function rowHeight() {
    return setting.ranks <= 8 ? 44 : setting.ranks <= 20 ? 32 : setting.ranks <= 40 ? 20 : 14;
  }
  function lanesOf(height) {
    // Computing takes most of the row; what a task waits for stands in the same line, for it is one after the other.
    const thin = Math.max(2, Math.floor(height * 0.14));
    const main = height - 3 - 2 * thin;
    return [
      { y: 0, h: main },
      { y: 0, h: main },
      { y: main, h: thin },
      { y: main + thin, h: thin },
    ];
  }

  /** Colours of the style sheet as the canvas takes them. */
  function colourOf(name) {
    const probe = document.createElement('span');
    probe.style.color = name;
    canvas.parentNode.append(probe);
    const { color } = getComputedStyle(probe);
    probe.remove();
    return color;
  }

  /** First interval of [from, to) that ends after the time. */
  function firstAfter(from, to, time) {
    let low = from;
    let high = to;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (data.stop[middle] <= time) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  let pending = false;
  function redraw() {
    if (pending || data === null) return;
    pending = true;
    requestAnimationFrame(() => {
      pending = false;
      draw();
    });
  }

  function draw() {
    const width = canvas.clientWidth;
    const row = rowHeight();
    const height = TOP + setting.ranks * row;
    const ratio = window.devicePixelRatio || 1;
    canvas.style.height = `${height}px`;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    const pen = canvas.getContext('2d');
    pen.scale(ratio, ratio);
    const text = colourOf('var(--text)');
    const dim = colourOf('var(--dim)');
    const faint = colourOf('var(--faint)');
    const colours = setting.works.map((work) => colourOf(work.colour));
    const collective = colourOf(setting.collectiveColour);
    const scale = (width - LEFT) / (view.to - view.from);
    const place = (time) => LEFT + (time - view.from) * scale;
    axis(pen, width, height, place, dim, faint);
    pen.textBaseline = 'middle';
    const lanes = lanesOf(row);
    for (let r = 0; r < setting.ranks; r++) {
      const top = TOP + r * row;
      pen.fillStyle = faint;
      pen.globalAlpha = 0.45;
      pen.fillRect(LEFT, top, width - LEFT, lanes[0].h);
      pen.globalAlpha = 1;
      pen.fillStyle = dim;
      pen.font = '11px system-ui, sans-serif';
      pen.textAlign = 'right';
      if (row >= 14) pen.fillText(String(r), LEFT - 6, top + lanes[0].h / 2);
      pen.textAlign = 'center';
      for (let lane = 0; lane < 4; lane++) {
        const range = data.lanes.get(r * 4 + lane);
        if (range === undefined) continue;
        let edge = -1;
        for (let i = firstAfter(range.from, range.to, view.from); i < range.to; i++) {
          if (data.start[i] >= view.to) break;
          const left = Math.max(LEFT, place(data.start[i]));
          const right = Math.min(width, place(data.stop[i]));
          // What is thinner than a third of a pixel and beside what was just drawn is not seen.
          if (right - left < 0.34 && left - edge < 0.34) continue;
          edge = right;
          const wide = Math.max(0.5, right - left);
          pen.fillStyle = lane === 1 ? collective : colours[data.work[i]];
          pen.fillRect(left, top + lanes[lane].y, wide > 5 ? wide - 0.7 : wide, lanes[lane].h);
          const label = data.batch[i];
          if (lane === 0 && label >= 0 && lanes[0].h >= 12 && wide > 9 + 7 * String(label).length) {
            pen.fillStyle = '#fff';
            pen.fillText(String(label), left + wide / 2, top + lanes[0].h / 2 + 0.5);
          }
        }
      }
    }
    pen.fillStyle = text;
  }

  function axis(pen, width, height, place, dim, faint) {
    const span = (view.to - view.from) * setting.stepTimeSec;
    const raw = span / Math.max(2, width / 130);
    const power = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 5, 10].map((k) => k * power).find((k) => k >= raw);
    pen.font = '11px system-ui, sans-serif';
    pen.textAlign = 'left';
    pen.textBaseline = 'top';
    for (let k = Math.ceil((view.from * setting.stepTimeSec) / step); ; k++) {
      const time = (k * step) / setting.stepTimeSec;
      if (time > view.to) break;
      const x = place(time);
      pen.fillStyle = faint;
      pen.fillRect(x, 0, 1, height);
      pen.fillStyle = dim;
      if (x + 50 < width) pen.fillText(k === 0 ? '0' : seconds(k * step), x + 3, 3);
    }
  }

  function zoom(factor, about = (view.from + view.to) / 2) {
    const span = Math.min(1, Math.max(1e-6, (view.to - view.from) * factor));
    const share = (about - view.from) / (view.to - view.from);
    show(about - share * span, span);
  }
  function show(from, span) {
    const at = Math.max(0, Math.min(1 - span, from));
    view = { from: at, to: at + span };
    redraw();
  }
  const move = (share) => show(view.from + share * (view.to - view.from), view.to - view.from);
  const ACTIONS = {
    in: () => zoom(0.5),
    out: () => zoom(2),
    left: () => move(-0.25),
    right: () => move(0.25),
    all: () => show(0, 1),
  };
  const KEYS = { '+': 'in', '=': 'in', '-': 'out', ArrowLeft: 'left', ArrowRight: 'right', 0: 'all', Home: 'all' };
  for (const tool of document.querySelectorAll('[data-zoom]'))
    tool.addEventListener('click', () => ACTIONS[tool.dataset.zoom]());
  canvas.addEventListener('keydown', (event) => {
    const action = KEYS[event.key];
    if (action === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    ACTIONS[action]();
  });

  const timeAt = (x) => view.from + ((x - LEFT) / (canvas.clientWidth - LEFT)) * (view.to - view.from);
  canvas.addEventListener(
    'wheel',
    (event) => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      zoom(Math.exp(event.deltaY / 300), timeAt(event.offsetX));
    },
    { passive: false },
  );
  let held = null;
  canvas.addEventListener('pointerdown', (event) => {
    held = { x: event.offsetX, from: view.from };
    canvas.setPointerCapture(event.pointerId);
    canvas.style.cursor = 'grabbing';
  });
  const letGo = () => {
    held = null;
    canvas.style.cursor = '';
  };
  canvas.addEventListener('pointerup', letGo);
  canvas.addEventListener('pointercancel', letGo);
  canvas.addEventListener('pointermove', (event) => {
    if (held !== null) {
      const span = view.to - view.from;
      show(held.from - ((event.offsetX - held.x) / (canvas.clientWidth - LEFT)) * span, span);
      return;
    }
    tell(event.offsetX, event.offsetY);
  });

  /** Says what lies under the pointer. */
  function tell(x, y) {
    if (data === null) return;
    const row = rowHeight();
    const r = Math.floor((y - TOP) / row);
    const inside = y - TOP - r * row;
    const time = timeAt(x);
    const found = lanesOf(row).flatMap((lane, l) => {
      const range = data.lanes.get(r * 4 + l);
      if (range === undefined || inside < lane.y || inside >= lane.y + lane.h) return [];
      const i = firstAfter(range.from, range.to, time);
      return i < range.to && data.start[i] <= time ? [{ i, l }] : [];
    });
    if (found.length === 0) return;
    const { i, l } = found[0];
    const parts = [`stage ${r}`, setting.works[data.work[i]].label + (l === 1 ? ` ${LANES[1]}` : '')];
    if (data.batch[i] >= 0) parts.push(`microbatch ${data.batch[i]}`);
    if (data.stage[i] !== NONE && data.stage[i] >= setting.ranks) parts.push(`virtual stage ${data.stage[i]}`);
    const from = data.start[i] * setting.stepTimeSec;
    const to = data.stop[i] * setting.stepTimeSec;
    parts.push(`${seconds(from)} to ${seconds(to)}, ${seconds(to - from)}`);
    tip.textContent = parts.join(' · ');
  }

  async function load() {
    const bytes = Uint8Array.from(atob(setting.packed), (c) => c.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'));
    data = unpack(new Uint32Array(await new Response(stream).arrayBuffer()));
    changed.push(redraw);
    new ResizeObserver(redraw).observe(canvas);
    draw();
    document.documentElement.dataset.ready = 'yes';
  }
  load().catch(() => {
    tip.textContent = 'This browser cannot unpack the time line; the table below tells when each stage works.';
  });
})();
