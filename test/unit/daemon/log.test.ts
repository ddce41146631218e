import { spawnSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import { logLevels } from "../../../src/config/log-levels.ts";
import { createLog } from "../../../src/daemon/log.ts";

/** Runs statements with `createLog` in a process of its own, because the log goes to descriptor 2. */
function run(statements: string) {
  const script = `import { createLog } from "./dist/src/daemon/log.js";\n${statements}`;
  const result = spawnSync(process.execPath, ["--input-type=module", "-e", script], {
    encoding: "utf8",
  });
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
});
