/** What is made of a finished ledger: results.parquet, summary.json, report.html and report.md. Their bytes repeat. */
import { writeFileSync } from "node:fs";
import { zmendVersion } from "../../base/version.ts";
import type { Plan } from "../plan.ts";
import { renderReport } from "../report/index.ts";
import { type Analysis, summarise } from "../summary.ts";
import { readRows } from "./ledger-file.ts";
import {
  HTML_FILE,
  LEDGER_FILE,
  MARKDOWN_FILE,
  type OutputFolder,
  PARQUET_FILE,
  SUMMARY_FILE,
} from "./output.ts";
import { writeParquet } from "./parquet.ts";

export interface ResultOptions {
  readonly folder: OutputFolder;
  readonly plan: Plan;
  /** SHA-256 of the ledger. */
  readonly digest: string;
  /** The command as a reader would repeat it. */
  readonly command: string;
}

export interface Outcome {
  readonly verdict: string;
  /** Why trials failed. */
  readonly reasons: Analysis["reasons"];
}

export async function finish(options: ResultOptions): Promise<Outcome> {
  const { folder, plan } = options;
  const ledger = folder.file(LEDGER_FILE);
  await writeParquet(folder.file(PARQUET_FILE), readRows(ledger));
  const analysis = await summarise(readRows(ledger), plan);
  writeFileSync(folder.file(SUMMARY_FILE), `${JSON.stringify(analysis.summary, null, 2)}\n`);
  const { html, markdown } = await renderReport(analysis, {
    version: zmendVersion(),
    command: options.command,
    ledgerSha256: options.digest,
  });
  writeFileSync(folder.file(HTML_FILE), html);
  writeFileSync(folder.file(MARKDOWN_FILE), markdown);
  return { verdict: analysis.summary.verdict, reasons: analysis.reasons };
}
