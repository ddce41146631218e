/**
 * Errors that hit a function while the guest's driver starts it, and events that come late, as on a loaded host where
 * guests start and recovery workers start again late: on one thread under virtual time, so that each moment is tried.
 */
import { describe, expect, it } from "vitest";
import { type ConfigStep, type DemoRunResult, runDeterministic } from "../support/demo-run.ts";

/** The driver makes some 30 accesses before it says that it is ready. */
const STARTING = Array.from({ length: 20 }, (_, n) => 2 * n + 1);

function expectRecovered(run: DemoRunResult, what: string): void {
  expect(run.ending).toBe("ended");
  for (const { fid, state, balance, report } of run.functions) {
    expect({ what, fid, state, balance, guest: report?.state }).toEqual({
      what,
      fid,
      state: "operational",
      balance: 0,
      guest: "ok",
    });
    expect(report?.corrupt).toBe(0);
  }
}

describe.each([true, false])(
  "a function that breaks while it is started, clearError %s",
  (clearError) => {
    const functions = [{ fid: 1, clearError }, { fid: 2 }];

    it("is recovered whichever access meets the error", () => {
      for (const afterAccesses of STARTING) {
        const run = runDeterministic({
          functions,
          sequence: [{ afterAccesses, function: 1, pec: 0x3a }],
          settleMs: 50,
        });
        expectRecovered(run, `after ${afterAccesses}`);
      }
    });

    it("is recovered from two errors one access apart", () => {
      for (const afterAccesses of STARTING) {
        const sequence: ConfigStep[] = [
          { afterAccesses, function: 1, pec: 0x3a },
          { afterAccesses: afterAccesses + 1, function: 1, pec: 0x02 },
        ];
        expectRecovered(
          runDeterministic({ functions, sequence, settleMs: 50 }),
          `after ${afterAccesses} and the next`,
        );
      }
    });

    it("is recovered from an error within its recovery that the guest hears of a second late", () => {
      for (const later of [0.05, 0.4, 1.2, 5, 15]) {
        const sequence: ConfigStep[] = [
          { atMs: 50, function: 1, pec: 0x3a },
          { atMs: 50.01, function: 1, lostSignals: 1 },
          { atMs: 50 + later, function: 1, pec: 0x02 },
        ];
        // The worker looks by itself every 1000 ms (slowDrainMs of the policy mediated).
        expectRecovered(
          runDeterministic({ functions, sequence, settleMs: 50 }),
          `${later} ms later`,
        );
      }
    });
  },
);
