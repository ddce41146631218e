/**
 * `zmend journal show|follow|export`: reads the journal of a running or dead daemon. Damage is named on standard error
 * and makes the exit status 1, after everything that can be read was shown; a torn tail is said and forgiven.
 */
import { createWriteStream } from "node:fs";
import type { Writable } from "node:stream";
import { type Command, InvalidArgumentError } from "commander";
import { isoTime, wallClockMs } from "../base/clock.ts";
import { ZmendError } from "../base/errors.ts";
import { hex } from "../base/hex.ts";
import { statePaths } from "../control/daemon/state-dir.ts";
import {
  type JournalFinding,
  type JournalPosition,
  type JournalRecord,
  journalExists,
  journalStart,
  readJournal,
} from "../control/journal/index.ts";
import { stateDirOf } from "./client.ts";
import { EXIT_DONE, EXIT_FAILED, EXIT_INTERRUPTED } from "./failure.ts";
import { outputTaken } from "./output.ts";

/** Which records are wanted; several values of one kind are alternatives. */
export interface JournalFilter {
  readonly vm?: readonly string[];
  readonly fid?: readonly number[];
  readonly kind?: readonly string[];
  readonly since?: number;
  readonly until?: number;
}

interface JournalOptions extends JournalFilter {
  readonly stateDir?: string;
  readonly json?: boolean;
  readonly out?: string;
}

const FOLLOW_MS = 200;
/** Lines between looks at whether the reader of our output keeps up. */
const LINES_AT_ONCE = 1000;

export function wanted(record: JournalRecord, filter: JournalFilter): boolean {
  const { vm, fid, kind, since, until } = filter;
  return (
    (vm === undefined || vm.includes(record.vm)) &&
    (fid === undefined || (record.fid !== undefined && fid.includes(record.fid))) &&
    (kind === undefined || kind.includes(record.kind)) &&
    (since === undefined || record.timeMs >= since) &&
    (until === undefined || record.timeMs <= until)
  );
}

/** The line of `--json`: keys in a fixed order, the time as ISO 8601. */
function recordLine({ seq, timeMs, vm, fid, kind, ...rest }: JournalRecord): string {
  return JSON.stringify({
    seq,
    time: isoTime(timeMs),
    vm,
    ...(fid === undefined ? {} : { fid }),
    kind,
    ...rest,
  });
}

/** The line for people. */
function recordText({ seq, timeMs, vm, fid, kind, detail }: JournalRecord): string {
  const where = `${vm === "" ? "daemon" : vm}${fid === undefined ? "" : ` ${hex(fid, 8)}`}`;
  const facts = Object.entries(detail)
    .map(([key, value]) => `${key} ${factText(value)}`)
    .join(" ");
  return `${String(seq).padStart(8)}  ${isoTime(timeMs)}  ${where.padEnd(20)}  ${kind.padEnd(17)} ${facts}`;
}

/** Whole machines do not fit into a line. */
const FACT_MAX = 100;

function factText(value: unknown): string {
  if (typeof value !== "object") return String(value);
  const text = JSON.stringify(value);
  return text.length > FACT_MAX ? "…" : text;
}

function journalPath(path: string | undefined, options: { stateDir?: string }): string {
  return path ?? statePaths(stateDirOf(options)).journal;
}

function complain({ message }: JournalFinding): void {
  process.stderr.write(`zmend: ${message}\n`);
}

/** Writes wanted records; says what is wrong. @returns whether nothing was damaged or missing */
async function pass(
  path: string,
  position: JournalPosition,
  options: JournalOptions,
  out: Writable,
  tornToo: boolean,
): Promise<boolean> {
  let sound = true;
  let lines = 0;
  const line = options.json === true ? recordLine : recordText;
  for (const item of readJournal(path, position)) {
    if (item.type === "record") {
      if (!wanted(item.record, options)) continue;
      const room = out.write(`${line(item.record)}\n`);
      if (++lines % LINES_AT_ONCE === 0 && !room) await taken(out);
    } else if (item.type !== "torn" || tornToo) {
      complain(item);
      sound &&= item.type === "torn";
    }
  }
  return sound;
}

function taken(out: Writable): Promise<void> | undefined {
  if (out === process.stdout) return outputTaken();
  return out.writableNeedDrain ? new Promise((done) => out.once("drain", done)) : undefined;
}

async function show(path: string | undefined, options: JournalOptions): Promise<number> {
  const found = journalPath(path, options);
  const sound = await pass(found, journalStart(), options, process.stdout, true);
  return sound ? EXIT_DONE : EXIT_FAILED;
}

async function exported(path: string | undefined, options: JournalOptions): Promise<number> {
  const { out } = options;
  const lines = { ...options, json: true };
  if (out === undefined) return show(path, lines);
  const found = journalPath(path, options);
  // Nobody's file is written over by a slip of the keyboard.
  const stream = createWriteStream(out, { flags: "wx", mode: 0o600 });
  let failed: NodeJS.ErrnoException | undefined;
  const closed = new Promise<void>((done) => {
    stream.on("error", (error) => {
      failed = error;
      done();
    });
    stream.on("close", done);
  });
  await new Promise<void>((ready) =>
    stream.once("open", () => ready()).once("error", () => ready()),
  );
  if (failed !== undefined) throw cannotWrite(out, failed);
  const sound = await pass(found, journalStart(), lines, stream, true);
  stream.end();
  await closed;
  if (failed !== undefined) throw cannotWrite(out, failed);
  return sound ? EXIT_DONE : EXIT_FAILED;
}

function cannotWrite(file: string, error: NodeJS.ErrnoException): ZmendError {
  const remedy =
    error.code === "EEXIST" ? "it is there already; name another one" : "name another one";
  return new ZmendError(
    "USAGE",
    `File ${file} cannot be written (${error.code}): ${remedy}.`,
    { file },
    { cause: error },
  );
}

/** Until interrupted. A journal that does not exist yet is waited for, if its directory's place is known. */
async function follow(path: string | undefined, options: JournalOptions): Promise<number> {
  const found = journalPath(path, options);
  const position = journalStart();
  let interrupted = false;
  let wake = (): void => {};
  const interrupt = (): void => {
    interrupted = true;
    wake();
  };
  process.once("SIGINT", interrupt).once("SIGTERM", interrupt);
  let sound = true;
  while (!interrupted) {
    if (position.segment > 0 || journalExists(found)) {
      sound = (await pass(found, position, options, process.stdout, false)) && sound;
    }
    if (interrupted) break;
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      wake = resolve;
      timer = setTimeout(resolve, FOLLOW_MS);
    });
    clearTimeout(timer);
  }
  return sound ? EXIT_INTERRUPTED : EXIT_FAILED;
}

function many<T>(
  read: (text: string) => T,
): (text: string, before: readonly T[] | undefined) => T[] {
  return (text, before) => [...(before ?? []), ...text.split(",").map((part) => read(part.trim()))];
}

function fidOf(text: string): number {
  const value = /^(0x[0-9a-f]{1,8}|\d+)$/i.test(text) ? Number(text) : Number.NaN;
  if (value <= 0xffffffff) return value;
  throw new InvalidArgumentError("expected function IDs such as 1 or 0x0000002a.");
}

const unitMs: Readonly<Record<string, number>> = {
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** A moment: ISO 8601, or how long ago (30s, 5m, 2h, 1d). */
function momentOf(text: string, nowMs = wallClockMs()): number {
  const ago = /^(\d+(?:\.\d+)?)([smhd])$/.exec(text);
  if (ago !== null) return nowMs - Number(ago[1]) * (unitMs[ago[2] ?? ""] ?? 0);
  const time = /^\d{4}-\d\d-\d\d/.test(text) ? Date.parse(text) : Number.NaN;
  if (!Number.isNaN(time)) return time;
  throw new InvalidArgumentError(
    "expected a time such as 2026-01-31T12:00:00Z, or 5m for five minutes ago.",
  );
}

function journalCommand(command: Command): Command {
  return command
    .option("--state-dir <dir>", "the daemon's state directory (ZMEND_STATE_DIR)")
    .option("--vm <names>", "of these VMs only, separated by commas", many(String))
    .option("--fid <ids>", "of these functions only", many(fidOf))
    .option(
      "--kind <kinds>",
      "of these kinds only: ccdf-read, state, operator-command …",
      many(String),
    )
    .option("--since <time>", "not older: a time (ISO 8601), or 5m for five minutes ago", (text) =>
      momentOf(text),
    )
    .option("--until <time>", "not younger", (text) => momentOf(text));
}

/** Adds the `journal` command and its subcommands. */
export function registerJournal(program: Command): void {
  const journal = program
    .command("journal")
    .description(
      "what the daemon has written down: CCDFs, transitions, host calls, operators' commands",
    );
  const statuses =
    "\nPATH is a journal directory or one of its files; without it, the state directory's.\n" +
    "Exit status: 0 done, 1 a record is damaged or missing (named on standard error), 2 bad usage.";
  const run =
    (action: (path: string | undefined, options: JournalOptions) => Promise<number>) =>
    async (path: string | undefined, options: JournalOptions): Promise<void> => {
      process.exitCode = await action(path, options);
    };
  journalCommand(journal.command("show [path]").description("print the journal, oldest first"))
    .option("--json", "print JSON Lines")
    .addHelpText("after", statuses)
    .action(run(show));
  journalCommand(
    journal
      .command("follow [path]")
      .description("print the journal and what comes, until interrupted"),
  )
    .option("--json", "print JSON Lines")
    .addHelpText("after", `${statuses} 130 interrupted.`)
    .action(run(follow));
  journalCommand(journal.command("export [path]").description("write the journal as JSON Lines"))
    .option("--json", "JSON Lines, which it is anyway")
    .option("--out <file>", "a new file instead of standard output")
    .addHelpText("after", statuses)
    .action(run(exported));
}
