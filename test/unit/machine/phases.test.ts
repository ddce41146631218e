import { describe, expect, it } from "vitest";
import type { LedgerEntry } from "../../../src/machine/ledger-entry.ts";
import { PhaseTracker, type Recovery } from "../../../src/machine/phases.ts";

function entry(
  timeUs: number,
  kind: string,
  correlation: number,
  detail: LedgerEntry["detail"] = {},
): LedgerEntry {
  return { seq: 0, timeUs, actor: "recovery", kind, fid: 7, correlation, detail };
}

function track(entries: readonly LedgerEntry[]): {
  readonly samples: readonly unknown[];
  readonly recoveries: readonly Recovery[];
} {
  const samples: unknown[] = [];
  const recoveries: Recovery[] = [];
  const tracker = new PhaseTracker({
    sample: (fid, phase, us) => void samples.push([fid, phase, us]),
    recovery: (recovery) => void recoveries.push(recovery),
  });
  for (const one of entries) tracker.add(one);
  return { samples, recoveries };
}

const stored = { pec: "0x003a", disposition: "stored" };

describe("phase tracker", () => {
  it("times every event's way to the guest, and one recovery for all of them", () => {
    const { samples, recoveries } = track([
      entry(100, "error-raised", 0, stored),
      entry(105, "error-raised", 0, stored),
      entry(110, "ccdf-read", 1, { pec: "0x003a" }),
      entry(120, "injected", 1),
      entry(125, "ccdf-read", 2, { pec: "0x003a" }),
      entry(135, "injected", 2),
      entry(200, "fetched", 1),
      entry(220, "fetched", 2),
      entry(1200, "recovered", 0),
    ]);
    expect(samples).toEqual([
      [7, "detected_to_injected", 20],
      [7, "detected_to_injected", 30],
      [7, "injected_to_fetched", 80],
      [7, "injected_to_fetched", 85],
      [7, "fetched_to_recovered", 1000],
    ]);
    expect(recoveries).toEqual([
      {
        fid: 7,
        pec: "0x003a",
        endedUs: 1200,
        totalUs: 1100,
        phases: {
          detected_to_injected: 20,
          injected_to_fetched: 80,
          fetched_to_recovered: 1000,
        },
      },
    ]);
  });

  it("begins anew after a function was given up: time in quarantine is no recovery", () => {
    const { recoveries } = track([
      entry(100, "error-raised", 0, stored),
      entry(110, "ccdf-read", 1, { pec: "0x003a" }),
      entry(120, "state", 0, { from: "draining", to: "quarantined", event: "queue-empty" }),
      entry(9_000_000, "error-raised", 0, { pec: "0x003b", disposition: "stored" }),
      entry(9_000_010, "ccdf-read", 2, { pec: "0x003b" }),
      entry(9_000_020, "injected", 2),
      entry(9_000_500, "recovered", 0),
    ]);
    expect(recoveries).toMatchObject([{ pec: "0x003b", totalUs: 500 }]);
  });

  it("takes a read that stands before its error for what it is, and is right about the next one", () => {
    const second = 1_000_000;
    const { samples } = track([
      entry(100, "ccdf-read", 1),
      entry(101, "error-raised", 1, stored),
      entry(130, "injected", 1),
      entry(second, "error-raised", 2, stored),
      entry(second + 40, "ccdf-read", 2),
      entry(second + 50, "injected", 2),
    ]);
    expect(samples).toEqual([
      [7, "detected_to_injected", 30],
      [7, "detected_to_injected", 50],
    ]);
  });

  it("mistakes no later error for one whose entry was lost, or that nobody read", () => {
    const second = 1_000_000;
    const { samples } = track([
      // The entry of the error itself was lost.
      entry(100, "ccdf-read", 1),
      entry(130, "injected", 1),
      entry(200, "recovered", 0),
      // The host gave this one up.
      entry(second, "error-raised", 2, stored),
      entry(second + 100, "error-raised", 3, stored),
      entry(second + 140, "ccdf-read", 2),
      entry(second + 150, "injected", 2),
      entry(second + 60_000, "recovered", 0),
      entry(2 * second, "error-raised", 4, stored),
      entry(2 * second + 10, "ccdf-read", 3),
      entry(2 * second + 20, "injected", 3),
    ]);
    expect(samples.map((sample) => (sample as unknown[])[2])).toEqual([30, 150, 20]);
  });

  it("counts no repeat as a further event", () => {
    const { samples } = track([entry(10, "injected", 0), entry(20, "fetched", 0)]);
    expect(samples).toEqual([]);
  });

  it("forgets the oldest of what a guest never fetches", () => {
    const fetched: number[] = [];
    const tracker = new PhaseTracker({
      sample: (_, phase, us) => {
        if (phase === "injected_to_fetched") fetched.push(us);
      },
    });
    for (let n = 1; n <= 300; n++) tracker.add(entry(n, "injected", n));
    tracker.add(entry(400, "fetched", 1));
    tracker.add(entry(400, "fetched", 300));
    expect(fetched).toEqual([100]);
  });
});
