import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type JournalRecord, readJournal } from "../../../../src/control/journal/index.ts";
import { scheduleOf } from "../../../../src/control/replay/host-events.ts";
import { type Run, replayRun, splitRuns } from "../../../../src/control/replay/index.ts";
import { illegalTransition } from "../../../../src/control/replay/table-check.ts";
import { demoCommand } from "../../../support/demo-run.ts";
import { VmControlDouble } from "../../../support/vm-control-double.ts";

const enough = { maxInstructions: 2_000_000_000 };

function record(seq: number, kind: string, more: Partial<JournalRecord> = {}): JournalRecord {
  return { seq, timeMs: 0, vm: "alpha", kind, detail: {}, ...more };
}

function recordsOf(directory: string): JournalRecord[] {
  return [...readJournal(directory)].flatMap((item) =>
    item.type === "record" ? [item.record] : [],
  );
}

/** The run with record `seq` changed. */
function changed(run: Run, seq: number, detail: JournalRecord["detail"]): Run {
  const records = run.records.map((one) => (one.seq === seq ? { ...one, detail } : one));
  return { ...run, records };
}

describe("runs of a journal", () => {
  it("begin with a VM's start and end with its next one", () => {
    const runs = splitRuns([
      record(1, "vm-started", { detail: { mode: "threads" } }),
      record(2, "vm-started", { vm: "beta" }),
      record(3, "injected"),
      record(4, "injected", { vm: "beta" }),
      record(5, "vm-started", { detail: { mode: "threads" } }),
      record(6, "fetched"),
      record(7, "operator-command", { vm: "" }),
    ]);
    expect(
      runs.map(({ vm, firstSeq, records }) => [vm, firstSeq, records.map(({ seq }) => seq)]),
    ).toEqual([
      ["alpha", 1, [3]],
      ["beta", 2, [4]],
      ["alpha", 5, [6]],
    ]);
  });

  it("whose start is gone are shown all the same, and not replayed", () => {
    const [run] = splitRuns([record(90, "injected"), record(91, "fetched")]);
    expect(run?.recorded).toBeUndefined();
    expect(replayRun(run as Run, enough)).toMatchObject({
      mode: "unknown",
      replayed: false,
      records: 2,
      notes: ["the journal no longer has the start of this run"],
    });
  });

  it("are cut where another machine begins, or where records are missing", () => {
    const start = record(1, "vm-started");
    const after = record(9, "injected");
    const cutAt = (cut: JournalRecord): unknown =>
      splitRuns([start, record(2, "fetched"), cut, after])[0];
    expect(cutAt(record(3, "vm-reset"))).toMatchObject({
      cut: "the machine was reset",
      records: [{ seq: 2 }],
    });
    const restored = record(3, "operator-command", { detail: { command: "vm-restore" } });
    expect(cutAt(restored)).toMatchObject({ cut: "a snapshot was restored" });
    const loaded = record(3, "vm-run-state", { detail: { to: "running", reason: "restored" } });
    expect(cutAt(loaded)).toMatchObject({ cut: "a snapshot was restored" });
    expect(cutAt(record(3, "trace-lost"))).toMatchObject({ records: [{ seq: 2 }] });
    expect(cutAt(record(3, "journal-lost", { vm: "" }))).toMatchObject({ records: [{ seq: 2 }] });
    const injected = record(3, "operator-command", { detail: { command: "inject" } });
    expect(cutAt(injected)).toMatchObject({ cut: undefined });
  });

  it("of a guest that has changed since are not replayed, and say so", () => {
    const { spec } = new VmControlDouble("alpha", [1]);
    const guest = { fixture: "hello", sha256: "ff" };
    const recorded = { zmend: "0", mode: "threads" as const, guest, spec };
    const run = { vm: "alpha", firstSeq: 1, recorded, records: [], cut: undefined };
    expect(replayRun(run, enough).notes).toEqual([
      "the guest guest-fixtures/bin/hello.elf is not the recorded one (SHA-256 ff…); restore it",
    ]);
    const gone = { ...recorded, guest: { kernel: "nowhere/vmlinux", sha256: "ff" } };
    expect(replayRun({ ...run, recorded: gone }, enough).replayed).toBe(false);
  });
});

describe("host events of a run on threads", () => {
  const { spec } = new VmControlDouble("alpha", [1, 2]);
  const raised = (seq: number, timeUs: number, disposition: string): JournalRecord =>
    record(seq, "error-raised", { fid: 1, timeUs, detail: { pec: "0x003a", disposition } });
  const read = (seq: number, timeUs: number): JournalRecord =>
    record(seq, "ccdf-read", { fid: 1, timeUs, ccdf: "00".repeat(32), detail: {} });
  const state = (seq: number, timeUs: number, to: string, more = {}): JournalRecord =>
    record(seq, "state", { fid: 1, timeUs, detail: { from: "x", to, event: "y", ...more } });

  it("arrive together if one drain read them; what came after its last read comes with the next", () => {
    const events = scheduleOf(spec, [
      raised(1, 10, "stored"),
      state(2, 11, "draining"),
      raised(3, 12, "stored"),
      read(4, 13),
      read(5, 14),
      record(6, "fetched", { fid: 1, timeUs: 14 }),
      record(61, "fetched", { fid: 2, timeUs: 14 }),
      record(62, "clp-set", { fid: 1, timeUs: 14, detail: { response: "0x0108" } }),
      raised(7, 15, "stored"),
      state(8, 16, "awaiting-guest"),
      state(9, 21, "draining"),
      read(10, 22),
      state(11, 23, "awaiting-guest"),
    ]).events;
    const shape = events.map(({ timeUs, guestActions, transitions, inRecovery }) => [
      timeUs,
      guestActions,
      transitions,
      inRecovery,
    ]);
    // The second one came when the function's first drain had led to awaiting-guest.
    expect(shape).toEqual([
      [10, 0, 0, false],
      [15, 1, 2, true],
    ]);
    expect(events[0]?.what).toMatchObject({
      index: 0,
      actions: [{ type: "burst", ccdfs: [{}, {}] }],
    });
  });

  it("leave out what found the host's queue full, and keep what was stale", () => {
    const events = scheduleOf(spec, [
      raised(1, 10, "stored"),
      raised(2, 11, "queue-full"),
      raised(3, 12, "stale"),
      read(4, 13),
      state(5, 14, "awaiting-guest"),
    ]).events;
    const actions = events.map(({ what }) => (what.type === "raise" ? what.actions : []));
    expect(actions).toEqual([
      [{ type: "burst", ccdfs: [{ type: "ccdf", ccdf: "00".repeat(32) }] }],
      [{ type: "burst", ccdfs: [{ type: "ccdf", pec: 0x3a, stale: true }] }],
    ]);
  });

  it("are what operators did, too: commands by the transition they made, policies by their record", () => {
    const command = {
      ...state(2, 20, "resetting", { event: "operator-command" }),
      choice: "reset",
    };
    const { policy } = spec;
    const policies = record(3, "vm-policies", { timeUs: 30, detail: { policy } });
    const events = scheduleOf(spec, [command, policies]).events;
    expect(events.map(({ timeUs, what }) => [timeUs, what])).toEqual([
      [20, { type: "command", index: 0, command: 1 }],
      [30, { type: "policies", policies: [policy, policy] }],
    ]);
  });
});

describe("a recorded transition", () => {
  const check = (from: string, to: string, event: string, choice?: string): string | undefined =>
    illegalTransition(
      record(1, "state", {
        detail: { from, to, event },
        ...(choice === undefined ? {} : { choice }),
      }),
    );

  it("is legal when the recovery table has it", () => {
    expect(check("operational", "draining", "error-signalled", "read")).toBeUndefined();
    expect(check("draining", "awaiting-guest", "queue-empty", "injected")).toBeUndefined();
  });

  it("is not when it leads elsewhere, or is of a machine that this is not", () => {
    const elsewhere = check("operational", "failed", "error-signalled", "read");
    expect(elsewhere).toBe("the table leads to draining");
    expect(check("dreaming", "draining", "error-signalled")).toMatch(/no such state/);
    expect(check("operational", "draining", "constructor")).toMatch(/no such state or event/);
    expect(check("operational", "draining", "error-signalled", "maybe")).toMatch(/no kind 'maybe'/);
  });
});

describe("a recorded demo", () => {
  let folder = "";
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "zmend-replay-"));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  const config = {
    functions: [{ fid: 1 }, { fid: 2, resetFailures: ["EAGAIN" as const, "EIO" as const] }],
    sequence: [
      { function: 1, afterAccesses: 300, pec: 0x3a },
      { function: 2, afterAccesses: 400, ccdf: "recorded-7.3-burst" },
      { function: 1, afterAccesses: 900, pec: 0x3a, stale: true },
      { function: 1, afterAccesses: 901, pec: 0x3a },
    ],
  };

  it("of virtual time is repeated entry by entry, and a changed entry is found", async () => {
    const journal = join(folder, "deterministic");
    const ran = await demoCommand(config, { journal });
    expect(ran).toMatchObject({ status: 0, stderr: "" });
    const [run] = splitRuns(recordsOf(journal));
    const report = replayRun(run as Run, enough);
    expect(report).toMatchObject({
      mode: "deterministic",
      replayed: true,
      divergences: [],
      notes: [],
    });
    expect(report.repeated).toBeGreaterThan(30);
    const seq = run?.records.find(({ kind }) => kind === "injected")?.seq ?? 0;
    const { divergences } = replayRun(changed(run as Run, seq, { pec: "0x0003" }), enough);
    expect(divergences).toMatchObject([
      {
        seq,
        recorded: expect.stringContaining("injected pec 0x0003"),
        replayed: expect.stringContaining("injected pec 0x003a"),
      },
    ]);
    const short = replayRun(run as Run, { maxInstructions: 1000 });
    expect(short.notes[0]).toMatch(/^stopped after 1,000 instructions/);
    expect(short.divergences).toEqual([]);
    expect(short).toMatchObject({ stopped: true, partial: true });
    expect(short.comparable).toBe(report.comparable);
    expect(short.repeated).toBeLessThan(short.comparable);
    expect(report).toMatchObject({ stopped: false, partial: false, repeated: report.comparable });
    const again = await demoCommand(config, { journal }).catch((error: Error) => error.message);
    expect(again).toMatch(/deterministic holds a journal already; name a new directory/);
  });

  it("on threads makes the same transitions in virtual time, and an invented one is found", async () => {
    const journal = join(folder, "threads");
    // However the run ended: what it did is what has to be repeated.
    await demoCommand(config, { journal, deterministic: false });
    const [run] = splitRuns(recordsOf(journal));
    const report = replayRun(run as Run, enough);
    expect(report).toMatchObject({ mode: "threads", replayed: true, divergences: [], notes: [] });
    expect(report.repeated).toBeGreaterThan(8);
    const injected = run?.records.find(({ kind }) => kind === "injected")?.seq ?? 0;
    expect(
      replayRun(changed(run as Run, injected, { pec: "0x0003" }), enough).divergences,
    ).toMatchObject([{ seq: injected, replayed: expect.stringMatching(/^event 1 has PEC 0x/) }]);
    const last = run?.records.findLast(({ kind, fid }) => kind === "state" && fid === 1);
    const seq = last?.seq ?? 0;
    const invented = changed(run as Run, seq, { ...last?.detail, to: "failed" });
    expect(replayRun(invented, enough).divergences).toMatchObject([
      { fid: 1, seq, replayed: "the table leads to operational" },
    ]);
  });
});
