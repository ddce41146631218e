/**
 * The journal as operators meet it: commands on a recorded run, a writer that is killed, a file system that takes no more.
 */
import { spawn } from "node:child_process";
import {
  cpSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { CommanderError } from "commander";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { type JournalRecord, openJournal, readJournal } from "../../src/control/journal/index.ts";
import { reportFailure } from "../../src/daemon/failure.ts";
import { createProgram } from "../../src/daemon/program.ts";
import { type CommandResult, interruptNode, runNode } from "../support/command.ts";

const command = resolve("dist/src/daemon/zmend.js");
const library = pathToFileURL(resolve("dist/src/control/journal/index.js")).href;

let folder = "";
/** A journal of the deterministic demo. */
let recorded = "";

/** The command in this process: a process of its own costs more than what most of these do. */
async function zmend(
  ...words: string[]
): Promise<Pick<CommandResult, "status" | "stdout" | "stderr">> {
  let stdout = "";
  let stderr = "";
  const out = vi.spyOn(process.stdout, "write").mockImplementation((text) => {
    stdout += String(text);
    return true;
  });
  const err = vi.spyOn(process.stderr, "write").mockImplementation((text) => {
    stderr += String(text);
    return true;
  });
  const before = process.exitCode;
  try {
    await createProgram().parseAsync(["node", "zmend", ...words]);
    return { status: Number(process.exitCode ?? 0), stdout, stderr };
  } catch (error) {
    const status = error instanceof CommanderError ? 2 : reportFailure("zmend", error);
    return { status, stdout, stderr };
  } finally {
    process.exitCode = before;
    out.mockRestore();
    err.mockRestore();
  }
}

function lines(stdout: string): Record<string, unknown>[] {
  return stdout
    .trimEnd()
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

/** A copy of the recorded journal that a test may damage, and its only file. */
function copy(name: string): { readonly directory: string; readonly file: string } {
  const directory = join(folder, name);
  cpSync(recorded, directory, { recursive: true });
  return { directory, file: join(directory, readdirSync(directory)[0] ?? "") };
}

function contents(directory: string): {
  readonly records: JournalRecord[];
  readonly findings: string[];
} {
  const records: JournalRecord[] = [];
  const findings: string[] = [];
  for (const item of readJournal(directory)) {
    if (item.type === "record") records.push(item.record);
    else findings.push(item.type);
  }
  return { records, findings };
}

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "zmend-journal-"));
  recorded = join(folder, "recorded");
  const ran = runNode([command, "demo", "--deterministic", "--json", "--journal", recorded]);
  expect(ran).toMatchObject({ status: 0, stderr: "" });
});
afterAll(() => rmSync(folder, { recursive: true }));

describe("zmend journal", () => {
  it("shows every record as one JSON line: seq, time, vm, fid and kind first", async () => {
    const { status, stdout, stderr } = await zmend("journal", "show", recorded, "--json");
    expect([status, stderr]).toEqual([0, ""]);
    const shown = lines(stdout);
    expect(shown.map(({ seq }) => seq)).toEqual(shown.map((_, n) => n + 1));
    expect(shown[0]).toMatchObject({ vm: "demo", kind: "vm-started" });
    const read = shown.find(({ kind }) => kind === "ccdf-read") ?? {};
    expect(Object.keys(read).slice(0, 5)).toEqual(["seq", "time", "vm", "fid", "kind"]);
    expect(read["time"]).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    // PEC 0x003a of host handle 0x80020001 on FID 1: zpci_ccdf_err, big-endian.
    expect(read["ccdf"]).toBe(`00000000${"80020001"}${"00000001"}${"0".repeat(36)}003a`);
  });

  it("filters by VM, function, kind and time, and refuses filters that are none", async () => {
    const seen = async (...words: string[]): Promise<Record<string, unknown>[]> =>
      lines((await zmend("journal", "show", recorded, "--json", ...words)).stdout);
    const resets = await seen("--fid", "0x2,3", "--kind", "host-reset,state");
    expect(new Set(resets.map(({ fid }) => fid))).toEqual(new Set([2, 3]));
    expect(new Set(resets.map(({ kind }) => kind))).toEqual(new Set(["host-reset", "state"]));
    expect(await seen("--vm", "other")).toEqual([]);
    expect(await seen("--until", "2020-01-01")).toEqual([]);
    expect(await seen("--since", "1d")).toEqual(await seen());
    for (const words of [
      ["--fid", "zz"],
      ["--since", "yesterday"],
      ["--fid", "0x1ffffffff"],
    ]) {
      expect(await zmend("journal", "show", recorded, ...words)).toMatchObject({
        status: 2,
        stdout: "",
      });
    }
    expect(await zmend("journal", "show", folder)).toMatchObject({
      status: 2,
      stderr: `zmend: ${folder} holds no journal; name the journal directory of a state directory, or one of its files.\n`,
    });
  });

  it("names a damaged record, shows all others and ends with status 1", async () => {
    const { directory, file } = copy("damaged");
    const all = contents(directory).records.length;
    const bytes = readFileSync(file);
    const middle = Math.floor(bytes.length / 2);
    bytes[middle] = (bytes[middle] as number) ^ 0x10;
    writeFileSync(file, bytes);
    const { status, stdout, stderr } = await zmend("journal", "show", directory, "--json");
    const [, named = ""] =
      /^zmend: Journal file .* is damaged at byte \d+: record (\d+) cannot be read \(\d+ bytes\)\.\n$/.exec(
        stderr,
      ) ?? [];
    expect(status).toBe(1);
    const seqs = lines(stdout).map(({ seq }) => seq);
    expect(seqs.length).toBe(all - 1);
    expect(seqs).not.toContain(Number(named));
    const replayed = await zmend("replay", directory, "--json");
    expect(replayed.status).toBe(1);
    expect(JSON.parse(replayed.stdout)).toMatchObject({ damaged: 1 });
  });

  it("says that a tail is torn, and forgives it", async () => {
    const { directory, file } = copy("torn");
    const all = contents(directory).records.length;
    truncateSync(file, readFileSync(file).length - 3);
    const { status, stdout, stderr } = await zmend("journal", "show", directory, "--json");
    expect([status, lines(stdout).length]).toEqual([0, all - 1]);
    expect(stderr).toMatch(/ends in the middle of a record: its last \d+ bytes are not shown\.\n$/);
  });

  it("exports into a new file and over nobody's", async () => {
    const out = join(folder, "export.jsonl");
    const words = ["journal", "export", recorded, "--kind", "state", "--out", out];
    expect(await zmend(...words)).toMatchObject({ status: 0, stdout: "", stderr: "" });
    const exported = lines(readFileSync(out, "utf8"));
    expect(exported.length).toBeGreaterThan(10);
    expect(await zmend(...words)).toMatchObject({ status: 2 });
    expect(lines(readFileSync(out, "utf8"))).toEqual(exported);
  });

  it("follows a journal that does not exist yet, until interrupted", async () => {
    const directory = join(folder, "followed");
    const words = [command, "journal", "follow", directory, "--json"];
    const following = interruptNode(words, /"command":"second"/, "SIGINT");
    const journal = await openJournal({ directory });
    journal.command({ command: "first", by: "control" });
    await journal.flush();
    journal.command({ command: "second", by: "control" });
    await journal.close();
    const { status, stdout } = await following;
    expect(status).toBe(130);
    expect(lines(stdout).map(({ seq }) => seq)).toEqual([1, 2]);
  });
});

describe("zmend replay", () => {
  it("repeats a recorded run: nothing diverges", async () => {
    const { status, stdout, stderr } = await zmend("replay", recorded, "--json");
    expect([status, stderr]).toEqual([0, ""]);
    const report = JSON.parse(stdout) as { records: number; runs: { repeated: number }[] };
    expect(report).toMatchObject({ diverged: 0, unreplayed: 0, damaged: 0 });
    const short = await zmend("replay", recorded, "--max-instructions", "1000", "--json");
    expect(short.status).toBe(1);
    expect(JSON.parse(short.stdout)).toMatchObject({ diverged: 0, unreplayed: 1 });
    expect(report.records).toBe(contents(recorded).records.length);
    expect(report.runs[0]?.repeated).toBeGreaterThan(90);
    const file = join(recorded, readdirSync(recorded)[0] ?? "");
    expect((await zmend("replay", file)).stdout).toMatch(
      /\n\d+ records, (\d+) of \1 that have to come out the same did, no divergence\n$/,
    );
  });

  it("says what it can replay when given something else", async () => {
    expect(await zmend("replay", "README.md")).toMatchObject({
      status: 2,
      stderr: expect.stringMatching(/^zmend: README\.md is no recording; name one of: a journal/),
    });
    expect(await zmend("replay", join(folder, "nowhere"))).toMatchObject({ status: 2 });
    expect(await zmend("replay", recorded, "--vm", "alpha")).toMatchObject({
      status: 2,
      stderr: "zmend: The journal has no VM 'alpha'; it has demo.\n",
    });
  });
});

/** A program that writes numbered records and says after each flush how many are safe. */
const writerProgram = (directory: string, count: number, options = "{}"): string => `
  import { openJournal } from ${JSON.stringify(library)};
  const problems = [];
  const journal = await openJournal({
    directory: ${JSON.stringify(directory)},
    segmentBytes: 20000,
    onProblem: ({ message }) => problems.push(message),
    ...${options},
  });
  for (let n = 1; n <= ${count}; n++) {
    journal.command({ command: "write", by: "test", detail: { n, filler: "x".repeat(n % 200) } });
    if (n % 7 === 0) {
      await journal.flush();
      process.stdout.write(n + "\\n");
    }
  }
  await journal.flush();
  process.stdout.write(JSON.stringify({ ...journal.status(), problems }) + "\\n");
  await journal.close();
`;

const written = ({ records }: { readonly records: readonly JournalRecord[] }): unknown[] =>
  records.filter(({ kind }) => kind === "operator-command").map(({ detail }) => detail["n"]);

describe("a journal's writer", () => {
  it("that is killed with SIGKILL has kept everything it had flushed, in order, again and again", async () => {
    const directory = join(folder, "killed");
    let before = 0;
    for (const enough of [70, 700, 2100]) {
      const program = ["--input-type=module", "-e", writerProgram(directory, 1_000_000)];
      const child = spawn(process.execPath, program, { stdio: ["ignore", "pipe", "inherit"] });
      let safe = 0;
      let said = "";
      child.stdout.setEncoding("utf8").on("data", (text: string) => {
        said = (said + text).slice(-40);
        safe = Number(
          said
            .trimEnd()
            .split("\n")
            .at(said.endsWith("\n") ? -1 : -2) ?? 0,
        );
        if (safe >= enough) child.kill("SIGKILL");
      });
      await new Promise((closed) => child.on("close", closed));
      const found = contents(directory);
      expect(found.findings.filter((finding) => finding !== "torn")).toEqual([]);
      expect(found.records.map(({ seq }) => seq)).toEqual(found.records.map((_, n) => n + 1));
      const numbers = written(found).slice(before);
      expect(numbers).toEqual(numbers.map((_, n) => n + 1));
      expect(numbers.length).toBeGreaterThanOrEqual(safe);
      before = written(found).length;
    }
  });

  it("whose files may not grow (RLIMIT_FSIZE) goes on, counts what is lost and leaves no damage", () => {
    const directory = join(folder, "limited");
    const program = join(folder, "limited.mjs");
    // One segment beyond the limit of 32 KiB (64 blocks of 512 bytes).
    writeFileSync(program, writerProgram(directory, 3000, "{ segmentBytes: 1000000, retryMs: 0 }"));
    const shell = 'ulimit -f 64 && exec "$0" "$1"';
    const spawned = runNode([
      "-e",
      `const { spawnSync } = require("node:child_process");
       const r = spawnSync("sh", ["-c", ${JSON.stringify(shell)}, process.execPath, ${JSON.stringify(program)}], { encoding: "utf8" });
       process.stdout.write(r.stdout); process.stderr.write(r.stderr); process.exitCode = r.status;`,
    ]);
    expect(spawned).toMatchObject({ status: 0, stderr: "" });
    const status = JSON.parse(spawned.stdout.trimEnd().split("\n").at(-1) ?? "") as {
      lost: number;
      written: number;
      problem: string;
      problems: string[];
    };
    expect(status.problem).toBe("EFBIG");
    // What is shorter may still fit: then it begins anew, and is told anew.
    expect([...new Set(status.problems)]).toEqual([
      `Journal directory ${directory} takes no more records (EFBIG); make room, they are lost and counted until then.`,
    ]);
    expect(status.lost).toBeGreaterThan(100);
    const found = contents(directory);
    expect(found.findings).toEqual([]);
    expect(found.records.length).toBe(status.written);
    expect(written(found).length + status.lost).toBe(3000);
  });
});
