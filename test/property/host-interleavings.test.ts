/**
 * fast-check's scheduler interleaves the simulated kernel, the recovery worker, the guest and everybody else who may
 * touch a function: errors while a drain runs, coalesced signals, a reset racing a notification, a host that wants
 * its device back and has it again, a second opener, a worker that dies. Over every interface of a host that behaves in
 * a way of its own, as their table says. Whatever the order, in the end nothing that the kernel kept is
 * lost, nothing comes twice, the order of a function's events is kept, and nobody waits for ever.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CcdfKind } from "../../src/abi/records.ts";
import { type ErrorDialect, hostDialects, hostInterfaces } from "../../src/abi/zpci-err.ts";
import type { SimHostInterface } from "../../src/backend/sim/config.ts";
import { pendingErrors } from "../../src/backend/sim/error-queue.ts";
import { booksBalance, readBooks } from "../../src/machine/books.ts";
import { EBUSY } from "../../src/ports/host-function.ts";
import { repairAfterDeath } from "../../src/recovery/repair.ts";
import type { RecoveryUnit } from "../../src/recovery/unit.ts";
import { DRAIN_STEP_LAST, WorkerKilled } from "../../src/recovery/words.ts";
import {
  FunctionBlock,
  FunctionState,
  PHASE_REQUESTED,
  PHASE_RUNNING,
  RecoveryCommand,
  WORK_COMMAND,
} from "../../src/shm/blocks.ts";
import { GuestStep } from "../support/recovery-rig.ts";
import { type SimWorld, simWorld } from "../support/sim-world.ts";

const SETTLED = ["operational", "failed", "quarantined", "detached"];
/** Turns of worker, host and guest after the interleaving; 50 us each. Every deadline of the rig's policy is 0.5 s at most. */
const ROUNDS_MAX = 200_000;
/** Together longer than a policy's slow drain of a second: a frozen PE that nobody touches is found by it. */
const QUIET_ROUNDS = 900;

/** What a row is without its name and the names of its fields: rows that are equal in this behave alike. */
function behaviourOf({ abi: _, layout: __, ...row }: ErrorDialect): string {
  return JSON.stringify(row);
}

interface Host extends SimHostInterface {
  readonly name: string;
  readonly row: ErrorDialect;
}

/** The newest row of each behaviour; the forms of EEH differ in their calls, and a kernel to come in its lengths. */
const hosts: readonly Host[] = [
  ...new Map(hostDialects.map((row) => [behaviourOf(row), row])).values(),
]
  .filter((row) => row.carrier !== "none")
  .flatMap((row): Host[] => {
    if (row.carrier === "signal") return [{ name: "aer", dialect: "aer", abi: "merged", row }];
    if (row.carrier === "eeh") {
      return hostInterfaces.eeh.map((abi) => ({ name: `eeh ${abi}`, dialect: "eeh", abi, row }));
    }
    const plain: Host = { name: row.abi, dialect: "zpci", abi: row.abi, row };
    return row.byPointer ? [plain, { ...plain, name: "a kernel to come", future: true }] : [plain];
  });

const otherKinds = [
  "opener",
  "request",
  "surprise",
  "plug",
  "plug-standby",
  "unplug",
  "take",
  "pause",
  "drain-now",
] as const;

interface Plan {
  readonly clearError: boolean;
  /** The guest gives the function up and takes it up as availability events say. */
  readonly heeds: boolean;
  /** Errors by their moment: each entry is stored under one queue lock. */
  readonly bursts: readonly (readonly ("plain" | "measurement" | "permanent")[])[];
  readonly hostTurns: readonly number[];
  readonly workerSteps: number;
  /** Drain steps at which the worker dies. */
  readonly deaths: readonly number[];
  readonly guestActs: number;
  readonly others: readonly (typeof otherKinds)[number][];
}

const plans: fc.Arbitrary<Plan> = fc.record({
  clearError: fc.boolean(),
  heeds: fc.boolean(),
  bursts: fc.array(
    fc.array(fc.constantFrom("plain", "plain", "plain", "measurement", "plain", "permanent"), {
      minLength: 1,
      maxLength: 6,
    }),
    { maxLength: 4 },
  ),
  hostTurns: fc.array(fc.constantFrom(0, 50, 400, 2500), { maxLength: 12 }),
  workerSteps: fc.integer({ min: 0, max: 15 }),
  deaths: fc.array(fc.integer({ min: 1, max: DRAIN_STEP_LAST }), { maxLength: 2 }),
  guestActs: fc.integer({ min: 0, max: 20 }),
  others: fc.array(fc.constantFrom(...otherKinds), { maxLength: 4 }),
});

/** Codes by which errors are told apart in every dialect that has codes: Linux recovers from any that it does not know. */
const PLAIN_FIRST = 0x0100;
const codeOf = { measurement: 0x2a, permanent: 0x3b } as const;

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

/** What the guest was told for the first time, in order, by the codes that tell errors apart. */
class Guest {
  readonly codes: number[] = [];
  told = 0;
  readonly #world: SimWorld;

  constructor(world: SimWorld) {
    this.#world = world;
    const { rig } = world;
    const fetch = rig.fetch.bind(rig);
    rig.fetch = () => {
      const record = fetch();
      if (record?.kind === CcdfKind.error && !record.repeat) {
        this.told += 1;
        if (record.pec >= PLAIN_FIRST && record.pec < PLAIN_FIRST + 64) this.codes.push(record.pec);
      }
      return record;
    };
  }

  act(): boolean {
    return this.#world.rig.guestAct();
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
    case "plug-standby":
      sim.platform.raise(0, { type: "plug", as: what === "plug" ? "configured" : "standby" });
      return;
    case "unplug":
    case "take":
    case "pause":
      // As control does: the word holds one order.
      if (rig.get(FunctionBlock.recoveryCommand) !== RecoveryCommand.none) return;
      rig.set(FunctionBlock.recoveryCommand, RecoveryCommand[what]);
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
    world.rig.clock.us += quiet > 100 ? 1500 : 50;
  }
}

async function run(scheduler: fc.Scheduler, plan: Plan, host: Host): Promise<void> {
  const world = simWorld(plan.clearError, undefined, host);
  world.rig.behave({ guestHeeds: plan.heeds });
  let plain = 0;
  const raise = (kinds: Plan["bursts"][number]): void =>
    world.raise(...kinds.map((kind) => (kind === "plain" ? PLAIN_FIRST + plain++ : codeOf[kind])));
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
    plan.bursts.map((kinds) => () => raise(kinds)),
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
  if (plan.others.includes("pause")) {
    // Whoever pauses a VM lets it go on.
    while (rig.get(FunctionBlock.recoveryCommand) !== RecoveryCommand.none) worker.step();
    rig.set(FunctionBlock.recoveryCommand, RecoveryCommand.resume);
    rig.ring(WORK_COMMAND);
  }
  settle(world, worker, guest);
  lawsHold(world, guest, host, plan);
}

function lawsHold(world: SimWorld, guest: Guest, { row }: Host, plan: Plan): void {
  const { rig } = world;
  const books = readBooks(rig.vm, 0);
  expect(booksBalance(books), "every error raised is fetched or stands under a name").toBe(0);
  expect(guest.told, "what the books call fetched is what the guest has seen").toBe(
    books.fetchedByGuest,
  );
  if (row.byPointer || row.faddr >= 0) expect(rig.doubled, "no event comes twice").toBe(0);
  // Each code is raised once: rising codes are in order, and none of them comes twice.
  const rising = [...new Set(guest.codes)].sort((a, b) => a - b);
  expect(guest.codes, "the order of a function's events is kept").toEqual(rising);
  expect(pendingErrors(world.sim.area()), "nothing stays behind in the kernel's queue").toBe(0);
  for (const word of [FunctionBlock.resetPhase, FunctionBlock.clearPhase]) {
    const asks = [PHASE_REQUESTED, PHASE_RUNNING].includes(rig.get(word) & 0xff);
    const configured = rig.guestState >= FunctionState.DISABLED;
    expect(asks && configured, "no vCPU waits for an answer").toBe(false);
  }
  if (plan.heeds && rig.stateName === "detached") {
    expect(rig.guestStep, "the guest knows that it has gone").toBe(GuestStep.gone);
  }
  if (rig.stateName === "operational") {
    expect(rig.guestState, "a function in service is in no error").toBeLessThan(
      FunctionState.BLOCKED,
    );
  }
}

describe("whatever the order in which kernel, worker, guest and others act", () => {
  it.each(hosts)(
    "over $name nothing that the kernel kept is lost or doubled, order holds, every wait ends",
    async (host) => {
      await fc.assert(
        fc.asyncProperty(fc.scheduler(), plans, (scheduler, plan) => run(scheduler, plan, host)),
        { numRuns: 25 },
      );
    },
    120_000,
  );

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
