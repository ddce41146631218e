/** A VM over its lives: start, stop, restart rules, and what is attached to each life. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { RestartRule } from "../../../../src/config/daemon-config.ts";
import { ManagedVm, type VmNotice } from "../../../../src/control/daemon/managed-vm.ts";
import type { RunState } from "../../../../src/machine/vm-control.ts";
import { loadPolicy } from "../../../../src/recovery/index.ts";
import { FakeControl, fakeSpec } from "../../../support/fake-control.ts";

const rule: RestartRule = { when: "on-crash", times: 2, withinMs: 10_000, delayMs: 100 };

/** A managed VM over machines that do as they are told. */
interface Rig {
  readonly vm: ManagedVm;
  readonly lives: FakeControl[];
  readonly attached: string[];
  readonly notices: VmNotice[];
  readonly life: () => FakeControl;
}

async function build(restart: Partial<RestartRule> = {}): Promise<Rig> {
  const lives: FakeControl[] = [];
  const attached: string[] = [];
  const notices: VmNotice[] = [];
  const plan = {
    name: "one",
    spec: fakeSpec("one", 1),
    functions: [],
    autostart: true,
    startOrder: 0,
    startDelayMs: 0,
    restart: { ...rule, ...restart },
    build: async (spec: ReturnType<typeof fakeSpec>) => {
      const life = new FakeControl(spec);
      lives.push(life);
      return life.control;
    },
    restore: async (spec: ReturnType<typeof fakeSpec>, file: string) => {
      if (file === "/bad") throw new Error("no snapshot");
      const life = new FakeControl(spec);
      life.calls.push(`restored ${file}`);
      lives.push(life);
      return life.control;
    },
  };
  const vm = await ManagedVm.create(plan, [
    async () => {
      const life = lives.length;
      attached.push(`+${life}`);
      return () => void attached.push(`-${life}`);
    },
  ]);
  vm.onNotice((notice) => notices.push(notice));
  return { vm, lives, attached, notices, life: () => lives.at(-1) as FakeControl };
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
});
afterEach(() => {
  vi.useRealTimers();
});

describe("a managed VM", () => {
  it("whose thread died is started again after the delay, on a machine of its own", async () => {
    const { vm, lives, life, attached, notices } = await build();
    await vm.start();
    life().enter("internal-error");
    expect(vm.restartPending).toBe(true);
    await vi.advanceTimersByTimeAsync(99);
    expect(lives).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(1);
    expect(lives).toHaveLength(2);
    expect(lives[0]?.calls).toEqual(["start", "stop"]);
    expect(vm.control.runState()).toBe("running");
    expect(attached).toEqual(["+1", "-1", "+2"]);
    expect(notices).toEqual([{ type: "restart", attempt: 1, cause: "internal-error" }]);
  });

  it("is not started more often than its rule allows within the window", async () => {
    const { vm, lives, life, notices } = await build();
    await vm.start();
    for (let crash = 0; crash < 3; crash++) {
      life().enter("internal-error");
      await vi.advanceTimersByTimeAsync(200);
    }
    expect(lives).toHaveLength(3);
    expect(notices.at(-1)).toMatchObject({ type: "stays-down", cause: "internal-error" });
  });

  it.each([
    ["never", []],
    ["on-crash", ["internal-error"]],
    ["on-failure", ["internal-error", "guest-panicked", "io-error"]],
    ["always", ["internal-error", "guest-panicked", "io-error", "shutdown"]],
  ] as const)(
    "with restart.when %s starts again after %j and nothing else",
    async (when, causes) => {
      const restarted: RunState[] = [];
      for (const cause of ["internal-error", "guest-panicked", "io-error", "shutdown"] as const) {
        const { vm, lives, life } = await build({ when });
        await vm.start();
        life().enter(cause, "guest-shutdown");
        await vi.advanceTimersByTimeAsync(200);
        if (lives.length === 2) restarted.push(cause);
      }
      expect(restarted).toEqual(causes);
    },
  );

  it("that an operator stopped stays down, whatever its rule says", async () => {
    const { vm, lives, life } = await build({ when: "always" });
    await vm.start();
    expect(await vm.stop(1000)).toBe(true);
    await vi.advanceTimersByTimeAsync(1000);
    expect(life().calls).toEqual(["start", "powerdown", "stop"]);
    expect(lives).toHaveLength(1);
  });

  it("that QMP's quit ended stays down too", async () => {
    const { vm, lives, life } = await build({ when: "always" });
    await vm.start();
    await life().stop();
    await vi.advanceTimersByTimeAsync(1000);
    expect(lives).toHaveLength(1);
  });

  it("whose guest does not switch off is ended at the deadline", async () => {
    const { vm, life } = await build();
    await vm.start();
    life().obeys = false;
    const stopped = vm.stop(1000);
    await vi.advanceTimersByTimeAsync(999);
    expect(life().calls).toEqual(["start", "powerdown"]);
    await vi.advanceTimersByTimeAsync(1);
    expect(await stopped).toBe(false);
    expect(life().calls).toEqual(["start", "powerdown", "stop"]);
  });

  it("whose guest does not switch off is ended at once when somebody insists", async () => {
    const { vm, life } = await build();
    await vm.start();
    life().obeys = false;
    const stopped = vm.stop(1000);
    await vi.advanceTimersByTimeAsync(1);
    await vm.close();
    expect(await stopped).toBe(false);
    expect(life().calls.slice(0, 3)).toEqual(["start", "powerdown", "stop"]);
  });

  it("is stopped while a restart is due, and the restart does not happen", async () => {
    const { vm, lives, life } = await build();
    await vm.start();
    life().enter("internal-error");
    await vm.stop(0);
    await vi.advanceTimersByTimeAsync(1000);
    expect(lives).toHaveLength(1);
  });

  it("keeps an operator's policy over a restart", async () => {
    const { vm, life } = await build();
    await vm.start();
    await vm.setPolicy(loadPolicy("reset-first"));
    expect(life().calls).toContain("policy reset-first");
    life().enter("internal-error");
    await vi.advanceTimersByTimeAsync(200);
    expect(life().spec.policies?.map((policy) => policy?.name)).toEqual(["reset-first"]);
  });

  it("goes on from a snapshot, and keeps its machine when the file is none", async () => {
    const { vm, lives, life } = await build();
    await vm.start();
    await expect(vm.restore("/bad")).rejects.toThrow("no snapshot");
    expect(vm.control.runState()).toBe("running");
    await vm.restore("/good");
    expect(lives[0]?.calls).toEqual(["start", "stop"]);
    expect(life().calls).toEqual(["restored /good", "start"]);
  });

  it("keeps the last console text of all its lives, to a limit", async () => {
    const { vm, life } = await build();
    for (let n = 0; n < 100; n++) {
      life().emit({ type: "console", bytes: Buffer.alloc(1024, n), timeUs: n });
    }
    const tail = vm.consoleTail();
    expect(tail.length).toBe(64 * 1024);
    expect([tail[0], tail.at(-1)]).toEqual([36, 99]);
  });
});
