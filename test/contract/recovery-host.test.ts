/** One contract, two hosts: the rig's own small one and the simulated Linux host. */
import { describe, expect, it } from "vitest";
import { GET_STEPS } from "../../src/backend/sim/index.ts";
import { booksBalance, readBooks } from "../../src/machine/books.ts";
import { repairAfterDeath } from "../../src/recovery/repair.ts";
import type { RecoveryUnit } from "../../src/recovery/unit.ts";
import { DRAIN_STEP_LAST, WorkerKilled } from "../../src/recovery/words.ts";
import { FunctionBlock, FunctionState } from "../../src/shm/blocks.ts";
import { RecoveryRig } from "../support/recovery-rig.ts";
import { SimHost } from "../support/sim-host.ts";
import { simWorld, type World } from "../support/sim-world.ts";

function rigWorld(clearError: boolean): World {
  const rig = new RecoveryRig();
  rig.behave({ clearError });
  return {
    rig,
    raise: (...pecs) => {
      for (const pec of pecs) rig.raise(pec);
    },
    turn: () => rig.endReset(),
  };
}

/** Worker, host and guest take turns; time passes in steps of 50 us until 50 ms of quiet. */
function settle(world: World, unit: RecoveryUnit): void {
  for (let quiet = 0, round = 0; quiet < 1000; round++) {
    if (round > 100_000) throw new Error("did not settle");
    unit.step();
    const acted = world.rig.guestAct();
    const turned = world.turn();
    quiet = acted || turned ? 0 : quiet + 1;
    world.rig.clock.us += 50;
  }
}

const hosts: readonly { readonly name: string; readonly build: (clearError: boolean) => World }[] =
  [
    { name: "rig host", build: rigWorld },
    { name: "simulated host", build: (clearError) => simWorld(clearError) },
  ];

describe.each(hosts)("recovery over the $name", ({ build }) => {
  it("brings a function back after a single 0x003a and closes the books", () => {
    const world = build(false);
    const unit = world.rig.unit();
    unit.step();
    world.raise(0x003a);
    settle(world, unit);
    const books = readBooks(world.rig.vm, 0);
    expect(world.rig.stateName).toBe("operational");
    expect(books).toMatchObject({
      errorsRaised: 1,
      fetchedByGuest: 1,
      recoveries: 1,
      hostResets: 1,
    });
    expect(booksBalance(books)).toBe(0);
    expect(world.rig.pciLoad()).toBe(true);
  });

  it("delivers four of six faults raised under one queue lock; the host drops and counts two", () => {
    const world = build(false);
    const unit = world.rig.unit();
    unit.step();
    world.raise(2, 2, 2, 2, 2, 2);
    settle(world, unit);
    const books = readBooks(world.rig.vm, 0);
    expect(world.rig.stateName).toBe("operational");
    expect(books).toMatchObject({ errorsRaised: 6, read: 4, notDelivered: { hostQueueFull: 2 } });
    expect(booksBalance(books)).toBe(0);
  });

  it("ends in failed with a permanent error that the guest is told", () => {
    const world = build(false);
    const unit = world.rig.unit();
    unit.step();
    world.raise(0x003b);
    settle(world, unit);
    expect(world.rig.stateName).toBe("failed");
    expect(world.rig.guestState).toBe(FunctionState.PERMANENT_ERROR);
    expect(booksBalance(readBooks(world.rig.vm, 0))).toBe(0);
  });

  it("clears the error in place where the host can, without a reset", () => {
    const world = build(true);
    const unit = world.rig.unit();
    unit.step();
    world.raise(0x003a);
    settle(world, unit);
    expect(world.rig.stateName).toBe("operational");
    expect(world.rig.guestState).toBe(FunctionState.ENABLED);
    expect(readBooks(world.rig.vm, 0)).toMatchObject({ recoveries: 1, hostResets: 0 });
    expect(world.rig.pciLoad()).toBe(true);
  });

  it("recovers five times in a row", () => {
    const world = build(false);
    const unit = world.rig.unit();
    unit.step();
    for (let n = 0; n < 5; n++) {
      world.raise(0x003a);
      settle(world, unit);
    }
    expect(readBooks(world.rig.vm, 0)).toMatchObject({ recoveries: 5, fetchedByGuest: 5 });
  });

  it.each(Array.from({ length: DRAIN_STEP_LAST }, (_, n) => n + 1))(
    "loses and doubles nothing when the worker dies at drain step %i",
    (step) => {
      const world = build(false);
      const unit = world.rig.unit();
      unit.step();
      world.raise(2, 2);
      world.rig.set(FunctionBlock.killAtStep, step);
      expect(() => unit.step()).toThrow(WorkerKilled);
      repairAfterDeath(world.rig.options());
      settle(world, world.rig.unit());
      const books = readBooks(world.rig.vm, 0);
      expect(world.rig.stateName).toBe("operational");
      expect(books).toMatchObject({ read: 2, recoveries: 1 });
      expect(booksBalance(books)).toBe(0);
      expect(world.rig.doubled).toBe(0);
    },
  );
});

describe("recovery over the simulated host alone", () => {
  it("retries a reset that meets the host's locks right after the error (vfio-uapi 3.8 rows 3 and 6)", () => {
    const world = simWorld(false);
    const unit = world.rig.unit();
    unit.step();
    world.raise(0x003a);
    unit.step();
    world.rig.fetch();
    world.rig.clpDisable(); // at once: the device lock is held for 400 us
    unit.step();
    world.turn();
    unit.step();
    expect(world.rig.stateName).toBe("resetting");
    settle(world, unit);
    expect(world.rig.clpDisable()).toBe(0x0010);
  });

  it("counts an event with a handle that is not current as stale, in the host", () => {
    const world = simWorld(false);
    const unit = world.rig.unit();
    unit.step();
    world.sim.platform.raise(0, { type: "ccdf", pec: 0x003a, stale: true });
    world.turn();
    settle(world, unit);
    expect(readBooks(world.rig.vm, 0)).toMatchObject({ read: 0, notDelivered: { staleHandle: 1 } });
  });

  it.each(Array.from({ length: GET_STEPS }, (_, n) => n + 1))(
    "loses and doubles nothing when the worker dies at step %i inside the host's GET",
    (deadly) => {
      let armed = false;
      const world = simWorld(false, (step) => {
        if (!armed || step !== deadly) return;
        armed = false;
        throw new WorkerKilled(step);
      });
      const unit = world.rig.unit();
      unit.step();
      world.raise(0x003a, 2);
      armed = true;
      expect(() => unit.step()).toThrow(WorkerKilled);
      repairAfterDeath(world.rig.options());
      settle(world, world.rig.unit());
      const books = readBooks(world.rig.vm, 0);
      expect(world.rig.stateName).toBe("operational");
      expect(books).toMatchObject({ errorsRaised: 2, read: 2 });
      expect(booksBalance(books)).toBe(0);
      expect(world.rig.doubled).toBe(0);
    },
  );

  it("leaves a host of before 7.3 alone: no error feature, no recovery, the function runs", () => {
    const sim = new SimHost([{ fid: 1, kernel: "7.2" }]);
    const rig = new RecoveryRig({
      vm: sim.vm,
      host: sim.function(),
      clock: { us: 0, nowUs: () => 0 },
      answers: () => true,
    });
    const unit = rig.unit();
    expect(unit.step()).toBe(Number.POSITIVE_INFINITY);
    expect(unit.supported).toBe(false);
  });
});
