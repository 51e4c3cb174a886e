/** HTML as values: text is escaped where it is put in, markup is not escaped twice. */
import { escapeXml } from '../curveChart.js';

/** Text that is markup already. */
export class Markup {
  constructor(readonly text: string) {}
}

type Content = Markup | string | number | null | readonly Content[];

/** A template whose values are escaped unless they are markup; null is nothing, lists are joined. */
export function html(parts: TemplateStringsArray, ...values: readonly Content[]): Markup {
  let text = parts[0];
  values.forEach((value, i) => (text += textOf(value) + parts[i + 1]));
  return new Markup(text);
}

function textOf(value: Content): string {
  if (value === null) return '';
  if (value instanceof Markup) return value.text;
  if (typeof value === 'object') return value.map(textOf).join('');
  return escapeXml(String(value));
}

/** A table with a row of headings; the first column names its rows, the others are numbers. */
export function table(
  caption: string,
  head: readonly string[],
  rows: readonly (readonly Content[])[],
): Markup {
  return html`<div class="scroll" tabindex="0" role="region" aria-label="${caption}">
    <table>
      <caption>
        ${caption}
      </caption>
      <thead>
        <tr>
          ${head.map((cell) => html`<th scope="col">${cell}</th>`)}
        </tr>
      </thead>
      <tbody>
        ${rows.map(
          ([first, ...rest]) =>
            html`<tr>
              <th scope="row">${first}</th>
              ${rest.map((cell) => html`<td>${cell}</td>`)}
            </tr>`,
        )}
      </tbody>
    </table>
  </div>`;
}

/** A table that is opened when it is wanted: the numbers behind a picture. */
export function tableBehind(...args: Parameters<typeof table>): Markup {
  return html`<details>
    <summary>${args[0]}, as a table</summary>
    ${table(...args)}
  </details>`;
}

export interface Section {
  readonly id: string;
  readonly title: string;
  readonly body: Markup;
}

export function sectionMarkup({ id, title, body }: Section): Markup {
  return html`<section id="${id}" aria-labelledby="${id}-title">
    <h2 id="${id}-title">${title}</h2>
    ${body}
  </section>`;
}

/** A picture with its words; `label` says for those who do not see it what it shows. */
export function figure(label: string, picture: Markup, caption: string): Markup {
  return html`<figure>
    <div role="img" aria-label="${label}">${picture}</div>
    <figcaption>${caption}</figcaption>
  </figure>`;
}
