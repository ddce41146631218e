/** How a VM on threads starts and ends, with threads that do not do what they are told. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Actor } from "../../../src/machine/actors.ts";
import { VCPU_POWER_OFF, VCPU_RUNNING } from "../../../src/machine/loops.ts";
import {
  declareReady,
  gateIsOpen,
  PLATFORM_ACTOR,
  vcpuActor,
} from "../../../src/machine/start-gate.ts";
import { ThreadedVm } from "../../../src/machine/threaded-vm.ts";
import { DETERMINISTIC_EPOCH_MS } from "../../../src/machine/vm-spec.ts";
import { loadPolicy } from "../../../src/recovery/index.ts";
import { store } from "../../../src/shm/atomics.ts";
import { VmBlock } from "../../../src/shm/blocks.ts";
import { ConsoleOutput } from "../../../src/shm/console-output.ts";

/** Names of the threads that were killed. */
const killed = vi.hoisted(() => [] as string[]);

// Threads that live until they are killed, whatever the VM's words say.
vi.mock("../../../src/machine/actors.ts", () => ({
  startActor(name: string): Actor {
    let die: (error: Error) => void = () => {};
    const done = new Promise<unknown>((_, reject) => {
      die = reject;
    });
    done.catch(() => {});
    const kill = (): Promise<void> => {
      killed.push(name);
      die(new Error("killed"));
      return Promise.resolve();
    };
    return { done, kill, close: () => Promise.resolve() };
  },
}));

function machine(heard: (bytes: Uint8Array) => unknown = () => {}): ThreadedVm {
  return new ThreadedVm(
    {
      name: "stubborn",
      ramBytes: 1024 ** 2,
      cpuModel: "zmend",
      functions: [],
      policy: loadPolicy("mediated"),
      epochMs: DETERMINISTIC_EPOCH_MS,
    },
    heard,
  );
}

beforeEach(() => {
  killed.length = 0;
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe("a VM whose threads do not come up", () => {
  it("gives up its start when it is interrupted, and its time never begins", async () => {
    const vm = machine();
    let asked = 0;
    const start = vm.start(() => ++asked > 3);
    await vi.advanceTimersByTimeAsync(100);
    await start;
    expect(gateIsOpen(vm.vm)).toBe(false);
    expect(vm.clock.nowUs()).toBe(0);
    const stop = vm.stop();
    await vi.runAllTimersAsync();
    await stop;
    expect(killed.sort()).toEqual(["io", "vcpu"]);
    expect(vm.failure).toBeUndefined();
  });
});

describe("a guest that has ended", () => {
  it("is seen to have ended when its last words have been told, even to who is slow", () => {
    const heard: string[] = [];
    const vm = machine((bytes) => {
      heard.push(Buffer.from(bytes).toString());
      return new Promise(() => {});
    });
    const guest = new ConsoleOutput(vm.vm);
    for (const text of ["first", "last"]) guest.write(Buffer.from(text), 1, () => {});
    expect(vm.stopped()).toBe(VCPU_RUNNING);
    expect(heard).toEqual([]);
    store(vm.vm.words, vm.vm.map.vmBlock / 4 + VmBlock.vcpuStopped, VCPU_POWER_OFF);
    expect(vm.stopped()).toBe(VCPU_POWER_OFF);
    expect(heard).toEqual(["first", "last"]);
  });
});

describe("a VM whose threads do not end", () => {
  it("ends them by force after a time of grace, and calls that no failure", async () => {
    const vm = machine();
    declareReady(vm.vm, PLATFORM_ACTOR);
    declareReady(vm.vm, vcpuActor(0));
    await vm.start();
    expect(gateIsOpen(vm.vm)).toBe(true);
    const stop = vm.stop();
    await vi.advanceTimersByTimeAsync(1000);
    expect(killed).toEqual([]);
    await vi.runAllTimersAsync();
    await stop;
    expect(killed.sort()).toEqual(["io", "vcpu"]);
    expect(vm.failure).toBeUndefined();
  });
});
