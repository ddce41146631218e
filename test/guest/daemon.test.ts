/** The daemon as operators use it: a real process, its socket, its signals, and what goes wrong around it. */
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { type AddressInfo, connect, createServer } from "node:net";
import { getPriority } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { FunctionReport, VmReport } from "../../src/control/daemon/status.ts";
import type { StatusReport } from "../../src/daemon/status-table.ts";
import { interruptNode } from "../support/command.ts";
import {
  daemonConfig,
  needsMounts,
  pause,
  type Ready,
  runZmend,
  TestDaemon,
  withoutMounts,
  zmendFile,
} from "../support/daemon.ts";
import { QmpClient } from "../support/qmp-client.ts";

interface JournalLine {
  readonly vm: string;
  readonly fid?: number;
  readonly detail: Readonly<Record<string, unknown>>;
}

const daemons: TestDaemon[] = [];
afterEach(async () => {
  for (const daemon of daemons.splice(0)) await daemon.remove();
});

function newDaemon(config: string, env: NodeJS.ProcessEnv = {}): TestDaemon {
  const daemon = new TestDaemon(config, env);
  daemons.push(daemon);
  return daemon;
}

describe("a running daemon", () => {
  let daemon: TestDaemon;
  let ready: Ready;
  beforeAll(async () => {
    daemon = new TestDaemon(daemonConfig(["alpha", "beta"]));
    ready = await daemon.start();
  });
  afterAll(() => daemon.remove());

  const functionOf = async (vm: string, id: string): Promise<FunctionReport> => {
    const rows = await daemon.ask<FunctionReport[]>("function", "list", vm);
    const row = rows.find((entry) => entry.id === id);
    if (row === undefined) throw new Error(`no ${id}`);
    return row;
  };

  it("says in one JSON line that it is ready, and where", () => {
    expect(daemon.stdout.trimEnd().split("\n")).toHaveLength(1);
    expect(ready).toMatchObject({
      ready: true,
      pid: daemon.child?.pid,
      control: join(daemon.state, "control.sock"),
      vms: [
        { name: "alpha", qmp: join(daemon.state, "qmp", "alpha.sock") },
        { name: "beta", qmp: join(daemon.state, "qmp", "beta.sock") },
      ],
    });
  });

  it("leaves nothing that other users may read", () => {
    const open: string[] = [];
    const walk = (path: string): void => {
      const status = statSync(path);
      if ((status.mode & 0o077) !== 0) open.push(path);
      if (status.isDirectory()) for (const name of readdirSync(path)) walk(join(path, name));
    };
    walk(daemon.state);
    expect(open).toEqual([]);
  });

  it("lets main thread, guests' CPUs and V8 step back behind the recovery workers", async () => {
    // proc(5): field 19 of /proc/PID/task/TID/stat is the nice value.
    const tasks = `/proc/${ready.pid}/task`;
    const threads = (): { readonly name: string; readonly nice: number }[] =>
      readdirSync(tasks).map((task) => {
        const text = readFileSync(join(tasks, task, "stat"), "utf8");
        const end = text.lastIndexOf(")");
        const name = text.slice(text.indexOf("(") + 1, end);
        return { name, nice: Number(text.slice(end + 2).split(" ")[16]) };
      });
    const own = (name: string): number[] =>
      threads().flatMap((thread) => (thread.name.startsWith(name) ? [thread.nice] : []));
    // The guests run before the last of their recovery workers has come up.
    await expect.poll(() => own("rec-").length, { timeout: 20_000 }).toBe(4);
    const base = getPriority();
    expect(own("rec-")).toEqual([base, base, base, base]);
    expect(own("platform")).toEqual([base, base]);
    expect(own("vcpu-")).toEqual([base + 10, base + 10]);
    // Only who may raise a priority again (root here) can start workers from a main thread that stepped back.
    if (process.getuid?.() === 0) expect(getPriority(ready.pid)).toBe(base + 5);
    const unnamed = own(threads().find(({ name }) => name.startsWith("node"))?.name ?? "node");
    expect(unnamed.filter((nice) => nice === 19).length).toBeGreaterThanOrEqual(4);
  });

  it("lists its VMs, as a table and as JSON", async () => {
    const rows = await daemon.ask<VmReport[]>("vm", "list");
    expect(rows.map((row) => [row.name, row.state, row.functions])).toEqual([
      ["alpha", "running", 2],
      ["beta", "running", 2],
    ]);
    const { stdout } = await daemon.zmend("vm", "list");
    expect(stdout).toMatch(/^vm {2,}state {2,}up/);
    expect(stdout).toMatch(/^alpha +running /m);
  });

  it("injects an error, and the guest recovers", async () => {
    const { stdout, status } = await daemon.zmend("vm", "inject", "alpha", "0x1", "--pec", "0x3a");
    expect([status, stdout]).toEqual([0, "alpha: PEC 0x003a raised on 0x00000001 (alpha-0)\n"]);
    const rows = await daemon.untilAsked<FunctionReport[]>(
      ["function", "list", "alpha"],
      (list) => list[0]?.recoveries === 1,
    );
    expect(rows[0]).toMatchObject({
      state: "operational",
      errorsRaised: 1,
      fetchedByGuest: 1,
      open: 0,
    });
  });

  it("injects several, stale ones and by id", async () => {
    const answer = await daemon.ask<object>(
      ..."vm inject alpha alpha-1 --pec 58 --count 2 --stale --faddr 0x1000".split(" "),
    );
    expect(answer).toMatchObject({ fid: "0x00000002", pec: "0x003a", count: 2, stale: true });
    const rows = await daemon.untilAsked<FunctionReport[]>(
      ["function", "list", "alpha"],
      (list) => list[1]?.errorsRaised === 2,
    );
    expect(rows[1]?.notDelivered["staleHandle"]).toBe(2);
  });

  it("injects several, so far apart, and says so", async () => {
    const words = ["alpha", "alpha-1", "--pec", "0x3a", "--count", "3", "--every", "150"];
    const before = await functionOf("alpha", "alpha-1");
    const { stdout, status } = await daemon.zmend("vm", "inject", ...words);
    const said =
      "alpha: PEC 0x003a is being raised 3 times, 150 ms apart, on 0x00000002 (alpha-1)\n";
    expect([status, stdout]).toEqual([0, said]);
    const rows = await daemon.untilAsked<FunctionReport[]>(
      ["function", "list", "alpha"],
      (list) => list[1]?.errorsRaised === before.errorsRaised + 3 && list[1].open === 0,
    );
    // Apart from each other: on an idle host each has a recovery of its own, on a busy one two may share it.
    expect(rows[1]?.recoveries).toBeGreaterThan(before.recoveries);
    const kept = "journal show --vm alpha --kind error-raised --json".split(" ");
    const raised = async (): Promise<number[]> =>
      (await daemon.zmend(...kept)).stdout
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line) as { readonly fid: number; readonly timeUs: number })
        .filter(({ fid }) => fid === 2)
        .map(({ timeUs }) => timeUs);
    while ((await raised()).length < before.errorsRaised + 3) await pause(50);
    const [first = Number.NaN, , third = Number.NaN] = (await raised()).slice(-3);
    expect(third - first).toBeGreaterThan(150_000);
  });

  it("refuses what would change nothing, and an empty state directory", async () => {
    const released = await daemon.zmend("function", "release", "beta", "beta-0");
    expect(released).toMatchObject({
      status: 1,
      stderr:
        "zmend: Function 0x00000001 (beta-0) of VM beta is operational; release lets one back that was taken from its guest.\n",
    });
    const plugged = await daemon.zmend("function", "plug", "beta", "beta-0");
    expect([plugged.status, plugged.stderr]).toEqual([
      1,
      "zmend: Function 0x00000001 (beta-0) of VM beta is plugged already.\n",
    ]);
    const nobody = await daemon.zmend("vm", "console", "alpho");
    expect(nobody.status).toBe(1);
    expect(nobody.stderr).toMatch(/^zmend: .*'alpho'.*did you mean 'alpha'.*\n$/);
    const nowhere = await runZmend(["status", "--state-dir", ""]);
    expect(nowhere).toMatchObject({
      status: 2,
      stderr: "zmend: --state-dir is empty; name a directory, or leave it out.\n",
    });
  });

  it("gets a function out of quarantine", async () => {
    await daemon.ask("function", "quarantine", "beta", "beta-0");
    expect((await functionOf("beta", "beta-0")).state).toBe("quarantined");
    const reset = await daemon.zmend("function", "reset", "beta", "beta-0");
    expect([reset.status, reset.stderr]).toEqual([
      1,
      "zmend: Function 0x00000001 (beta-0) of VM beta is quarantined; release resets it and lets it back.\n",
    ]);
    const { stdout, status } = await daemon.zmend("function", "release", "beta", "beta-0");
    expect(status).toBe(0);
    expect(stdout).toMatch(/^beta 0x00000001: quarantined -> (?!quarantined)/);
    await daemon.untilAsked<FunctionReport[]>(
      ["function", "list", "beta"],
      (list) => list[0]?.state === "operational",
    );
  });

  it("changes the policy of a VM and of one function", async () => {
    await daemon.ask("vm", "policy", "beta", "reset-first");
    await daemon.ask("vm", "policy", "beta", "quarantine", "--function", "2");
    const rows = await daemon.ask<FunctionReport[]>("function", "list", "beta");
    expect(rows.map((row) => row.policy)).toEqual(["reset-first", "quarantine"]);
    const list = await daemon.ask<{ name: string; usedBy: string[] }[]>("policy", "list");
    expect(list.find((row) => row.name === "reset-first")?.usedBy).toEqual(["beta/beta-0"]);
  });

  it("shows policies and checks files", async () => {
    expect((await daemon.zmend("policy", "show", "mediated")).stdout).toMatch(/^version: 1$/m);
    const bad = join(daemon.folder, "bad.yaml");
    writeFileSync(bad, "version: 1\nnam: x\n");
    const { status, stderr } = await daemon.zmend("policy", "check", bad);
    expect(status).toBe(2);
    expect(stderr).toMatch(/bad\.yaml:2: unknown key 'nam' \(did you mean 'name'\?\)$/m);
    expect((await daemon.zmend("policy", "check", "config/policies/mediated.yaml")).status).toBe(0);
  });

  it("shows one function with its books", async () => {
    const { stdout } = await daemon.zmend("function", "show", "alpha", "1");
    expect(stdout).toMatch(/^state +operational$/m);
    expect(stdout).toMatch(/^errorsRaised +1$/m);
  });

  it("prints the guest's console", async () => {
    const { stdout } = await daemon.zmend("vm", "console", "alpha", "--no-follow");
    expect(stdout).toMatch(/^zrecover: .*working on/m);
  });

  it("shows itself, its VMs and functions", async () => {
    const report = await daemon.ask<StatusReport>("status");
    expect(report.daemon).toMatchObject({ pid: ready.pid, stateDir: daemon.state });
    expect(report.functions).toHaveLength(4);
    const { stdout } = await daemon.zmend("status");
    expect(stdout).toMatch(/^zmend [\d.]+, pid \d+, up /);
    expect(stdout).toMatch(/^alpha +0x00000001 +alpha-0 +operational/m);
  });

  it("shows itself again and again when watched, until interrupted", async () => {
    const words = [zmendFile, "status", "--watch", "--interval", "50", "--state-dir", daemon.state];
    const { status, stdout, stderr } = await interruptNode(words, /^zmend .*^zmend /ms, "SIGINT");
    expect([status, stderr]).toEqual([0, ""]);
    expect(stdout.match(/^alpha +running/gm)?.length).toBeGreaterThan(1);
  });

  it("stops one VM without touching the other, and starts it again", async () => {
    const stopped = await daemon.ask<VmReport>("vm", "stop", "alpha");
    expect(stopped.state).toBe("shutdown");
    expect((await daemon.ask<VmReport[]>("vm", "list"))[1]?.state).toBe("running");
    const refused = await daemon.zmend("vm", "inject", "alpha", "1", "--pec", "0x3a");
    expect(refused.status).toBe(1);
    expect(refused.stderr).toBe(
      "zmend: VM alpha is shutdown and cannot take an error; start it first.\n",
    );
    expect((await daemon.ask<VmReport>("vm", "start", "alpha")).state).toBe("running");
    const again = await daemon.zmend("vm", "start", "alpha");
    expect([again.status, again.stderr]).toEqual([1, "zmend: VM alpha is running already.\n"]);
  });

  it("saves a machine and goes on from there", async () => {
    const file = join(daemon.folder, "alpha.snapshot");
    const before = await daemon.ask<{ instructions: number }>("vm", "save", "alpha", file);
    expect(statSync(file).mode & 0o077).toBe(0);
    const restored = await daemon.ask<VmReport>("vm", "restore", "alpha", file);
    expect(restored.state).toBe("running");
    expect(restored.instructions).toBeGreaterThan(0);
    expect(before.instructions).toBeGreaterThan(0);
    const missing = await daemon.zmend("vm", "restore", "alpha", join(daemon.folder, "none"));
    expect(missing.status).not.toBe(0);
    expect(missing.stderr).toMatch(/^zmend: .*none.*\n$/);
    expect((await daemon.ask<VmReport[]>("vm", "list"))[0]?.state).toBe("running");
  });

  it("speaks QMP on a socket per VM", async () => {
    const text = await new Promise<string>((resolve) => {
      const socket = connect(ready.vms[0]?.qmp ?? "");
      let got = "";
      socket.on("data", (chunk: Uint8Array) => {
        got += Buffer.from(chunk).toString();
        if (got.includes('"running"')) socket.destroy();
      });
      socket.on("close", () => resolve(got));
      socket.write('{"execute":"qmp_capabilities"}{"execute":"query-status"}');
    });
    expect(text).toMatch(/^\{"QMP": /);
    expect(text).toMatch(/"status": "running"/);
  });

  it("writes down what QMP's clients do, as it does for its own", async () => {
    const client = await QmpClient.ready(join(daemon.state, "qmp", "alpha.sock"));
    await client.execute("x-zmend-set-policy", { policy: "mediated", id: "alpha-1" });
    await client.execute("x-zmend-inject-error", { id: "alpha-1", pec: 0x3a, stale: true });
    client.socket.destroy();
    const words = "journal show --vm alpha --kind operator-command --json".split(" ");
    for (;;) {
      const { stdout } = await daemon.zmend(...words);
      const lines = stdout.split("\n").filter((line) => line !== "");
      const acts = lines.map((line) => JSON.parse(line) as JournalLine);
      const byQmp = acts.filter(({ detail }) => detail["by"] === "qmp");
      if (byQmp.length < 2) continue;
      expect(byQmp).toMatchObject([
        {
          vm: "alpha",
          fid: 2,
          detail: { command: "x-zmend-set-policy", arguments: { id: "alpha-1" } },
        },
        {
          vm: "alpha",
          fid: 2,
          detail: { command: "x-zmend-inject-error", arguments: { stale: true } },
        },
      ]);
      return;
    }
  });

  it("serves metrics and a page on loopback", async () => {
    const metrics = await (await fetch(ready.metrics)).text();
    expect(metrics).toMatch(
      /^zmend_function_state\{vm="beta",fid="[^"]+",state="operational"\} 1$/m,
    );
    expect(ready.page).toMatch(/^http:\/\/127\.0\.0\.1:\d+/);
    expect((await fetch(ready.page)).status).toBe(200);
  });

  it("takes a function away from its guest, and brings it back", async () => {
    const { stdout, stderr } = await daemon.zmend("function", "unplug", "beta", "beta-1");
    expect([stdout, stderr]).toEqual(["beta 0x00000002 (beta-1): unplugged\n", ""]);
    const rows = await daemon.ask<FunctionReport[]>("function", "list", "beta");
    expect(rows.map((row) => row.id)).toEqual(["beta-0"]);
    const gone = await daemon.zmend("function", "show", "beta", "beta-1");
    expect([gone.status, gone.stderr]).toEqual([
      1,
      "zmend: Function 0x00000002 (beta-1) of VM beta is unplugged; plug it first.\n",
    ]);
    await daemon.ask("function", "plug", "beta", "2");
    await daemon.untilAsked<FunctionReport[]>(
      ["function", "list", "beta"],
      (list) => list.length === 2 && list[1]?.state === "operational",
    );
  });

  it("resets a VM", async () => {
    expect((await daemon.ask<VmReport>("vm", "reset", "beta")).state).toBe("running");
    expect(daemon.logged("VM was reset")).toMatchObject([{ vm: "beta", byGuest: false }]);
  });

  it("lets a VM that its policy stopped run again after a reset", async () => {
    await daemon.ask("vm", "policy", "beta", "qemu-11");
    await daemon.ask("vm", "inject", "beta", "beta-0", "--pec", "0x3a");
    await daemon.untilAsked<VmReport[]>(["vm", "list"], (rows) => rows[1]?.state === "io-error");
    await daemon.ask("vm", "policy", "beta", "mediated");
    const reset = await daemon.ask<VmReport>("vm", "reset", "beta");
    expect(reset.state).toBe("running");
    await daemon.untilAsked<VmReport[]>(
      ["vm", "list"],
      (rows) => (rows[1]?.instructions ?? 0) > reset.instructions,
    );
  });

  it.each([
    [
      "an unknown VM",
      ["vm", "start", "alhpa"],
      1,
      /^zmend: VM 'alhpa' is unknown \(did you mean 'alpha'\?\)/,
    ],
    [
      "an unknown function",
      ["function", "show", "alpha", "9"],
      1,
      /^zmend: VM alpha has no function 0x00000009; it has 0x00000001 \(alpha-0\)/,
    ],
    [
      "an unknown id",
      ["function", "show", "alpha", "alpa-0"],
      1,
      /has no function 'alpa-0' \(did you mean 'alpha-0'\?\)/,
    ],
    [
      "an unknown policy",
      ["vm", "policy", "alpha", "mediatd"],
      2,
      /^zmend: Policy 'mediatd' is unknown \(did you mean 'mediated'\?\)/,
    ],
    [
      "a PEC out of range",
      ["vm", "inject", "alpha", "1", "--pec", "0x10000"],
      2,
      /expected a number from 1 to 65535/,
    ],
    [
      "an injection without a PEC",
      ["vm", "inject", "alpha", "1"],
      2,
      /vm inject wants a function and --pec CODE/,
    ],
  ] as const)("refuses %s in one sentence", async (_, words, status, message) => {
    const outcome = await daemon.zmend(...words);
    expect([outcome.status, outcome.stdout]).toEqual([status, ""]);
    expect(outcome.stderr).toMatch(message);
    expect(outcome.stderr).not.toMatch(/^\s+at |internal error/m);
  });

  it("refuses a second daemon on its state directory in one sentence", async () => {
    const second = await runZmend([
      "daemon",
      "--config",
      daemon.configFile,
      "--state-dir",
      daemon.state,
    ]);
    expect([second.status, second.stdout]).toEqual([3, ""]);
    expect(second.stderr).toBe(
      `zmend: A zmend daemon (pid ${ready.pid}) runs on state directory ${daemon.state}; ` +
        "stop it or choose another one with --state-dir.\n",
    );
  });

  it("keeps the old config when a changed one is invalid, and says so", async () => {
    daemon.writeConfig("version: 1\nvms: [{ name: alpha, fixture: zrecvr }]\n");
    daemon.child?.kill("SIGHUP");
    const report = await daemon.untilAsked<StatusReport>(
      ["status"],
      (status) => status.daemon.reloadError !== undefined,
    );
    expect(report.daemon.reloadError).toMatch(
      /daemon\.yaml:2: vms\[0\]\.fixture: fixture 'zrecvr'/,
    );
    expect(report.vms.map((vm) => vm.state)).toEqual(["running", "running"]);
    expect((await daemon.zmend("status")).stdout).toMatch(
      /^RELOAD REFUSED, the old config stays: /m,
    );
    expect(daemon.logged("the config was not reloaded, the old one stays")).toHaveLength(1);
  });

  it("takes policies and log level of a valid config on SIGHUP, and names what has to wait", async () => {
    const changed = daemonConfig(["alpha", "beta"], "logLevel: debug\nmetrics: { port: 1 }\n");
    daemon.writeConfig(
      changed.replaceAll("fixture: zrecover", "fixture: zrecover\n    policy: quarantine"),
    );
    daemon.child?.kill("SIGHUP");
    const report = await daemon.untilAsked<StatusReport>(
      ["status"],
      (status) => status.daemon.reloadError === undefined,
    );
    expect(report.functions.map((entry) => entry.policy)).toEqual(Array(4).fill("quarantine"));
    const told = daemon.logged("operator command") as { readonly cause?: string }[];
    const byReload = told.filter(({ cause }) => cause === "reload");
    expect(byReload).toHaveLength(report.functions.length);
    expect(byReload[0]).toMatchObject({ command: "vm-policy", policy: "quarantine" });
    await daemon.until(() => daemon.logged("other changes wait for the next start").length === 1);
    expect(daemon.logged("other changes wait for the next start")).toMatchObject([
      { keys: ["metrics"] },
    ]);
  });

  it("survives abuse of its control socket: half a line, a line too long, deep nesting, no UTF-8, no JSON", async () => {
    const talk = (bytes: string | Uint8Array): Promise<string> =>
      new Promise((resolve) => {
        const socket = connect(ready.control);
        let text = "";
        socket.on("data", (chunk: Uint8Array) => {
          text += Buffer.from(chunk).toString();
        });
        socket.on("close", () => resolve(text.split("\n").slice(1).join("\n")));
        socket.on("error", () => {});
        socket.write(bytes);
        socket.end();
      });
    expect(await talk('{"id":1,')).toBe("");
    expect(await talk(`${"x".repeat(70_000)}\n`)).toMatch(/A line may have 65536 bytes/);
    expect(await talk(`${"[".repeat(10_000)}\n`)).toMatch(/nests deeper than 16 levels/);
    expect(await talk(Uint8Array.of(0x22, 0xff, 0x22, 0x0a))).toMatch(/not UTF-8/);
    expect(await talk("hello\n")).toMatch(/is no JSON/);
    expect(await talk('{"id":7,"command":"vm-lst"}\n')).toMatch(
      /"id":7,"error":\{"code":"USAGE","message":"The daemon has no command 'vm-lst' \(did you mean 'vm-list'\?\)/,
    );
    expect(await talk('{"id":8,"command":"vm-start","arguments":{"vm":1}}\n')).toMatch(
      /"id":8,"error":\{"code":"USAGE","message":"vm-start: vm: /,
    );
    expect((await daemon.zmend("vm", "list")).status).toBe(0);
  });

  it("turns away the 65th connection and serves again when one leaves", async () => {
    const sockets = Array.from({ length: 200 }, () => connect(ready.control).on("error", () => {}));
    await pause(300);
    for (const socket of sockets) socket.destroy();
    await daemon.untilAsked<VmReport[]>(["vm", "list"], (rows) => rows.length === 2);
  });

  it("ends on SIGTERM with the guests told first, its clients at their end, and leaves nothing behind", async () => {
    const client = await QmpClient.ready(join(daemon.state, "qmp", "alpha.sock"));
    expect(await daemon.stop("SIGTERM")).toBe(0);
    const heard = client.messages.map(({ event }) => event);
    expect(heard.filter((name) => name === "POWERDOWN" || name === "SHUTDOWN")).toEqual([
      "POWERDOWN",
      "SHUTDOWN",
    ]);
    expect(client.events("SHUTDOWN").map(({ data }) => data)).toEqual([
      { guest: false, reason: "host-signal" },
    ]);
    expect(daemon.stderr).toMatch(/"state":"shutdown","reason":"guest-shutdown"/);
    expect(daemon.logged("the daemon has stopped")).toHaveLength(1);
    const errors = daemon.stderr
      .split("\n")
      .filter((line) => /"level":(50|60),/.test(line))
      .map((line) => JSON.parse(line) as { readonly msg: string; readonly state?: string })
      .map(({ msg, state }) => state ?? msg);
    expect(errors).toEqual(["io-error", "the config was not reloaded, the old one stays"]);
    expect(readdirSync(daemon.state).sort()).toEqual(["journal", "qmp"]);
    expect(readdirSync(join(daemon.state, "qmp"))).toEqual([]);
    const gone = await daemon.zmend("vm", "list");
    expect(gone.status).toBe(3);
    expect(gone.stderr).toBe(
      `zmend: No zmend daemon answers on state directory ${daemon.state}; ` +
        `start one with 'zmend daemon --config FILE --state-dir ${daemon.state}'.\n`,
    );
  });

  it("knows its policies without a daemon", async () => {
    const { stdout, stderr, status } = await daemon.zmend("policy", "list", "--json");
    expect([status, stderr]).toEqual([0, ""]);
    const rows = JSON.parse(stdout) as { readonly name: string; readonly usedBy: string[] }[];
    expect(rows.map(({ name }) => name)).toContain("quarantine");
    expect(rows.flatMap(({ usedBy }) => usedBy)).toEqual([]);
    const shown = await runZmend(["policy", "show", "patient", "--json"]);
    expect(JSON.parse(shown.stdout)).toMatchObject({
      name: "patient",
      text: expect.stringContaining("name: patient"),
    });
    const file = "config/policies/unplug.yaml";
    const checked = await runZmend(["policy", "check", file, "--json"]);
    expect(JSON.parse(checked.stdout)).toMatchObject({ file, name: "unplug", onError: "unplug" });
    const unknown = await runZmend(["policy", "show", "patiet"]);
    expect(unknown.status).toBe(2);
    expect(unknown.stderr).toMatch(
      /^zmend: Policy 'patiet' is unknown \(did you mean 'patient'\?\);/,
    );
  });
});

describe("zmend daemon", () => {
  it("ends with 130 when interrupted", async () => {
    const daemon = newDaemon(daemonConfig(["one"]));
    await daemon.start();
    expect(await daemon.stop("SIGINT")).toBe(130);
  });

  it("--check-config says that a config is good without starting anything", async () => {
    const daemon = newDaemon(daemonConfig(["one"]));
    daemon.launch("--check-config");
    expect(await daemon.ended()).toBe(0);
    expect(daemon.stdout).toBe(`${daemon.configFile}: good; 1 VM, 2 functions\n`);
    expect(existsSync(daemon.state)).toBe(false);
  });

  it("--check-config --json says what is wrong, line by line, on standard output", async () => {
    const daemon = newDaemon(daemonConfig(["one"], "bogus: 1\nlogLevel: loud\n"));
    daemon.launch("--check-config", "--json");
    expect(await daemon.ended()).toBe(2);
    expect(JSON.parse(daemon.stdout)).toEqual({
      file: daemon.configFile,
      valid: false,
      problems: [
        { line: 3, message: expect.stringContaining("unknown key 'bogus'") },
        { line: 4, message: expect.stringContaining("logLevel") },
      ],
    });
    const good = newDaemon(daemonConfig(["one"]));
    good.launch("--check-config", "--json");
    expect(await good.ended()).toBe(0);
    expect(JSON.parse(good.stdout)).toMatchObject({ valid: true, vms: 1, functions: 2 });
  });

  it("has VMs that wait to be started: policies, reload and its end do not wait for them", async () => {
    const later = daemonConfig(["one", "two"]).replaceAll(
      "    fixture: zrecover\n",
      "    fixture: zrecover\n    autostart: false\n",
    );
    const daemon = newDaemon(later);
    await daemon.start();
    expect((await daemon.zmend("vm", "policy", "two", "patient")).status).toBe(0);
    // Before a wait of hours, not after it.
    const early = await daemon.zmend("vm", "inject", "two", "--scenario", "smoke");
    expect([early.status, early.stdout, early.stderr]).toEqual([
      1,
      "",
      "zmend: VM two is prelaunch and cannot take errors; start it first.\n",
    ]);
    daemon.child?.kill("SIGHUP");
    while (daemon.logged("policies and log level are those of the config now").length === 0) {
      await pause(20);
    }
    await daemon.ask("vm", "start", "one");
    await daemon.untilAsked<VmReport[]>(["vm", "list"], (rows) => (rows[0]?.instructions ?? 0) > 0);
    const client = await QmpClient.ready(join(daemon.state, "qmp", "two.sock"));
    await client.execute("system_reset");
    await client.execute("cont");
    await daemon.untilAsked<VmReport[]>(["vm", "list"], (rows) => (rows[1]?.instructions ?? 0) > 0);
    expect(await daemon.stop()).toBe(0);
  });

  it("goes on after kill -9 on the same state directory", async () => {
    const daemon = newDaemon(daemonConfig(["one"]));
    await daemon.start();
    await daemon.stop("SIGKILL");
    expect(existsSync(join(daemon.state, "lock"))).toBe(true);
    const ready = await daemon.start();
    expect(ready.pid).toBe(daemon.child?.pid);
    expect(await daemon.stop()).toBe(0);
  });

  it("of two that start at the same time on one state directory one serves, the other says why not", async () => {
    const daemon = newDaemon(daemonConfig(["one"]));
    const other = newDaemon(daemonConfig(["one"]));
    daemon.launch();
    other.launch("--state-dir", daemon.state);
    const lines = (): string[] => [daemon.stdout, other.stdout].filter((text) => text !== "");
    const ends = Promise.race([daemon.ended(), other.ended()]);
    expect(await ends).toBe(3);
    const refused = daemon.child?.exitCode === 3 ? daemon : other;
    expect(refused.stderr).toMatch(
      /zmend: (A|Another) zmend daemon .*runs on state directory .*; stop it or choose another one/,
    );
    const served = refused === daemon ? other : daemon;
    await served.until(() => served.stdout.includes("\n"));
    expect(lines()).toHaveLength(1);
    expect(await served.stop()).toBe(0);
  });

  it("logs lines for people with --pretty", async () => {
    const daemon = newDaemon(daemonConfig(["one"]));
    await daemon.start("--pretty");
    await daemon.stop();
    expect(daemon.stderr).toMatch(/^\d\d:\d\d:\d\d\.\d{3} INFO {2}the daemon is ready /m);
  });

  it("starts VMs by their order, leaves those down that do not start with it, and plugs nothing else", async () => {
    const vm = (name: string, more: string): string =>
      `  - { name: ${name}, fixture: hello, ${more} }\n`;
    const daemon = newDaemon(
      `version: 1\nvms:\n${vm("last", "startOrder: 9")}${vm("first", "startOrder: 1, startDelayMs: 20")}${vm("down", "autostart: false")}`,
    );
    await daemon.start();
    const started = daemon
      .logged("VM changed its state")
      .filter((record) => record["from"] === "prelaunch")
      .map((record) => record["vm"]);
    expect(started).toEqual(["first", "last"]);
    expect((await daemon.ask<VmReport[]>("vm", "list")).at(2)?.state).toBe("prelaunch");
  });

  it.each([
    [
      "a state directory whose name is too long for a socket",
      (daemon: TestDaemon) => ["--state-dir", join(daemon.folder, "x".repeat(120))],
      /^zmend: Socket path .* has \d+ bytes, a Unix socket's may have 107; choose a shorter one \(--state-dir\)\.\n$/,
    ],
    [
      "a state directory that is open to others and in use",
      (daemon: TestDaemon) => {
        mkdirSync(join(daemon.folder, "open", "x"), { recursive: true, mode: 0o755 });
        return ["--state-dir", join(daemon.folder, "open")];
      },
      /^zmend: State directory .* is open to other users and not empty; chmod 700 it/,
    ],
    [
      "a state directory below a file",
      (daemon: TestDaemon) => ["--state-dir", join(daemon.configFile, "x")],
      /^zmend: State directory .* cannot be made \(ENOTDIR\); choose another one with --state-dir\.\n$/,
    ],
    [
      "something else in the control socket's place",
      (daemon: TestDaemon) => {
        mkdirSync(join(daemon.folder, "taken"), { mode: 0o700 });
        writeFileSync(join(daemon.folder, "taken", "control.sock"), "");
        return ["--state-dir", join(daemon.folder, "taken")];
      },
      /^zmend: .*control\.sock .*no socket.*\n$/,
    ],
    [
      "something else in a QMP socket's place",
      (daemon: TestDaemon) => {
        mkdirSync(join(daemon.folder, "taken", "qmp"), { recursive: true, mode: 0o700 });
        writeFileSync(join(daemon.folder, "taken", "qmp", "one.sock"), "");
        return ["--state-dir", join(daemon.folder, "taken")];
      },
      /^zmend: .*qmp\/one\.sock .*no socket.*\n$/,
    ],
  ])("refuses %s with status 3", async (_, words, message) => {
    const daemon = newDaemon(daemonConfig(["one"]));
    daemon.launch(...words(daemon));
    expect(await daemon.ended()).toBe(3);
    expect(daemon.stdout).toBe("");
    expect(
      daemon.stderr
        .split("\n")
        .filter((line) => !line.startsWith("{"))
        .join("\n"),
    ).toMatch(message);
  });

  it("refuses a port that is taken in one sentence", async () => {
    const taken = createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => taken.once("listening", resolve));
    const { port } = taken.address() as AddressInfo;
    const daemon = newDaemon(daemonConfig(["one"], `metrics: { port: ${port} }\n`));
    daemon.launch();
    expect(await daemon.ended()).toBe(3);
    taken.close();
    expect(daemon.stderr).toMatch(new RegExp(`^zmend: .*${port}.*\\n$`));
    expect(readdirSync(daemon.state).sort()).toEqual(["journal", "qmp"]);
  });

  it("refuses every limit that is exceeded, by its line", async () => {
    const limits = "limits:\n  functions: 1\n  workers: 2\n  memory: 8MiB\n";
    const daemon = newDaemon(daemonConfig(["one"], limits));
    daemon.launch("--check-config");
    expect(await daemon.ended()).toBe(2);
    const place = `${daemon.configFile}:`;
    expect(daemon.stderr.trimEnd().replaceAll(place, "").split("\n")).toEqual([
      "zmend: 4: limits.functions: the VMs need 2 functions, the limit is 1; raise it or ask for less",
      "5: limits.workers: the VMs need 4 threads, the limit is 2; raise it or ask for less",
      expect.stringMatching(
        /^6: limits\.memory: the VMs need \d+ MiB with their threads, the limit is 8 MiB; raise it or ask for less$/,
      ),
    ]);
  });

  /** Errors on the first function until `seen`. A disk that is full may still have room for a small record now and then. */
  async function breakUntil(daemon: TestDaemon, seen: () => Promise<boolean>): Promise<number> {
    for (let errors = 200; ; errors += 200) {
      await daemon.ask("vm", "inject", "one", "1", "--pec", "0x3a", "--count", "200", "--stale");
      if (await seen()) return errors;
    }
  }

  /** Errors until the journal has lost records for `problem`, and everything that tells of it. */
  async function loseRecords(daemon: TestDaemon, problem: string): Promise<number> {
    const ready = await daemon.ready();
    const status = await breakUntil(daemon, async () =>
      new RegExp(`^JOURNAL: \\d+ records lost: ${problem}$`, "m").test(
        (await daemon.zmend("status")).stdout,
      ),
    );
    const metrics = await breakUntil(daemon, async () => {
      const text = await (await fetch(ready.metrics)).text();
      return (
        /^zmend_journal_lost_total [1-9]/m.test(text) && /^zmend_journal_failing 1$/m.test(text)
      );
    });
    const page = await breakUntil(daemon, async () => {
      const view = (await (await fetch(new URL("/view", ready.page))).json()) as {
        readonly journal: { readonly lost: number; readonly problem?: string };
      };
      return view.journal.lost > 0 && view.journal.problem === problem;
    });
    return status + metrics + page;
  }

  it("goes on when the journal's files may not grow, counts the loss and shows it", async () => {
    const daemon = newDaemon(daemonConfig(["one"]));
    daemon.launchUnder("ulimit -f 16");
    const errors = await loseRecords(daemon, "EFBIG");
    const rows = await daemon.untilAsked<FunctionReport[]>(
      ["function", "list", "one"],
      (list) => list[0]?.errorsRaised === errors,
    );
    expect(rows[0]).toMatchObject({ state: "operational", open: 0 });
    expect(await daemon.stop()).toBe(0);
  });

  it.skipIf(withoutMounts)(
    `goes on when the journal's disk is full, shows the loss, and writes again when there is room${needsMounts}`,
    async () => {
      const daemon = newDaemon(daemonConfig(["one"]));
      const journal = join(daemon.state, "journal");
      mkdirSync(journal, { recursive: true, mode: 0o700 });
      const filler = join(journal, "filler");
      daemon.launchOnSmallDisk(journal, "128k", `head -c 80k /dev/zero > ${filler}`);
      const errors = await loseRecords(daemon, "ENOSPC");
      // The guest goes on: it recovers while nothing can be written.
      await daemon.ask("vm", "inject", "one", "one-0", "--pec", "0x3a");
      const recovered = (rows: FunctionReport[]): boolean =>
        rows[0]?.recoveries === 1 && rows[0].errorsRaised === errors + 1 && rows[0].open === 0;
      await daemon.untilAsked<FunctionReport[]>(["function", "list", "one"], recovered);
      rmSync(daemon.inside(filler));
      await daemon.untilAsked<StatusReport>(
        ["status"],
        (report) => report.daemon.journal.problem === undefined,
      );
      await daemon.ask("vm", "inject", "one", "one-0", "--pec", "0x2a", "--stale");
      // The journal tells how many are missing, and goes on behind that.
      for (;;) {
        const words = ["journal", "show", "--json", "--state-dir", daemon.inside(daemon.state)];
        const { stdout, stderr } = await runZmend(words);
        expect(stderr).toBe("");
        const records = stdout
          .trimEnd()
          .split("\n")
          .map((line) => JSON.parse(line) as JournalLine & { readonly kind: string });
        const last = records.findIndex(({ detail }) => detail["pec"] === 0x2a);
        if (last < 0) continue;
        const told = records.slice(0, last).filter(({ kind }) => kind === "journal-lost");
        const sum = told.reduce((total, { detail }) => total + Number(detail["records"]), 0);
        const { daemon: now } = await daemon.ask<StatusReport>("status");
        expect([sum, now.journal.problem]).toEqual([now.journal.lost, undefined]);
        break;
      }
      expect(await daemon.stop()).toBe(0);
    },
  );

  it("survives a wall clock that jumps by years", async () => {
    const jumps = join(import.meta.dirname, "../support/jumping-clock.mjs");
    const daemon = newDaemon(daemonConfig(["one"]), { NODE_OPTIONS: `--import=${jumps}` });
    await daemon.start();
    for (let error = 1; error <= 3; error++) {
      await daemon.ask("vm", "inject", "one", "1", "--pec", "0x3a");
      await daemon.untilAsked<FunctionReport[]>(
        ["function", "list", "one"],
        (rows) => rows[0]?.recoveries === error && rows[0].state === "operational",
      );
    }
    const report = await daemon.ask<StatusReport>("status");
    expect(report.daemon.uptimeUs).toBeLessThan(3600e6);
    expect(report.functions[0]).toMatchObject({ errorsRaised: 3, fetchedByGuest: 3, open: 0 });
    expect(await daemon.stop()).toBe(0);
  });

  it("tells systemd when it is ready, feeds its watchdog, and says when it stops", async () => {
    const tools = newDaemon("");
    const told = join(tools.folder, "told");
    writeFileSync(join(tools.folder, "systemd-notify"), `#!/bin/sh\necho "$@" >> ${told}\n`, {
      mode: 0o755,
    });
    const daemon = newDaemon(daemonConfig(["one"]), {
      PATH: `${tools.folder}:${process.env["PATH"]}`,
      NOTIFY_SOCKET: join(tools.folder, "notify.sock"),
      WATCHDOG_USEC: "100000",
    });
    await daemon.start();
    const lines = (): string[] =>
      existsSync(told) ? readFileSync(told, "utf8").trim().split("\n") : [];
    while (!lines().includes("WATCHDOG=1")) await pause(20);
    await daemon.stop();
    const all = lines();
    expect(all[0]).toBe("READY=1 STATUS=1 VM");
    expect(all.at(-1)).toBe("STOPPING=1");
  });
});
