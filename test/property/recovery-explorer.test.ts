import { describe, expect, it } from "vitest";
import { compilePolicy, type PolicyFile } from "../../src/recovery/policy-file.ts";
import { compileTable, type Row, type Table, table } from "../../src/recovery/table.ts";
import { type EventName, type StateName, states } from "../../src/recovery/vocabulary.ts";
import {
  type Exploration,
  type ExploreOptions,
  explore,
  explorerPolicyFile,
  type HostMove,
} from "../support/recovery-explorer.ts";

const SERVAC = 0x003a;
const OORANGE = 0x0002;
const PERMERR = 0x003b;

const small = { errors: [SERVAC], kills: 0, stalls: 9, interleave: false, statesMax: 400_000 };

function run(name: string, options: ExploreOptions): Exploration {
  const result = explore(options);
  const { states, transitions, restStates, deaths, recoveryStates } = result;
  console.log(
    `${name}: ${states} states, ${transitions} transitions, ${deaths} deaths, ${restStates} ends, ` +
      `through ${recoveryStates.join(" ")}`,
  );
  return result;
}

function policy(change: Partial<PolicyFile>) {
  return compilePolicy({ ...explorerPolicyFile, ...change });
}

/** A guest that gives functions up and takes them up as it is told. */
const heeding = { guestHeeds: true };
const askedBack: readonly HostMove[] = ["request", "back"];
const goneAndBack: readonly HostMove[] = ["gone", "back"];

/** Nothing found wrong, and everything looked at. */
const allIsWell = { violation: undefined, complete: true };

describe("in every reachable state no event is lost or doubled, and nobody waits without bound", () => {
  it("with up to three errors, the worker dying once at any drain step", () => {
    const errors = [SERVAC, OORANGE, SERVAC];
    const options = { ...small, errors, kills: 1, stalls: 0 };
    expect(run("three errors, one death", options)).toMatchObject(allIsWell);
  });

  it("with a guest and errors that cut in between any two drain steps, the third error permanent", () => {
    const errors = [SERVAC, OORANGE, PERMERR];
    const options = { ...small, errors, interleave: true, stalls: 1 };
    expect(run("three errors, interleaved", options)).toMatchObject(allIsWell);
  });

  it("with two deaths of the worker, one of them perhaps of its successor", () => {
    expect(run("two deaths", { ...small, kills: 2, stalls: 1 })).toMatchObject(allIsWell);
  });

  it("with a guest that acts in between drain steps of a worker that dies", () => {
    const options = { ...small, errors: [SERVAC, OORANGE], kills: 1, interleave: true, stalls: 0 };
    expect(run("death and interleaving", options)).toMatchObject(allIsWell);
  });

  it("with every deadline of every rung passing", () => {
    const options = { ...small, errors: [SERVAC, SERVAC], stalls: 5 };
    expect(run("all deadlines", options)).toMatchObject(allIsWell);
  });

  it("with a guest that never reads its events", () => {
    const options = {
      ...small,
      errors: [SERVAC, SERVAC],
      kills: 1,
      behaviour: { guestReads: false },
    };
    expect(run("deaf guest", options)).toMatchObject(allIsWell);
  });

  it("with a host that refuses a reset, fails another and does not change the handle", () => {
    const behaviour = { resetRefusals: 1, resetFailures: 1, keepHandle: true };
    const options = { ...small, errors: [SERVAC, SERVAC], stalls: 1, behaviour };
    expect(run("reluctant host", options)).toMatchObject(allIsWell);
  });

  it("with a host whose reset never ends", () => {
    const options = { ...small, kills: 1, behaviour: { resetHangs: true } };
    expect(run("hanging host", options)).toMatchObject(allIsWell);
  });

  it("with a host that clears errors in place", () => {
    const options = { ...small, errors: [SERVAC, SERVAC], kills: 1, stalls: 1 };
    expect(run("clearing host", { ...options, behaviour: { clearError: true } })).toMatchObject(
      allIsWell,
    );
  });

  it("with a host that asks for its function, and has it again", () => {
    const options = { ...small, host: askedBack, stalls: 1, behaviour: heeding };
    expect(run("asked back", options)).toMatchObject(allIsWell);
  });

  it("with a function that goes without asking and returns, in between any two drain steps", () => {
    const options = { ...small, host: goneAndBack, stalls: 0 };
    expect(
      run("gone and back", { ...options, interleave: true, behaviour: heeding }),
    ).toMatchObject(allIsWell);
  });

  it("with a worker that dies while its function goes and returns", () => {
    const options = { ...small, host: goneAndBack, kills: 1, stalls: 0, behaviour: heeding };
    expect(run("gone, deaths", options)).toMatchObject(allIsWell);
  });

  it("with a host that asks twice, and at last takes, and a guest that does not heed it", () => {
    const host: readonly HostMove[] = ["request", "request", "gone"];
    expect(run("taken", { ...small, stalls: 0, host })).toMatchObject(allIsWell);
  });

  it("with a function that a policy unplugged and the host has again", () => {
    const options = { ...small, errors: [PERMERR], kills: 1, host: goneAndBack };
    const how = { stalls: 0, behaviour: heeding, policy: policy({ onError: "unplug" }) };
    expect(run("unplugged, back", { ...options, ...how })).toMatchObject(allIsWell);
  });

  it("under a policy that resets first", () => {
    const options = { ...small, errors: [SERVAC, SERVAC], kills: 1, stalls: 1 };
    expect(run("reset-first", { ...options, policy: policy({ onError: "reset" }) })).toMatchObject(
      allIsWell,
    );
  });

  it("under a policy that quarantines on the second error", () => {
    const quarantine = { errors: 2, withinMs: 100_000 };
    const options = { ...small, errors: [SERVAC, SERVAC, SERVAC], kills: 1, stalls: 0 };
    expect(run("quarantine", { ...options, policy: policy({ quarantine }) })).toMatchObject(
      allIsWell,
    );
  });

  it("under a policy that unplugs on the first error", () => {
    const options = { ...small, errors: [SERVAC, SERVAC], kills: 1, stalls: 1 };
    expect(run("unplug", { ...options, policy: policy({ onError: "unplug" }) })).toMatchObject(
      allIsWell,
    );
  });
});

describe("a broken table is caught", () => {
  function broken(state: StateName, change: Partial<Row>): Table {
    return { ...table, [state]: { ...table[state], ...change } };
  }
  function violationOf(source: Table, options: Partial<ExploreOptions> = {}): string {
    return explore({ ...small, ...options, table: compileTable(source) }).violation ?? "";
  }
  const two = { errors: [SERVAC, SERVAC], stalls: 1 };
  const dying = { kills: 1, stalls: 1 };

  it("one that ignores the error signal", () => {
    const change = {
      errorSignalled: { ...table.operational.errorSignalled, read: "ignore" },
    } as const;
    expect(violationOf(broken("operational", change))).toMatch(/events have reached nobody/);
  });

  it("one that reads an event and does not settle it", () => {
    const change = { ccdfRead: { ...table.draining.ccdfRead, deliver: "ignore" } } as const;
    expect(violationOf(broken("draining", change), { errors: [SERVAC, SERVAC] })).toMatch(
      /events are open/,
    );
  });

  it("one that publishes and does not report", () => {
    const queueEmpty = {
      ...table.draining.queueEmpty,
      injected: { next: "awaiting-guest", effects: [] },
    } as const;
    expect(violationOf(broken("draining", { queueEmpty }))).not.toBe("");
  });

  it("one that stays in draining, which has no deadline", () => {
    const queueEmpty = {
      ...table.draining.queueEmpty,
      injected: { next: "draining", effects: [] },
    } as const;
    expect(violationOf(broken("draining", { queueEmpty }))).toMatch(/not a settled state|nobody/);
  });

  it("one that ends a reset and does not answer the vCPU", () => {
    const hostResetDone = {
      ...table.resetting.hostResetDone,
      guest: { next: "guest-recovering", effects: [] },
    } as const;
    expect(violationOf(broken("resetting", { hostResetDone }))).not.toBe("");
  });

  it("one that forgets what the guest asked for", () => {
    const guestDisable = {
      ...table["guest-recovering"].guestDisable,
      requested: "ignore",
    } as const;
    expect(violationOf(broken("guest-recovering", { guestDisable }))).not.toBe("");
  });

  /** The table with one cell of a column replaced in every row. */
  function brokenEverywhere<E extends EventName>(event: E, change: object): Table {
    const rows = states.map((state) => [
      state,
      { ...table[state], [event]: { ...(table[state][event] as object), ...change } },
    ]);
    return Object.fromEntries(rows) as Table;
  }

  it("one that takes an enabled function for healthy although its host function has failed", () => {
    const source = brokenEverywhere("guestEnable", { orphan: "ignore" });
    expect(violationOf(source, two)).toMatch(/known to be broken/);
  });

  it("one whose deadline of a deaf guest leads nowhere", () => {
    const deadline = { ...table["awaiting-guest"].deadline, reinject: "ignore" } as const;
    const behaviour = { guestReads: false };
    expect(violationOf(broken("awaiting-guest", { deadline }), { behaviour })).toMatch(
      /not a settled state/,
    );
  });

  it("one whose escalation never ends", () => {
    const deadline = {
      ...table["awaiting-guest"].deadline,
      fail: { next: "awaiting-guest", effects: ["rearm"] },
    } as const;
    const behaviour = { guestReads: false };
    expect(violationOf(broken("awaiting-guest", { deadline }), { behaviour })).toMatch(
      /waits without bound/,
    );
  });

  it("one whose restarted worker does not report what its predecessor published", () => {
    const change = { workerRestarted: "ignore" } as const;
    const source = { ...table, draining: { ...table.draining, ...change } };
    expect(violationOf(source, dying)).not.toBe("");
  });

  it("one that quarantines a function and does not tell the guest", () => {
    const silent = { next: "quarantined", effects: ["dropPolicy"] };
    const source = brokenEverywhere("ccdfRead", { quarantine: silent });
    const deaf = { ...source.quarantined.guestEnable, orphan: "ignore" };
    const quarantined = { ...source.quarantined, guestEnable: deaf } as Row;
    const quarantine = { errors: 1, withinMs: 1000 };
    const options = { policy: policy({ quarantine }) };
    expect(violationOf({ ...source, quarantined }, options)).toMatch(/was not told/);
  });

  it("one that calls a possible event a bug", () => {
    const source = broken("awaiting-guest", { guestFetched: "bug" });
    expect(violationOf(source)).toMatch(/guestFetched .* in state awaiting-guest/);
  });
});
