/**
 * `zmend replay` of a journal: every run in it, one after the other, and what came of them (src/control/replay).
 */
import { ZmendError } from "../base/errors.ts";
import { hex } from "../base/hex.ts";
import { countOf } from "../base/wording.ts";
import { type JournalRecord, readJournal } from "../control/journal/index.ts";
import { type Divergence, type RunReport, replayRun, splitRuns } from "../control/replay/index.ts";
import { EXIT_DONE, EXIT_FAILED } from "./failure.ts";
import type { ReplayCommandOptions } from "./replay.ts";

/** What `--json` prints. */
export interface ReplayReport {
  /** Records of the journal; with `--vm`, of that VM's runs. */
  readonly records: number;
  /** Of them, up to where runs could be replayed, those that have to come out the same. */
  readonly comparable: number;
  /** Of those, the ones that did. */
  readonly repeated: number;
  /** Places where a replay did not repeat what was recorded. */
  readonly diverged: number;
  /** Places where a run on threads went another way, in a recovery that its records do not pin down. */
  readonly parted: number;
  /** Runs of which nothing was replayed (their start or their guest is missing), or that --max-instructions ended. */
  readonly unreplayed: number;
  /** Runs that were replayed up to a place that their notes name: a reset, a snapshot, a plugged function. */
  readonly partial: number;
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
  const sum = (of: (run: RunReport) => number): number =>
    reports.reduce((total, run) => total + of(run), 0);
  const diverged = sum(({ divergences }) => divergences.length);
  const unreplayed = reports.filter(({ replayed, stopped }) => !replayed || stopped).length;
  const report: ReplayReport = {
    records: vm === undefined ? records.length : sum((run) => run.records),
    comparable: sum(({ comparable }) => comparable),
    repeated: sum(({ repeated }) => repeated),
    diverged,
    parted: sum(({ parted }) => parted.length),
    unreplayed,
    partial: reports.filter(({ replayed, partial, stopped }) => replayed && partial && !stopped)
      .length,
    damaged,
    runs: reports,
  };
  process.stdout.write(`${options.json === true ? JSON.stringify(report) : reportText(report)}\n`);
  return diverged + unreplayed + damaged === 0 ? EXIT_DONE : EXIT_FAILED;
}

function reportText(report: ReplayReport): string {
  const { records, comparable, repeated, diverged, parted, unreplayed, partial, runs } = report;
  const other =
    parted === 0 ? "" : `, ${countOf(parted, "recovery", "recoveries")} went another way`;
  const end = `${diverged === 0 ? "no divergence" : countOf(diverged, "divergence")}${other}`;
  const rest = [
    ...(partial === 0 ? [] : [`${countOf(partial, "run")} only in part`]),
    ...(unreplayed === 0 ? [] : [`${countOf(unreplayed, "run")} not replayed`]),
  ].map((text) => `, ${text}`);
  const of = `${repeated} of ${comparable} that have to come out the same did`;
  const last = `${countOf(records, "record")}, ${of}, ${end}${rest.join("")}`;
  const compared = new Set(runs.filter(({ replayed }) => replayed).map(comparedText));
  return [...runs.flatMap(runText), ...compared, last].join("\n");
}

function runText(run: RunReport): string[] {
  const { vm, mode, firstSeq, records, comparable, repeated, divergences, parted, notes } = run;
  return [
    `${vm}: ${mode} run from record ${firstSeq}, ${countOf(records, "record")}: ${repeated} of ${comparable} compared came out the same`,
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
