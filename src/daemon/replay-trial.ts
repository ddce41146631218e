/** `zmend replay LEDGER --trial N`: one trial of an experiment as a time line. */
import { ZmendError } from "../base/errors.ts";
import { timeLine } from "../experiment/time-line.ts";
import { timelineHeader, timelineLine } from "./demo-report.ts";
import { EXIT_DONE, EXIT_FAILED } from "./failure.ts";
import type { ReplayCommandOptions } from "./replay.ts";

/** @returns the exit status */
export async function replayTrial(path: string, options: ReplayCommandOptions): Promise<number> {
  if (options.trial === undefined) {
    throw new ZmendError(
      "USAGE",
      `${path} is an experiment's ledger; say which trial with --trial N, or run all again with 'experiment verify'.`,
    );
  }
  const json = options.json === true;
  const write = (text: string): void => {
    process.stdout.write(`${text}\n`);
  };
  let shown = -1;
  const { row, same } = await timeLine(path, options.trial, (guest, entry) => {
    if (json) {
      write(JSON.stringify({ guest, ...entry }));
      return;
    }
    if (guest !== shown) write(`guest ${guest}\n${timelineHeader}`);
    shown = guest;
    write(timelineLine(entry));
  });
  if (json) write(JSON.stringify({ ...row, same }));
  else {
    const measured = row.status === "done" ? Object.entries(row.metrics) : [["failed", row.reason]];
    write(measured.map(([name, value]) => `${name} ${value}`).join("  "));
    write(same ? "the ledger's line is the same" : "the ledger's line is another one");
  }
  return same || row.status === "failed" ? EXIT_DONE : EXIT_FAILED;
}
