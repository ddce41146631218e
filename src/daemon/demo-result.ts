/** What a demo came to: the guest's own words and reports, why the run is a success or none, its table and its JSON. */
import { hex } from "../base/hex.ts";
import type { DemoConfig } from "../config/demo-config.ts";
import { booksBalance } from "../machine/books.ts";
import type { Latencies } from "../machine/latency.ts";
import type { LedgerEntry } from "../machine/ledger-entry.ts";
import { type DemoPhase, WALL_FACTOR } from "./demo-monitor.ts";
import { type FunctionOutcome, functionTable, latencyText } from "./demo-report.ts";

/** How a run was left: the monitor's last word, or what interrupted it. */
export type Ending = DemoPhase | "interrupted" | "crashed";

/** A function at the end, by the host, the recovery worker and the guest. */
export interface DemoOutcome extends FunctionOutcome {
  /** What the guest's driver says of itself: `ok`, or why it does not work; undefined without a report. */
  readonly driver: string | undefined;
}

export interface DemoResult {
  readonly ending: Ending;
  readonly outcomes: readonly DemoOutcome[];
  readonly instructions: number;
  readonly latencies: Latencies;
  readonly policy: string;
  readonly deadlineMs: number;
  /** Why a thread of the VM died, if one did. */
  readonly failure: Error | undefined;
  /** How the guest's CPU stands, for a guest that stopped. */
  readonly halt: string;
  /** Of the ledger; deterministic runs only. */
  readonly digest?: string;
}

/** What the config says of who runs. */
type GuestChoice = Pick<DemoConfig["vm"], "fixture" | "linux" | "kernel">;

/** Console lines that `--json` keeps: some boots and recoveries, whatever a guest prints. */
const LINES_MAX = 10_000;

const reportPattern = /\breport fid=([0-9a-f]+) state=([a-z]+) .*\bchecked=(\d+) corrupt=(\d+)/;

type Report = Pick<DemoOutcome, "driver" | "dmaChecked" | "dmaCorrupt">;

/** The console's lines, and the final reports among them (printed by the fixtures and by the initramfs's script). */
export class GuestWords {
  readonly lines: string[] = [];
  readonly #reports = new Map<number, Report>();

  /** @returns the detail of the line's ledger entry */
  line(text: string): LedgerEntry["detail"] {
    const report = reportPattern.exec(text);
    if (report !== null) {
      this.#reports.set(Number.parseInt(report[1] ?? "", 16), {
        driver: report[2] ?? "",
        dmaChecked: Number(report[3]),
        dmaCorrupt: Number(report[4]),
      });
    }
    if (this.lines.length < LINES_MAX) this.lines.push(text);
    return { text };
  }

  /** The latest on a function. */
  report(fid: number): Report {
    return this.#reports.get(fid) ?? { driver: undefined, dmaChecked: 0, dmaCorrupt: 0 };
  }
}

/** Why the run is not a success, one sentence each; empty when it is one. */
export function problemsOf(result: DemoResult): string[] {
  if (result.ending === "interrupted") {
    return ["Interrupted; what had happened until then stands above."];
  }
  const ending = endingProblem(result);
  const ended = result.ending === "ended";
  return [
    ...(ending === undefined ? [] : [ending]),
    ...result.outcomes.flatMap((outcome) => functionProblems(outcome, ended)),
  ];
}

function endingProblem(result: DemoResult): string | undefined {
  const seconds = result.deadlineMs / 1000;
  switch (result.ending) {
    case "stopped":
      return `The policy ${result.policy} stopped the VM.`;
    case "crashed":
      return `${result.failure?.message ?? "A thread of the VM died"}.`;
    case "halted":
      return `The guest stopped before the run was over: ${result.halt}.`;
    case "deadline":
      return `The guest did not finish within ${seconds} s (deadlineMs): it hangs, loops, or a function did not settle.`;
    case "starved":
      return `The guest had less than ${seconds} s (deadlineMs) of ${seconds * WALL_FACTOR} s and did not finish: this machine is too busy for it.`;
    default:
      return undefined;
  }
}

function functionProblems(outcome: DemoOutcome, ended: boolean): string[] {
  const problems: string[] = [];
  const fid = hex(outcome.fid, 8);
  if (outcome.state !== outcome.expected) {
    problems.push(
      `Function ${fid} ended ${outcome.state}, the config expects ${outcome.expected}.`,
    );
  }
  const open = booksBalance(outcome.books);
  if (open !== 0) {
    problems.push(`The books of function ${fid} do not close: ${open} errors unaccounted for.`);
  }
  if (outcome.dmaCorrupt > 0) {
    problems.push(`Function ${fid} moved ${outcome.dmaCorrupt} corrupt DMA blocks.`);
  }
  if (outcome.state !== "operational" || outcome.expected !== "operational") return problems;
  if (outcome.driver !== undefined && outcome.driver !== "ok") {
    problems.push(
      `Function ${fid} is operational, the guest's driver says it is ${outcome.driver}.`,
    );
  } else if (ended && outcome.dmaChecked === 0) {
    problems.push(`The guest reported no checked DMA on function ${fid}.`);
  }
  return problems;
}

/** For a terminal. */
export function resultText(result: DemoResult, recovered: boolean): string {
  const { outcomes, latencies, instructions, policy, digest } = result;
  return [
    `\n${functionTable(outcomes)}\n\n${latencyText(latencies)}\n`,
    `${instructions.toLocaleString("en")} guest instructions; policy ${policy}`,
    ...(digest === undefined ? [] : [`ledger digest ${digest}`]),
    recovered ? "recovered: every function ended as expected" : "failed",
  ].join("\n");
}

/** For `--json`: one object. */
export function resultJson(
  { ending, outcomes, instructions, latencies, policy, digest }: DemoResult,
  recovered: boolean,
  guest: GuestChoice,
  console_: readonly string[],
): object {
  return {
    verdict: recovered ? "recovered" : "failed",
    policy,
    vm: ending === "ended" ? "running" : "stopped",
    ...(digest === undefined ? {} : { digest }),
    guest: { ...guestName(guest), instructions, console: console_ },
    functions: outcomes.map(({ fid, state, expected, books, dmaChecked, dmaCorrupt }) => {
      const { hostResets, workerRestarts, ...counts } = books;
      return {
        ...{ fid: hex(fid), state, expected },
        ...counts,
        ...{ dmaChecked, dmaCorrupt, hostResets, workerRestarts },
      };
    }),
    latencyUs: Object.fromEntries(
      Object.entries(latencies).map(([name, { p50, p99, count }]) => [name, { p50, p99, count }]),
    ),
  };
}

function guestName({ fixture, linux, kernel }: GuestChoice): object {
  if (fixture !== undefined) return { fixture };
  return linux === undefined ? { kernel } : { linux };
}
