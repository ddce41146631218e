import { describe, expect, it } from "vitest";
import { TestRegister } from "../../../../src/abi/test-function.ts";
import { pendingErrors } from "../../../../src/backend/sim/error-queue.ts";
import { ErrorState, Hardware, HostBlock } from "../../../../src/backend/sim/host-area.ts";
import { SimVfioDevice } from "../../../../src/backend/sim/index.ts";
import { instant, SimHost } from "../../../support/sim-host.ts";

const EIO = 5;
const EAGAIN = 11;
const EBUSY = 16;
const EINVAL = 22;
const ENOTTY = 25;
const PENDING = 1;
const WORK_HOST = 8;

const timing = { deviceLockUs: 400, stateLockUs: 100, resetUs: 2000 };

function broken(config: Partial<SimHost["configs"][number]> = {}, pec = 0x3a): SimHost {
  const sim = new SimHost([{ fid: 2, timing, ...config }]);
  sim.open();
  sim.platform.raise(0, { type: "ccdf", pec });
  sim.run();
  return sim;
}

/** Asks for a reset and lets the platform look once. */
function ask(sim: SimHost): number {
  const host = sim.function();
  expect(host.startReset()).toBe(0);
  sim.run();
  return host.pollReset();
}

describe("VFIO_DEVICE_RESET (3.8)", () => {
  it("is EAGAIN while the device lock is held, EIO while the state lock is, then works (rows 3, 6, 12)", () => {
    const sim = broken();
    expect(ask(sim)).toBe(-EAGAIN);
    sim.clock.advanceTo(399);
    expect(ask(sim)).toBe(-EAGAIN);
    sim.clock.advanceTo(400);
    expect(ask(sim)).toBe(-EIO);
    sim.clock.advanceTo(500);
    expect(ask(sim)).toBe(PENDING);
    sim.runTo(2499);
    expect(sim.function().pollReset()).toBe(PENDING);
    sim.runTo(2500);
    expect(sim.function().pollReset()).toBe(0);
  });

  it("of a function in error gives a new handle, keeps the queue and the error state", () => {
    const sim = broken({ timing: instant });
    expect(sim.function().handle()).toBe(0x80020001);
    expect(ask(sim)).toBe(0);
    expect(sim.function().handle()).toBe(0x81020001);
    expect(pendingErrors(sim.area())).toBe(1);
    expect(sim.hardware()).toBe(Hardware.NORMAL);
    expect(sim.area().get(HostBlock.errorState)).toBe(ErrorState.frozen);
  });

  it("keeps the handle where the platform does not change it", () => {
    const sim = broken({ timing: instant, changeHandle: false });
    expect(ask(sim)).toBe(0);
    expect(sim.function().handle()).toBe(0x80020001);
  });

  it("of a healthy function with FLR keeps the handle, without FLR it does not", () => {
    const flr = new SimHost([{ fid: 2, timing: instant }]);
    expect(ask(flr)).toBe(0);
    expect(flr.function().handle()).toBe(0x80020001);
    const slot = new SimHost([{ fid: 2, timing: instant, flr: false }]);
    expect(ask(slot)).toBe(0);
    expect(slot.function().handle()).toBe(0x81020001);
  });

  it("clears the enable bit of the handle while it runs", () => {
    const sim = broken({ timing: { ...instant, resetUs: 10 } });
    expect(ask(sim)).toBe(PENDING);
    expect(sim.function().handle()).toBe(0x00020001);
    expect(sim.hardware()).toBe(Hardware.RESETTING);
  });

  it("is EINVAL where GET_INFO does not offer it (row 1)", () => {
    const sim = new SimHost([{ fid: 2, timing: instant, resettable: false }]);
    expect(sim.function().startReset()).toBe(-EINVAL);
  });

  it("fails for good after a permanent error", () => {
    const sim = broken({ timing: instant }, 0x3b);
    expect(ask(sim)).toBe(-EIO);
    expect(ask(sim)).toBe(-EIO);
    expect(sim.hardware()).toBe(Hardware.PERMANENT);
  });

  it("answers the forced errno values first, one each", () => {
    const sim = broken({ timing: instant, resetFailures: [EAGAIN, EIO] });
    expect([ask(sim), ask(sim), ask(sim)]).toEqual([-EAGAIN, -EIO, 0]);
  });

  it("loses the function's inner state, keeps COMMAND and the MSI-X table (row 12)", () => {
    const sim = new SimHost([{ fid: 2, timing: instant }]);
    const regions = sim.regions();
    regions.store(0, TestRegister.scratchpad, 4, 0, 0x12345678);
    regions.store(0, 0x8000, 8, 0x11223344, 0x55667788);
    regions.store(0, 0x1008, 4, 0, 0x05000000);
    regions.store(15, 0x04, 2, 0, 0x0600);
    expect(ask(sim)).toBe(0);
    regions.load(0, TestRegister.scratchpad, 4);
    expect(regions.valueLow).toBe(0);
    regions.load(0, 0x8000, 8);
    expect([regions.valueHigh, regions.valueLow]).toEqual([0, 0]);
    regions.load(0, 0x1008, 4);
    expect(regions.valueLow).toBe(0x05000000);
    regions.load(15, 0x04, 2);
    expect(regions.valueLow).toBe(0x0600);
  });

  it("rings the worker with the answer", () => {
    const sim = new SimHost([{ fid: 2, timing: instant }]);
    ask(sim);
    expect(sim.book("workerSummary") & WORK_HOST).toBe(WORK_HOST);
  });

  it("that a dead worker asked for is joined by its successor", () => {
    const sim = new SimHost([{ fid: 2, timing: { ...instant, resetUs: 50 }, flr: false }]);
    sim.function().startReset();
    expect(sim.function().startReset()).toBe(0);
    expect(sim.function().pollReset()).toBe(PENDING);
    sim.settle();
    expect(sim.function().pollReset()).toBe(0);
    expect(sim.function().handle()).toBe(0x81020001);
  });

  it("holds scripted errors back until it has ended: a disabled function raises none", () => {
    const sim = new SimHost([{ fid: 2, timing: { ...instant, resetUs: 100 } }]);
    sim.open();
    sim.function().startReset();
    sim.run();
    sim.platform.raise(0, { type: "ccdf", pec: 0x3a });
    sim.runTo(99);
    expect(sim.book("errorsRaised")).toBe(0);
    expect(sim.platform.nextEventUs()).toBe(100);
    sim.runTo(100);
    expect([sim.book("errorsRaised"), pendingErrors(sim.area())]).toEqual([1, 1]);
  });

  it("as a blocking ioctl gives up on a platform that never answers", () => {
    const sim = new SimHost([{ fid: 2, timing: instant }]);
    expect(new SimVfioDevice(sim.vm, 0, sim.config()).ioctl(0x3b6f)).toBe(-EIO);
  });
});

describe("clearing the error in place (3.9)", () => {
  const clear = (sim: SimHost, operation: 7 | 9): number => {
    const host = sim.function();
    const started = host.startClear(operation);
    if (started !== 0) return started;
    sim.run();
    return host.pollClear();
  };

  it("is not there unless the backend has it", () => {
    expect(clear(broken(), 9)).toBe(-ENOTTY);
  });

  it("goes ERROR, 9, BLOCKED, 7, NORMAL", () => {
    const sim = broken({ clearError: true });
    expect(clear(sim, 9)).toBe(0);
    expect(sim.hardware()).toBe(Hardware.BLOCKED);
    expect(clear(sim, 7)).toBe(0);
    expect(sim.hardware()).toBe(Hardware.NORMAL);
  });

  it("goes from ERROR to NORMAL with 7 alone", () => {
    const sim = broken({ clearError: true });
    expect(clear(sim, 7)).toBe(0);
    expect(sim.hardware()).toBe(Hardware.NORMAL);
  });

  it("is refused in every other state", () => {
    const healthy = new SimHost([{ fid: 2, clearError: true }]);
    expect([clear(healthy, 9), clear(healthy, 7)]).toEqual([-EIO, -EIO]);
    const dead = broken({ clearError: true }, 0x3b);
    expect([clear(dead, 9), clear(dead, 7)]).toEqual([-EIO, -EIO]);
    const blocked = broken({ clearError: true });
    expect([clear(blocked, 9), clear(blocked, 9)]).toEqual([0, -EIO]);
  });

  it("puts a blocked function into error again when a new event comes", () => {
    const sim = broken({ clearError: true, timing: instant });
    clear(sim, 9);
    sim.platform.raise(0, { type: "ccdf", pec: 0x3a });
    sim.run();
    expect(sim.hardware()).toBe(Hardware.ERROR);
  });

  it("takes one operation at a time", () => {
    const sim = broken({ clearError: true });
    const host = sim.function();
    expect(host.startClear(9)).toBe(0);
    expect(host.startClear(9)).toBe(0);
    expect(host.startClear(7)).toBe(-EBUSY);
    sim.run();
    expect(host.pollClear()).toBe(0);
  });
});
