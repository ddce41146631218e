import { describe, expect, it } from "vitest";
import { Hardware, HostBlock } from "../../../../src/backend/sim/host-area.ts";
import { EIO, ENODEV, HOST_PENDING } from "../../../../src/ports/host-function.ts";
import { RecoveryCommand } from "../../../../src/shm/blocks.ts";
import { SimHost } from "../../../support/sim-host.ts";

const at = (atUs: number, action: object) => ({ when: { atUs }, action: action as never });

describe("a function that the host wants back (vfio-uapi.md 3.11)", () => {
  it("0x0303: REQ is signalled, again every ten seconds, until the device is closed; then it is gone", () => {
    const sim = new SimHost([{ fid: 1, faults: [at(100, { type: "unplug", how: "request" })] }]);
    const host = sim.open();
    sim.runTo(100);
    expect(host.takeRequests()).toBe(1);
    expect(host.takeRequests()).toBe(0);
    expect(sim.hardware()).toBe(Hardware.NORMAL); // it still works
    sim.runTo(10_000_100);
    sim.runTo(20_000_100);
    expect(host.takeRequests()).toBe(2); // the eventfd counts
    host.close();
    sim.run();
    expect(sim.hardware()).toBe(Hardware.ABSENT);
    expect(host.handle()).toBe(0);
    expect(host.open()).toBe(-ENODEV);
    expect(sim.platform.nextEventUs()).toBe(Number.POSITIVE_INFINITY);
  });

  it("VFIO_DEVICE_RESET is refused with EIO from the request until the close", () => {
    const sim = new SimHost([{ fid: 1, faults: [at(100, { type: "unplug", how: "request" })] }]);
    const host = sim.open();
    sim.runTo(100);
    expect(host.startReset()).toBe(0);
    expect(host.pollReset()).toBe(HOST_PENDING);
    sim.run();
    expect(host.pollReset()).toBe(-EIO);
  });

  it("0x0304: loads find ones and the handle is 0 before anybody was asked", () => {
    const sim = new SimHost([{ fid: 1, faults: [at(100, { type: "unplug", how: "surprise" })] }]);
    const host = sim.open();
    const regions = sim.regions();
    sim.runTo(100);
    expect([host.takeRequests(), host.handle()]).toEqual([1, 0]);
    expect([regions.load(0, 0, 4), regions.valueLow]).toEqual([0, -1]);
    expect(regions.store(0, 0x2c, 4, 0, 1)).toBe(0);
  });

  it("a disarmed REQ is not signalled: the unbind just waits for the close", () => {
    const sim = new SimHost([{ fid: 1, faults: [at(100, { type: "unplug", how: "request" })] }]);
    const host = sim.open();
    sim.area().set(HostBlock.reqArmed, 0);
    sim.runTo(100);
    expect(host.takeRequests()).toBe(0);
    host.close();
    sim.run();
    expect(sim.hardware()).toBe(Hardware.ABSENT);
  });

  it("comes back under a new handle, as after power-on, when it is closed and not before", () => {
    const sim = new SimHost([
      {
        fid: 1,
        faults: [
          at(100, { type: "unplug", how: "request" }),
          at(200, { type: "plug", as: "standby" }),
        ],
      },
    ]);
    const host = sim.open();
    const before = host.handle();
    sim.regions().store(0, 0x2c, 4, 0, 0x12345678); // the test function's scratchpad
    sim.runTo(200);
    expect(sim.book("recoveryCommand")).toBe(RecoveryCommand.none);
    host.close();
    sim.run();
    expect(sim.book("recoveryCommand")).toBe(RecoveryCommand.hostBackStandby);
    expect(host.handle()).toBe(before + 0x01000000);
    const regions = sim.regions();
    expect([regions.load(0, 0x2c, 4), regions.valueLow]).toEqual([0, 0]);
    expect(host.open()).toBe(0);
    expect(sim.book("hostMoves")).toBe(2);
  });

  it("a function that is not there at first appears when it is plugged; errors for it before that are stale", () => {
    const sim = new SimHost([
      {
        fid: 1,
        present: false,
        faults: [
          at(50, { type: "ccdf", pec: 0x3a }),
          at(100, { type: "plug", as: "configured" }),
          at(150, { type: "plug", as: "configured" }), // it is there already: nothing happens
        ],
      },
    ]);
    const host = sim.function();
    expect(host.open()).toBe(-ENODEV);
    sim.runTo(50);
    expect([sim.book("errorsRaised"), sim.book("hostStale")]).toEqual([1, 1]);
    sim.runTo(150);
    expect(sim.book("recoveryCommand")).toBe(RecoveryCommand.hostBack);
    expect(host.open()).toBe(0);
    expect(sim.book("hostMoves")).toBe(2);
  });
});

describe("a function that returns", () => {
  it("does not take the place of an order that the worker has not read yet", () => {
    const sim = new SimHost([
      { fid: 1, present: false, faults: [at(100, { type: "plug", as: "configured" })] },
    ]);
    sim.setWord("recoveryCommand", RecoveryCommand.resume);
    sim.runTo(100);
    expect(sim.book("recoveryCommand")).toBe(RecoveryCommand.resume);
    expect([sim.hardware(), sim.book("hostMoves")]).toEqual([Hardware.ABSENT, 0]);
    sim.runTo(1100);
    expect(sim.hardware()).toBe(Hardware.ABSENT);
    sim.setWord("recoveryCommand", RecoveryCommand.none); // taken
    sim.settle();
    expect(sim.book("recoveryCommand")).toBe(RecoveryCommand.hostBack);
    expect([sim.hardware(), sim.book("hostMoves")]).toEqual([Hardware.NORMAL, 1]);
    expect(sim.platform.nextEventUs()).toBe(Number.POSITIVE_INFINITY);
  });
});

describe("slots of the platform", () => {
  it("plays nothing for a slot without a function, and takes another function into it", () => {
    const sim = new SimHost([
      { fid: 1 },
      { fid: 2, faults: [at(10, { type: "ccdf", pec: 0x3a })] },
    ]);
    sim.open(1);
    sim.platform.unplug(1);
    sim.runTo(20);
    expect(sim.book("errorsRaised", 1)).toBe(0);
    sim.platform.plug(1, { ...sim.config(1), fid: 3 });
    sim.runTo(30);
    expect(sim.book("errorsRaised", 1)).toBe(1);
    expect(sim.platform.armedFaults(9)).toEqual({ pci: [], nvme: [] });
  });
});
