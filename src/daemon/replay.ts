/**
 * `zmend replay FILE|DIR`: runs again what was recorded and says where it differs. What the file is decides who
 * replays it: each kind of recording has a row in `recordings`, which loads what it needs.
 */
import { closeSync, openSync, readSync, statSync } from "node:fs";
import { type Command, InvalidArgumentError } from "commander";
import { ZmendError } from "../base/errors.ts";

export interface ReplayCommandOptions {
  readonly json?: boolean;
  readonly vm?: string;
  readonly maxInstructions: number;
  readonly trial?: number;
}

interface Recording {
  readonly what: string;
  /** `start`: the first bytes of a file, empty for a directory. */
  readonly is: (path: string, directory: boolean, start: Uint8Array) => boolean;
  /** @returns the exit status */
  readonly replay: (path: string, options: ReplayCommandOptions) => Promise<number>;
}

const recordings: readonly Recording[] = [
  {
    what: "a journal (a directory, or one of its files)",
    is: (_, directory, start) =>
      directory || new TextDecoder().decode(start).startsWith("ZMENDJNL"),
    replay: async (path, options) =>
      (await import("./replay-journal.ts")).replayJournal(path, options),
  },
  {
    what: "an experiment's ledger.jsonl (with --trial)",
    is: (_, directory, start) =>
      !directory && new TextDecoder().decode(start).startsWith('{"ledger":"zmend-experiment"'),
    replay: async (path, options) => (await import("./replay-trial.ts")).replayTrial(path, options),
  },
];

function startOf(path: string): Uint8Array {
  const bytes = new Uint8Array(64);
  const descriptor = openSync(path, "r");
  try {
    return bytes.subarray(0, readSync(descriptor, bytes, 0, bytes.length, 0));
  } finally {
    closeSync(descriptor);
  }
}

/** @returns the exit status */
async function replay(path: string, options: ReplayCommandOptions): Promise<number> {
  const status = statSync(path, { throwIfNoEntry: false });
  const directory = status?.isDirectory() === true;
  const start = status?.isFile() === true ? startOf(path) : new Uint8Array(0);
  const found =
    status === undefined ? undefined : recordings.find(({ is }) => is(path, directory, start));
  if (found === undefined) {
    const what = status === undefined ? "does not exist" : "is no recording";
    const kinds = recordings.map((recording) => recording.what).join("; ");
    throw new ZmendError("USAGE", `${path} ${what}; name one of: ${kinds}.`, { path });
  }
  return found.replay(path, options);
}

function instructionCount(text: string): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value > 0) return value;
  throw new InvalidArgumentError("expected a number of instructions, such as 20000000000 or 2e10.");
}

function trialNumber(text: string): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && Number.isSafeInteger(value)) return value;
  throw new InvalidArgumentError("a trial is a whole number from 0.");
}

/** Adds the `replay` command. */
export function registerReplay(program: Command): void {
  program
    .command("replay <path>")
    .description("run a recorded run again on the deterministic machine, and compare")
    .option("--json", "print one JSON object")
    .option("--vm <name>", "only the runs of this VM")
    .option("--trial <n>", "of an experiment's ledger: this trial as a time line", trialNumber)
    .option(
      "--max-instructions <n>",
      "end the replay of a run after so many guest instructions",
      instructionCount,
      20_000_000_000,
    )
    .addHelpText(
      "after",
      "\nOf a deterministic run every ledger entry is compared. Of a run on threads the host is played back (errors, answers,\n" +
        "operators' commands, at the recorded times and instruction counts), and for each function the sequences of errors\n" +
        "raised, read, injected and fetched, transitions, host's answers, policy steps and recoveries are compared.\n" +
        "Exit status: 0 nothing differs, 1 something does, could not be replayed, or is damaged; 2 bad usage.",
    )
    .action(async (path: string, options: ReplayCommandOptions) => {
      process.exitCode = await replay(path, options);
    });
}
