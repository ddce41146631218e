/**
 * The guest's watchdog (DIAG 0x288) and the restart interruption, with a guest of a dozen instructions. It arms the
 * watchdog with 15 s, the least there is; on threads the test moves its end to now. Sources: QEMU
 * hw/watchdog/wdt_diag288.c, softmmu/watchdog.c; qmp.md 4 (WATCHDOG).
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { createQmpServer } from "../../src/control/qmp/index.ts";
import { DeterministicVm } from "../../src/machine/deterministic-vm.ts";
import { VCPU_POWER_OFF, VCPU_RESET, VCPU_RUNNING } from "../../src/machine/loops.ts";
import { bootVm } from "../../src/machine/parts.ts";
import { VmController } from "../../src/machine/vm-controller.ts";
import { DETERMINISTIC_EPOCH_MS, type VmSpec } from "../../src/machine/vm-spec.ts";
import { loadPolicy } from "../../src/recovery/index.ts";
import { load, store } from "../../src/shm/atomics.ts";
import { VmBlock } from "../../src/shm/blocks.ts";
import type { VmMemory } from "../../src/shm/vm-memory.ts";
import type { WatchdogAction } from "../../src/shm/watchdog.ts";
import { QmpClient } from "../support/qmp-client.ts";

/** Arms the watchdog and waits; a restart interruption writes 0x55 to 0x300 and waits again. */
function guest(): Uint8Array {
  const image = Buffer.alloc(0x400);
  const put = (at: number, hex: string): void => void image.write(hex.replace(/ /g, ""), at, "hex");
  put(0x000, "0000 0000 8000 0200"); //                         flat image: start at 0x200
  put(0x1a0, "0000 0001 8000 0000 0000 0000 0000 0240"); //     restart new PSW
  put(0x200, "a729 0000  a739 000f  a749 0000"); //             LGHI 2,0 (init); 3,15 (seconds); 4,0 (action)
  put(0x20c, "8324 0288  b2b2 0380"); //                        DIAG 2,4,0x288; LPSWE
  put(0x240, "9255 0300  b2b2 0380"); //                        MVI 0x300,0x55; LPSWE
  put(0x380, "0302 0001 8000 0000 0000 0000 0000 0388"); //     enabled wait
  return image;
}

const specOf = (watchdog?: WatchdogAction): VmSpec => ({
  name: "dog",
  ramBytes: 1024 ** 2,
  cpuModel: "zmend",
  functions: [],
  policy: loadPolicy("mediated"),
  epochMs: DETERMINISTIC_EPOCH_MS,
  ...(watchdog === undefined ? {} : { watchdog }),
});
const boot = { image: guest(), file: "dog" };

const due = (vm: VmMemory): number => load(vm.words, vm.map.vmBlock / 4 + VmBlock.watchdogDue);
const marked = (vm: VmMemory): boolean => vm.bytes[vm.map.ramOffset + 0x300] === 0x55;

const endings: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of endings.splice(0)) await end();
});

/** A running VM whose guest has armed its watchdog, and a client. */
async function started(action: WatchdogAction, onGuestReset: "reset" | "shutdown" = "reset") {
  const folder = mkdtempSync(join(tmpdir(), "zmend-dog-"));
  const vm = new VmController({ spec: specOf(action), boot, onGuestReset });
  const server = createQmpServer(vm);
  endings.push(async () => {
    await vm.stop();
    await server.close();
    rmSync(folder, { recursive: true });
  });
  await server.listen({ path: join(folder, "qmp.sock") });
  await vm.start();
  const until = async (condition: () => boolean): Promise<void> => {
    while (!condition()) await new Promise((resolve) => setTimeout(resolve, 2));
  };
  await until(() => due(vm.vm) !== 0);
  const client = await QmpClient.ready(join(folder, "qmp.sock"));
  const fire = (): void => store(vm.vm.words, vm.vm.map.vmBlock / 4 + VmBlock.watchdogDue, 1);
  return { vm, client, until, fire };
}

describe("the watchdog under virtual time", () => {
  it.each([
    ["reset", VCPU_RESET],
    ["poweroff", VCPU_POWER_OFF],
    ["none", VCPU_RUNNING],
  ] as const)("that is not renewed fires after its 15 s: %s", (action, stopped) => {
    const machine = new DeterministicVm(specOf(action), () => {});
    bootVm(machine.vm, boot.image, boot.file);
    while (machine.clock.nowUs() < 14.9e6) machine.step();
    expect(machine.stopped()).toBe(VCPU_RUNNING);
    expect(due(machine.vm)).toBe(151); // tenths of a second, rounded up
    while (machine.clock.nowUs() < 15.2e6 && machine.stopped() === VCPU_RUNNING) machine.step();
    expect([machine.stopped(), due(machine.vm)]).toEqual([stopped, 0]);
  });

  it("with inject-nmi interrupts its guest, which has a watchdog only when it was given one", () => {
    const machine = new DeterministicVm(specOf("inject-nmi"), () => {});
    bootVm(machine.vm, boot.image, boot.file);
    while (machine.clock.nowUs() < 15.2e6) machine.step();
    expect(marked(machine.vm)).toBe(true);
    const without = new DeterministicVm(specOf(), () => {});
    bootVm(without.vm, boot.image, boot.file);
    while (without.clock.nowUs() < 1e6 && without.stopped() === VCPU_RUNNING) without.step();
    expect(due(without.vm)).toBe(0); // DIAG 0x288 was a specification exception
  });
});

describe("the watchdog behind QMP", () => {
  it("reset: WATCHDOG, then RESET by the guest; it is off until the guest arms it anew", async () => {
    const { client, fire, vm, until } = await started("reset");
    fire();
    expect((await client.event("WATCHDOG")).data).toEqual({ action: "reset" });
    expect((await client.event("RESET")).data).toEqual({ guest: true, reason: "guest-reset" });
    await until(() => vm.runState() === "running" && due(vm.vm) > 1);
  });

  it("pause: the machine stands in state watchdog, and goes on with cont", async () => {
    const { client, fire, vm } = await started("none");
    await client.execute("watchdog-set-action", { action: "pause" });
    fire();
    await client.event("STOP");
    expect(client.events("WATCHDOG").map(({ data }) => data)).toEqual([{ action: "pause" }]);
    expect(await client.execute("query-status")).toEqual({ status: "watchdog", running: false });
    await client.execute("cont");
    expect(vm.runState()).toBe("running");
  });

  it("poweroff ends the VM, which a reset brings back", async () => {
    const { client, fire, vm, until } = await started("poweroff");
    fire();
    expect((await client.event("SHUTDOWN")).data).toEqual({ guest: false, reason: "host-error" });
    expect(vm.runState()).toBe("shutdown");
    const stood = vm.instructions();
    await client.execute("system_reset");
    await until(() => vm.runState() === "running" && due(vm.vm) !== 0);
    expect(vm.instructions()).toBeGreaterThan(stood);
  });

  it("reset under -no-reboot ends the VM; shutdown asks the guest", async () => {
    const ended = await started("reset", "shutdown");
    ended.fire();
    expect((await ended.client.event("SHUTDOWN")).data).toEqual({
      guest: true,
      reason: "guest-reset",
    });
    const asked = await started("shutdown");
    asked.fire();
    await asked.client.event("POWERDOWN");
    const word = asked.vm.vm.map.vmBlock / 4 + VmBlock.quiesceRequested;
    expect(load(asked.vm.vm.words, word)).toBe(1);
  });

  it("inject-nmi is a restart interruption on the first CPU, also while it waits or stands", async () => {
    const { client, vm, until } = await started("none");
    await client.execute("stop");
    await client.execute("inject-nmi");
    expect(marked(vm.vm)).toBe(false);
    await client.execute("cont");
    await until(() => marked(vm.vm));
    vm.vm.bytes[vm.vm.map.ramOffset + 0x300] = 0;
    await client.execute("human-monitor-command", { "command-line": "nmi" });
    await until(() => marked(vm.vm));
  });
});
