/**
 * `zmend replay` of a journal: every run in it, one after the other, and what came of them (src/control/replay).
 */
import { ZmendError } from "../base/errors.ts";
import { hex } from "../base/hex.ts";
import { type JournalRecord, readJournal } from "../control/journal/index.ts";
import { type Divergence, type RunReport, replayRun, splitRuns } from "../control/replay/index.ts";
import { EXIT_DONE, EXIT_FAILED } from "./failure.ts";
import type { ReplayCommandOptions } from "./replay.ts";

/** What `--json` prints. */
export interface ReplayReport {
  /** Records of the journal. */
  readonly records: number;
  /** Places where a replay did not repeat what was recorded. */
  readonly diverged: number;
  /** Runs of which nothing was replayed: their start or their guest is missing. */
  readonly unreplayed: number;
  /** Records of the journal that cannot be read. */
  readonly damaged: number;
  readonly runs: readonly RunReport[];
}

/** @returns the exit status */
export async function replayJournal(path: string, options: ReplayCommandOptions): Promise<number> {
  const records: JournalRecord[] = [];
  let damaged = 0;
  for (const item of readJournal(path)) {
    if (item.type === "record") records.push(item.record);
    else {
      process.stderr.write(`zmend: ${item.message}\n`);
      if (item.type !== "torn") damaged += 1;
    }
  }
  const { vm, maxInstructions } = options;
  const runs = splitRuns(records).filter((run) => vm === undefined || run.vm === vm);
  if (vm !== undefined && runs.length === 0) {
    const names = [...new Set(records.map((record) => record.vm))].filter((name) => name !== "");
    throw new ZmendError(
      "USAGE",
      `The journal has no VM '${vm}'; it has ${names.join(", ") || "none"}.`,
    );
  }
  const reports = runs.map((run) => replayRun(run, { maxInstructions }));
  const diverged = reports.reduce((sum, { divergences }) => sum + divergences.length, 0);
  const unreplayed = reports.filter(({ replayed }) => !replayed).length;
  const report: ReplayReport = {
    records: records.length,
    diverged,
    unreplayed,
    damaged,
    runs: reports,
  };
  process.stdout.write(`${options.json === true ? JSON.stringify(report) : reportText(report)}\n`);
  return diverged + unreplayed + damaged === 0 ? EXIT_DONE : EXIT_FAILED;
}

function reportText({ records, diverged, unreplayed, runs }: ReplayReport): string {
  const end = diverged === 0 ? "no divergence" : `${diverged} divergences`;
  const rest = unreplayed === 0 ? "" : `, ${unreplayed} runs not replayed`;
  return [...runs.flatMap(runText), `${records} records, ${end}${rest}`].join("\n");
}

function runText({
  vm,
  mode,
  firstSeq,
  records,
  repeated,
  divergences,
  notes,
}: RunReport): string[] {
  const what = mode === "deterministic" ? "entries" : "transitions";
  return [
    `${vm}: ${mode} run from record ${firstSeq}, ${records} records: ${repeated} ${what} repeated`,
    ...notes.map((note) => `  ${note}`),
    ...divergences.map(divergenceText),
  ];
}

function divergenceText({ seq, fid, recorded, replayed }: Divergence): string {
  const where = [
    ...(seq === undefined ? [] : [`record ${seq}`]),
    ...(fid === undefined ? [] : [hex(fid, 8)]),
  ];
  return `  diverges at ${where.join(", ")}: recorded ${recorded}; replayed ${replayed}`;
}
