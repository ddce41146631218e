/**
 * The demo's VM on real threads: recovered functions, recovery workers that die at every numbered step of the
 * drain or anywhere, a vCPU that dies. No time is asserted; errors come by what the guest does where it matters.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import type { Actor, startActor } from "../../src/machine/actors.ts";
import { readBooks } from "../../src/machine/books.ts";
import type { VmSpec } from "../../src/machine/vm-spec.ts";
import { DRAIN_STEP_LAST } from "../../src/recovery/index.ts";
import {
  type ConfigInput,
  type ConfigStep,
  type DemoRunResult,
  demoCommand,
  killAt,
  policyWithDeadlines,
  restartsOf,
  runThreads,
} from "../support/demo-run.ts";

/** Threads that the next run starts, by name, for tests that end one from outside. */
const started = vi.hoisted(() => new Map<string, Actor>());
vi.mock("../../src/machine/actors.ts", async (load) => {
  const real = await load<{ startActor: typeof startActor }>();
  return {
    ...real,
    startActor: (...parameters: Parameters<typeof startActor>): Actor => {
      const actor = real.startActor(...parameters);
      started.set(parameters[0], actor);
      return actor;
    },
  };
});

/** The guest is asked to end when functions have been settled for so long: it proves a recovery after zmend counts it. */
const SETTLE_MS = 500;

let folder: string;
let patient: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "zmend-threads-"));
  // A new thread takes its time on a slow machine: no deadline of zmend's own passes because of that.
  patient = policyWithDeadlines(folder, "mediated", 20_000);
});
afterAll(() => rmSync(folder, { recursive: true }));

/** As Linux does, the guest waits 2 s for a reset; a machine that takes longer to replace a worker loses it. */
function guestLostPatience(run: DemoRunResult, fid: number): boolean {
  const name = fid.toString(16).padStart(8, "0");
  const given = new RegExp(`fid ${name} .* recovery failed at (disable|enable) code 0108`);
  return run.console.some((line) => given.test(line));
}

function expectSurvived(run: DemoRunResult): void {
  expect(run.failure).toBeUndefined();
  expect(run.ending).toBe("ended");
  for (const { fid, state, balance, books, report, expected } of run.functions) {
    const end = guestLostPatience(run, fid) ? "failed" : expected;
    const last = run.console.filter((line) => line.includes(`fid 0000000${fid}`)).slice(-3);
    expect({ fid, state, balance, last }).toEqual({ fid, state: end, balance: 0, last });
    // Nothing was left behind in the host's queue or in the guest's ring.
    expect({ fid, stopped: books.notDelivered.vmStopped }).toEqual({ fid, stopped: 0 });
    if (state === "operational") expect(report).toMatchObject({ state: "ok", corrupt: 0 });
  }
}

/** Errors that each wait until the guest has worked on: the n-th comes after n times `apart` accesses. */
function errorsByWork(fid: number, count: number, apart: number): ConfigStep[] {
  const pecs = [0x3a, 0x02, 0x07, 0x28];
  return Array.from({ length: count }, (_, n) => ({
    function: fid,
    afterAccesses: (n + 1) * apart,
    pec: pecs[n % pecs.length] as number,
  }));
}

describe("the demo on threads", () => {
  const input: ConfigInput = {
    settleMs: SETTLE_MS,
    functions: [
      { fid: 1, clearError: true },
      { fid: 2, profile: "recorded", resetFailures: ["EAGAIN", "EIO"] },
      { fid: 3, expect: "failed" },
    ],
    // By accesses, not by time: a slow machine may still be starting the guest after any number of milliseconds.
    sequence: [
      { afterAccesses: 60, function: 1, ccdf: "single-003a" },
      { afterAccesses: 60, function: 2, ccdf: "recorded-7.3-burst" },
      { afterAccesses: 300, function: 1, ccdf: "stale-handle" },
      { afterAccesses: 300, function: 2, dma: "translation" },
      { afterAccesses: 300, function: 3, ccdf: "permanent-003b" },
    ],
  };

  it("recovers, says so with status 0, and has no digest", async () => {
    const { status, stdout, stderr } = await demoCommand(input, {
      json: true,
      deterministic: false,
    });
    expect(stderr).toBe("");
    expect(status).toBe(0);
    const json = JSON.parse(stdout) as Record<string, unknown>;
    expect(json).toMatchObject({
      verdict: "recovered",
      vm: "running",
      functions: [
        { fid: "0x1", state: "operational", errorsRaised: 2, staleIgnored: 1 },
        { fid: "0x2", state: "operational", errorsRaised: 7, droppedByHost: 2 },
        { fid: "0x3", state: "failed", errorsRaised: 1 },
      ],
    });
    expect(json).not.toHaveProperty("digest");
  });

  it("stops at the first error under qemu-11: status 1, the VM stopped, the books closed", async () => {
    const { status, stdout } = await demoCommand(
      { ...input, policy: "qemu-11" },
      { json: true, deterministic: false },
    );
    expect(status).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject({ verdict: "failed", vm: "stopped" });
  });
});

describe("a recovery worker that dies", () => {
  it("at each numbered step of the drain is replaced; no event is lost or doubled", async () => {
    const asked = [0, 0, 0];
    const run = await runThreads(
      {
        policy: patient,
        settleMs: SETTLE_MS,
        functions: [{ fid: 1, clearError: true }, { fid: 2 }, { fid: 3, profile: "recorded" }],
        sequence: [1, 2, 3].flatMap((fid) => errorsByWork(fid, 14, 150)),
      },
      ({ vm }) => {
        for (const [index, step] of asked.entries()) {
          // The next step once the death at the one before has been mended.
          if (restartsOf(vm, index) < step || step === DRAIN_STEP_LAST) continue;
          asked[index] = step + 1;
          killAt(vm, index, step + 1);
        }
      },
    );
    expectSurvived(run);
    for (const { fid, books } of run.functions) {
      expect(books.workerRestarts).toBe(DRAIN_STEP_LAST);
      expect(books.errorsRaised).toBe(14);
      const died = run.entries.filter((entry) => {
        return entry.kind === "worker-restarted" && entry.fid === fid;
      });
      expect(died.map(({ detail }) => detail["diedAtStep"])).toEqual(
        Array.from({ length: DRAIN_STEP_LAST }, (_, step) => step + 1),
      );
    }
  });

  it("wherever it is when it is killed from outside is replaced; no event is lost or doubled", async () => {
    // Once per error, a moment after it was raised: the guest, like Linux, waits 2 s for a reset and no longer.
    const seen = [0, 0];
    let kills = 0;
    const run = await runThreads(
      {
        policy: patient,
        settleMs: SETTLE_MS,
        functions: [{ fid: 1, clearError: true }, { fid: 2 }],
        sequence: [
          ...errorsByWork(1, 8, 150),
          ...errorsByWork(2, 8, 150),
          { function: 2, afterAccesses: 500, ccdf: "recorded-7.3-burst" },
        ],
      },
      (machine) => {
        for (const [index, before] of seen.entries()) {
          const { errorsRaised } = readBooks(machine.vm, index);
          if (errorsRaised === before) continue;
          seen[index] = errorsRaised;
          kills += 1;
          void machine.killRecoveryWorker(index);
        }
      },
    );
    expectSurvived(run);
    const restarts = run.functions.reduce((sum, { books }) => sum + books.workerRestarts, 0);
    expect(restarts).toBeGreaterThan(0);
    expect(restarts).toBeLessThanOrEqual(kills);
  });
});

describe("a thread that cannot be replaced", () => {
  const input: ConfigInput = { functions: [{ fid: 1 }] };

  it.each([
    ["vcpu", "vcpu"],
    ["platform", "io"],
  ])("the %s's death ends the run with status 1 and one sentence", async (name, worker) => {
    started.clear();
    let killed = false;
    const { status, stderr, stdout } = await demoCommand(
      { ...input, sequence: [{ function: 1, afterAccesses: 1_000_000, pec: 0x3a }] },
      { deterministic: false, logLevel: "silent" },
      (text) => {
        if (killed || !text.includes("working on")) return;
        killed = true;
        void started.get(worker)?.kill();
      },
    );
    expect(stderr).toMatch(new RegExp(`^zmend: The ${name} thread of VM demo died: .*\\.\\n$`));
    expect(status).toBe(1);
    expect(stdout).toContain("by death of a thread");
    expect(stdout).toMatch(/\nfailed\n$/);
  });

  it.each([
    ["vcpu", { cpuModel: "none" }],
    ["recovery-0", { policy: null as unknown as VmSpec["policy"] }],
  ])(
    "the %s that dies before it is ready is reported too, and nothing hangs",
    async (name, change) => {
      // The guest waits for an error that nobody would hear.
      const waiting = { ...input, sequence: [{ function: 1, afterAccesses: 100, pec: 0x3a }] };
      const run = await runThreads(waiting, undefined, (spec) => ({ ...spec, ...change }));
      expect(run.failure?.message.startsWith(`The ${name} thread of VM demo died: `)).toBe(true);
    },
  );
});
