/** The state directory: where it is, who may use it, and that one daemon has it. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { defaultStateDir, StateDir } from "../../../../src/control/daemon/state-dir.ts";

let folder: string;
beforeEach(() => {
  folder = join(mkdtempSync(join(tmpdir(), "zms-")), "state");
});
afterEach(() => rmSync(join(folder, ".."), { recursive: true, force: true }));

describe("the state directory", () => {
  it.each([
    [{ ZMEND_STATE_DIR: "/a", STATE_DIRECTORY: "/b", XDG_STATE_HOME: "/c" }, "/a"],
    [{ STATE_DIRECTORY: "/b:/x", XDG_STATE_HOME: "/c" }, "/b"],
    [{ XDG_STATE_HOME: "/c" }, "/c/zmend"],
  ])("of the environment %j is %s", (env, expected) => {
    expect(defaultStateDir(env)).toBe(expected);
  });

  it("is made for its owner alone", async () => {
    const state = await StateDir.open(folder, ["one"]);
    expect(statSync(folder).mode & 0o777).toBe(0o700);
    expect(statSync(join(folder, "qmp")).mode & 0o777).toBe(0o700);
    expect(readFileSync(join(folder, "daemon.pid"), "utf8")).toBe(`${process.pid}\n`);
    state.close();
    expect(existsSync(join(folder, "daemon.pid"))).toBe(false);
  });

  it("is closed to others when it is an empty folder of ours", async () => {
    mkdirSync(folder);
    chmodSync(folder, 0o755);
    (await StateDir.open(folder, [])).close();
    expect(statSync(folder).mode & 0o777).toBe(0o700);
  });

  it("serves one daemon at a time", async () => {
    const state = await StateDir.open(folder, []);
    await expect(StateDir.open(folder, [])).rejects.toThrow(
      `A zmend daemon (pid ${process.pid}) runs on state directory ${folder}`,
    );
    state.close();
    (await StateDir.open(folder, [])).close();
  });

  it.each([
    ["a process that has gone", "4194303 1 x\n"],
    ["a process of that number that started at another time", `${process.pid} 1 x\n`],
    ["a torn write", ""],
  ])("is not held up by the lock of %s", async (_, lock) => {
    mkdirSync(folder, { mode: 0o700 });
    writeFileSync(join(folder, "lock"), lock);
    const state = await StateDir.open(folder, []);
    expect(readFileSync(join(folder, "lock"), "utf8")).toMatch(new RegExp(`^${process.pid} \\d+ `));
    expect(readdirSync(folder).sort()).toEqual(["daemon.pid", "lock", "qmp"]);
    state.close();
  });

  it("is not held up by a daemon that was killed and whose parent has not asked for its status", async () => {
    // The shell's child has ended when the shell has become `sleep`, which asks for nobody's status.
    const script = 'sleep 0.3 & echo $! $(cut -d " " -f 22 /proc/$!/stat); exec sleep 60';
    const parent = spawn("sh", ["-c", script], { stdio: ["ignore", "pipe", "ignore"] });
    try {
      const [line] = (await once(parent.stdout, "data")) as [Buffer];
      const [pid, began] = line.toString().trim().split(" ");
      const state = (): string => readFileSync(`/proc/${pid}/stat`, "utf8").split(" ")[2] ?? "";
      while (state() !== "Z") await new Promise((resolve) => setTimeout(resolve, 10));
      const boot = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
      mkdirSync(folder, { mode: 0o700 });
      writeFileSync(join(folder, "lock"), `${pid} ${began} ${boot}\n`);
      (await StateDir.open(folder, [])).close();
    } finally {
      parent.kill("SIGKILL");
    }
  });

  it("is refused in a sentence where no folder can be made", async () => {
    await expect(StateDir.open("/proc/zmend", [])).rejects.toMatchObject({
      code: "ENVIRONMENT",
      message:
        "State directory /proc/zmend cannot be made (ENOENT); choose another one with --state-dir.",
    });
  });

  it("that cannot take the pid file is refused in a sentence, and left without a lock", async () => {
    mkdirSync(join(folder, "daemon.pid"), { recursive: true, mode: 0o700 });
    chmodSync(folder, 0o700);
    await expect(StateDir.open(folder, [])).rejects.toMatchObject({
      code: "ENVIRONMENT",
      message: `Pid file ${folder}/daemon.pid cannot be made (EISDIR); make room or check the folder's rights.`,
    });
    expect(readdirSync(folder).sort()).toEqual(["daemon.pid", "qmp"]);
  });

  it("is refused before anything is made when a VM's socket would not fit", async () => {
    await expect(StateDir.open(folder, ["x".repeat(100)])).rejects.toThrow(/may have 107/);
    expect(existsSync(folder)).toBe(false);
  });
});
