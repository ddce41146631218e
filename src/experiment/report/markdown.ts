/** The report as Markdown: the same blocks; plots are described, the picture itself is in report.html. */
import type { Block, ReportDocument } from "./document.ts";

export function renderMarkdown(document: ReportDocument): string {
  const blocks = document.blocks.map(blockMarkdown);
  return `${[`# ${escaped(document.title)}`, escaped(document.subtitle), ...blocks].join("\n\n")}\n`;
}

function blockMarkdown(block: Block): string {
  switch (block.kind) {
    case "heading":
      return `## ${escaped(block.text)}`;
    case "verdict":
      return [`__${escaped(block.text)}__`, bullets(block.facts)].filter(Boolean).join("\n\n");
    case "paragraph":
      return escaped(block.text);
    case "list":
      return bullets(block.items);
    case "code":
      return `\`\`\`text\n${block.text}\n\`\`\``;
    case "figure":
      return `*${escaped(block.title)}* (plot in report.html): ${escaped(block.description)}`;
    case "table":
      return tableMarkdown(block);
  }
}

function bullets(texts: readonly string[]): string {
  return texts.map((text) => `- ${escaped(text)}`).join("\n");
}

function tableMarkdown(table: Extract<Block, { kind: "table" }>): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  const rows = table.rows.map((row, number) => {
    const bold = table.strong?.includes(number) === true;
    return line(row.map((text) => (bold && text !== "" ? `__${escaped(text)}__` : escaped(text))));
  });
  return [
    `${escaped(table.caption)}:`,
    "",
    line(table.columns.map((column) => escaped(column.title))),
    line(table.columns.map((column) => (column.numeric === true ? "---:" : "---"))),
    ...rows,
  ].join("\n");
}

/** Names come from files that people write: nothing in them may become markup. */
function escaped(text: string): string {
  return text.replace(/[\\`*_[\]<>|#~]/g, (mark) => `\\${mark}`).replace(/\s*\n\s*/g, " ");
}
