/** What is held against a function's records without running anything, and which recoveries their records pin down. */
import { describe, expect, it } from "vitest";
import type { JournalRecord } from "../../../../src/control/journal/index.ts";
import { auditFunction } from "../../../../src/control/replay/audit.ts";
import { unpinned } from "../../../../src/control/replay/pinned.ts";

const ccdf = `${"00".repeat(30)}003a`;
const pec = { pec: "0x003a" };

function record(kind: string, more: Partial<JournalRecord>): Omit<JournalRecord, "seq"> {
  return { timeMs: 0, vm: "alpha", fid: 1, kind, detail: {}, ...more };
}

function step(
  from: string,
  to: string,
  event: string,
  choice?: string,
): Omit<JournalRecord, "seq"> {
  const of = choice === undefined ? {} : { choice };
  return record("state", { actor: "recovery", timeUs: 5, detail: { from, to, event }, ...of });
}

const recovery = [
  record("error-raised", { correlation: 1, detail: { ...pec, disposition: "stored" } }),
  step("operational", "draining", "error-signalled", "read"),
  record("ccdf-read", { correlation: 1, ccdf, detail: pec }),
  record("injected", { correlation: 1, detail: pec }),
  step("draining", "awaiting-guest", "queue-empty", "injected"),
  record("fetched", { correlation: 1, detail: pec }),
  step("awaiting-guest", "guest-recovering", "guest-fetched"),
  step("guest-recovering", "unblocked", "guest-reset-block", "accepted"),
  step("unblocked", "operational", "guest-reset-error", "accepted"),
  record("recovered", { actor: "recovery", timeUs: 6 }),
];

/** The recovery's records, numbered from 1, with another one in the place of one of them. */
function records(at = 0, change: Partial<JournalRecord> = {}): JournalRecord[] {
  return recovery.map((one, index) => {
    const seq = index + 1;
    return seq === at ? { seq, ...one, ...change } : { seq, ...one };
  });
}

describe("the records of a function", () => {
  it("agree with each other and with the recovery table", () => {
    expect(auditFunction(records())).toBeUndefined();
  });

  it.each<readonly [string, number, Partial<JournalRecord>, number, string]>([
    [
      "another PEC was raised than read",
      1,
      { detail: { pec: "0x003b" } },
      3,
      "event 1 has PEC 0x003b",
    ],
    ["a CCDF says another PEC", 3, { detail: { pec: "0x003b" } }, 3, "the CCDF has PEC 0x003a"],
    ["a CCDF is cut", 3, { ccdf: "003a" }, 3, "the CCDF is cut"],
    [
      "another PEC was injected than read",
      4,
      { detail: { pec: "0x003b" } },
      4,
      "event 1 has PEC 0x003a",
    ],
    [
      "another PEC was fetched than injected",
      6,
      { detail: { pec: "0x003b" } },
      6,
      "event 1 has PEC 0x003a",
    ],
    [
      "a transition begins elsewhere",
      7,
      { detail: { from: "failed", to: "failed", event: "x" } },
      7,
      "the function is awaiting-guest here",
    ],
    [
      "a transition leads elsewhere",
      8,
      { detail: { from: "guest-recovering", to: "failed", event: "guest-reset-block" } },
      8,
      "the table leads to unblocked",
    ],
    ["time goes back", 8, { timeUs: 4 }, 8, "time goes back"],
  ])("do not when %s", (_, at, change, seq, why) => {
    const misfit = auditFunction(records(at, change));
    expect([misfit?.record.seq, misfit?.why]).toEqual([seq, why]);
  });

  it("may hold what the machine tells of itself under the last event's number", () => {
    const told = [
      ...records(),
      { seq: 11, ...record("injected", { detail: { pec: "0x003b" } }) },
      { seq: 12, ...record("fetched", { correlation: 1, detail: { pec: "0x003b" } }) },
    ];
    expect(auditFunction(told)).toBeUndefined();
  });

  it("may lack the last transition of a worker that died", () => {
    const all = records();
    const died = { seq: 6.5, ...record("worker-died", {}) };
    const gap = all.filter(({ seq }) => seq !== 7);
    expect(auditFunction(gap)?.why).toBe("the function is awaiting-guest here");
    expect(auditFunction([...gap, died].sort((a, b) => a.seq - b.seq))).toBeUndefined();
  });

  it("begin again when the function comes back", () => {
    const before = records().slice(0, 8);
    const left = {
      seq: 9,
      ...record("state", { detail: { from: "unblocked", to: "detached", event: "host-gone" } }),
    };
    const raised = {
      seq: 10,
      ...record("error-raised", { correlation: 1, detail: { pec: "0x0028" } }),
    };
    expect(auditFunction([...before, raised])?.why).toBe("event 1 has PEC 0x003a");
    expect(auditFunction([...before, left, raised])).toBeUndefined();
  });
});

describe("a recovery", () => {
  const last = records().at(-1) as JournalRecord;

  it("is pinned down when nothing came between", () => {
    expect(unpinned(records(), last)).toBeUndefined();
  });

  it.each<readonly [string, Partial<JournalRecord> & { readonly kind: string }, string]>([
    [
      "an error came",
      { kind: "error-raised", fid: 2 },
      "errors came while guest and worker recovered",
    ],
    [
      "an operator came",
      { kind: "operator-command" },
      "an operator's command came while guest and worker recovered",
    ],
    ["its worker died", { kind: "worker-died" }, "its worker had died"],
  ])("is not when %s in the middle of it", (_, { kind, ...more }, why) => {
    const between = { seq: 5.5, ...record(kind, more) };
    const all = [...records(), between].sort((a, b) => a.seq - b.seq);
    expect(unpinned(all, last)).toBe(why);
    const before = { seq: 0.5, ...record(kind, more) };
    expect(unpinned([before, ...records()], last)).toBeUndefined();
  });

  it("is not when a deadline passed in it", () => {
    const late = records(7, {
      detail: { from: "awaiting-guest", to: "resetting", event: "deadline" },
    });
    expect(unpinned(late, last)).toBe("a deadline had passed");
  });
});
