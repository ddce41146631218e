import { describe, expect, it } from "vitest";
import { booksBalance, readBooks } from "../../../src/machine/books.ts";
import { repairAfterDeath } from "../../../src/recovery/repair.ts";
import { DRAIN_STEP_LAST, WorkerKilled } from "../../../src/recovery/words.ts";
import { FunctionBlock, VmBlock } from "../../../src/shm/blocks.ts";
import { RecoveryRig } from "../../support/recovery-rig.ts";

const SERVAC = 0x003a;
const steps = Array.from({ length: DRAIN_STEP_LAST }, (_, n) => n + 1);

/** Raises `count` errors and lets the worker die at `step` of the drain that follows. */
function die(rig: RecoveryRig, step: number, count: number): void {
  const unit = rig.unit();
  unit.step();
  for (let n = 0; n < count; n++) rig.raise(SERVAC);
  rig.set(FunctionBlock.killAtStep, step);
  expect(() => unit.step()).toThrow(WorkerKilled);
}

function restart(rig: RecoveryRig): void {
  repairAfterDeath(rig.options());
  rig.unit().step();
}

function fetchAll(rig: RecoveryRig): number[] {
  const ids: number[] = [];
  for (let record = rig.fetch(); record !== undefined; record = rig.fetch()) ids.push(record.id);
  return ids;
}

describe("a worker that dies", () => {
  it.each(steps)("at drain step %i of the first of three events loses and doubles none", (step) => {
    const rig = new RecoveryRig();
    die(rig, step, 3);
    restart(rig);
    expect(rig.vmWord(VmBlock.machineCheckPending)).toBe(1);
    expect(fetchAll(rig)).toEqual([0, 1, 2]);
    const books = readBooks(rig.vm, 0);
    expect(books).toMatchObject({ errorsRaised: 3, read: 3, injected: 3, fetchedByGuest: 3 });
    expect(booksBalance(books)).toBe(0);
    expect(books.workerRestarts).toBe(1);
  });

  it.each(steps.filter((step) => step < DRAIN_STEP_LAST))(
    "at drain step %i of an event to drop counts it once",
    (step) => {
      const rig = new RecoveryRig();
      const unit = rig.unit();
      unit.step();
      rig.raise(SERVAC, 0x8f010000); // a handle that is not current
      rig.set(FunctionBlock.killAtStep, step);
      // Step 4 marks a function's error; a stale event does not come by there.
      if (step !== 4) expect(() => unit.step()).toThrow(WorkerKilled);
      else unit.step();
      rig.set(FunctionBlock.killAtStep, 0);
      restart(rig);
      expect(readBooks(rig.vm, 0)).toMatchObject({ read: 1, notDelivered: { staleHandle: 1 } });
      expect(fetchAll(rig)).toEqual([]);
    },
  );

  it("again and again, at each step in turn, still loses and doubles none", () => {
    const rig = new RecoveryRig();
    rig.unit().step();
    for (const [n, step] of steps.entries()) {
      rig.raise(SERVAC);
      rig.set(FunctionBlock.killAtStep, step);
      try {
        rig.unit().step();
      } catch (error) {
        expect(error).toBeInstanceOf(WorkerKilled);
      }
      restart(rig);
      expect(fetchAll(rig)).toEqual([n]);
    }
    expect(readBooks(rig.vm, 0).fetchedByGuest).toBe(steps.length);
  });

  it("twice at the same place is repaired twice: the supervisor itself never dies of the hook", () => {
    const rig = new RecoveryRig();
    die(rig, 3, 1);
    rig.set(FunctionBlock.killAtStep, 6);
    repairAfterDeath(rig.options());
    expect(fetchAll(rig)).toEqual([0]);
    expect(rig.get(FunctionBlock.killAtStep)).toBe(6);
  });

  it("does not count an event twice against a quarantine", () => {
    const rig = new RecoveryRig();
    const policy = { ...rig.options().policy, quarantineErrors: 2, quarantineWithinMs: 1000 };
    const unit = rig.unit({ policy });
    unit.step();
    rig.raise(SERVAC);
    rig.set(FunctionBlock.killAtStep, 4);
    expect(() => unit.step()).toThrow(WorkerKilled);
    repairAfterDeath(rig.options({ policy }));
    rig.unit({ policy }).step();
    expect(rig.stateName).toBe("awaiting-guest");
  });

  it("before it started mediation leaves nothing to repair", () => {
    const rig = new RecoveryRig();
    repairAfterDeath(rig.options());
    rig.raise(SERVAC);
    rig.unit().step();
    expect(fetchAll(rig)).toEqual([0]);
  });

  it("during a host reset is followed by one that ends it and answers the guest", () => {
    const rig = new RecoveryRig();
    const unit = rig.unit();
    unit.step();
    rig.raise(SERVAC);
    unit.step();
    rig.fetch();
    rig.clpDisable();
    unit.step();
    expect(rig.stateName).toBe("resetting");
    repairAfterDeath(rig.options());
    const successor = rig.unit();
    successor.step();
    rig.endReset();
    rig.clock.us = 2000;
    successor.step();
    rig.endReset();
    successor.step();
    expect(rig.clpDisable()).toBe(0x0010);
  });
});
