/**
 * The whole recovery over every way in which a host may tell of errors. Each row of `hostDialects` runs the
 * same unit against the simulated kernel that speaks it; the machine above is told nothing about it.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type ErrorDialect, hostDialects } from "../../src/abi/zpci-err.ts";
import { GET_STEPS, type HostDialect } from "../../src/backend/sim/index.ts";
import { type Books, booksBalance, readBooks } from "../../src/machine/books.ts";
import { repairAfterDeath } from "../../src/recovery/repair.ts";
import type { RecoveryUnit } from "../../src/recovery/unit.ts";
import { DRAIN_STEP_LAST, WorkerKilled } from "../../src/recovery/words.ts";
import { FunctionBlock, FunctionState } from "../../src/shm/blocks.ts";
import { RecoveryRig } from "../support/recovery-rig.ts";
import { SimHost } from "../support/sim-host.ts";

/** The merged interface of a kernel to come: `SimHostInterface.future`. */
const FUTURE = "future";

class World {
  readonly sim: SimHost;
  readonly rig: RecoveryRig;
  unit: RecoveryUnit;
  /** GET step (1 to 7) at which the worker dies next; 0 = never. */
  deadly = 0;
  /** One access of the guest: what a frozen EEH PE is noticed by. */
  readonly touch: () => void;
  #raised = 0;

  constructor(dialect: HostDialect, abi: string) {
    const future = abi === FUTURE;
    const host = { dialect, abi: future ? "merged" : abi, future };
    this.sim = new SimHost([{ fid: 0x123, host }]);
    const clock = { us: 0, nowUs: () => clock.us };
    const regions = this.sim.regions();
    this.touch = () => regions.load(0, 0, 4);
    const hook = (step: number): void => {
      if (step !== this.deadly) return;
      this.deadly = 0;
      throw new WorkerKilled(step);
    };
    this.rig = new RecoveryRig({
      vm: this.sim.vm,
      host: this.sim.function(0, hook),
      clock,
      answers: () => regions.load(0, 0, 4) === 0 && regions.valueLow !== -1,
    });
    this.unit = this.rig.unit();
    this.unit.step();
  }

  /** Errors stored under one queue lock, told apart by their failing address. */
  raise(...pecs: number[]): void {
    const ccdfs = pecs.map((pec) => ({ pec, faddr: this.#raised++ % 31 }));
    this.sim.platform.raise(0, { type: "burst", ccdfs });
    this.sim.runTo(this.rig.clock.us);
    this.touch();
  }

  settle(): void {
    for (let quiet = 0, round = 0; quiet < 400; round++) {
      if (round > 50_000) throw new Error("did not settle");
      this.unit.step();
      const acted = this.rig.guestAct();
      this.sim.clock.advanceTo(this.rig.clock.us);
      quiet = acted || this.sim.platform.step() ? 0 : quiet + 1;
      this.rig.clock.us += 50;
    }
  }

  books(): Books {
    return readBooks(this.rig.vm, 0);
  }

  /** The worker has died: the supervisor ends its call, a successor goes on. */
  revive(): void {
    repairAfterDeath(this.rig.options());
    this.unit = this.rig.unit();
  }
}

interface Row extends ErrorDialect {
  readonly dialect: HostDialect;
  readonly form: string;
}

const spoken: Row[] = hostDialects
  .filter((row) => row.abi !== "none")
  .flatMap((row): Row[] => {
    if (row.abi === "aer") return [{ ...row, dialect: "aer", form: "merged" }];
    if (row.abi === "merged") {
      return ["merged", FUTURE].map((form) => ({ ...row, dialect: "zpci", form }));
    }
    if (row.abi !== "eeh") return [{ ...row, dialect: "zpci", form: row.abi }];
    return ["merged", "2014-v6", "2014-u32"].map((form) => ({ ...row, dialect: "eeh", form }));
  });

const worldOf = (row: Row): World => new World(row.dialect, row.form);
/** The code that the guest is told: where the host has none, a service action, or the end. */
const told = (row: Row, pec: number): number => {
  if (row.pec >= 0 || row.byPointer) return pec;
  return row.abi === "eeh" && pec === 0x3b ? pec : 0x3a;
};

describe.each(spoken)("recovery over $dialect $form", (row) => {
  it("brings the function back after one error and closes the books", () => {
    const world = worldOf(row);
    world.raise(0x003a);
    world.settle();
    expect(world.rig.stateName).toBe("operational");
    expect(world.rig.pciLoad()).toBe(true);
    expect(world.books()).toMatchObject({
      errorsRaised: 1,
      read: 1,
      fetchedByGuest: 1,
      recoveries: 1,
      notDelivered: { unverifiable: 0 },
    });
    expect(booksBalance(world.books())).toBe(0);
  });

  it("shows the guest the code, and what else the dialect tells", () => {
    const world = worldOf(row);
    const bytes = "ffffffff 00000000 00000000 fabcdeff 0123456789abcdef ffffffff ffff 0007";
    world.sim.platform.raise(0, { type: "ccdf", ccdf: bytes });
    world.sim.runTo(0);
    world.touch();
    world.unit.step();
    const body = Buffer.from(world.rig.fetch()?.body ?? []).toString("hex");
    // FH and FID are filled in at hand-out; every reserved field is zero (vfio-uapi.md 4.5).
    const whole = "00000000 00000000 00000000 fabcde03 0123456789abcdef 00000000 0000 0007";
    const bare = "00000000 00000000 00000000 00000000 0000000000000000 00000000 0000 0007";
    const code = told(row, 7).toString(16).padStart(4, "0");
    const all = row.byPointer || row.faddr >= 0;
    expect(body).toBe(`${(all ? whole : bare).replaceAll(" ", "").slice(0, -4)}${code}`);
  });

  it("reads a burst to its end: all that the host's ring kept, in one episode", () => {
    const world = worldOf(row);
    world.raise(2, 2, 2, 2, 2, 2);
    world.settle();
    const kept = Math.min(6, row.ringSlots);
    expect(world.books()).toMatchObject({
      errorsRaised: 6,
      read: kept,
      notDelivered: { hostQueueFull: 6 - kept, unverifiable: 0 },
    });
    expect(booksBalance(world.books())).toBe(0);
    expect(world.rig.stateName).toBe("operational");
  });

  it("hands a permanent error to the guest", () => {
    const world = worldOf(row);
    world.raise(0x003b);
    world.settle();
    expect(world.rig.guestState).toBe(FunctionState.PERMANENT_ERROR);
    expect(booksBalance(world.books())).toBe(0);
  });

  it("recovers again and again", () => {
    const world = worldOf(row);
    for (let n = 0; n < 3; n++) {
      world.raise(0x003a);
      world.settle();
    }
    expect(world.books()).toMatchObject({ recoveries: 3, fetchedByGuest: 3 });
    expect(booksBalance(world.books())).toBe(0);
  });

  it("reads nothing when a wake-up finds an empty queue", () => {
    const world = worldOf(row);
    world.raise(0x003a);
    world.unit.step(); // takes the event and its signal
    for (let n = 0; n < 5; n++) {
      world.sim.area().workerBell.ring(1);
      world.unit.step();
    }
    world.settle();
    expect(world.books()).toMatchObject({ read: 1, fetchedByGuest: 1 });
  });

  it.each(Array.from({ length: GET_STEPS }, (_, n) => n + 1))(
    "loses and doubles nothing when the worker dies at step %i of GET",
    (step) => {
      const world = worldOf(row);
      world.raise(0x003a, 2);
      world.deadly = step;
      expect(() => world.unit.step()).toThrow(WorkerKilled);
      world.revive();
      world.settle();
      expect(world.books()).toMatchObject({ errorsRaised: 2, read: Math.min(2, row.ringSlots) });
      expect(booksBalance(world.books())).toBe(0);
      expect(world.rig.stateName).toBe("operational");
    },
  );

  it("loses and doubles nothing when the worker dies at any step of the drain", () => {
    for (let step = 1; step <= DRAIN_STEP_LAST; step++) {
      const world = worldOf(row);
      world.raise(2, 2);
      world.rig.set(FunctionBlock.killAtStep, step);
      expect(() => world.unit.step(), `step ${step}`).toThrow(WorkerKilled);
      world.revive();
      world.settle();
      const read = Math.min(2, row.ringSlots);
      expect(world.books(), `step ${step}`).toMatchObject({ errorsRaised: 2, read });
      expect(booksBalance(world.books()), `step ${step}`).toBe(0);
    }
  });

  it("keeps its books for any sequence of bursts and pauses", () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ burst: fc.integer({ min: 1, max: 7 }), steps: fc.nat(12) }), {
          maxLength: 6,
        }),
        (plan) => {
          const world = worldOf(row);
          let raised = 0;
          for (const { burst, steps } of plan) {
            world.raise(...Array.from({ length: burst }, () => 2));
            raised += burst;
            for (let n = 0; n < steps; n++) {
              world.unit.step();
              world.rig.guestAct();
              world.sim.clock.advanceTo(world.rig.clock.us);
              world.sim.platform.step();
              world.rig.clock.us += 50;
            }
          }
          world.settle();
          expect(booksBalance(world.books())).toBe(0);
          expect(world.books().errorsRaised).toBe(raised);
          expect(world.rig.pciLoad()).toBe(true);
        },
      ),
      { numRuns: 8, seed: 7 },
    );
  });
});

describe("a frozen EEH PE", () => {
  it.each(["merged", "2014-v6", "2014-u32"])(
    "%s: is found by polling when no guest touches it",
    (form) => {
      const world = new World("eeh", form);
      world.sim.platform.raise(0, { type: "ccdf", pec: 0x3a });
      world.sim.runTo(0);
      expect(world.unit.step()).toBeLessThanOrEqual(1_000_000);
      expect(world.books().read).toBe(0);
      world.rig.clock.us += 1_000_000;
      world.settle();
      expect(world.books()).toMatchObject({ read: 1, fetchedByGuest: 1, recoveries: 1 });
      expect(world.rig.pciLoad()).toBe(true);
    },
  );
});

describe("a host without the error interface", () => {
  it("leaves the function running, unrecoverable", () => {
    const world = new World("zpci", "none");
    expect(world.unit.supported).toBe(false);
    expect(world.rig.pciLoad()).toBe(true);
  });
});
