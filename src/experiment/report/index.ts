/** The report of an experiment, as one HTML page and as Markdown. The same analysis gives the same bytes. */
import type { Analysis } from "../summary.ts";
import { chartsOf } from "./charts/index.ts";
import type { ReportDocument } from "./document.ts";
import { renderHtml } from "./html.ts";
import { renderMarkdown } from "./markdown.ts";
import { type DrawnChart, type Provenance, sectionsOf } from "./sections.ts";
import { drawSvg } from "./svg.ts";

export type { Provenance } from "./sections.ts";

export interface Report {
  readonly html: string;
  readonly markdown: string;
}

/** Loads vega on first use, about a second. */
export async function renderReport(analysis: Analysis, provenance: Provenance): Promise<Report> {
  const drawn: DrawnChart[] = [];
  for (const chart of chartsOf(analysis)) drawn.push({ chart, svg: await drawSvg(chart) });
  const { plan } = analysis;
  const document: ReportDocument = {
    title: plan.question === "" ? plan.name : plan.question,
    subtitle: `zmend experiment ${plan.name}, seed ${plan.seed}`,
    blocks: sectionsOf(analysis, drawn, provenance),
  };
  return { html: renderHtml(document), markdown: renderMarkdown(document) };
}
