/**
 * Many functions, many errors of every kind, and chance: whatever the platform plays, a run ends within bounded
 * virtual time, its books close, and what ends operational has moved every byte right. On one thread, with the
 * recovery machines dying at any of their numbered steps too; and once on threads.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { HOST_PENDING_MAX } from "../../src/base/limits.ts";
import { DRAIN_STEP_LAST } from "../../src/recovery/index.ts";
import {
  type ConfigFunction,
  type ConfigInput,
  type ConfigStep,
  type DemoRunResult,
  killAt,
  policyWithDeadlines,
  runDeterministic,
  runThreads,
} from "../support/demo-run.ts";

/** Recoverable, measurement, permanent and unknown codes: zpci-guest.md 7.4. */
const codes = [1, 2, 3, 5, 6, 7, 8, 9, 0xa, 0x28, 0x29, 0x2a, 0x2b, 0x2c, 0x2d, 0x30, 0x3a, 0xffff];
const permanent = [0x3b, 0x40];

/** Policies with short deadlines: a guest that has given up must not cost seconds of the others' instructions. */
const hasty = new Map<string, string>();
const names = ["mediated", "reset-first", "quarantine", "unplug", "qemu-11"];
const HASTY_MS = 400;
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "zmend-stress-"));
  for (const name of names) hasty.set(name, policyWithDeadlines(folder, name, HASTY_MS));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** What holds of every run, however it went. */
function problemsOf(run: DemoRunResult): string[] {
  const problems: string[] = [];
  if (run.ending !== "ended" && run.ending !== "stopped") problems.push(`ended by ${run.ending}`);
  for (const { fid, state, balance, books, report } of run.functions) {
    const say = (what: string): number => problems.push(`function ${fid} (${state}): ${what}`);
    if (balance !== 0) say(`the books are open by ${balance}`);
    if (books.injected > books.read) say(`injected ${books.injected} of ${books.read} read`);
    if (run.ending === "stopped") continue;
    if (report === undefined) say("the guest reported nothing");
    if (report !== undefined && report.corrupt > 0) say(`${report.corrupt} corrupt`);
    if (state === "operational" && report?.state !== "ok") say(`the guest says ${report?.state}`);
    if (state !== "operational" && report?.state === "ok") say("the guest works with it");
    if (books.notDelivered.vmStopped > 0) say("events left behind");
  }
  return problems;
}

/** Correlation numbers of events handed to the guest, by function: none twice. */
function fetchedTwice(run: DemoRunResult): string[] {
  const seen = new Set<string>();
  const twice: string[] = [];
  const repeats = new Set(
    run.entries
      .filter(({ kind, correlation }) => kind === "injected" && correlation === undefined)
      .map(({ fid }) => fid),
  );
  for (const { kind, fid, correlation } of run.entries) {
    if (kind !== "fetched" || correlation === undefined || repeats.has(fid)) continue;
    const key = `${fid}:${correlation}`;
    if (seen.has(key)) twice.push(key);
    seen.add(key);
  }
  return twice;
}

const functionArbitrary = fc.record({
  profile: fc.constantFrom("plain" as const, "recorded" as const),
  clearError: fc.boolean(),
  resetMs: fc.constantFrom(0, 0.1, 2, 30, 200),
  resetFailures: fc.array(fc.constantFrom("EAGAIN" as const, "EIO" as const), { maxLength: 4 }),
});

/** When: at a time (some of them before the guest is up) or after so many accesses. */
const whenArbitrary = fc.oneof(
  fc.record({ atMs: fc.integer({ min: 0, max: 10_000 }).map((tenth) => tenth / 100) }),
  fc.record({ afterAccesses: fc.integer({ min: 1, max: 400 }) }),
);

function whatArbitrary(pecs: readonly number[], sequences: readonly string[]) {
  return fc.oneof(
    { weight: 2, arbitrary: fc.constant({ dma: "translation" as const }) },
    { weight: 2, arbitrary: fc.constantFrom(...sequences).map((ccdf) => ({ ccdf })) },
    {
      weight: 2,
      arbitrary: fc.constantFrom(
        { unplug: "request" as const },
        { unplug: "surprise" as const },
        { plug: "configured" as const },
        { plug: "standby" as const },
      ),
    },
    {
      weight: 1,
      arbitrary: fc.constantFrom(
        { storm: { pec: 2, count: 12, everyMs: 0.3 } },
        { linkDown: { forMs: 3 } },
        { lostSignals: 2 },
        { lostInterrupts: 1 },
      ),
    },
    {
      weight: 6,
      arbitrary: fc.record({
        pec: fc.constantFrom(...pecs),
        stale: fc.integer({ min: 0, max: 5 }).map((n) => n === 0),
        faddr: fc.constantFrom(0, 0x1000, 0xffff_ffff_f000),
      }),
    },
  );
}

const sequences = ["single-003a", "recorded-7.3-burst", "recorded-7.3-single", "stale-handle"];

const inputArbitrary: fc.Arbitrary<ConfigInput> = fc
  .tuple(
    fc.array(functionArbitrary, { minLength: 1, maxLength: 4 }),
    fc.constantFrom(...names),
    fc.boolean(),
  )
  .chain(([functions, policy, final]) => {
    const pecs = final ? [...codes, ...permanent] : codes;
    const named = final ? [...sequences, "permanent-003b"] : sequences;
    const step = fc
      .tuple(
        fc.integer({ min: 1, max: functions.length }),
        whenArbitrary,
        whatArbitrary(pecs, named),
      )
      .map(([fid, when, what]): ConfigStep => ({ function: fid, ...when, ...what }));
    return fc.array(step, { maxLength: 14 }).map(
      (steps): ConfigInput => ({
        policy: hasty.get(policy) ?? policy,
        // Virtual: more than every deadline of a policy's ladder together.
        deadlineMs: 10 * HASTY_MS,
        functions: functions.map((entry, index): ConfigFunction => ({ fid: index + 1, ...entry })),
        sequence: steps,
      }),
    );
  });

describe("whatever happens on one thread", () => {
  it("the books close, the states agree with the guest, and the run ends in bounded time", () => {
    fc.assert(
      fc.property(inputArbitrary, fc.nat(), (input, seed) => {
        const run = runDeterministic(input, seed);
        expect([...problemsOf(run), ...fetchedTwice(run)]).toEqual([]);
      }),
      { numRuns: 40 },
    );
  });

  it("also when recovery machines die at any step, at any time, again and again", () => {
    const deaths = fc.array(fc.integer({ min: 1, max: DRAIN_STEP_LAST }), {
      minLength: 1,
      maxLength: 40,
    });
    let died = 0;
    fc.assert(
      fc.property(inputArbitrary, fc.nat(), deaths, fc.integer({ min: 1, max: 60 }), (...all) => {
        const [input, seed, steps, apart] = all;
        let next = 0;
        const run = runDeterministic(input, seed, ({ vm }, round) => {
          if (round % apart !== 0 || next === steps.length) return;
          const index = next % input.functions.length;
          if (killAt(vm, index, steps[next] as number)) next += 1;
        });
        died += run.functions.reduce((sum, { books }) => sum + books.workerRestarts, 0);
        expect([...problemsOf(run), ...fetchedTwice(run)]).toEqual([]);
      }),
      { numRuns: 25 },
    );
    expect(died).toBeGreaterThan(25);
  });

  it("an error at the very start reaches a machine that listens", () => {
    const run = runDeterministic({
      functions: [{ fid: 1 }],
      sequence: [{ function: 1, atMs: 0, pec: 0x3a }],
    });
    expect(problemsOf(run)).toEqual([]);
    expect(run.functions[0]?.books).toMatchObject({ errorsRaised: 1, read: 1 });
  });

  it("one error, one death at each step: same outcome as without, and a recovery is counted once", () => {
    for (let step = 1; step <= DRAIN_STEP_LAST; step++) {
      for (const clearError of [false, true]) {
        const input: ConfigInput = {
          functions: [{ fid: 1, clearError }],
          sequence: [{ function: 1, atMs: 20, pec: 0x3a }],
        };
        let armed = false;
        // Armed for the very pass that takes the error's signal.
        const run = runDeterministic(input, 0, ({ vm, clock }) => {
          if (!armed && clock.nowUs() >= 20_000) armed = killAt(vm, 0, step);
        });
        expect(problemsOf(run)).toEqual([]);
        expect(run.functions[0]?.books, `step ${step}`).toMatchObject({
          errorsRaised: 1,
          read: 1,
          injected: 1,
          fetchedByGuest: 1,
          recoveries: 1,
          hostResets: clearError ? 0 : 1,
          workerRestarts: 1,
        });
      }
    }
  });
});

/** 16 functions of all kinds and, for most of them, several errors; the last four stay in peace. */
function crowd(when: (n: number) => { afterAccesses: number } | { atMs: number }): ConfigInput {
  const functions = Array.from(
    { length: 16 },
    (_, index): ConfigFunction => ({
      fid: index + 1,
      profile: index % 3 === 0 ? "recorded" : "plain",
      clearError: index % 2 === 0,
      resetFailures: index % 4 === 1 ? ["EAGAIN", "EIO"] : [],
      expect: index === 10 || index === 11 ? "failed" : "operational",
    }),
  );
  const sequence: ConfigStep[] = [];
  for (let fid = 1; fid <= 10; fid++) {
    for (let n = 0; n < 5; n++) {
      const pec = codes[(fid * 5 + n) % codes.length] as number;
      sequence.push({ function: fid, ...when(fid + 40 * n), pec, stale: (fid + n) % 7 === 0 });
    }
    sequence.push({ function: fid, ...when(fid + 250), dma: "translation" });
    sequence.push({ function: fid, ...when(fid + 300), ccdf: "recorded-7.3-burst" });
  }
  sequence.push({ function: 11, ...when(150), pec: 0x3b });
  sequence.push({ function: 12, ...when(150), pec: 0x40 });
  return { functions, sequence };
}

/** Six events under one queue lock into a queue of four. */
const DROPPED_BY_BURST = 6 - HOST_PENDING_MAX;

function expectCrowdSurvived(run: DemoRunResult): void {
  expect(problemsOf(run)).toEqual([]);
  expect(fetchedTwice(run)).toEqual([]);
  expect(run.functions.map(({ state }) => state)).toEqual(
    run.functions.map(({ expected }) => expected),
  );
  for (const { fid, books } of run.functions.slice(0, 10)) {
    expect({ fid, raised: books.errorsRaised }).toEqual({ fid, raised: 12 });
    expect({ fid, dropped: books.droppedByHost >= DROPPED_BY_BURST }).toEqual({
      fid,
      dropped: true,
    });
    expect(books.recoveries).toBeGreaterThan(0);
  }
  for (const { books, report } of run.functions.slice(12)) {
    expect(books.errorsRaised).toBe(0);
    expect(report?.checked).toBeGreaterThan(0);
  }
}

describe("16 functions and 122 events", () => {
  it("on one thread: everybody recovers who can, the others are left in peace", () => {
    expectCrowdSurvived(runDeterministic(crowd((n) => ({ afterAccesses: 20 + n }))));
  });

  it("on one thread, all at the same few moments: the books close and nothing is corrupt", () => {
    const run = runDeterministic(crowd((n) => ({ atMs: 30 + Math.floor(n / 100) * 20 })));
    expect(problemsOf(run)).toEqual([]);
    expect(run.functions.reduce((sum, { books }) => sum + books.errorsRaised, 0)).toBe(122);
  });

  it("on threads: everybody recovers who can, the others are left in peace", async () => {
    const input = crowd((n) => ({ afterAccesses: 20 + n }));
    // In real time the guest proves a recovery some time after zmend has counted it.
    expectCrowdSurvived(await runThreads({ ...input, settleMs: 500 }));
  });
});
