/**
 * The report as one HTML file: no script, no network, no font file; dark and light by the reader's setting, and on paper
 * always light. Source for structure and contrast: WCAG 2.2, 1.3.1 and 1.4.3.
 */
import type { Block, ReportDocument } from "./document.ts";

const style = `
:root{color-scheme:light dark;--page:#fff;--ink:#1b2127;--muted:#5c6670;--grid:#dfe3e8;--soft:#f3f5f8;
--series-1:#0b62c4;--series-2:#c2410c;--series-3:#0f7b4f;--series-4:#8b3fb0;--series-5:#8a5a00;--series-6:#0e7490;
--series-7:#be185d;--series-8:#525b66}
@media (prefers-color-scheme:dark){:root{--page:#14181d;--ink:#e8ecf0;--muted:#a3adb8;--grid:#333b44;--soft:#1d232a;
--series-1:#6cb2ff;--series-2:#ff9b6a;--series-3:#5fd39b;--series-4:#cf9bf0;--series-5:#e6c15a;--series-6:#5cd0e6;
--series-7:#ff8ec0;--series-8:#b4bdc7}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
main{max-width:56rem;margin:0 auto;padding:2rem 1.25rem 4rem}
h1{font-size:1.75rem;line-height:1.2;margin:0}
h2{font-size:1.2rem;margin:2.5rem 0 .75rem;padding-top:.75rem;border-top:1px solid var(--grid)}
.subtitle{color:var(--muted);margin:.25rem 0 1.5rem}
.verdict{background:var(--soft);border-left:.3rem solid var(--series-1);padding:1rem 1.25rem;margin:0}
.verdict p{font-size:1.15rem;margin:0}
.verdict ul{margin:.75rem 0 0;padding-left:1.1rem;color:var(--muted);font-size:.95rem}
figure{margin:1.75rem 0;break-inside:avoid}
figure svg{display:block;max-width:100%;height:auto;margin-top:.5rem}
figcaption strong{display:block}
figcaption span{color:var(--muted);font-size:.9rem}
.scroll{overflow-x:auto;margin:1rem 0}
table{border-collapse:collapse;width:100%;font-size:.92rem;font-variant-numeric:tabular-nums}
caption{text-align:left;font-weight:600;padding:.25rem 0}
th,td{text-align:left;padding:.35rem .75rem .35rem 0;border-bottom:1px solid var(--grid);vertical-align:top}
thead th{color:var(--muted);font-weight:500;vertical-align:bottom}
tbody th{font-weight:500}
.number{text-align:right}
tr.strong td,tr.strong th{font-weight:700}
pre{background:var(--soft);padding:.75rem 1rem;overflow-x:auto;font:.85rem/1.5 ui-monospace,monospace;white-space:pre-wrap;word-break:break-all}
@media print{:root{color-scheme:light;--page:#fff;--ink:#000;--muted:#444;--grid:#ccc;--soft:#f5f5f5;
--series-1:#0b62c4;--series-2:#c2410c;--series-3:#0f7b4f;--series-4:#8b3fb0;--series-5:#8a5a00;--series-6:#0e7490;
--series-7:#be185d;--series-8:#525b66}
body{font-size:10.5pt}main{max-width:none;padding:0}h2{break-after:avoid}tr{break-inside:avoid}
.verdict{border:1px solid #000}.scroll{overflow:visible}}
`;

export function renderHtml(document: ReportDocument): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escaped(document.title)}</title>
<style>${style}</style>
</head>
<body>
<main>
<h1>${escaped(document.title)}</h1>
<p class="subtitle">${escaped(document.subtitle)}</p>
${document.blocks.map(blockHtml).join("\n")}
</main>
</body>
</html>
`;
}

function blockHtml(block: Block): string {
  switch (block.kind) {
    case "heading":
      return `<h2>${escaped(block.text)}</h2>`;
    case "verdict":
      return `<section class="verdict" aria-label="Verdict"><p>${escaped(block.text)}</p>${items(block.facts)}</section>`;
    case "paragraph":
      return `<p>${escaped(block.text)}</p>`;
    case "list":
      return items(block.items);
    case "code":
      return `<pre><code>${escaped(block.text)}</code></pre>`;
    case "figure":
      return `<figure><figcaption><strong id="${block.id}-title">${escaped(block.title)}</strong><span id="${block.id}-description">${escaped(block.description)}</span></figcaption>${block.svg}</figure>`;
    case "table":
      return tableHtml(block);
  }
}

function items(texts: readonly string[]): string {
  return texts.length === 0
    ? ""
    : `<ul>${texts.map((text) => `<li>${escaped(text)}</li>`).join("")}</ul>`;
}

/** The first cell of a row is its header, so that a screen reader can say whose number it reads. */
function tableHtml(table: Extract<Block, { kind: "table" }>): string {
  const numeric = (column: number): boolean => table.columns[column]?.numeric === true;
  const cls = (column: number): string => (numeric(column) ? ' class="number"' : "");
  const head = table.columns
    .map((column, index) => `<th scope="col"${cls(index)}>${escaped(column.title)}</th>`)
    .join("");
  const rows = table.rows.map((row, number) => {
    const cells = row.map((text, index) =>
      index === 0 && text !== ""
        ? `<th scope="row"${cls(index)}>${escaped(text)}</th>`
        : `<td${cls(index)}>${numeric(index) ? unbroken(text) : escaped(text)}</td>`,
    );
    const strong = table.strong?.includes(number) === true ? ' class="strong"' : "";
    return `<tr${strong}>${cells.join("")}</tr>`;
  });
  return `<div class="scroll"><table><caption>${escaped(table.caption)}</caption><thead><tr>${head}</tr></thead><tbody>
${rows.join("\n")}
</tbody></table></div>`;
}

/** Numbers stay in one piece with their units; a line may only break before the interval. */
function unbroken(text: string): string {
  return escaped(text).replace(/ (?!\()/g, "&nbsp;");
}

function escaped(text: string): string {
  return text
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");
}
