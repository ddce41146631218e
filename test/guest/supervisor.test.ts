/** Two real machines under one supervisor: what befalls one of them, and what the other notices of it. */
import { afterEach, describe, expect, it, vi } from "vitest";
import { parseDaemonConfig } from "../../src/config/daemon-config.ts";
import { Supervisor } from "../../src/control/daemon/supervisor.ts";
import { planDaemon } from "../../src/daemon/daemon-plan.ts";
import { configChecks } from "../../src/daemon/plan-function.ts";
import type { Actor, startActor } from "../../src/machine/actors.ts";
import { booksBalance } from "../../src/machine/books.ts";
import { daemonConfig, pause } from "../support/daemon.ts";

/** Threads of all machines, newest last, by the VM's name, where they have one, and the worker's. */
const started = vi.hoisted(() => new Map<string, Actor[]>());
vi.mock("../../src/machine/actors.ts", async (load) => {
  const real = await load<{ startActor: typeof startActor }>();
  return {
    ...real,
    startActor: (...parameters: Parameters<typeof startActor>): Actor => {
      const actor = real.startActor(...parameters);
      // A recovery worker's task does not say whose it is: it may be several VMs'.
      const { spec } = parameters[1] as { readonly spec?: { readonly name: string } };
      const key = spec === undefined ? parameters[0] : `${spec.name} ${parameters[0]}`;
      started.set(key, [...(started.get(key) ?? []), actor]);
      return actor;
    },
  };
});

const supervisors: Supervisor[] = [];
afterEach(async () => {
  for (const supervisor of supervisors.splice(0)) await supervisor.close();
  started.clear();
});

async function running(restart: string): Promise<Supervisor> {
  const text = daemonConfig(["alpha", "beta"]).replaceAll(
    "fixture: zrecover",
    `fixture: zrecover\n    restart: ${restart}`,
  );
  const config = parseDaemonConfig(text, "test.yaml", configChecks());
  const supervisor = new Supervisor();
  supervisors.push(supervisor);
  for (const plan of planDaemon(config, ".").plans) {
    await supervisor.add(plan, []);
  }
  await supervisor.startAll();
  return supervisor;
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await pause(5);
}

describe("a VM of several", () => {
  it("whose vCPU's thread died stops and is started again; the other goes on", async () => {
    const supervisor = await running("{ when: on-crash, delayMs: 10 }");
    const notices: string[] = [];
    supervisor.listen({ notice: (vm, { type }) => notices.push(`${vm} ${type}`) });
    const [alpha, beta] = [supervisor.find("alpha"), supervisor.find("beta")];
    const [firstAlpha, firstBeta] = [alpha.control, beta.control];
    const before = firstBeta.instructions();
    await started.get("alpha vcpu")?.at(-1)?.kill();
    await until(() => alpha.control !== firstAlpha && alpha.control.runState() === "running");
    expect(firstAlpha.failure()?.message).toMatch(/^The vcpu thread of VM alpha died: /);
    expect(notices).toEqual(["alpha restart"]);
    expect(alpha.restarts).toBe(1);
    expect([beta.control, beta.control.runState()]).toEqual([firstBeta, "running"]);
    await until(() => firstBeta.instructions() > before && alpha.control.instructions() > 0);
  });

  it("that must not be started again stays down, and says why", async () => {
    const supervisor = await running("{ when: never }");
    const notices: object[] = [];
    supervisor.listen({ notice: (vm, notice) => notices.push({ vm, ...notice }) });
    await started.get("alpha io")?.at(-1)?.kill();
    await until(() => notices.length > 0);
    expect(notices).toEqual([
      { vm: "alpha", type: "stays-down", cause: "internal-error", why: "restart.when is never" },
    ]);
    expect(supervisor.find("beta").control.runState()).toBe("running");
  });

  it("whose recovery workers are killed at random recovers all the same", async () => {
    const supervisor = await running("{ when: never }");
    const { control } = supervisor.find("alpha");
    for (let error = 1; error <= 4; error++) {
      control.inject(1, { pec: 0x3a });
      // Of the four that live, every other one, whoever's they are.
      const living = started.get("recovery")?.slice(-4) ?? [];
      await Promise.all(living.filter((_, n) => (n + error) % 2 === 0).map((one) => one.kill()));
      // As Linux does, the guest waits 2 s for a reset: a machine that takes longer to replace a worker loses the function.
      const ends = ["operational", "failed"];
      await until(() => {
        const [status] = control.functions();
        if (status === undefined || !ends.includes(status.state)) return false;
        // Whoever died, it was read, and the guest has it.
        return status.books.errorsRaised === error && booksBalance(status.books) === 0;
      });
      if (control.functions()[0]?.state === "failed") break;
    }
    expect(control.runState()).toBe("running");
    const all = [...control.functions(), ...supervisor.find("beta").control.functions()];
    expect(all.some((entry) => entry.books.workerRestarts > 0)).toBe(true);
  });
});
