/** What an operator may ask of a VM, on real threads, with our own guest. No time is asserted. */
import { afterEach, describe, expect, it } from "vitest";
import { simFunctionConfig } from "../../src/backend/sim/index.ts";
import { booksBalance } from "../../src/machine/books.ts";
import type { VmEvent } from "../../src/machine/vm-control.ts";
import { loadPolicy } from "../../src/recovery/index.ts";
import { ControlledVm, specOf } from "../support/controlled-vm.ts";
import { type ConfigInput, killAt } from "../support/demo-run.ts";

const one: ConfigInput = { functions: [{ fid: 1, clearError: true }] };
const started: ControlledVm[] = [];

async function running(
  input: ConfigInput,
  ...options: ConstructorParameters<typeof ControlledVm> extends [unknown, ...infer R] ? R : never
): Promise<ControlledVm> {
  const machine = new ControlledVm(input, ...options);
  started.push(machine);
  await machine.vm.start();
  await machine.working();
  return machine;
}

afterEach(async () => {
  await Promise.all(started.splice(0).map(({ vm }) => vm.stop()));
});

describe("a VM under control", () => {
  it("that starts paused executes nothing until it is resumed", async () => {
    const machine = new ControlledVm(one);
    started.push(machine);
    await machine.vm.start({ paused: true });
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(machine.vm.instructions()).toBe(0);
    expect(machine.vm.runState()).toBe("prelaunch");
    await machine.vm.resume();
    await machine.working();
    expect(machine.runStates()).toEqual(["running: operator"]);
  });

  it("that nobody has started takes policies and resets, and refuses what needs its threads", async () => {
    const machine = new ControlledVm(one);
    started.push(machine);
    const { vm } = machine;
    await vm.setPolicy({ ...loadPolicy("patient"), name: "later" });
    await vm.reset();
    expect(machine.events.map(({ type }) => type)).toContain("reset");
    const refusal = /^VM demo cannot .*: it has not been started; start it first\.$/;
    expect(() => vm.inject(1, { pec: 0x3a })).toThrow(refusal);
    expect(() => vm.command(1, "reset")).toThrow(refusal);
    expect(() => vm.unplug(1)).toThrow(refusal);
    await expect(vm.faults(1)).rejects.toThrow("VM demo has not been started yet");
    expect(vm.runState()).toBe("prelaunch");
    // QMP's cont starts it.
    await vm.resume();
    await machine.working();
    expect(machine.runStates()).toEqual(["running: started"]);
    expect(machine.function().policy).toBe("later");
    vm.inject(1, { pec: 0x3a });
    await machine.until(() => machine.function().books.recoveries === 1);
  });

  it("executes nothing while paused, and its functions recover from what happened meanwhile", async () => {
    const machine = await running(one);
    const { vm } = machine;
    await vm.pause();
    const stood = vm.instructions();
    vm.inject(1, { pec: 0x3a });
    await machine.until(() => machine.function().books.injected === 1);
    expect(machine.function().guestState).toBe("error");
    expect(vm.instructions()).toBe(stood);
    await vm.resume();
    await machine.until(() => machine.function().books.recoveries === 1);
    expect(vm.instructions()).toBeGreaterThan(stood);
    expect(machine.function()).toMatchObject({ id: "fn-00000001", state: "operational", uid: 1 });
    expect(machine.runStates()).toEqual([
      "running: started",
      "paused: operator",
      "running: operator",
    ]);
  });

  it("takes as many errors as asked for, stale ones among them, while its platform sleeps", async () => {
    const machine = await running(one);
    machine.vm.inject(1, { pec: 0x3a, count: 3, stale: true });
    await machine.until(() => machine.function().books.staleIgnored === 3);
    expect(machine.function().books).toMatchObject({ errorsRaised: 3, injected: 0 });
    expect(() => machine.vm.inject(7, { pec: 0x3a })).toThrow(
      "VM demo has no function 0x00000007; it has 0x00000001.",
    );
  });

  it("changes a function's policy while it runs, and obeys the operator", async () => {
    const machine = await running(one);
    const { vm } = machine;
    const strict = { ...loadPolicy("quarantine"), name: "at-once", onError: 2 };
    await vm.setPolicy(strict, 1);
    expect(machine.function().policy).toBe("at-once");
    vm.inject(1, { pec: 0x3a });
    await machine.until(() => machine.function().state === "quarantined");
    await vm.setPolicy(loadPolicy("mediated"));
    vm.command(1, "release");
    await machine.until(() => machine.function().state === "operational");
    expect(machine.function().policy).toBe("mediated");
  });

  it("lists the faults that are still to come, and fires those with a name", async () => {
    const faults = [
      { when: { atUs: 1e12 }, action: { type: "ccdf", pec: 0x3a } },
      { when: { command: "flood" }, action: { type: "ccdf", pec: 0x3a, stale: true } },
    ] as const;
    const plain = new ControlledVm(one).vm.spec;
    const functions = plain.functions.map((config) => ({ ...config, faults }));
    const machine = await running(one, { spec: { ...plain, functions } });
    expect(await machine.vm.faults(1)).toEqual(faults.map((rule) => ({ layer: "pci", ...rule })));
    expect(await machine.vm.fire("flood")).toBe(1);
    await machine.until(() => machine.function().books.staleIgnored === 1);
  });

  it("begins again at a reset, with the same host functions", async () => {
    const machine = await running({ functions: [{ fid: 1 }, { fid: 2, clearError: true }] });
    const { vm } = machine;
    machine.vm.inject(1, { pec: 0x3a });
    await machine.until(() => machine.function(0).books.injected === 1);
    const before = vm.instructions();
    machine.lines.length = 0;
    await vm.reset();
    expect(vm.instructions()).toBeGreaterThanOrEqual(before);
    await machine.working();
    expect(machine.function(0).books.errorsRaised).toBe(1);
    await machine.until(() => machine.vm.functions().every((f) => f.guestState === "enabled"));
    vm.inject(2, { pec: 0x3a });
    await machine.until(() => machine.function(1).books.recoveries === 1);
    expect(machine.events.filter(({ type }) => type === "reset")).toEqual([
      { type: "reset", byGuest: false },
    ]);
  });

  it("is stopped by the policy qemu-11, refuses to go on, and starts again after a reset", async () => {
    const machine = await running({ ...one, policy: "qemu-11" });
    const { vm } = machine;
    vm.inject(1, { pec: 0x3a });
    await machine.until(() => vm.runState() === "io-error");
    await expect(vm.resume()).rejects.toThrow(
      "VM demo cannot resume: it is in state io-error; reset it first.",
    );
    for (const again of ["qemu-11", "mediated"]) {
      machine.lines.length = 0;
      await vm.setPolicy(loadPolicy(again));
      await vm.reset();
      expect(vm.runState()).toBe("running");
      await machine.working();
      // The host function was reset, the unread error belongs to the machine that was.
      await machine.until(() => machine.lines.some((line) => /fid 0*1 fh \w+ ready/.test(line)));
      expect(machine.function()).toMatchObject({ state: "operational", guestState: "enabled" });
      expect(booksBalance(machine.function().books)).toBe(0);
      vm.inject(1, { pec: 0x3a });
      if (again === "qemu-11") await machine.until(() => vm.runState() === "io-error");
    }
    await machine.until(() => machine.function().books.recoveries === 1);
  });

  it("shuts down when the guest is asked to, and its books close", async () => {
    const machine = await running(one);
    machine.vm.inject(1, { pec: 0x3a });
    await machine.until(() => machine.function().books.recoveries === 1);
    machine.vm.powerdown();
    await machine.until(() => machine.vm.runState() !== "running");
    await machine.vm.stop();
    machine.vm.closeBooks();
    expect(booksBalance(machine.function().books)).toBe(0);
    const times = machine.events.flatMap((event) =>
      event.type === "entry" ? [event.entry.timeUs] : [],
    );
    expect(times).toEqual([...times].sort((a, b) => a - b));
    await expect(machine.vm.pause()).rejects.toThrow("it has been stopped");
  });

  it("plugs functions while it runs, which break and recover, and takes them out again", async () => {
    const spec = { ...specOf(one), functionSlots: 2 };
    const machine = await running(one, { spec });
    const { vm } = machine;
    const deleted = (): unknown[] =>
      machine.events.filter(({ type }) => type === "device-deleted").map((event) => ({ ...event }));
    for (const fid of [2, 3]) {
      await vm.plug(`disk-${fid}`, simFunctionConfig({ fid, uid: fid, clearError: true }));
      // Not before its driver has it: a guest gives up a function that breaks while it is probed.
      const ready = new RegExp(`fid 0000000${fid} fh [0-9a-f]+ ready`);
      await machine.until(() => ready.test(text(machine.events)));
      expect(machine.function(1)).toMatchObject({ id: `disk-${fid}`, fid, index: 1 });
      vm.inject(fid, { pec: 0x3a });
      await machine.until(() => vm.functions()[1]?.books.recoveries === 1);
      await expect(vm.plug("more", simFunctionConfig({ fid: 9, uid: 9 }))).rejects.toThrow(
        "VM demo cannot plug function 0x00000009 (more): all of its 2 places are taken; start it with more functionSlots.",
      );
      vm.unplug(fid);
      await machine.until(() => deleted().length === fid - 1);
      expect(vm.functions()).toHaveLength(1);
    }
    expect(deleted()).toEqual([
      { type: "device-deleted", id: "disk-2", fid: 2 },
      { type: "device-deleted", id: "disk-3", fid: 3 },
    ]);
    // The one that was there all the time works on.
    vm.inject(1, { pec: 0x3a });
    await machine.until(() => machine.function().books.recoveries === 1);
  });

  it("waits for a place whose function has left until the guest has heard of it", async () => {
    const { vm, ...machine } = await running(one, { spec: { ...specOf(one), functionSlots: 2 } });
    const two = simFunctionConfig({ fid: 2, uid: 2, clearError: true });
    await vm.plug("disk-2", two);
    // Its place holds an event that a guest which stands cannot fetch.
    await vm.pause();
    vm.unplug(2, { force: true });
    const gone = (): boolean => vm.functions().length === 1;
    while (!gone()) await new Promise((resolve) => setTimeout(resolve, 5));
    await expect(vm.plug("other", { ...two, fid: 3, uid: 3 })).rejects.toThrow(
      "VM demo cannot plug function 0x00000003 (other): all of its 2 places are taken; the guest has not fetched the last event of 1 that left; let it run.",
    );
    await expect(vm.plug("again", two)).rejects.toThrow("fid 0x2 is already taken");
    await vm.resume();
    await vm.plug("again", two);
    expect(vm.functions()[1]).toMatchObject({ id: "again", fid: 2 });
    expect(machine.events.filter(({ type }) => type === "device-deleted")).toHaveLength(1);
  });

  it("a function that its guest does not give up in time stays, and goes when it has given it up", async () => {
    const machine = await running(one);
    const { vm } = machine;
    const ends = (): unknown[] => machine.events.filter(({ type }) => type === "unplug-failed");
    await vm.pause();
    vm.unplug(1, { deadlineMs: 1 });
    await machine.until(() => ends().length === 1);
    expect(ends()).toEqual([
      {
        type: "unplug-failed",
        id: "fn-00000001",
        fid: 1,
        reason: "the guest did not give it up in time",
      },
    ]);
    expect(machine.function()).toMatchObject({ state: "operational", guestState: "enabled" });
    await vm.resume();
    await machine.until(() => machine.function().guestState === "standby");
    vm.unplug(1);
    await machine.until(() => vm.functions().length === 0);
    expect(ends()).toHaveLength(1);
  });

  it("refuses to plug what would stand beside its like, and a disk that is not there", async () => {
    const machine = await running(one, { spec: { ...specOf(one), functionSlots: 4 } });
    const { vm } = machine;
    await expect(vm.plug("x", simFunctionConfig({ fid: 1, uid: 5 }))).rejects.toThrow(
      "fid 0x1 is already taken",
    );
    await expect(vm.plug("x", simFunctionConfig({ fid: 5, uid: 1 }))).rejects.toThrow(
      "uid 0x1 is already taken by the function with fid 0x1",
    );
    await expect(vm.plug("fn-00000001", simFunctionConfig({ fid: 5, uid: 5 }))).rejects.toThrow(
      "the id fn-00000001 is already taken",
    );
    const nvme = { namespaces: [{ file: "/no/such/disk" }] };
    const disk = simFunctionConfig({ fid: 5, uid: 5, device: "nvme", nvme });
    await expect(vm.plug("x", disk)).rejects.toThrow("disk image /no/such/disk does not exist");
    expect(vm.functions()).toHaveLength(1);
  });

  it("tells the cause of a recovery worker's death, and ends after too many of them", async () => {
    const machine = await running(one, { restartsMax: 2 });
    const { vm } = machine;
    for (let death = 1; death <= 3; death++) {
      // Each command wakes the worker, and it dies as it wakes.
      killAt(vm.vm, 0, 1);
      vm.command(1, "reset");
      await machine
        .until(() => machine.events.filter(({ type }) => type === "worker-died").length === death)
        .catch(() => {});
    }
    const deaths = machine.events.filter(({ type }) => type === "worker-died");
    expect(deaths).toMatchObject([
      { fid: 1, deaths: 1, restarts: true },
      { fid: 1, deaths: 2, restarts: true },
      { fid: 1, deaths: 3, restarts: false },
    ]);
    expect(deaths[0]).toMatchObject({ cause: expect.stringContaining("70") });
    expect(vm.failure()?.message).toMatch(/^The recovery-0 thread of VM demo died: /);
    expect(vm.runState()).toBe("internal-error");
    await expect(vm.reset()).rejects.toThrow("its threads have ended");
  });
});

/** What the guest has written on its console. */
function text(events: readonly VmEvent[]): string {
  const bytes = events.flatMap((event) => (event.type === "console" ? [event.bytes] : []));
  return Buffer.concat(bytes).toString();
}
