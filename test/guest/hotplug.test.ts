/**
 * Functions that come and go under a running guest: config/hotplug.yaml, the policies that take functions away, many
 * cycles, 64 functions. On one thread under virtual time; once on threads.
 */

import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { parseYaml } from "../../src/base/yaml-file.ts";
import {
  type ConfigInput,
  type ConfigStep,
  type DemoRunResult,
  killAt,
  runDeterministic,
  runThreads,
} from "../support/demo-run.ts";

/** The shipped file as the test's own input. */
function shipped(): ConfigInput {
  const { functions, sequence, policy, settleMs } = parseYaml(
    readFileSync("config/hotplug.yaml", "utf8"),
    "config/hotplug.yaml",
    z.looseObject({
      functions: z.array(z.looseObject({ fid: z.number() })),
      sequence: z.array(z.looseObject({ function: z.number() })),
      policy: z.string(),
      settleMs: z.number(),
    }),
    "CONFIG_INVALID",
  );
  return { functions, sequence, policy, settleMs } as ConfigInput;
}

/** Availability events of a function in the order in which the guest fetched them. */
function fetched(run: DemoRunResult, fid: number): string[] {
  return run.entries
    .filter((entry) => entry.kind === "fetched" && entry.fid === fid)
    .map((entry) => String(entry.detail["pec"]))
    .filter((pec) => pec >= "0x0300");
}

/** Ended in order, as expected, books closed, no byte of DMA wrong. */
function expectGood(run: DemoRunResult): void {
  expect(run.ending).toBe("ended");
  for (const { fid, state, expected, balance, report } of run.functions) {
    expect({ fid, state, balance }).toEqual({ fid, state: expected, balance: 0 });
    if (report !== undefined) expect(report).toMatchObject({ corrupt: 0, timeouts: 0 });
    if (report !== undefined && state === "operational") expect(report.state).toBe("ok");
  }
}

/** As `expectGood`; a transfer that a fault swallowed may have timed out. */
function expectRecovered(run: DemoRunResult): void {
  expect(run.ending).toBe("ended");
  for (const { fid, state, expected, balance, report } of run.functions) {
    expect({ fid, state, balance }).toEqual({ fid, state: expected, balance: 0 });
    expect(report).toMatchObject({ state: "ok", corrupt: 0 });
  }
}

describe("hot-plug", () => {
  it("config/hotplug.yaml: request, surprise, configured, standby; the others work on", () => {
    const run = runDeterministic(shipped());
    expectGood(run);
    expect(fetched(run, 2)).toEqual(["0x0303", "0x0308", "0x0301", "0x0304", "0x0302"]);
    expect(fetched(run, 3)).toEqual(["0x0301", "0x0303", "0x0308"]);
    expect(fetched(run, 1)).toEqual([]);
    expect(run.functions[2]?.report).toMatchObject({ state: "away", events: 1 });
  });

  it("the same on threads; a guest that is slower than the host's plan hears what is true when it looks", async () => {
    const run = await runThreads(shipped());
    expectGood(run);
    // One that has not given it up when the host takes it, or has it again, is told of that alone.
    expect(fetched(run, 2).join()).toMatch(
      /^(0x0303,)?(0x0308|0x0304),(0x0301|0x0302)(,0x0304,0x0302)?$/,
    );
    expect(fetched(run, 3).join()).toMatch(/^(0x0301,(0x0303,)?(0x0308|0x0304))?$/);
  }, 60_000);

  it("ten cycles in a row, by request and by surprise, end in working functions under new handles", () => {
    const cycles = Array.from({ length: 10 }, (_, n): ConfigStep[] => [
      { atMs: 20 + n * 20, function: 1, unplug: n % 2 === 0 ? "request" : "surprise" },
      { atMs: 30 + n * 20, function: 1, plug: n % 3 === 0 ? "standby" : "configured" },
    ]).flat();
    const run = runDeterministic({
      functions: [{ fid: 1 }, { fid: 2 }],
      sequence: [...cycles, { atMs: 300, function: 1, pec: 0x3a }],
    });
    expectGood(run);
    expect(run.functions[0]?.books).toMatchObject({ errorsRaised: 1, recoveries: 1 });
    const handles = run.entries
      .filter(
        ({ kind, fid, detail }) =>
          kind === "clp-set" && fid === 1 && detail["operation"] === "enable",
      )
      .map(({ detail }) => detail["fh"]);
    expect(handles.length).toBeGreaterThanOrEqual(11);
    expect(new Set(handles).size).toBe(handles.length);
  });

  it("a request in the middle of a recovery: the guest gives the function up all the same", () => {
    for (const atMs of [50.02, 50.3, 50.7, 51, 52, 60, 70]) {
      const run = runDeterministic({
        functions: [{ fid: 1, expect: "detached" }, { fid: 2 }],
        sequence: [
          { atMs: 50, function: 1, pec: 0x3a },
          { atMs, function: 1, unplug: "request" },
        ],
      });
      expectGood(run);
    }
  });

  it("a surprise in the middle of a recovery, and an error in the middle of a plug", () => {
    for (const atMs of [50.02, 50.3, 51, 60, 70]) {
      const run = runDeterministic({
        functions: [{ fid: 1 }, { fid: 2 }],
        sequence: [
          { atMs: 50, function: 1, pec: 0x3a },
          { atMs, function: 1, unplug: "surprise" },
          { atMs: 120, function: 1, plug: "configured" },
          { atMs: 120.1, function: 1, pec: 0x3a },
          { atMs: 120.5, function: 1, pec: 0x02 },
        ],
      });
      expectGood(run);
    }
  });

  it("64 functions in one VM: each works, one in eight leaves, errors are recovered", () => {
    const functions = Array.from({ length: 64 }, (_, n) => ({
      fid: n + 1,
      present: n % 8 !== 7,
      expect: n % 8 === 0 ? ("detached" as const) : ("operational" as const),
    }));
    const sequence = functions.flatMap(({ fid }, n): ConfigStep[] => {
      if (n % 8 === 7) return [{ atMs: 40, function: fid, plug: "configured" }];
      if (n % 8 === 0) return [{ atMs: 45 + n / 8, function: fid, unplug: "request" }];
      return n % 8 === 3 ? [{ atMs: 50, function: fid, pec: 0x3a }] : [];
    });
    const run = runDeterministic({ vm: { memory: "24MiB" }, functions, sequence });
    expectGood(run);
    expect(run.functions.filter(({ report }) => report?.state === "ok")).toHaveLength(56);
    expect(run.functions.filter(({ books }) => books.recoveries === 1)).toHaveLength(8);
  });
});

describe("policies", () => {
  it("unplug: the guest gives up a function that fails once; it comes back by a plug", () => {
    const run = runDeterministic({
      policy: "unplug",
      functions: [{ fid: 1 }, { fid: 2, expect: "detached" }],
      sequence: [
        { atMs: 50, function: 1, pec: 0x3a },
        { atMs: 60, function: 2, pec: 0x3b },
        { atMs: 200, function: 1, unplug: "request" }, // the host lets go of it as well
        { atMs: 300, function: 1, plug: "configured" },
      ],
    });
    expectGood(run);
    expect(fetched(run, 1)).toEqual(["0x0303", "0x0308", "0x0301"]);
  });

  it("unplug: a guest that never fetches loses the function at the deadline", () => {
    const run = runDeterministic({
      vm: { fixture: "zhang" },
      policy: "unplug",
      functions: [{ fid: 1, expect: "detached" }],
      sequence: [{ atMs: 50, function: 1, pec: 0x3a }],
      deadlineMs: 60_000,
    });
    const states = run.entries
      .filter(({ kind, fid }) => kind === "state" && fid === 1)
      .map(({ timeUs, detail }) => [Math.round(timeUs / 1e6), detail["to"]]);
    expect(states.at(-1)).toEqual([10, "detached"]); // the policy's deadline for unplugging
    expect(run.functions[0]?.balance).toBe(0);
  });

  it("patient: a guest that recovers at once is not held up", () => {
    const run = runDeterministic({
      policy: "patient",
      functions: [{ fid: 1 }],
      sequence: [{ atMs: 50, function: 1, pec: 0x3a }],
    });
    expectGood(run);
    expect(run.functions[0]?.books.recoveries).toBe(1);
  });

  it("patient: a guest that never looks is told again, not given up", () => {
    const run = runDeterministic({
      vm: { fixture: "zhang" },
      policy: "patient",
      functions: [{ fid: 1 }],
      sequence: [{ atMs: 50, function: 1, pec: 0x3a }],
      deadlineMs: 600_000,
    });
    expect(run.ending).toBe("deadline");
    const steps = run.entries
      .filter(({ kind }) => kind === "policy-step")
      .map(({ detail }) => detail["step"]);
    expect(steps.slice(0, 5)).toEqual([
      "wait",
      "reinject",
      "reinject",
      "reset-and-reinject",
      "reset-and-reinject",
    ]);
    expect(run.functions[0]?.state).toBe("awaiting-guest");
  });
});

describe("a host that maps page by page", () => {
  const pinnedRun = {
    functions: [
      { fid: 1, pins: { avail: 65535, taken: 0 } },
      { fid: 2, pins: { avail: 4096, taken: 4000 }, clearError: true },
      { fid: 3 },
    ],
    sequence: [
      { atMs: 60, function: 1, pec: 0x3a },
      { atMs: 100, function: 2, dma: "translation" as const },
      { atMs: 150, function: 1, unplug: "surprise" as const },
      { atMs: 200, function: 1, plug: "configured" as const },
    ],
  };

  it("recovery, DMA faults and hot-plug work over a container's mappings, on one thread", () => {
    const run = runDeterministic(pinnedRun);
    expectGood(run);
    expect(run.functions.map(({ books }) => books.recoveries)).toEqual([1, 1, 0]);
  });

  it("and with recovery machines that die", () => {
    let kills = 0;
    const run = runDeterministic(pinnedRun, 0, (machine, round) => {
      if (round % 7 === 0 && kills < 40 && killAt(machine.vm, round % 2, 1 + (round % 9)))
        kills += 1;
    });
    expectGood(run);
    expect(kills).toBeGreaterThan(4);
  });
});

describe("faults at PCI level", () => {
  const kinds: readonly (readonly [string, readonly ConfigStep[]])[] = [
    ["a storm of fifty", [{ atMs: 60, function: 1, storm: { pec: 2, count: 50, everyMs: 0.2 } }]],
    ["a link down for 30 ms", [{ atMs: 60, function: 1, linkDown: { forMs: 30 } }]],
    [
      "silent ones, then the event",
      [
        { atMs: 60, function: 1, allOnes: {} },
        { atMs: 80, function: 1, pec: 0x3a },
      ],
    ],
    [
      "blocked DMA, then the event",
      [
        { atMs: 60, function: 1, blockedDma: {} },
        { atMs: 90, function: 1, pec: 0x3a },
      ],
    ],
    [
      "lost error signals: the slow drain finds the events",
      [
        { atMs: 60, function: 1, lostSignals: 3 },
        { atMs: 61, function: 1, pec: 0x3a },
        { atMs: 62, function: 1, pec: 0x02 },
      ],
    ],
    ["an error at the tenth transfer", [{ afterTransfers: 10, function: 1, pec: 0x3a }]],
    ["errors by chance", [{ perTransfer: 0.02, times: 3, function: 1, pec: 0x3a }]],
    ["an error at the doorbell", [{ bar: { from: 0x24 }, function: 1, pec: 0x3a }]],
  ];

  it.each(kinds)("%s: the guest recovers and no byte is wrong", (_name, sequence) => {
    const run = runDeterministic({ settleMs: 100, functions: [{ fid: 1 }, { fid: 2 }], sequence });
    expectRecovered(run);
    expect(run.functions[0]?.books.recoveries).toBeGreaterThanOrEqual(1);
    expect(run.functions[1]?.books.errorsRaised).toBe(0);
  });
});

describe("EEH", () => {
  it("two functions of one PE both recover from one's freeze, the third notices nothing", () => {
    const host = { dialect: "eeh", abi: "merged", pe: 5 };
    const run = runDeterministic({
      settleMs: 1100, // an idle function is looked at once a second
      functions: [
        { fid: 1, host },
        { fid: 2, host },
        { fid: 3, host: { dialect: "eeh", abi: "merged" } },
      ],
      sequence: [
        { atMs: 60, function: 1, pec: 0x0b },
        { atMs: 400, function: 2, pec: 0x0b },
      ],
    });
    expectRecovered(run);
    expect(run.functions.map(({ books }) => books.recoveries)).toEqual([2, 2, 0]);
  });
});
