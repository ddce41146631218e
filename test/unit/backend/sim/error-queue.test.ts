import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { HostDisposition } from "../../../../src/abi/records.ts";
import { pendingErrors } from "../../../../src/backend/sim/error-queue.ts";
import { HostBlock } from "../../../../src/backend/sim/host-area.ts";
import { GET_STEPS } from "../../../../src/backend/sim/index.ts";
import { instant, SimHost } from "../../../support/sim-host.ts";

const EINVAL = 22;
const EFAULT = 14;
const ENOMSG = 42;

/** An open function with no lock windows; events are told apart by their failing address. */
function openHost(): SimHost {
  const sim = new SimHost([{ fid: 2, timing: instant, changeHandle: false }]);
  sim.open();
  return sim;
}

function raise(sim: SimHost, ...addresses: number[]): void {
  const ccdfs = addresses.map((faddr) => ({ pec: 0x3a, faddr }));
  sim.platform.raise(0, { type: "burst", ccdfs });
  sim.run();
}

/** Low word of the failing address of the CCDF at `slot`; 0 when nothing was written there. */
function faddrAt(sim: SimHost, slot: number): number {
  return sim.vm.view.getUint32(slot + 20);
}

function drain(sim: SimHost): number[] {
  const host = sim.function();
  const slot = sim.slot(9);
  const found: number[] = [];
  while (host.getError(slot) === 0) found.push(faddrAt(sim, slot));
  return found;
}

describe("the host's error queue", () => {
  it("keeps the first four of five events and hands them out oldest first (3.6)", () => {
    const sim = openHost();
    raise(sim, 1, 2, 3, 4, 5);
    expect(drain(sim)).toEqual([1, 2, 3, 4]);
    expect(sim.book("hostDropped")).toBe(1);
    expect(sim.dispositions()).toEqual([0, 0, 0, 0, HostDisposition.queueFull]);
  });

  it("copies all 32 bytes unfiltered, reserved fields included (2.1)", () => {
    const sim = openHost();
    const bytes = "11111111 00000000 00000000 fabcdefe 0123456789abcdef 22222222 3333 003a";
    sim.platform.raise(0, { type: "ccdf", ccdf: bytes });
    sim.run();
    expect(sim.function().getError(sim.slot())).toBe(0);
    const expected = "11111111 80020001 00000002 fabcdefe 0123456789abcdef 22222222 3333 003a";
    expect(sim.bytesAt(sim.slot())).toBe(expected.replaceAll(" ", ""));
  });

  it("refuses address 0 without taking an event (2.1 row 8)", () => {
    const sim = openHost();
    raise(sim, 1);
    expect(sim.function().getError(0)).toBe(-EINVAL);
    expect(drain(sim)).toEqual([1]);
  });

  it("hides a bad address while empty, loses the event otherwise (2.1 rows 9 and 10)", () => {
    const sim = openHost();
    const bad = sim.vm.buffer.byteLength - 31;
    expect(sim.function().getError(bad)).toBe(-ENOMSG);
    raise(sim, 1, 2);
    expect(sim.function().getError(bad)).toBe(-EFAULT);
    expect(drain(sim)).toEqual([2]);
    expect(sim.area().get(HostBlock.getsLost)).toBe(1);
  });

  it("survives the wrap of its 32-bit counters", () => {
    const sim = openHost();
    sim.area().set(HostBlock.queueHead, -2);
    sim.area().set(HostBlock.queueTail, -2);
    raise(sim, 1, 2, 3, 4, 5);
    expect(drain(sim)).toEqual([1, 2, 3, 4]);
    raise(sim, 6);
    expect(drain(sim)).toEqual([6]);
  });

  it("is emptied by close, which says how many were thrown away, and the next open starts empty (3.7)", () => {
    const sim = openHost();
    raise(sim, 1, 2);
    expect(sim.function().close()).toBe(2);
    sim.settle();
    expect(sim.function().open()).toBe(0);
    expect(drain(sim)).toEqual([]);
  });
});

describe("a GET whose worker dies", () => {
  for (let step = 1; step <= GET_STEPS; step++) {
    it(`at step ${step} has either happened or not begun once it is completed`, () => {
      const sim = openHost();
      raise(sim, 1, 2);
      const dying = sim.function(0, (at) => {
        if (at === step) throw new Error("died");
      });
      expect(() => dying.getError(sim.slot())).toThrow("died");
      sim.function().completeInterruptedCall(sim.slot());
      const taken = faddrAt(sim, sim.slot());
      const begun = step >= 3;
      expect(taken).toBe(begun ? 1 : 0);
      expect(pendingErrors(sim.area())).toBe(begun ? 1 : 2);
      expect(drain(sim)).toEqual(begun ? [2] : [1, 2]);
    });
  }

  it("is completed once however often the supervisor asks", () => {
    const sim = openHost();
    raise(sim, 1, 2);
    const dying = sim.function(0, (at) => {
      if (at === 4) throw new Error("died");
    });
    expect(() => dying.getError(sim.slot())).toThrow("died");
    sim.function().completeInterruptedCall(sim.slot());
    sim.vm.bytes.fill(0, sim.slot(), sim.slot() + 32);
    sim.function().completeInterruptedCall(sim.slot());
    expect(faddrAt(sim, sim.slot())).toBe(0);
    expect(drain(sim)).toEqual([2]);
  });

  it("loses and doubles nothing while events arrive in the middle of it", () => {
    const arrival = fc.record({
      step: fc.integer({ min: 1, max: GET_STEPS }),
      count: fc.integer({ min: 1, max: 6 }),
    });
    const call = fc.record({
      diesAt: fc.option(fc.integer({ min: 1, max: GET_STEPS }), { nil: 0 }),
      arrivals: fc.array(arrival, { maxLength: 3 }),
    });
    fc.assert(
      fc.property(fc.array(call, { minLength: 1, maxLength: 12 }), (calls) => {
        const sim = openHost();
        let next = 1;
        const found: number[] = [];
        const arrive = (count: number): void => {
          raise(sim, ...Array.from({ length: count }, () => next++));
        };
        arrive(2);
        for (const { diesAt, arrivals } of calls) {
          const slot = sim.slot();
          sim.vm.bytes.fill(0, slot, slot + 32);
          const host = sim.function(0, (at) => {
            for (const { step, count } of arrivals) if (step === at) arrive(count);
            if (at === diesAt) throw new Error("died");
          });
          try {
            host.getError(slot);
          } catch {
            sim.function().completeInterruptedCall(slot);
          }
          if (faddrAt(sim, slot) !== 0) found.push(faddrAt(sim, slot));
        }
        found.push(...drain(sim));
        const sorted = [...found].sort((a, b) => a - b);
        expect(found).toEqual(sorted);
        expect(new Set(found).size).toBe(found.length);
        expect(found.length + sim.book("hostDropped")).toBe(next - 1);
      }),
      { numRuns: 200 },
    );
  });
});
