/** QMP of a running VM, on real threads with our own guest: run states, errors, recoveries, policies. qmp.md 4, 6. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import {
  createQmpServer,
  type QmpServer,
  type QmpServerOptions,
} from "../../src/control/qmp/index.ts";
import { ControlledVm } from "../support/controlled-vm.ts";
import type { ConfigInput } from "../support/demo-run.ts";
import { QmpClient } from "../support/qmp-client.ts";

const two: ConfigInput = {
  functions: [
    { fid: 0x42, uid: 5, clearError: true },
    { fid: 0x43, uid: 6, clearError: true },
  ],
};
const running: { machine: ControlledVm; server: QmpServer; folder: string }[] = [];

async function started(
  input: ConfigInput = two,
  options: QmpServerOptions = {},
): Promise<{ machine: ControlledVm; client: QmpClient; path: string }> {
  const folder = mkdtempSync(join(tmpdir(), "zmend-qmp-"));
  const machine = new ControlledVm(input);
  const server = createQmpServer(machine.vm, options);
  running.push({ machine, server, folder });
  const path = join(folder, "qmp.sock");
  await server.listen({ path });
  await machine.vm.start();
  await machine.working();
  return { machine, client: await QmpClient.ready(path), path };
}

afterEach(async () => {
  for (const { machine, server, folder } of running.splice(0)) {
    await machine.vm.stop();
    await server.close();
    rmSync(folder, { recursive: true });
  }
});

describe("a VM behind QMP", () => {
  it("stops and goes on, each told before its reply and only when it happened", async () => {
    const { client, machine } = await started();
    expect(await client.execute("query-status")).toEqual({ status: "running", running: true });
    const at = client.messages.length;
    await client.execute("stop");
    await client.execute("stop");
    expect(await client.execute("query-status")).toEqual({ status: "paused", running: false });
    const stood = machine.vm.instructions();
    await client.execute("cont");
    await client.execute("cont");
    await machine.until(() => machine.vm.instructions() > stood);
    const order = client.messages.slice(at).map(({ event, id }) => event ?? id);
    expect(order.filter((name) => name === "STOP" || name === "RESUME")).toEqual([
      "STOP",
      "RESUME",
    ]);
    expect(order.indexOf("STOP")).toBe(0);
  });

  it("is reset with a RESET event before the reply, and boots again", async () => {
    const { client, machine } = await started();
    const before = machine.lines.length;
    const at = client.messages.length;
    await client.execute("system_reset");
    expect(client.messages[at]).toMatchObject({
      event: "RESET",
      data: { guest: false, reason: "host-qmp-system-reset" },
    });
    await machine.until(() =>
      machine.lines.slice(before).some((line) => line.includes("working on")),
    );
  });

  it("answers quit, tells of the shutdown, then closes", async () => {
    const { client, machine } = await started();
    const at = client.messages.length;
    client.send('{"execute":"quit","id":"bye"}');
    await client.ended();
    expect(client.messages.slice(at)).toEqual([
      { return: {}, id: "bye" },
      expect.objectContaining({
        event: "SHUTDOWN",
        data: { guest: false, reason: "host-qmp-quit" },
      }),
    ]);
    expect(machine.vm.runState()).toBe("shutdown");
  });

  it("takes an injected error, tells of it and of each phase of the recovery, and counts it", async () => {
    const { client } = await started();
    await client.execute("x-zmend-inject-error", { id: "fn-00000042", pec: 0x3a, faddr: "0x1000" });
    const error = await client.event("X_ZMEND_ERROR");
    expect(error.data).toMatchObject({
      id: "fn-00000042",
      fid: 0x42,
      pec: 0x3a,
      disposition: "stored",
    });
    const last = await client.until(({ data }) => data?.["phases"] !== undefined);
    expect(last).toMatchObject({
      event: "X_ZMEND_RECOVERY",
      data: { id: "fn-00000042", state: "operational", "total-us": expect.any(Number) },
    });
    const over = last.data as { readonly phases: readonly { readonly phase: string }[] };
    const phases = over.phases.map(({ phase }) => phase);
    expect(phases.slice(0, 2)).toEqual(["draining", "awaiting-guest"]);
    const told = client.events("X_ZMEND_RECOVERY").map(({ data }) => data?.["phase"]);
    expect(told).toEqual(["operational", ...phases]);
    const [broken, whole] = (await client.execute("x-zmend-query-recovery")) as object[];
    expect(broken).toMatchObject({
      id: "fn-00000042",
      fid: 0x42,
      uid: 5,
      state: "operational",
      policy: "mediated",
      errorsRaised: 1,
      fetchedByGuest: 1,
      recoveries: 1,
    });
    expect(whole).toMatchObject({ id: "fn-00000043", errorsRaised: 0 });
  });

  it("keeps the ledger's last lines for x-zmend-trace", async () => {
    const { client } = await started();
    await client.execute("x-zmend-inject-error", {
      id: "fn-00000043",
      pec: "0x3a",
      count: 2,
      stale: true,
    });
    await client.until(() => client.events("X_ZMEND_ERROR").length === 2);
    const trace = (await client.execute("x-zmend-trace", {
      id: "fn-00000043",
      kind: "error-raised",
    })) as { next: number; lost: number; entries: { fid: number; detail: object }[] };
    expect(trace.lost).toBe(0);
    expect(trace.entries.map(({ detail }) => detail)).toEqual([
      { pec: "0x003a", disposition: "stale" },
      { pec: "0x003a", disposition: "stale" },
    ]);
    expect(
      await client.execute("x-zmend-trace", { from: trace.next, kind: "error-raised" }),
    ).toMatchObject({ entries: [] });
  });

  it("refuses what names no function, no PEC or no policy in one sentence", async () => {
    const { client } = await started();
    expect(await client.refused("x-zmend-inject-error", { id: "nope", pec: 1 })).toEqual({
      class: "DeviceNotFound",
      desc: "Device 'nope' not found",
    });
    const id = "fn-00000042";
    expect((await client.refused("x-zmend-inject-error", { id, pec: 0x10000 })).desc).toMatch(
      /'pec' expects/,
    );
    expect((await client.refused("x-zmend-set-policy", { policy: "mediatd" })).desc).toMatch(
      /did you mean 'mediated'/,
    );
    expect((await client.refused("device_add", { driver: "floppy" })).desc).toBe(
      "'floppy' is not a valid device model name",
    );
    expect((await client.refused("device_add", { driver: "zpci", uid: 7 })).desc).toBe(
      "target must be defined",
    );
    expect((await client.refused("device_add", { driver: "zpci", bogus: 7 })).desc).toBe(
      "Property 'zpci.bogus' not found",
    );
    expect((await client.refused("device_add", { driver: "nvme", id })).desc).toBe(
      "Duplicate device ID 'fn-00000042'",
    );
    expect((await client.refused("device_del", { id: "nope" })).class).toBe("DeviceNotFound");
  });

  it("stopped by policy qemu-11 says what QEMU says, and only a reset leads out", async () => {
    const { client, machine } = await started({ ...two, policy: "qemu-11" });
    await client.execute("x-zmend-inject-error", { id: "fn-00000042", pec: 0x3a });
    await client.event("STOP");
    expect(await client.execute("query-status")).toEqual({
      status: "internal-error",
      running: false,
    });
    expect(await client.refused("cont")).toEqual({
      class: "GenericError",
      desc: "Resetting the Virtual Machine is required",
    });
    await client.execute("x-zmend-set-policy", { policy: "mediated" });
    const before = machine.lines.length;
    await client.execute("system_reset");
    await machine.until(() =>
      machine.lines.slice(before).some((line) => line.includes("working on")),
    );
    expect(await client.execute("query-status")).toEqual({ status: "running", running: true });
  });

  it("gives a function up on device_del and takes another on device_add, each told at its end", async () => {
    const zpci = [{ id: "z0", target: "fn-00000042", fid: 0x42, uid: 5 }];
    const { client, machine } = await started(two, { zpci });
    client.send('{"execute":"device_del","arguments":{"id":"fn-00000042"},"id":1}');
    client.send('{"execute":"device_del","arguments":{"id":"z0"},"id":2}');
    expect((await client.reply(1)).return).toEqual({});
    expect((await client.reply(2)).error?.desc).toMatch(
      /already in the process of unplug|not found/,
    );
    await client.until(({ data }) => data?.["device"] === "z0");
    expect(client.events("DEVICE_DELETED").map(({ data }) => data)).toEqual([
      { device: "fn-00000042", path: "/machine/peripheral/fn-00000042" },
      { device: "z0", path: "/machine/peripheral/z0" },
    ]);
    const identity = { driver: "zpci", id: "z1", target: "t1", uid: 9, fid: 0x99 };
    await client.execute("device_add", identity);
    expect((await client.refused("device_add", { ...identity, id: "z2", target: "t2" })).desc).toBe(
      "uid 9 already in use",
    );
    await client.execute("device_add", { driver: "zmend-test", id: "t1" });
    await machine.until(() => machine.vm.functions().some(({ id }) => id === "t1"));
    const [bus] = (await client.execute("query-pci")) as { devices: { qdev_id: string }[] }[];
    expect(bus?.devices.map(({ qdev_id }) => qdev_id)).toEqual(["t1", "fn-00000043"]);
    expect(await client.execute("x-zmend-query-recovery", { id: "t1" })).toMatchObject([
      { id: "t1", fid: 0x99, uid: 9 },
    ]);
    await machine.until(() =>
      machine.lines.some((line) => /fid 0*99 .*\bworks?\b|fid 0*99 /.test(line)),
    );
  });

  it("keeps a function whose guest does not answer device_del, and loses it to a second one", async () => {
    const { client, machine } = await started(two, { unplugDeadlineMs: 600 });
    const id = "fn-00000042";
    await client.execute("stop");
    await client.execute("device_del", { id });
    expect((await client.event("DEVICE_UNPLUG_GUEST_ERROR")).data).toEqual({
      device: id,
      path: `/machine/peripheral/${id}`,
    });
    expect(machine.vm.functions()[0]).toMatchObject({ id, state: "operational" });
    await client.execute("device_del", { id });
    expect((await client.event("DEVICE_DELETED")).data).toMatchObject({ device: id });
    expect(machine.vm.functions().map((status) => status.id)).toEqual(["fn-00000043"]);
    await client.execute("cont");
  });

  it("shows its devices: query-pci, the object tree and the human monitor", async () => {
    const { client } = await started(two, {
      zpci: [{ id: "z0", target: "fn-00000042", fid: 0x42, uid: 5 }],
    });
    const [bus] = (await client.execute("query-pci")) as { devices: object[] }[];
    expect(bus?.devices).toHaveLength(2);
    // The test function's identity: src/abi/test-function.ts.
    expect(bus?.devices[0]).toMatchObject({
      qdev_id: "fn-00000042",
      slot: 0,
      id: { vendor: 0x1234, device: 0x5a4d },
      class_info: { class: 0xff00 },
      regions: [{ bar: 0, type: "memory", size: 65536, mem_type_64: true }],
    });
    const get = (path: string, property: string): Promise<unknown> =>
      client.execute("qom-get", { path, property });
    expect(await get("/machine/peripheral/z0", "fid")).toBe(66);
    expect(await get("/machine/peripheral/z0", "interpret")).toBe(false);
    expect(await get("/machine/peripheral-anon/device[0]", "target")).toBe("fn-00000043");
    expect(await client.execute("qom-list", { path: "/machine/peripheral" })).toContainEqual({
      name: "z0",
      type: "child<zpci>",
    });
    const hmp = (line: string): Promise<unknown> =>
      client.execute("human-monitor-command", { "command-line": line });
    expect(await hmp("info status")).toBe("VM status: running\r\n");
    expect(await hmp("info pci")).toMatch(
      /^ {2}Bus {2}0, device {3}0, function 0:\r\n {4}Class ff00: PCI device 1234:5a4d\r\n/,
    );
    expect(await hmp("info qtree")).toMatch(
      /dev: zpci, id "z0"\r\n {8}uid = 5 \(0x5\)\r\n {8}fid = 66 \(0x42\)/,
    );
    expect(await hmp("info registers")).toMatch(
      /CPU#0\r\nPSW=mask [0-9a-f]{16} addr [0-9a-f]{16} cc 0[0-3]\r\nR00=/,
    );
    // The first doubleword of lowcore as the guest sees it, twice.
    const words = String(await hmp("xp /4xw 0")).match(/0x[0-9a-f]{8}/g);
    const halves = String(await hmp("xp /2gx 0")).match(/0x[0-9a-f]{16}/g);
    expect(words).toHaveLength(4);
    expect(halves?.flatMap((half) => [half.slice(0, 10), `0x${half.slice(10)}`])).toEqual(words);
    expect(await hmp("xp /1xb 0x7fffffff")).toBe("Cannot access memory at 0x7fffffff\r\n");
  });

  it("counts for query-stats, and every plain query's answer is true to its type", async () => {
    const { client } = await started();
    const rows = running[0]?.server.host.commands() ?? [];
    for (const { name, returns, arguments: args } of rows) {
      if (!/^(x-zmend-)?query-/.test(name) || name === "query-qmp-schema") continue;
      const optional =
        args.shape.meta === "object" && Object.values(args.shape.members).every((m) => m.optional);
      if (!optional) continue;
      const { return: value } = await client.call(name);
      if (value !== undefined) returns.check(value, name);
    }
    const [{ stats } = { stats: [] }] = (await client.execute("query-stats", {
      target: "vcpu",
    })) as {
      stats: { name: string; value: number }[];
    }[];
    expect(stats).toEqual([{ name: "instructions", value: expect.any(Number) }]);
    expect(stats[0]?.value).toBeGreaterThan(0);
  });
});
