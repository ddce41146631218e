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
  /** Places where a run on threads went another way, in a recovery that its records do not pin down. */
  readonly parted: number;
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
  const parted = reports.reduce((sum, run) => sum + run.parted.length, 0);
  const unreplayed = reports.filter(({ replayed }) => !replayed).length;
  const report: ReplayReport = {
    records: records.length,
    diverged,
    parted,
    unreplayed,
    damaged,
    runs: reports,
  };
  process.stdout.write(`${options.json === true ? JSON.stringify(report) : reportText(report)}\n`);
  return diverged + unreplayed + damaged === 0 ? EXIT_DONE : EXIT_FAILED;
}

function reportText({ records, diverged, parted, unreplayed, runs }: ReplayReport): string {
  const other = parted === 0 ? "" : `, ${parted} recoveries went another way`;
  const end = `${diverged === 0 ? "no divergence" : `${diverged} divergences`}${other}`;
  const rest = unreplayed === 0 ? "" : `, ${unreplayed} runs not replayed`;
  const compared = new Set(runs.filter(({ replayed }) => replayed).map(comparedText));
  return [...runs.flatMap(runText), ...compared, `${records} records, ${end}${rest}`].join("\n");
}

function runText(run: RunReport): string[] {
  const { vm, mode, firstSeq, records, repeated, divergences, parted, notes } = run;
  return [
    `${vm}: ${mode} run from record ${firstSeq}, ${records} records: ${repeated} of them repeated`,
    ...notes.map((note) => `  ${note}`),
    ...divergences.map((place) => `  diverges at ${placeText(place)}`),
    ...parted.map((place) => `  parts at ${placeText(place)}: ${place.why}`),
  ];
}

function comparedText({ mode, compared }: RunReport): string {
  return `compared of a ${mode} run: ${compared}`;
}

function placeText({ seq, fid, recorded, replayed }: Divergence): string {
  const where = [
    ...(seq === undefined ? [] : [`record ${seq}`]),
    ...(fid === undefined ? [] : [hex(fid, 8)]),
  ];
  return `${where.join(", ")}: recorded ${recorded}; replayed ${replayed}`;
}
