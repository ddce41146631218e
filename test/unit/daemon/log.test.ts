import { spawnSync } from "node:child_process";
import { closeSync, fstatSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { logLevels } from "../../../src/config/log-levels.ts";
import { createLog } from "../../../src/daemon/log.ts";

/** Node's arguments for statements that use `createLog`. */
function withLog(statements: string): string[] {
  const script = `import { createLog } from "./dist/src/daemon/log.js";\n${statements}`;
  return ["--input-type=module", "-e", script];
}

/** Runs statements with `createLog` in a process of its own, because the log goes to descriptor 2. */
function run(statements: string) {
  const result = spawnSync(process.execPath, withLog(statements), { encoding: "utf8" });
  const records = result.stderr.split("\n").filter((line) => line !== "");
  return {
    stdout: result.stdout,
    records: records.map((line) => JSON.parse(line) as Record<string, unknown>),
  };
}

describe("the log", () => {
  it.each(logLevels)("knows the level %s", (level) => {
    expect(createLog(level).level).toBe(level);
  });

  it("writes JSON lines to standard error and nothing to standard output", () => {
    const { stdout, records } = run('createLog("info").info({ fid: 1, pec: 58 }, "error raised");');
    expect(stdout).toBe("");
    expect(records).toHaveLength(1);
    expect(records[0]).toMatchObject({
      level: 30,
      name: "zmend",
      fid: 1,
      pec: 58,
      msg: "error raised",
    });
  });

  it("leaves out what is below its level", () => {
    const { records } = run(
      'const log = createLog("warn"); log.info("no"); log.warn("yes"); log.debug("no");',
    );
    expect(records.map((record) => record["msg"])).toEqual(["yes"]);
  });

  it("says nothing at level silent", () => {
    expect(run('createLog("silent").fatal("x");').records).toEqual([]);
  });

  it("has written its last line when the process ends at once", () => {
    const { records } = run('createLog("error").error("last"); process.exit(1);');
    expect(records.map((record) => record["msg"])).toEqual(["last"]);
  });

  // Priorities: syslog(3); the prefix: sd-daemon(3).
  it("puts the priority in front where standard error is systemd's journal, and only there", () => {
    const statements = `const log = createLog("trace");
      for (const level of ["trace", "debug", "info", "warn", "error", "fatal"]) log[level]("x");`;
    const lines = linesInFile(statements, ({ dev, ino }) => `${dev}:${ino}`);
    expect(lines.map((line) => line.slice(0, 12))).toEqual([
      '<7>{"level":',
      '<7>{"level":',
      '<6>{"level":',
      '<4>{"level":',
      '<3>{"level":',
      '<2>{"level":',
    ]);
    const elsewhere = linesInFile(statements, ({ dev, ino }) => `${dev}:${ino + 1}`);
    expect(elsewhere).toHaveLength(6);
    for (const line of elsewhere) expect(line).toMatch(/^\{"level":/);
  });

  it("puts the priority in front of lines for people, too", () => {
    const statements = 'createLog("info", true).warn("x");';
    const [line] = linesInFile(statements, ({ dev, ino }) => `${dev}:${ino}`);
    expect(line).toMatch(/^<4>\d\d:\d\d:\d\d\.\d+ WARN {2}x$/);
  });
});

/** What a process writes to its standard error, which is a file, when systemd has told it of this journal. */
function linesInFile(
  statements: string,
  journal: (file: { readonly dev: number; readonly ino: number }) => string,
): string[] {
  const directory = mkdtempSync(join(tmpdir(), "zmend-log-"));
  const file = join(directory, "err");
  const fd = openSync(file, "w");
  try {
    const env = { ...process.env, JOURNAL_STREAM: journal(fstatSync(fd)) };
    const stdio = ["ignore", "ignore", fd] as const;
    spawnSync(process.execPath, withLog(statements), { stdio: [...stdio], env });
    return readFileSync(file, "utf8").trimEnd().split("\n");
  } finally {
    closeSync(fd);
    rmSync(directory, { recursive: true });
  }
}
