/** What `zmend demo` prints: the timeline, the table per function, the latencies. Pure text functions. */
import { notDeliveredReasons } from "../abi/records.ts";
import { hex } from "../base/hex.ts";
import type { Books } from "../machine/books.ts";
import type { Latencies, Percentiles } from "../machine/latency.ts";
import type { LedgerEntry } from "../machine/ledger-entry.ts";
import { textTable } from "./text-table.ts";

export interface FunctionOutcome {
  readonly fid: number;
  readonly state: string;
  readonly expected: string;
  readonly books: Books;
  readonly dmaChecked: number;
  readonly dmaCorrupt: number;
}

export const timelineHeader = `${"time".padStart(12)}  ${"function".padEnd(10)}  ${"who".padEnd(8)}  what`;

/** One line of the timeline: time in milliseconds, function, who acted, what happened. */
export function timelineLine(entry: LedgerEntry): string {
  const time = `${(entry.timeUs / 1000).toFixed(3).padStart(9)} ms`;
  const fid = (entry.fid === undefined ? "vm" : hex(entry.fid, 8)).padEnd(10);
  return `${time}  ${fid}  ${entry.actor.padEnd(8)}  ${describe(entry)}`;
}

function describe(entry: LedgerEntry): string {
  if (entry.kind === "console") return `| ${entry.detail["text"]}`;
  const facts = Object.entries(entry.detail)
    .map(([key, value]) => `${key} ${value}`)
    .join(" ");
  return facts === "" ? entry.kind : `${entry.kind.padEnd(16)} ${facts}`;
}

const columns = [
  ["function", (row: FunctionOutcome) => hex(row.fid, 8)],
  ["state", (row: FunctionOutcome) => row.state],
  ["expected", (row: FunctionOutcome) => row.expected],
  ["raised", (row: FunctionOutcome) => `${row.books.errorsRaised}`],
  ["read", (row: FunctionOutcome) => `${row.books.read}`],
  ["injected", (row: FunctionOutcome) => `${row.books.injected}`],
  ["fetched", (row: FunctionOutcome) => `${row.books.fetchedByGuest}`],
  ["not delivered", (row: FunctionOutcome) => lossText(row.books)],
  ["recoveries", (row: FunctionOutcome) => `${row.books.recoveries}`],
  ["resets", (row: FunctionOutcome) => `${row.books.hostResets}`],
  ["DMA checked", (row: FunctionOutcome) => `${row.dmaChecked}`],
  ["corrupt", (row: FunctionOutcome) => `${row.dmaCorrupt}`],
] as const;

export function functionTable(rows: readonly FunctionOutcome[]): string {
  return textTable(columns, rows);
}

function lossText(books: Books): string {
  const parts = notDeliveredReasons
    .filter((reason) => books.notDelivered[reason] > 0)
    .map((reason) => `${books.notDelivered[reason]} ${reason}`);
  return parts.length === 0 ? "-" : parts.join(", ");
}

export function latencyText(latencies: Latencies): string {
  return [
    line("doorbell to inject", latencies.doorbellToInject),
    line("inject to fetch", latencies.injectToFetch),
    line("error to recovered", latencies.errorToRecovered),
  ].join("\n");
}

function line(name: string, value: Percentiles): string {
  if (value.p50 === null || value.p99 === null) return `${name.padEnd(20)} nothing measured`;
  const micro = (us: number): string => `${us.toFixed(1).padStart(10)} us`;
  return `${name.padEnd(20)} p50 ${micro(value.p50)}   p99 ${micro(value.p99)}   n ${value.count}`;
}
