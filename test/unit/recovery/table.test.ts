import { describe, expect, it } from "vitest";
import { testMatrix } from "../../../src/recovery/diagram.ts";
import { BUG, compiledTable, IGNORE, STEP, transition } from "../../../src/recovery/table.ts";
import {
  CHOICES_MAX,
  choicesOf,
  Event,
  eventNames,
  State,
  states,
} from "../../../src/recovery/vocabulary.ts";

const matrix = testMatrix();
const waiting = [
  "awaiting-guest",
  "guest-recovering",
  "unblocked",
  "resetting",
  "verifying",
  "unplugging",
];

describe("the table", () => {
  it("has the states of design.md 5, operational being 0", () => {
    expect(states).toEqual([
      "operational",
      "draining",
      "awaiting-guest",
      "guest-recovering",
      "unblocked",
      "resetting",
      "verifying",
      "quarantined",
      "unplugging",
      "failed",
      "detached",
    ]);
  });

  it("is total: one preallocated step for every state, event and choice", () => {
    expect(compiledTable).toHaveLength(11 * eventNames.length * CHOICES_MAX);
    expect(compiledTable.every((step) => Object.isFrozen(step))).toBe(true);
  });

  it("hands out the same step object every time", () => {
    const deliver = choicesOf("ccdfRead").deliver;
    const first = transition(State.draining, Event.ccdfRead, deliver);
    expect(transition(State.draining, Event.ccdfRead, deliver)).toBe(first);
    expect(first.kind).toBe(STEP);
  });

  it("does nothing for an ignored event", () => {
    const step = transition(State.operational, Event.guestProof, 0);
    expect(step).toEqual({ kind: IGNORE, next: State.operational, effects: [] });
  });

  it("calls an impossible event a bug: a reset that ends while none runs", () => {
    expect(transition(State.operational, Event.hostResetDone, 0).kind).toBe(BUG);
  });

  it("has no bug cell for anything a guest, an operator or the host's queue can bring about", () => {
    const external = new Set([
      "errorSignalled",
      "ccdfRead",
      "queueEmpty",
      "hostGone",
      "guestFetched",
      "guestResetBlock",
      "guestResetError",
      "guestDisable",
      "guestEnable",
      "guestDeconfigure",
      "guestConfigure",
      "guestRegisterIoat",
      "guestProof",
      "guestReport",
      "operatorCommand",
      "systemReset",
      "vmPaused",
      "vmResumed",
      "creditReturned",
      "handleChanged",
      "hostRequest",
      "workerRestarted",
    ]);
    expect(matrix.filter((row) => external.has(row.event) && row.outcome === "bug")).toEqual([]);
  });

  it("leads every waiting state out of its deadline, or arms it anew", () => {
    const escapes = matrix.filter(
      (row) => row.event === "deadline" && waiting.includes(row.state) && row.state !== "resetting",
    );
    expect(escapes.every((row) => row.outcome === "step")).toBe(true);
    expect(
      escapes.filter((row) => row.next === row.state && !row.effects.includes("rearm")),
    ).toEqual([]);
  });

  it("leads a reset out of its end, its failure and the budget", () => {
    const ends = matrix.filter(
      (row) => row.state === "resetting" && /^hostReset(Done|Failed)$/.test(row.event),
    );
    expect(ends.every((row) => row.next !== "resetting")).toBe(true);
    expect(
      ends.every((row) => row.effects[0] === "answerReset" || row.effects[0] === "refuseReset"),
    ).toBe(true);
  });

  it("settles every CCDF that is read, in every state", () => {
    const settling = new Set([
      "deliver",
      "dropStale",
      "dropFmb",
      "dropPolicy",
      "dropSuperseded",
      "dropUnverifiable",
    ]);
    const rows = matrix.filter((row) => row.event === "ccdfRead");
    expect(rows).toHaveLength(11 * 7);
    expect(
      rows.filter((row) => row.effects.filter((effect) => settling.has(effect)).length !== 1),
    ).toEqual([]);
  });

  it("does nothing before the record is settled", () => {
    const late = matrix.filter(
      (row) => row.event === "ccdfRead" && !/^(deliver|drop)/.test(row.effects[0] ?? ""),
    );
    expect(late).toEqual([]);
  });

  it("counts a recovery only on proof: MPCIFC 7, a good load after enable, or the guest's report", () => {
    const proofs = matrix.filter((row) => row.effects.includes("recovered"));
    expect(new Set(proofs.map((row) => `${row.event} ${row.choice}`.trim()))).toEqual(
      new Set(["guestResetError accepted", "guestProof", "guestReport success"]),
    );
    expect(proofs.every((row) => row.next === "operational")).toBe(true);
  });

  it("reaches every state", () => {
    const reached = new Set(["operational"]);
    for (let n = 0; n < states.length; n++) {
      for (const row of matrix) if (reached.has(row.state)) reached.add(row.next);
    }
    expect([...reached].sort()).toEqual([...states].sort());
  });
});
