/**
 * fast-check's scheduler interleaves the simulated kernel, the recovery worker, the guest and everybody else who may
 * touch a function: errors while a drain runs, coalesced signals, a reset racing a notification, a host that wants
 * its device back, a second opener, a worker that dies. Whatever the order, in the end nothing that the kernel kept is
 * lost, nothing comes twice, the order of a function's events is kept, and nobody waits for ever.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { pendingErrors } from "../../src/backend/sim/error-queue.ts";
import { booksBalance, readBooks } from "../../src/machine/books.ts";
import { EBUSY } from "../../src/ports/host-function.ts";
import { repairAfterDeath } from "../../src/recovery/repair.ts";
import type { RecoveryUnit } from "../../src/recovery/unit.ts";
import { DRAIN_STEP_LAST, WorkerKilled } from "../../src/recovery/words.ts";
import { FunctionBlock, RecoveryCommand, WORK_COMMAND } from "../../src/shm/blocks.ts";
import { type SimWorld, simWorld } from "../support/sim-world.ts";

const SETTLED = ["operational", "failed", "quarantined", "detached"];
/** Turns of worker, host and guest after the interleaving; 50 us each. Every deadline of the rig's policy is 0.5 s at most. */
const ROUNDS_MAX = 200_000;
const QUIET_ROUNDS = 800;

interface Plan {
  readonly abi: string;
  readonly clearError: boolean;
  /** Errors by their moment: each entry is stored under one queue lock. */
  readonly bursts: readonly (readonly number[])[];
  readonly hostTurns: readonly number[];
  readonly workerSteps: number;
  /** Drain steps at which the worker dies. */
  readonly deaths: readonly number[];
  readonly guestActs: number;
  readonly others: readonly ("opener" | "request" | "surprise" | "plug" | "unplug" | "drain-now")[];
}

const plans: fc.Arbitrary<Plan> = fc.record({
  abi: fc.constantFrom("merged", "merged", "v19", "v13", "v9", "v1"),
  clearError: fc.boolean(),
  bursts: fc.array(
    fc.array(fc.constantFrom(0x3a, 0x02, 0x07, 0x2a, 0x3a, 0x3b), { minLength: 1, maxLength: 6 }),
    { maxLength: 4 },
  ),
  hostTurns: fc.array(fc.constantFrom(0, 50, 400, 2500), { maxLength: 12 }),
  workerSteps: fc.integer({ min: 0, max: 15 }),
  deaths: fc.array(fc.integer({ min: 1, max: DRAIN_STEP_LAST }), { maxLength: 2 }),
  guestActs: fc.integer({ min: 0, max: 20 }),
  others: fc.array(
    fc.constantFrom("opener", "request", "surprise", "plug", "unplug", "drain-now"),
    { maxLength: 3 },
  ),
});

/** The worker with its supervisor: one that dies is repaired and replaced. */
class Worker {
  readonly #world: SimWorld;
  #unit: RecoveryUnit;

  constructor(world: SimWorld) {
    this.#world = world;
    this.#unit = world.rig.unit();
  }

  step(): void {
    try {
      this.#unit.step();
    } catch (error) {
      if (!(error instanceof WorkerKilled)) throw error;
      repairAfterDeath(this.#world.rig.options());
      this.#unit = this.#world.rig.unit();
    }
  }
}

/** What the guest fetched, in order, by the failing address that tells errors apart. */
class Guest {
  readonly ids: number[] = [];
  readonly #world: SimWorld;

  constructor(world: SimWorld) {
    this.#world = world;
  }

  act(): boolean {
    const before = this.#world.rig.fetchedIds;
    const acted = this.#world.rig.guestAct();
    const found = this.#world.rig.fetchedIds & ~before;
    if (found !== 0) this.ids.push(31 - Math.clz32(found));
    return acted;
  }
}

function other(world: SimWorld, what: Plan["others"][number]): void {
  const { sim, rig } = world;
  switch (what) {
    case "opener": {
      const second = sim.function(0, undefined, { opener: 2 });
      // Refused while the VM has the function open; the host may also say that it is not there or busy.
      if (rig.stateName !== "detached") expect(second.open()).toBe(-EBUSY);
      return;
    }
    case "request":
    case "surprise":
      sim.platform.raise(0, { type: "unplug", how: what });
      return;
    case "plug":
      sim.platform.raise(0, { type: "plug", as: "configured" });
      return;
    case "unplug":
      rig.set(FunctionBlock.recoveryCommand, RecoveryCommand.unplug);
      rig.ring(WORK_COMMAND);
      return;
    case "drain-now":
      rig.ring(0xff); // every bit at once: a wake-up that may find nothing
      return;
  }
}

function settle(world: SimWorld, worker: Worker, guest: Guest): void {
  for (
    let quiet = 0, round = 0;
    quiet < QUIET_ROUNDS || !SETTLED.includes(world.rig.stateName);
    round++
  ) {
    if (round > ROUNDS_MAX) throw new Error(`waits without bound in ${world.rig.stateName}`);
    worker.step();
    const acted = guest.act();
    const turned = world.turn();
    quiet = acted || turned ? 0 : quiet + 1;
    // Deadlines of a guest that has nothing to do are far away: time may pass faster then.
    world.rig.clock.us += quiet > 100 ? 1000 : 50;
  }
}

async function run(scheduler: fc.Scheduler, plan: Plan): Promise<void> {
  const world = simWorld(plan.clearError, undefined, plan.abi);
  const { rig } = world;
  const worker = new Worker(world);
  const guest = new Guest(world);
  worker.step();
  const sequence = (name: string, tasks: readonly (() => unknown)[]): void => {
    scheduler.scheduleSequence(
      tasks.map((task, n) => ({
        label: `${name} ${n}`,
        builder: async () => {
          task();
        },
      })),
    );
  };
  sequence(
    "errors",
    plan.bursts.map((pecs) => () => world.raise(...pecs)),
  );
  sequence(
    "host",
    plan.hostTurns.map((us) => () => {
      rig.clock.us += us;
      world.turn();
    }),
  );
  sequence(
    "worker",
    new Array<() => void>(plan.workerSteps).fill(() => worker.step()),
  );
  sequence(
    "death",
    plan.deaths.map((step) => () => rig.set(FunctionBlock.killAtStep, step)),
  );
  sequence(
    "guest",
    new Array<() => void>(plan.guestActs).fill(() => guest.act()),
  );
  sequence(
    "other",
    plan.others.map((what) => () => other(world, what)),
  );
  await scheduler.waitIdle();
  rig.set(FunctionBlock.killAtStep, 0);
  settle(world, worker, guest);

  const books = readBooks(rig.vm, 0);
  expect(booksBalance(books), "every error raised is fetched or stands under a name").toBe(0);
  // Records before v14 carry no address, by which the rig's guest tells events apart.
  if (plan.abi === "merged" || plan.abi === "v19") {
    expect(rig.doubled, "no event comes twice").toBe(0);
    expect(guest.ids, "the order of a function's events is kept").toEqual(
      [...guest.ids].sort((a, b) => a - b),
    );
  }
  expect(pendingErrors(world.sim.area()), "nothing stays behind in the kernel's queue").toBe(0);
}

describe("whatever the order in which kernel, worker, guest and others act", () => {
  it("nothing that the kernel kept is lost or doubled, order holds, every wait ends", async () => {
    await fc.assert(fc.asyncProperty(fc.scheduler(), plans, run), { numRuns: 250 });
  }, 120_000);

  it("a guest's ring that is full, with signals: the kernel's queue overflows by its own rule, counted", () => {
    const world = simWorld(false);
    const { rig } = world;
    const worker = new Worker(world);
    const guest = new Guest(world);
    worker.step();
    // 64 slots in the guest's ring and 4 in the host's queue, nobody fetches.
    for (let n = 0; n < 90; n++) {
      world.raise(0x02);
      rig.clock.us += 600; // beyond the host's locks
      world.turn();
      worker.step();
    }
    const full = readBooks(rig.vm, 0);
    expect(full.read).toBe(64);
    expect(full.droppedByHost).toBe(90 - 64 - 4);
    settle(world, worker, guest);
    const books = readBooks(rig.vm, 0);
    expect(booksBalance(books)).toBe(0);
    expect(books.errorsRaised).toBe(90);
    expect(SETTLED).toContain(rig.stateName);
  });

  it("a function that is closed with events pending: what the kernel had is counted as dropped by policy", () => {
    const world = simWorld(false);
    const { rig } = world;
    const worker = new Worker(world);
    worker.step();
    world.raise(0x02, 0x07);
    // The command comes before the worker has looked at the queue: twice is without the guest's consent.
    rig.set(FunctionBlock.recoveryCommand, RecoveryCommand.unplug);
    rig.host.takeSignals();
    worker.step();
    rig.set(FunctionBlock.recoveryCommand, RecoveryCommand.unplug);
    worker.step();
    expect(rig.stateName).toBe("detached");
    const books = readBooks(rig.vm, 0);
    expect(booksBalance(books) - (books.injected - books.fetchedByGuest)).toBe(0);
  });
});
