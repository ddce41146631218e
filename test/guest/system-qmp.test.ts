/** `zmend-system-s390x` with monitors, as scripts and management programs start it: qmp.md 4, 7 and 9. */
import { type ChildProcess, spawn } from "node:child_process";
import {
  closeSync,
  existsSync,
  linkSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { isDeepStrictEqual } from "node:util";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { packageRoot } from "../../src/base/version.ts";
import { type CommandResult, runNode } from "../support/command.ts";
import { QmpClient } from "../support/qmp-client.ts";

const script = fileURLToPath(new URL("dist/src/daemon/zmend-system-s390x.js", packageRoot));
const hello = "guest-fixtures/bin/hello.elf";
const zrecover = "guest-fixtures/bin/zrecover.elf";

let folder: string;
let socket: string;
const children: ChildProcess[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "zmend-system-"));
  socket = join(folder, "q.sock");
});
afterEach(() => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
  rmSync(folder, { recursive: true });
});

const appears = async (path: string): Promise<void> => {
  while (!existsSync(path)) await new Promise((resolve) => setTimeout(resolve, 10));
};

/** An ELF file for s390x that counts in R2 and never rests: its registers are never twice the same. */
function countingGuest(): Uint8Array {
  const at = 0x10000;
  const code = [0xa7, 0x2b, 0x00, 0x01, 0xa7, 0xf4, 0xff, 0xfe]; // 0: aghi %r2,1; j 0b
  const file = new Uint8Array(64 + 56 + code.length);
  const view = new DataView(file.buffer);
  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 2, 1]); // 64 bits, big-endian
  view.setUint16(16, 2); // ET_EXEC
  view.setUint16(18, 22); // EM_S390
  view.setUint32(20, 1);
  view.setBigUint64(24, BigInt(at)); // e_entry
  view.setBigUint64(32, 64n); // e_phoff
  view.setUint16(52, 64);
  view.setUint16(54, 56);
  view.setUint16(56, 1); // e_phnum
  view.setUint32(64, 1); // PT_LOAD
  view.setUint32(68, 5);
  view.setBigUint64(72, 120n); // p_offset
  view.setBigUint64(80, BigInt(at));
  view.setBigUint64(88, BigInt(at));
  view.setBigUint64(96, BigInt(code.length));
  view.setBigUint64(104, BigInt(code.length));
  file.set(code, 120);
  return file;
}

/** Started with a QMP socket; `ended` is its result. */
async function started(...words: string[]): Promise<{
  child: ChildProcess;
  client: QmpClient;
  ended: Promise<CommandResult>;
}> {
  const child = spawn(
    process.execPath,
    [script, "-m", "16", "-display", "none", "-qmp", `unix:${socket},server=on,wait=off`, ...words],
    { stdio: ["ignore", "pipe", "pipe"] },
  );
  children.push(child);
  let stdout = "";
  let stderr = "";
  child.stdout?.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
  });
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
  });
  const ended = new Promise<CommandResult>((resolve) => {
    child.once("close", (status, signal) => resolve({ status, signal, stdout, stderr }));
  });
  await Promise.race([appears(socket), ended]);
  if (!existsSync(socket)) throw new Error((await ended).stderr);
  return { child, client: await QmpClient.ready(socket), ended };
}

describe("zmend-system-s390x with a monitor", () => {
  it("waits with -S, runs at cont, and ends at a signal with a SHUTDOWN event, status 0 and nothing left", async () => {
    const pidfile = join(folder, "pid");
    const log = join(folder, "log");
    const console_ = join(folder, "console");
    const { child, client, ended } = await started(
      ...["-kernel", zrecover, "-S", "-pidfile", pidfile, "-name", "guest=z1", "-d", "stats"],
      ...[
        "-D",
        log,
        "-serial",
        `file:${console_}`,
        "-uuid",
        "01234567-89ab-cdef-0123-456789abcdef",
      ],
    );
    expect(statSync(socket).mode & 0o777).toBe(0o600);
    expect(readFileSync(pidfile, "utf8")).toBe(`${child.pid}\n`);
    expect(await client.execute("query-name")).toEqual({ name: "z1" });
    expect(await client.execute("query-uuid")).toEqual({
      UUID: "01234567-89ab-cdef-0123-456789abcdef",
    });
    expect(await client.execute("query-status")).toEqual({ status: "prelaunch", running: false });
    expect(readFileSync(console_, "utf8")).toBe("");
    await client.execute("cont");
    await client.event("RESUME");
    while (!readFileSync(console_, "utf8").includes("working on 0 functions")) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    child.kill("SIGTERM");
    await client.ended();
    expect(client.events("SHUTDOWN").map(({ data }) => data)).toEqual([
      { guest: false, reason: "host-signal" },
    ]);
    expect(await ended).toEqual({
      status: 0,
      signal: null,
      stdout: "",
      stderr: "zmend-system-s390x: terminating on SIGTERM\n",
    });
    expect([existsSync(socket), existsSync(pidfile)]).toEqual([false, false]);
    expect(readFileSync(log, "utf8")).toMatch(/^instructions [1-9]\d*\n/);
  });

  it("tells of a panic and stays for a look with -action panic=pause; a reset starts the guest again", async () => {
    const { client, ended } = await started(
      ...["-kernel", hello, "-S", "-action", "panic=pause", "-chardev", "ringbuf,id=r,size=4096"],
      ...["-serial", "chardev:r"],
    );
    await client.execute("cont");
    await client.event("STOP");
    const names = client.messages.flatMap(({ event }) => (event === undefined ? [] : [event]));
    expect(names).toEqual(["RESUME", "GUEST_PANICKED", "STOP"]);
    expect(client.events("GUEST_PANICKED")[0]?.data).toMatchObject({
      action: "pause",
      info: { type: "s390", core: 0, reason: "disabled-wait" },
    });
    expect(await client.execute("query-status")).toEqual({
      status: "guest-panicked",
      running: false,
    });
    expect((await client.refused("cont")).desc).toBe("Resetting the Virtual Machine is required");
    const said = "hello: a bare-metal s390x guest with 16 MiB\n";
    expect(await client.execute("ringbuf-read", { device: "r", size: 4096 })).toBe(said);
    const at = client.messages.length;
    await client.execute("system_reset");
    await client.event("STOP", at);
    expect(await client.execute("ringbuf-read", { device: "r", size: 4096 })).toBe(said);
    await client.execute("quit");
    expect(await ended).toMatchObject({ status: 0, stdout: "", stderr: "" });
  });

  it("goes back with loadvm to what savevm kept, while it runs, and refuses what is no snapshot", async () => {
    const counter = join(folder, "counter.elf");
    writeFileSync(counter, countingGuest());
    const { client, ended } = await started("-kernel", counter, "-serial", "null");
    const monitor = (line: string): Promise<unknown> =>
      client.execute("human-monitor-command", { "command-line": line });
    const registers = async (): Promise<string> => String(await monitor("info registers"));
    const running = { status: "running", running: true };
    while (!isDeepStrictEqual(await client.execute("query-status"), running)) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    const file = join(folder, "snapshot");
    await client.execute("stop");
    const before = await registers();
    expect(await monitor(`savevm ${file}`)).toBe("");
    await client.execute("cont");
    while ((await registers()) === before) await new Promise((resolve) => setTimeout(resolve, 10));
    expect(await monitor(`loadvm ${file}`)).toBe("");
    expect(await client.execute("query-status")).toEqual(running);
    await client.execute("stop");
    expect(await monitor(`loadvm ${file}`)).toBe("");
    expect(await client.execute("query-status")).toEqual({ status: "paused", running: false });
    expect(await registers()).toBe(before);
    expect(await monitor("loadvm")).toBe("Error: file expected\r\n");
    expect(await monitor(`loadvm ${file}x`)).toBe(
      `Error: Snapshot ${file}x does not exist; name a file that savevm wrote.\r\n`,
    );
    expect((await client.refused("x-zmend-load", { file: zrecover })).desc).toBe(
      `${zrecover} is no snapshot of zmend; name a file that savevm wrote.`,
    );
    expect(await registers()).toBe(before);
    await client.execute("quit");
    expect(await ended).toMatchObject({ status: 0, stderr: "" });
  });

  it("answers the probe of a management program: -machine none, in the background, with a pid file", async () => {
    const pidfile = join(folder, "pid");
    const { status, stdout, stderr } = runNode([
      script,
      ...["-S", "-no-user-config", "-nodefaults", "-nographic", "-machine", "none,accel=kvm:tcg"],
      ...["-qmp", `unix:${socket},server=on,wait=off`, "-pidfile", pidfile, "-daemonize"],
    ]);
    expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: "", stderr: "" });
    const pid = Number(readFileSync(pidfile, "utf8"));
    const client = await QmpClient.ready(socket);
    expect(await client.execute("query-target")).toEqual({ arch: "s390x" });
    const options = await client.execute("query-command-line-options");
    expect(options).toContainEqual(expect.objectContaining({ option: "machine" }));
    const model = { type: "full", model: { name: "host" } };
    expect(await client.execute("query-cpu-model-expansion", model)).toMatchObject({
      model: { name: "zmend", props: { zpci: true, stfle: true } },
    });
    await client.execute("quit");
    await client.ended();
    while (existsSync(pidfile)) await new Promise((resolve) => setTimeout(resolve, 10));
    expect(pid).toBeGreaterThan(0);
  });

  it("starts as libvirt 9.0 starts an s390x domain: inherited descriptors, its options, its first commands", async () => {
    // The listening socket and the console's file are the parent's, handed over by number.
    const listening = createServer();
    const first = join(folder, "first.sock");
    await new Promise<void>((resolve) => listening.listen(first, () => resolve()));
    linkSync(first, socket);
    const { fd } = (listening as unknown as { readonly _handle: { readonly fd: number } })._handle;
    const console_ = join(folder, "console");
    const file = openSync(console_, "a");
    const memory = '{"qom-type":"memory-backend-ram","id":"s390.ram","size":16777216}';
    const words = [
      ...["-name", "guest=z1,debug-threads=on", "-S", "-object", memory, "-accel", "tcg"],
      ...["-machine", "s390-ccw-virtio-11.1,usb=off,dump-guest-core=off,memory-backend=s390.ram"],
      ...["-cpu", "zmend", "-m", "size=16384k", "-overcommit", "mem-lock=off", "-display", "none"],
      ...[
        "-smp",
        "1,sockets=1,cores=1,threads=1",
        "-no-user-config",
        "-nodefaults",
        "-no-shutdown",
      ],
      ...[
        "-uuid",
        "e8149166-b417-496d-915e-66559a72ef35",
        "-rtc",
        "base=utc",
        "-boot",
        "strict=on",
      ],
      ...["-chardev", "socket,id=charmonitor,fd=3,server=on,wait=off", "-kernel", zrecover],
      ...["-mon", "chardev=charmonitor,id=monitor,mode=control", "-append", "x"],
      ...["-add-fd", "set=0,fd=4,opaque=console0-source"],
      ...["-chardev", "file,id=charconsole0,path=/dev/fdset/0,append=on"],
      ...["-device", "sclpconsole,chardev=charconsole0,id=console0"],
      ...["-audiodev", '{"id":"audio1","driver":"none"}', "-msg", "timestamp=on"],
      ...["-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"],
    ];
    const child = spawn(process.execPath, [script, ...words], {
      stdio: ["ignore", "ignore", "pipe", fd, file],
    });
    children.push(child);
    // From here on only the child accepts; closing removes the first name, not the socket.
    listening.close();
    const client = await QmpClient.ready(socket);
    const events = { capability: "events", state: true };
    await client.execute("migrate-set-capabilities", { capabilities: [events] });
    expect(await client.execute("query-chardev")).toContainEqual({
      label: "charmonitor",
      filename: "unix:descriptor 3,server=on",
      "frontend-open": true,
    });
    expect(await client.execute("query-named-block-nodes", { flat: true })).toEqual([]);
    expect(await client.execute("qom-list", { path: "/machine/peripheral" })).toHaveLength(1);
    await client.execute("cont");
    while (!readFileSync(console_, "utf8").includes("working on 0 functions")) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    const closed = new Promise((resolve) => child.once("close", resolve));
    await client.execute("quit");
    expect(await closed).toBe(0);
    closeSync(file);
  });

  it("speaks QMP on its terminal, or the human monitor with its prompt", () => {
    const words = [script, "-machine", "none", "-qmp", "stdio"];
    const input = '{"execute":"qmp_capabilities"}{"execute":"query-kvm"}{"execute":"quit"}';
    const qmp = runNode(words, undefined, input);
    expect(qmp).toMatchObject({ status: 0, stderr: "" });
    expect(qmp.stdout.split("\r\n").slice(1, 4)).toEqual([
      '{"return": {}}',
      '{"return": {"enabled": false, "present": false}}',
      '{"return": {}}',
    ]);
    const monitor = [script, "-machine", "none", "-monitor", "stdio"];
    expect(runNode(monitor, undefined, "info kvm\nquit\n")).toMatchObject({
      status: 0,
      stdout: expect.stringMatching(
        /^QEMU 11\.1\.3 .* monitor - type 'help' for more information\r\n\(qemu\) info kvm\r\nkvm support: not compiled\r\n\(qemu\) quit\r\n/,
      ),
    });
  });

  it.each([
    [
      ["-qmp", "unix:/nowhere/q.sock,server=on,wait=off"],
      /Socket \/nowhere\/q\.sock cannot be made \(\w+\); check the folder's existence/,
    ],
    [
      ["-chardev", "socket,id=c,fd=9,server=on,wait=off", "-mon", "c"],
      /Socket descriptor 9 cannot be opened/,
    ],
    [["-serial", "file:/nowhere/x"], /Console file \/nowhere\/x cannot be opened \(ENOENT\)/],
    [["-pidfile", "/nowhere/x"], /Pid file \/nowhere\/x cannot be written/],
    [["-D", "/nowhere/x", "-d", "stats"], /Log file \/nowhere\/x cannot be opened/],
    [["-qmp", "unix:nobody.sock"], /Socket nobody\.sock cannot be reached \(ENOENT\)/],
    [["-gdb", "tcp::1234"], /-gdb: zmend does not have this option of QEMU; leave it out/],
    [["-daemonize", "-pidfile", "/nowhere/x"], /Pid file \/nowhere\/x cannot be written/],
  ])("refuses %j with one sentence and status 1", (words, message) => {
    const { status, stderr, stdout } = runNode([
      script,
      "-kernel",
      hello,
      "-m",
      "16",
      "-nodefaults",
      ...words,
    ]);
    expect({ status, stdout }).toEqual({ status: 1, stdout: "" });
    expect(stderr).toMatch(message);
    expect(stderr.trim().split("\n")).toHaveLength(1);
  });
});
