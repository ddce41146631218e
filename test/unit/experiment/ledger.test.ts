import { createHash } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  binLowUs,
  binOfUs,
  binSeconds,
  LedgerDigest,
  ledgerText,
} from "../../../src/experiment/ledger.ts";
import { metricNames, metricOf, metrics } from "../../../src/experiment/metrics.ts";
import { coordinatesOf, type Plan, trialsPerRepetition } from "../../../src/experiment/plan.ts";

describe("bins of times to recover", () => {
  it("hold their time and are at most 1/64 wide", () => {
    fc.assert(
      fc.property(fc.double({ min: 1, max: 1e15, noNaN: true }), (us) => {
        const bin = binOfUs(us);
        const low = binLowUs(bin);
        const high = binLowUs(bin + 1);
        expect(low <= us && us < high).toBe(true);
        expect((high - low) / low).toBeLessThanOrEqual(1 / 64);
        expect(binSeconds(bin)).toBeGreaterThanOrEqual(low / 1e6);
      }),
    );
  });

  it("start with 0 for everything below two 64ths above a microsecond", () => {
    expect(binOfUs(0)).toBe(0);
    expect(binOfUs(1)).toBe(0);
    expect(binOfUs(2)).toBe(64);
    expect(binOfUs(4)).toBe(128);
  });
});

describe("the ledger's digest", () => {
  it("is the SHA-256 of the file", () => {
    const row = {
      trial: 0,
      repetition: 0,
      point: "",
      scenario: "a",
      guest: "b",
      policy: "c",
      status: "failed",
      reason: "it threw",
    } as const;
    const digest = new LedgerDigest();
    digest.add(ledgerText(row));
    digest.add(ledgerText({ ...row, trial: 1 }));
    const file = `${JSON.stringify(row)}\n${JSON.stringify({ ...row, trial: 1 })}\n`;
    expect(digest.hex()).toBe(createHash("sha256").update(file).digest("hex"));
  });
});

describe("a plan's trials", () => {
  it("are numbered with policies fastest and repetitions slowest", () => {
    const labelled = (label: string) => ({ label }) as never;
    const plan = {
      points: [1, 2].map(() => ({
        label: "",
        values: {},
        scenarios: [labelled("s")],
        policies: [labelled("p"), labelled("q"), labelled("r")],
      })),
      guests: [labelled("g"), labelled("h")],
    } as unknown as Plan;
    expect(trialsPerRepetition(plan)).toBe(12);
    const seen = new Set<string>();
    for (let trial = 0; trial < 24; trial++) {
      const at = coordinatesOf(plan, trial);
      expect(at.policy).toBe(trial % 3);
      expect(at.repetition).toBe(trial < 12 ? 0 : 1);
      seen.add(JSON.stringify({ ...at, trial: 0 }));
    }
    expect(seen.size).toBe(24);
  });
});

describe("metrics", () => {
  it("have a unit, a direction and a meaning each", () => {
    expect(metrics.map((metric) => metric.name)).toEqual(metricNames);
    for (const name of metricNames) {
      expect(metricOf(name).unit).toMatch(/^(ratio|s|1)$/);
      expect(metricOf(name).means.length).toBeGreaterThan(10);
    }
  });
});
