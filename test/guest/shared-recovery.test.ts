/**
 * Recovery workers that carry several functions, of several VMs: what one of its own does, they do as well, and a death
 * of theirs is mended for every function that they carried. No time is asserted.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readBooks } from "../../src/machine/books.ts";
import { readSnapshot } from "../../src/machine/snapshot.ts";
import type { VmSpec } from "../../src/machine/vm-spec.ts";
import { DRAIN_STEP_LAST, loadPolicy } from "../../src/recovery/index.ts";
import { ControlledVm, specOf } from "../support/controlled-vm.ts";
import {
  type ConfigInput,
  type ConfigStep,
  type DemoRunResult,
  killAt,
  policyWithDeadlines,
  restartsOf,
  runThreads,
} from "../support/demo-run.ts";

const shared = (spec: VmSpec): VmSpec => ({ ...spec, recoveryWorkers: "shared" });

let folder: string;
let patient: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "zmend-shared-"));
  // A new thread takes its time on a slow machine: no deadline of zmend's own passes because of that.
  patient = policyWithDeadlines(folder, "mediated", 20_000);
});
afterAll(() => rmSync(folder, { recursive: true }));

/** Errors that each wait until the guest has worked on: the n-th comes after n times `apart` accesses. */
function errorsByWork(fid: number, count: number, apart: number): ConfigStep[] {
  return Array.from({ length: count }, (_, n) => ({
    function: fid,
    afterAccesses: (n + 1) * apart,
    pec: 0x3a,
  }));
}

/** As Linux does, the guest waits 2 s for a reset: a machine that takes longer to replace a worker loses the function. */
function expectBooksClosed(run: DemoRunResult): void {
  expect(run.failure).toBeUndefined();
  expect(run.ending).toBe("ended");
  for (const { fid, state, balance, books, report } of run.functions) {
    expect({ fid, balance, lost: books.notDelivered.vmStopped }).toEqual({
      fid,
      balance: 0,
      lost: 0,
    });
    expect(["operational", "failed"]).toContain(state);
    if (state === "operational") expect(report).toMatchObject({ state: "ok", corrupt: 0 });
  }
}

/** A running VM of its own name whose recovery thread is shared. */
async function started(name: string, count: number, slots = count): Promise<ControlledVm> {
  const functions = Array.from({ length: count }, (_, n) => ({ fid: n + 1, clearError: true }));
  const spec = { ...shared(specOf({ policy: patient, functions })), name, functionSlots: slots };
  const controlled = new ControlledVm({ functions }, { spec });
  await controlled.vm.start();
  await controlled.working();
  return controlled;
}

/** One error on each function, and the end of each recovery. */
async function recoverAll(controlled: ControlledVm): Promise<void> {
  const { vm } = controlled;
  const before = vm.functions().map(({ books }) => books.recoveries);
  for (const { fid } of vm.functions()) vm.inject(fid, { pec: 0x3a });
  await controlled.until(() =>
    vm.functions().every(({ books, state }, n) => {
      return state === "operational" && books.recoveries > (before[n] ?? 0);
    }),
  );
}

describe("a recovery worker that several functions share", () => {
  it("dies at each numbered step of the drain of each of them; no event is lost or doubled", async () => {
    const input: ConfigInput = {
      policy: patient,
      settleMs: 500,
      functions: [
        { fid: 1, clearError: true },
        { fid: 2, profile: "recorded" },
      ],
      sequence: [...errorsByWork(1, 14, 150), ...errorsByWork(2, 14, 150)],
    };
    const asked = [0, 0];
    const run = await runThreads(
      input,
      ({ vm }) => {
        for (const [index, step] of asked.entries()) {
          if (step === DRAIN_STEP_LAST || !killAt(vm, index, step + 1)) continue;
          asked[index] = step + 1;
        }
      },
      shared,
    );
    expectBooksClosed(run);
    const died = run.entries.filter((entry) => entry.kind === "worker-restarted");
    for (const { fid, books } of run.functions) {
      const mended = died.filter((entry) => entry.fid === fid);
      expect(mended).toHaveLength(books.workerRestarts);
      // Every death was mended for both of them, whichever the worker was at.
      expect(books.workerRestarts).toBe(run.functions[0]?.books.workerRestarts);
    }
    // A guest that lost patience with a function raises no more errors on it.
    const all = run.functions.every(({ state }) => state === "operational");
    expect(restartsOf(run.vm, 0)).toBeGreaterThanOrEqual(all ? DRAIN_STEP_LAST : 1);
  });

  it("serves VMs that come and go; what happens to one is nothing to the other", async () => {
    const [one, other] = await Promise.all([started("one", 2, 4), started("other", 3)]);
    await Promise.all([recoverAll(one), recoverAll(other)]);

    // One stands, the other works on.
    await one.vm.pause();
    await recoverAll(other);
    await one.vm.resume();
    const file = join(folder, "one.snapshot");
    await one.vm.save(file);
    await recoverAll(one);

    await one.vm.setPolicy(loadPolicy("reset-first"), 1);
    expect(one.vm.functions().map(({ policy }) => policy)).toEqual(["reset-first", "mediated"]);
    await recoverAll(one);

    const plugged = specOf({ functions: [{ fid: 9, clearError: true }] }).functions[0];
    if (plugged === undefined) throw new RangeError("no function");
    await one.vm.plug("nine", plugged);
    // The guest's driver has it.
    await one.until(() => one.lines.some((line) => /fid 00000009 .* ready/.test(line)));
    await recoverAll(one);
    one.vm.unplug(9);
    await one.until(() => one.vm.functions().every(({ fid }) => fid !== 9));

    await one.vm.reset();
    await recoverAll(other);
    await one.vm.stop();
    await recoverAll(other);

    const snapshot = await readSnapshot(file);
    const again = new ControlledVm(
      { functions: [{ fid: 1 }] },
      { spec: snapshot.head.spec, snapshot },
    );
    await again.vm.start();
    await Promise.all([recoverAll(again), recoverAll(other)]);
    await Promise.all([again.vm.stop(), other.vm.stop()]);
    for (const { vm } of [one, other, again]) {
      expect(vm.failure()).toBeUndefined();
      vm.closeBooks();
    }
  });

  it("is killed from outside again and again: all functions of all its VMs go on, no event is lost or doubled", async () => {
    const seen = new Map<string, number>();
    let kills = 0;
    const run = (name: string): Promise<DemoRunResult> =>
      runThreads(
        {
          policy: patient,
          settleMs: 500,
          functions: [
            { fid: 1, clearError: true },
            { fid: 2, clearError: true },
          ],
          sequence: [...errorsByWork(1, 5, 150), ...errorsByWork(2, 5, 150)],
        },
        (machine) => {
          for (const index of [0, 1]) {
            const { errorsRaised } = readBooks(machine.vm, index);
            const key = `${name} ${index}`;
            if (errorsRaised === (seen.get(key) ?? 0)) continue;
            seen.set(key, errorsRaised);
            // Every third error: deaths in a minute are counted for all that the thread carries.
            if (++kills % 3 === 0) void machine.killRecoveryWorker(index);
          }
        },
        (spec) => ({ ...shared(spec), name }),
      );
    const runs = await Promise.all([run("one"), run("other")]);
    for (const each of runs) {
      expectBooksClosed(each);
      const [first, second] = each.functions.map(({ books }) => books.workerRestarts);
      expect(first).toBeGreaterThan(0);
      expect(second).toBe(first);
    }
  });

  it("carries 64 functions of each of two VMs, and each of them recovers", async () => {
    const vms = await Promise.all([started("one", 64), started("other", 64)]);
    await Promise.all(vms.map(recoverAll));
    for (const { vm } of vms) {
      const books = vm.functions().map((status) => status.books);
      expect(
        books.every(({ errorsRaised, fetchedByGuest }) => errorsRaised === fetchedByGuest),
      ).toBe(true);
      await vm.stop();
    }
  });
});
