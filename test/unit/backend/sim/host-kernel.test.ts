import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { HostDisposition, TraceKind } from "../../../../src/abi/records.ts";
import { pendingErrors } from "../../../../src/backend/sim/error-queue.ts";
import { ErrorState, Hardware, HostBlock } from "../../../../src/backend/sim/host-area.ts";
import type { CcdfSpec } from "../../../../src/backend/sim/index.ts";
import { instant, SimHost } from "../../../support/sim-host.ts";

const WORK_ERR = 1;
const EAGAIN = 11;

function openHost(config: Partial<SimHost["configs"][number]> = {}): SimHost {
  const sim = new SimHost([{ fid: 2, timing: instant, ...config }]);
  sim.open();
  return sim;
}

function raise(sim: SimHost, ...ccdfs: CcdfSpec[]): void {
  sim.platform.raise(0, { type: "burst", ccdfs });
  sim.run();
}

const errorState = (sim: SimHost): number => sim.area().get(HostBlock.errorState);
const pending = (sim: SimHost): number => pendingErrors(sim.area());

describe("arrival of an error (3.2)", () => {
  it("of an unknown FID has no effect at all", () => {
    const sim = openHost();
    const ccdf = `00000000 80020001 000000ff${"0".repeat(36)}003a`;
    sim.platform.raise(0, { type: "ccdf", ccdf, literal: true });
    sim.run();
    expect(sim.platform.unknownFid).toBe(1);
    expect([sim.book("errorsRaised"), sim.book("errSignals"), pending(sim)]).toEqual([0, 0, 0]);
    expect(sim.hardware()).toBe(Hardware.NORMAL);
  });

  it("with another handle than the current one is dropped silently", () => {
    const sim = openHost();
    raise(sim, { pec: 0x3a, stale: true });
    expect([sim.book("errorsRaised"), sim.book("hostStale")]).toEqual([1, 1]);
    expect([sim.book("errSignals"), pending(sim)]).toEqual([0, 0]);
    expect([sim.hardware(), errorState(sim)]).toEqual([Hardware.NORMAL, ErrorState.normal]);
    expect(sim.dispositions()).toEqual([HostDisposition.stale]);
  });

  it("finds its function by FID", () => {
    const sim = new SimHost([
      { fid: 2, timing: instant },
      { fid: 7, timing: instant },
    ]);
    sim.open(0);
    sim.open(1);
    const handle = sim.function(1).handle().toString(16);
    const ccdf = `00000000 ${handle} 00000007${"0".repeat(36)}003a`;
    sim.platform.channelReport([new Uint8Array(Buffer.from(ccdf.replaceAll(" ", ""), "hex"))]);
    sim.run();
    expect([sim.book("errorsRaised", 0), sim.book("errorsRaised", 1)]).toEqual([0, 1]);
  });

  it("waits for the locks of the event before it", () => {
    const sim = openHost({ timing: { deviceLockUs: 300, stateLockUs: 100, resetUs: 0 } });
    raise(sim, { pec: 0x3a });
    raise(sim, { pec: 0x3a });
    expect(pending(sim)).toBe(1);
    expect(sim.platform.nextEventUs()).toBe(400);
    sim.runTo(399);
    expect(pending(sim)).toBe(1);
    sim.runTo(400);
    expect(pending(sim)).toBe(2);
  });

  it("that was raised before a reset with a new handle is stale after it", () => {
    const sim = openHost({ timing: { deviceLockUs: 0, stateLockUs: 0, resetUs: 500 } });
    const host = sim.function();
    raise(sim, { pec: 0x3a });
    host.startReset();
    sim.run();
    const old = new Uint8Array(32);
    new DataView(old.buffer).setUint32(4, 0x80020001);
    new DataView(old.buffer).setUint32(8, 2);
    new DataView(old.buffer).setUint16(30, 0x3a);
    sim.platform.channelReport([old]);
    sim.run();
    expect(sim.book("hostStale")).toBe(0);
    expect(sim.platform.nextEventUs()).toBe(500);
    sim.runTo(500);
    expect(host.handle()).toBe(0x81020001);
    expect([sim.book("hostStale"), pending(sim)]).toEqual([1, 1]);
  });
});

describe("routing by PEC (3.3)", () => {
  it.each([0x2a, 0x2b, 0x2c])("PEC %i is logged only", (pec) => {
    const sim = openHost();
    raise(sim, { pec });
    expect([sim.book("errorsRaised"), sim.book("hostFmbCode")]).toEqual([1, 1]);
    expect([sim.book("errSignals"), pending(sim)]).toEqual([0, 0]);
    expect(sim.hardware()).toBe(Hardware.NORMAL);
    expect(sim.dispositions()).toEqual([HostDisposition.fmbCode]);
  });

  it.each([0x3b, 0x40])("PEC %i is a permanent failure: stored, signalled", (pec) => {
    const sim = openHost();
    raise(sim, { pec });
    expect([sim.book("errSignals"), pending(sim)]).toEqual([1, 1]);
    expect([sim.hardware(), errorState(sim)]).toEqual([Hardware.PERMANENT, ErrorState.permFailure]);
  });

  it.each([0x0001, 0x0002, 0x003a])(
    "0x%s is a recovery attempt: stored, signalled, frozen",
    (pec) => {
      const sim = openHost();
      raise(sim, { pec });
      expect([sim.book("errSignals"), pending(sim)]).toEqual([1, 1]);
      expect([sim.hardware(), errorState(sim)]).toEqual([Hardware.ERROR, ErrorState.frozen]);
    },
  );
});

describe("recovery attempt and permanent failure (3.4, 3.5)", () => {
  it("stores 0x40 twice and stays in permanent failure", () => {
    const sim = openHost();
    raise(sim, { pec: 0x40 });
    raise(sim, { pec: 0x40 });
    expect([sim.book("errSignals"), pending(sim)]).toEqual([2, 2]);
    expect(errorState(sim)).toBe(ErrorState.permFailure);
  });

  it("after a permanent failure stores a default code once and signals once", () => {
    const sim = openHost();
    raise(sim, { pec: 0x3b });
    raise(sim, { pec: 0x02 });
    expect([sim.book("errSignals"), pending(sim)]).toEqual([2, 2]);
    expect([sim.hardware(), errorState(sim)]).toEqual([Hardware.PERMANENT, ErrorState.permFailure]);
  });

  it("leaves `frozen` standing after the recovery, and takes a later error all the same", () => {
    const sim = openHost();
    raise(sim, { pec: 0x3a });
    sim.function().startReset();
    sim.run();
    expect([sim.hardware(), errorState(sim)]).toEqual([Hardware.NORMAL, ErrorState.frozen]);
    raise(sim, { pec: 0x3a });
    expect(pending(sim)).toBe(2);
  });

  it("recovers the function itself when nobody mediates, and counts that apart", () => {
    const sim = new SimHost([
      { fid: 2, timing: { deviceLockUs: 250, stateLockUs: 0, resetUs: 0 } },
    ]);
    raise(sim, { pec: 0x3a });
    expect(sim.hardware()).toBe(Hardware.ERROR);
    expect(sim.function().open()).toBe(-EAGAIN);
    expect([sim.book("hostHandled"), sim.book("errorsRaised")]).toEqual([1, 0]);
    expect([sim.book("errSignals"), pending(sim)]).toEqual([0, 0]);
    sim.runTo(250);
    expect([sim.hardware(), errorState(sim)]).toEqual([Hardware.NORMAL, ErrorState.normal]);
    expect(sim.function().open()).toBe(0);
    expect(sim.dispositions()).toEqual([HostDisposition.notMediated]);
  });

  it("brings a function back that is closed while in error", () => {
    const sim = openHost();
    raise(sim, { pec: 0x3a });
    expect(sim.function().close()).toBe(1);
    sim.settle();
    expect(sim.hardware()).toBe(Hardware.NORMAL);
    expect(sim.function().open()).toBe(0);
  });

  it("on a 7.2 kernel signals and recovers by itself (3.13)", () => {
    const sim = new SimHost([{ fid: 2, kernel: "7.2", timing: instant }]);
    expect(sim.function().open()).toBe(-25);
    sim.area().set(HostBlock.errArmed, 1);
    raise(sim, { pec: 0x3a });
    sim.settle();
    expect([sim.book("errSignals"), pending(sim), sim.hardware()]).toEqual([1, 0, Hardware.NORMAL]);
  });
});

describe("the ERR doorbell (2.5)", () => {
  it("counts one signal per error, also for the one that met a full queue", () => {
    const sim = openHost();
    raise(sim, ...[1, 2, 3, 4, 5].map((faddr) => ({ pec: 2, faddr })));
    expect([pending(sim), sim.book("hostDropped")]).toEqual([4, 1]);
    expect(sim.function().takeSignals()).toBe(5);
    expect(sim.function().takeSignals()).toBe(0);
  });

  it("rings the recovery worker", () => {
    const sim = openHost();
    sim.setWord("workerSleeping", 1);
    raise(sim, { pec: 0x3a });
    expect(sim.book("workerSummary") & WORK_ERR).toBe(WORK_ERR);
    expect(sim.book("workerSleeping")).toBe(0);
  });

  it("stores without a signal when it is not armed", () => {
    const sim = openHost();
    sim.area().set(HostBlock.errArmed, 0);
    raise(sim, { pec: 0x3a });
    expect([pending(sim), sim.book("errSignals")]).toEqual([1, 0]);
  });

  it("correlates the n-th stored event with the number n", () => {
    const sim = openHost();
    raise(sim, { pec: 2 }, { pec: 2, stale: true }, { pec: 0x2a }, { pec: 2 });
    const raised = sim.traces().filter((record) => record.kind === TraceKind.errorRaised);
    expect(raised.map((record) => record.correlation)).toEqual([1, 0, 0, 2]);
  });
});

describe("the books", () => {
  const event = fc.record({
    pec: fc.constantFrom(0x01, 0x02, 0x2a, 0x2c, 0x3a, 0x40),
    stale: fc.boolean(),
  });
  const action = fc.oneof(
    fc.record({
      kind: fc.constant("raise" as const),
      ccdfs: fc.array(event, { minLength: 1, maxLength: 6 }),
    }),
    fc.constant({ kind: "get" as const }),
    fc.constant({ kind: "reset" as const }),
    fc.constant({ kind: "close" as const }),
    fc.constant({ kind: "open" as const }),
    fc.record({ kind: fc.constant("wait" as const), us: fc.integer({ min: 0, max: 600 }) }),
  );

  it("close for every interleaving of raise, GET, reset, open and close", () => {
    fc.assert(
      fc.property(fc.array(action, { maxLength: 40 }), fc.boolean(), (actions, changeHandle) => {
        const timing = { deviceLockUs: 100, stateLockUs: 50, resetUs: 200 };
        const sim = new SimHost([{ fid: 2, changeHandle, timing }]);
        const host = sim.open();
        let raised = 0;
        let read = 0;
        let discarded = 0;
        for (const step of actions) {
          if (step.kind === "raise") {
            sim.platform.raise(0, { type: "burst", ccdfs: step.ccdfs });
            raised += step.ccdfs.length;
          } else if (step.kind === "get") read += host.getError(sim.slot()) === 0 ? 1 : 0;
          else if (step.kind === "reset") host.startReset();
          else if (step.kind === "close") discarded += host.close();
          else if (step.kind === "open") host.open();
          else sim.clock.advanceTo(sim.clock.nowUs() + step.us);
          sim.run();
        }
        sim.settle();
        const away = sim.book("hostDropped") + sim.book("hostStale") + sim.book("hostFmbCode");
        expect(sim.book("errorsRaised")).toBe(read + discarded + away + pending(sim));
        expect(sim.book("errorsRaised") + sim.book("hostHandled")).toBe(raised);
        expect(pending(sim)).toBeLessThanOrEqual(4);
      }),
      { numRuns: 200 },
    );
  });
});
