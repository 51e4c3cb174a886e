/** Stacked bars, each a row that fits any width, and their legend. */
import type { Markup } from './markup.js';
import { html } from './markup.js';

export interface BarPart {
  readonly label: string;
  readonly colour: string;
  /** Of the whole bar; the parts need not fill it. */
  readonly share: number;
  /** Shown when pointed at, and read out. */
  readonly text: string;
}

/** Parts below this share are not drawn. */
const LEAST_SHARE = 5e-4;

export function stackedBar(parts: readonly BarPart[]): Markup {
  return html`<span class="bar"
    >${parts
      .filter((part) => part.share > LEAST_SHARE)
      .map(
        ({ label, colour, share, text }) =>
          html`<span
            style="width:${(100 * share).toFixed(3)}%;background:${colour}"
            title="${label}: ${text}"
          ></span>`,
      )}</span
  >`;
}

/** Named bars below each other. */
export function barRows(
  rows: readonly { readonly name: string; readonly parts: readonly BarPart[]; readonly text: string }[],
): Markup {
  return html`<div class="bars">
    ${rows.map(
      ({ name, parts, text }) =>
        html`<span class="name">${name}</span>${stackedBar(parts)}<span class="value">${text}</span>`,
    )}
  </div>`;
}

export function legend(entries: readonly { readonly label: string; readonly colour: string }[]): Markup {
  return html`<ul class="legend">
    ${entries.map(({ label, colour }) => html`<li><i style="background:${colour}"></i>${label}</li>`)}
  </ul>`;
}
