import { describe, expect, it } from "vitest";
import {
  type DemoOutcome,
  type DemoResult,
  GuestWords,
  problemsOf,
  resultJson,
  resultText,
} from "../../../src/daemon/demo-result.ts";

const outcome: DemoOutcome = {
  fid: 1,
  state: "operational",
  expected: "operational",
  books: {
    errorsRaised: 3,
    droppedByHost: 1,
    staleIgnored: 0,
    read: 2,
    injected: 2,
    fetchedByGuest: 2,
    notDelivered: {
      hostQueueFull: 1,
      staleHandle: 0,
      fmbCode: 0,
      superseded: 0,
      policy: 0,
      unverifiable: 0,
      vmStopped: 0,
    },
    recoveries: 1,
    hostResets: 1,
    workerRestarts: 0,
  },
  driver: "ok",
  dmaChecked: 7,
  dmaCorrupt: 0,
};
const nothing = { count: 0, p50: null, p99: null };
const result: DemoResult = {
  ending: "ended",
  outcomes: [outcome],
  instructions: 1234,
  latencies: {
    doorbellToInject: nothing,
    injectToFetch: { count: 2, p50: 5, p99: 9 },
    errorToRecovered: nothing,
  },
  policy: "mediated",
  deadlineMs: 2000,
  failure: undefined,
  halt: "disabled wait at 0x0",
};

describe("why a demo is no success", () => {
  it("is nothing when every function ended as expected and its books close", () => {
    expect(problemsOf(result)).toEqual([]);
  });

  it.each([
    [{ ending: "stopped" }, "The policy mediated stopped the VM."],
    [{ ending: "crashed", failure: new Error("vCPU 0 ended") }, "vCPU 0 ended."],
    [{ ending: "halted" }, "The guest stopped before the run was over: disabled wait at 0x0."],
    [
      { ending: "deadline" },
      "The guest did not finish within 2 s (deadlineMs): it hangs, loops, or a function did not settle.",
    ],
    [
      { ending: "starved" },
      "The guest had less than 2 s (deadlineMs) of 20 s and did not finish: this machine is too busy for it.",
    ],
    [{ ending: "interrupted" }, "Interrupted; what had happened until then stands above."],
    [
      { outcomes: [{ ...outcome, state: "failed" }] },
      "Function 0x00000001 ended failed, the config expects operational.",
    ],
    [
      { outcomes: [{ ...outcome, books: { ...outcome.books, errorsRaised: 5 } }] },
      "The books of function 0x00000001 do not close: 2 errors unaccounted for.",
    ],
  ] satisfies [Partial<DemoResult>, string][])("%o", (change, sentence) => {
    expect(problemsOf({ ...result, ...change })).toEqual([sentence]);
  });

  it("asks no proof of a function that was to fail", () => {
    const failed = { ...outcome, state: "failed", expected: "failed", driver: "failed" };
    expect(problemsOf({ ...result, outcomes: [{ ...failed, dmaChecked: 0 }] })).toEqual([]);
  });
});

describe("the guest's words", () => {
  it("keep the lines, and the last report of each function", () => {
    const words = new GuestWords();
    const said = [
      "zrecover: working on 1 function",
      "zrecover: report fid=0000002a state=ok rounds=1 checked=7 corrupt=1",
      "zrecover: report fid=0000002a state=failed rounds=2 checked=8 corrupt=0",
    ];
    expect(said.map((line) => words.line(line))).toEqual(said.map((text) => ({ text })));
    expect(words.lines).toEqual(said);
    expect(words.report(0x2a)).toEqual({ driver: "failed", dmaChecked: 8, dmaCorrupt: 0 });
    expect(words.report(1)).toEqual({ driver: undefined, dmaChecked: 0, dmaCorrupt: 0 });
  });
});

describe("a demo's end", () => {
  it("has a table, latencies, instructions, the digest if there is one, and the verdict", () => {
    const lines = resultText({ ...result, digest: "d1" }, true).split("\n");
    expect(lines.slice(-3)).toEqual([
      "1,234 guest instructions; policy mediated",
      "ledger digest d1",
      "recovered: every function ended as expected",
    ]);
    expect(resultText(result, false).split("\n").slice(-2)).toEqual([
      "1,234 guest instructions; policy mediated",
      "failed",
    ]);
  });

  it("is one object for programs", () => {
    expect(resultJson(result, false, { linux: "linux-6.1" }, ["hello"])).toEqual({
      verdict: "failed",
      policy: "mediated",
      vm: "running",
      guest: { linux: "linux-6.1", instructions: 1234, console: ["hello"] },
      functions: [
        {
          fid: "0x1",
          state: "operational",
          expected: "operational",
          errorsRaised: 3,
          droppedByHost: 1,
          staleIgnored: 0,
          read: 2,
          injected: 2,
          fetchedByGuest: 2,
          notDelivered: outcome.books.notDelivered,
          recoveries: 1,
          dmaChecked: 7,
          dmaCorrupt: 0,
          hostResets: 1,
          workerRestarts: 0,
        },
      ],
      latencyUs: result.latencies,
    });
  });
});
