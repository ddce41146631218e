/**
 * The recovery machine: a total table, states down, events across, choices inside a cell. Every cell is a
 * step, "ignore" (it can happen and is harmless) or "bug" (zmend itself would be wrong about the world; no
 * guest, host or user can bring it about). A missing cell or choice does not compile. Source: design.md 5,
 * 5.1; vfio-uapi.md 2.5, 3.8, 4.5; zpci-guest.md 9.
 *
 * Reading order of a step: the state word is written first, then the effects run in order, noted one by
 * one. A worker that dies in between leaves its successor the new state and the effects still to do; these
 * come first, then the `workerRestarted` cell, which repeats what a state stands on (channel report, deadline,
 * host call). So every effect can be done twice.
 */
import {
  CHOICES_MAX,
  type ChoiceName,
  Effect,
  type EffectName,
  type EventName,
  eventNames,
  events,
  State,
  type StateName,
  states,
} from "./vocabulary.ts";

export interface StepRow {
  readonly next: StateName;
  readonly effects: readonly EffectName[];
}
export type Cell = StepRow | "ignore" | "bug";
/** An event with choices has a cell for each of them. */
export type EventCell<E extends EventName> = [ChoiceName<E>] extends [never]
  ? Cell
  : { readonly [C in ChoiceName<E>]: Cell };
export type Row = { readonly [E in EventName]: EventCell<E> };
export type Table = { readonly [S in StateName]: Row };

function to(next: StateName, ...list: EffectName[]): StepRow {
  return { next, effects: list };
}

/** Reading a CCDF does not change the state; only what is wrong with the function as a whole does. */
function reading(self: StateName): EventCell<"ccdfRead"> {
  return {
    deliver: to(self, "deliver"),
    permanent: to(self, "deliver"),
    stale: to(self, "dropStale"),
    fmb: to(self, "dropFmb"),
    coalesce: to(self, "dropPolicy"),
    quarantine: to("quarantined", "dropPolicy", "injectPermanent"),
    unverifiable: to(self, "dropUnverifiable"),
  };
}

/** Out of service: whatever the host still has is counted and thrown away. */
function discarding(self: StateName): EventCell<"ccdfRead"> {
  return {
    deliver: to(self, "dropPolicy"),
    permanent: to(self, "dropPolicy"),
    stale: to(self, "dropStale"),
    fmb: to(self, "dropFmb"),
    coalesce: to(self, "dropPolicy"),
    quarantine: to(self, "dropPolicy"),
    unverifiable: to(self, "dropUnverifiable"),
  };
}

/** The host's queue has been read to its end (or as far as the guest's ring has room). */
function emptied(self: StateName): EventCell<"queueEmpty"> {
  return {
    nothing: "ignore",
    injected: to("awaiting-guest", "report"),
    fetched: to("guest-recovering", "report"),
    reset: to("awaiting-guest", "report"), //        a reset now would take the guest's work away
    permanent: to("failed", "report"),
    quarantine: to("quarantined", "injectPermanent"),
    unplug: to("unplugging", "report", "requestUnplug"),
    orphan: to("resetting", "resetOrphan"),
    starved: self === "failed" ? to("failed", "report") : to("awaiting-guest", "report"),
  };
}

const emptiedQuietly: EventCell<"queueEmpty"> = {
  nothing: "ignore",
  injected: "ignore",
  fetched: "ignore",
  reset: "ignore",
  permanent: "ignore",
  quarantine: "ignore",
  unplug: "ignore",
  orphan: "ignore",
  starved: "ignore",
};

const ignoreSignal: EventCell<"errorSignalled"> = { read: "ignore", "stop-vm": "ignore" };

function signalled(self: StateName): EventCell<"errorSignalled"> {
  return { read: to(self, "poll"), "stop-vm": to("failed", "stopVm") };
}

function resetBlock(self: StateName): EventCell<"guestResetBlock"> {
  return {
    requested: to(self, "startClear"),
    accepted: to("unblocked", "answerClear"),
    refused: to(self, "refuseClear"),
  };
}

function resetError(self: StateName): EventCell<"guestResetError"> {
  return {
    requested: to(self, "startClear"),
    accepted: to("operational", "answerClear", "recovered"),
    verify: to("verifying", "answerClear"),
    refused: to(self, "refuseClear"),
  };
}

/** Nothing can be cleared in place here; a vCPU that waits for an answer gets one. */
const clearRefused = {
  block: (self: StateName): EventCell<"guestResetBlock"> => ({
    requested: to(self, "refuseClear"),
    accepted: to(self, "refuseClear"),
    refused: to(self, "refuseClear"),
  }),
  error: (self: StateName): EventCell<"guestResetError"> => ({
    requested: to(self, "refuseClear"),
    accepted: to(self, "refuseClear"),
    verify: to(self, "refuseClear"),
    refused: to(self, "refuseClear"),
  }),
};

const noReset = {
  done: {
    guest: "bug",
    "before-injection": "bug",
    reinject: "bug",
    release: "bug",
    system: "bug",
    orphan: "bug",
    enabled: "bug",
  } satisfies EventCell<"hostResetDone">,
  failed: {
    quarantine: "bug",
    unplug: "bug",
    "stop-vm": "bug",
    fail: "bug",
  } satisfies EventCell<"hostResetFailed">,
};

const noDeadline: EventCell<"deadline"> = {
  wait: "bug",
  reinject: "bug",
  "reset-and-reinject": "bug",
  quarantine: "bug",
  unplug: "bug",
  "stop-vm": "bug",
  fail: "bug",
  idle: "bug",
};

function escalating(self: StateName): EventCell<"deadline"> {
  return {
    wait: to(self, "rearm"),
    reinject: to("awaiting-guest", "rearm", "reinject"),
    "reset-and-reinject": to("resetting", "resetAndReinject"),
    quarantine: to("quarantined", "injectPermanent"),
    unplug: to("unplugging", "requestUnplug"),
    "stop-vm": to("failed", "stopVm"),
    fail: to("failed", "injectPermanent"),
    idle: to("operational", "endEpisode"), //         the guest has switched the function off; host healthy
  };
}

function commanded(self: StateName): EventCell<"operatorCommand"> {
  return {
    reset: self === "resetting" ? "ignore" : to("resetting", "resetAndReinject"),
    quarantine: to("quarantined", "refuseReset", "injectPermanent"),
    release: "ignore",
    unplug: to("unplugging", "refuseReset", "requestUnplug"),
    "stop-vm": to("failed", "stopVm"),
    ask: to("unplugging", "noteAsked", "refuseReset", "requestUnplug"),
    take: taken,
  };
}

/** Without the guest's consent. */
const taken = to("detached", "refuseReset", "refuseClear", "forceUnplug");

/** What the function was does not matter. */
function rebooted(cell: Cell): EventCell<"systemReset"> {
  return { working: cell, permanent: cell };
}

const notAsked: EventCell<"unplugRefused"> = {
  healthy: "ignore",
  broken: "ignore",
  failed: "ignore",
  quarantined: "ignore",
};

/** Cells that read the same in every state where the function is in service. */
function inService(self: StateName) {
  return {
    errorSignalled: signalled(self),
    ccdfRead: reading(self),
    queueEmpty: emptied(self),
    hostGone: taken,
    hostBack: { configured: "bug", standby: "bug" },
    hostResetDone: noReset.done,
    hostResetFailed: noReset.failed,
    hostResetBusy: "bug",
    operatorCommand: commanded(self),
    systemReset: rebooted(to("resetting", "resetForSystem")),
    vmPaused: to(self, "freeze"),
    vmResumed: to(self, "thaw"),
    creditReturned: to(self, "poll"),
    handleChanged: to(self, "noteHandle"),
    hostRequest: to("unplugging", "requestUnplug"),
    unplugDone: "bug",
    unplugRefused: notAsked,
  } as const satisfies Partial<Row>;
}

/** The guest at work on an error: any of its steps is progress, whatever we thought it was doing. */
function guestAtWork(self: StateName) {
  return {
    ...inService(self),
    guestResetBlock: resetBlock(self),
    guestResetError: resetError(self),
    guestDisable: {
      requested: to("resetting", "resetForGuest"),
      done: to("guest-recovering", "rearm"),
      orphan: to("resetting", "resetOrphan"),
    },
    guestEnable: {
      done: to("verifying", "rearm"),
      orphan: to("awaiting-guest", "rearm", "reinject"), // enabled on top of a broken host function
    },
    guestDeconfigure: {
      done: to("operational", "endEpisode"), //         the guest has given it up; nothing is left to recover
      orphan: to("resetting", "resetOrphan"),
    },
    guestConfigure: "ignore",
    guestProof: to("operational", "recovered"),
    guestReport: {
      success: to("operational", "recovered"),
      failure: to("failed"), //                         its driver has given up; it may still come back
      stale: "ignore",
    },
    deadline: escalating(self),
  } as const satisfies Partial<Row>;
}

const operational: Row = {
  ...inService("operational"),
  errorSignalled: { read: to("draining", "poll"), "stop-vm": to("failed", "stopVm") },
  ccdfRead: {
    ...reading("operational"),
    deliver: to("draining", "deliver"),
    permanent: to("draining", "deliver"),
    coalesce: to("draining", "deliver"), //             a guest that knows of nothing is always told
  },
  queueEmpty: { ...emptied("operational"), reset: to("resetting", "resetBeforeInjection") },
  guestFetched: "ignore",
  guestResetBlock: clearRefused.block("operational"),
  guestResetError: clearRefused.error("operational"),
  guestDisable: {
    requested: to("resetting", "resetForGuest"),
    done: "ignore",
    orphan: to("resetting", "resetOrphan"),
  },
  guestEnable: { done: "ignore", orphan: to("awaiting-guest", "reinject") },
  guestDeconfigure: { done: "ignore", orphan: to("resetting", "resetOrphan") },
  guestConfigure: "ignore",
  guestRegisterIoat: "ignore",
  guestProof: "ignore",
  guestReport: { success: "ignore", failure: "ignore", stale: "ignore" },
  deadline: noDeadline,
  systemReset: rebooted("ignore"),
  workerRestarted: to("operational", "answerReset", "repost", "poll"),
};

const draining: Row = {
  ...inService("draining"),
  queueEmpty: {
    ...emptied("draining"),
    nothing: to("operational", "endEpisode"),
    reset: to("resetting", "resetBeforeInjection"),
  },
  guestFetched: "ignore", //                            the end of the drain looks whether it has
  guestResetBlock: resetBlock("draining"),
  guestResetError: resetError("draining"),
  guestDisable: {
    requested: to("resetting", "report", "resetForGuest"),
    done: to("guest-recovering", "report", "poll"),
    orphan: to("resetting", "report", "resetOrphan"),
  },
  guestEnable: { done: to("verifying", "poll"), orphan: to("awaiting-guest", "reinject") },
  guestDeconfigure: {
    done: to("operational", "report", "endEpisode", "poll"),
    orphan: to("resetting", "report", "resetOrphan"),
  },
  guestConfigure: "ignore",
  guestRegisterIoat: "ignore",
  guestProof: "ignore", //                              of before the error
  guestReport: { success: "ignore", failure: "ignore", stale: "ignore" },
  deadline: noDeadline, //                              the drain waits for nobody
  workerRestarted: to("draining", "repost", "poll"),
};

const awaitingGuest: Row = {
  ...guestAtWork("awaiting-guest"),
  guestFetched: to("guest-recovering"),
  guestRegisterIoat: "ignore",
  workerRestarted: to("awaiting-guest", "rearm", "answerReset", "repost", "poll"),
};

const guestRecovering: Row = {
  ...guestAtWork("guest-recovering"),
  guestFetched: "ignore", //                            the second to fourth event of a burst
  guestRegisterIoat: to("verifying"),
  workerRestarted: to("guest-recovering", "rearm", "answerReset", "repost", "poll"),
};

const unblocked: Row = {
  ...guestAtWork("unblocked"),
  guestFetched: "ignore",
  guestRegisterIoat: "ignore",
  workerRestarted: to("unblocked", "rearm", "repost", "poll"),
};

const verifying: Row = {
  ...guestAtWork("verifying"),
  guestFetched: "ignore",
  guestRegisterIoat: "ignore",
  workerRestarted: to("verifying", "rearm", "repost", "poll"),
};

const resetting: Row = {
  ...inService("resetting"),
  errorSignalled: { read: "ignore", "stop-vm": to("failed", "refuseReset", "stopVm") },
  ccdfRead: {
    deliver: to("resetting", "dropSuperseded"),
    permanent: to("failed", "deliver", "refuseReset", "report"),
    stale: to("resetting", "dropStale"),
    fmb: to("resetting", "dropFmb"),
    coalesce: to("resetting", "dropSuperseded"),
    quarantine: to("quarantined", "dropPolicy", "refuseReset", "injectPermanent"),
    unverifiable: to("resetting", "dropUnverifiable"),
  },
  queueEmpty: emptiedQuietly, //                        the end of the reset decides
  guestFetched: "ignore",
  guestResetBlock: clearRefused.block("resetting"),
  guestResetError: clearRefused.error("resetting"),
  guestDisable: { requested: "ignore", done: "ignore", orphan: "ignore" },
  guestEnable: { done: "ignore", orphan: "ignore" }, // found out when the reset ends
  guestDeconfigure: { done: "ignore", orphan: "ignore" },
  guestConfigure: "ignore",
  guestRegisterIoat: "ignore",
  guestProof: "ignore",
  guestReport: { success: "ignore", failure: "ignore", stale: "ignore" },
  hostResetDone: {
    guest: to("guest-recovering", "answerReset", "report"),
    "before-injection": to("awaiting-guest", "answerReset", "report"),
    reinject: to("awaiting-guest", "answerReset", "reinject"),
    release: to("operational", "answerReset", "readmit"),
    system: to("operational", "answerReset", "endEpisode"),
    orphan: to("guest-recovering", "answerReset", "report"),
    enabled: to("awaiting-guest", "answerReset", "reinject"),
  },
  hostResetFailed: {
    quarantine: to("quarantined", "refuseReset", "injectPermanent"),
    unplug: to("unplugging", "refuseReset", "requestUnplug"),
    "stop-vm": to("failed", "refuseReset", "stopVm"),
    fail: to("failed", "refuseReset", "injectPermanent"),
  },
  hostResetBusy: to("resetting", "retryReset"),
  deadline: {
    wait: "bug", //                                     the unit turns this state's deadline into hostResetFailed
    reinject: "bug",
    "reset-and-reinject": "bug",
    quarantine: "bug",
    unplug: "bug",
    "stop-vm": "bug",
    fail: "bug",
    idle: "bug",
  },
  systemReset: rebooted("ignore"),
  creditReturned: "ignore",
  hostRequest: to("unplugging", "refuseReset", "requestUnplug"),
  workerRestarted: to("resetting", "rearm", "repost", "retryReset"),
};

const outOfService = {
  guestFetched: "ignore",
  guestRegisterIoat: "ignore",
  guestProof: "ignore",
  guestReport: { success: "ignore", failure: "ignore", stale: "ignore" },
  guestConfigure: "ignore",
} as const satisfies Partial<Row>;

const quarantined: Row = {
  ...inService("quarantined"),
  ...outOfService,
  errorSignalled: { read: to("quarantined", "poll"), "stop-vm": to("quarantined", "poll") },
  ccdfRead: discarding("quarantined"),
  queueEmpty: { ...emptiedQuietly, injected: to("quarantined", "report") },
  guestResetBlock: clearRefused.block("quarantined"),
  guestResetError: clearRefused.error("quarantined"),
  guestDisable: { requested: to("quarantined", "refuseReset"), done: "ignore", orphan: "ignore" },
  guestEnable: {
    done: to("quarantined", "injectPermanent"), //      after a deconfigure, which forgets the error
    orphan: to("quarantined", "injectPermanent"),
  },
  guestDeconfigure: { done: "ignore", orphan: "ignore" },
  deadline: noDeadline,
  operatorCommand: {
    reset: "ignore",
    quarantine: "ignore",
    release: to("resetting", "resetForRelease"),
    unplug: to("unplugging", "requestUnplug"),
    "stop-vm": to("failed", "stopVm"),
    ask: to("unplugging", "noteAsked", "requestUnplug"),
    take: taken,
  },
  systemReset: rebooted("ignore"), //                             a re-IPL does not lift a quarantine
  workerRestarted: to("quarantined", "refuseReset", "refuseClear", "repost", "poll"),
};

const unplugging: Row = {
  ...inService("unplugging"),
  ...outOfService,
  errorSignalled: { read: to("unplugging", "poll"), "stop-vm": to("unplugging", "poll") },
  ccdfRead: discarding("unplugging"),
  queueEmpty: { ...emptiedQuietly, injected: to("unplugging", "report") },
  guestResetBlock: clearRefused.block("unplugging"),
  guestResetError: clearRefused.error("unplugging"),
  guestDisable: { requested: to("unplugging", "refuseReset"), done: "ignore", orphan: "ignore" },
  guestEnable: { done: "ignore", orphan: "ignore" },
  guestDeconfigure: { done: "ignore", orphan: "ignore" }, // seen in the state word: unplugDone
  deadline: {
    wait: to("detached", "forceUnplug"), //             the request went unanswered: the second step follows
    reinject: to("detached", "forceUnplug"),
    "reset-and-reinject": to("detached", "forceUnplug"),
    quarantine: to("detached", "forceUnplug"),
    unplug: to("detached", "forceUnplug"),
    "stop-vm": to("failed", "stopVm"),
    fail: to("detached", "forceUnplug"),
    idle: to("detached", "forceUnplug"),
  },
  operatorCommand: {
    reset: "ignore",
    quarantine: "ignore",
    release: "ignore",
    unplug: to("detached", "forceUnplug"), //           asked twice: without the guest's consent
    "stop-vm": to("failed", "stopVm"),
    ask: "ignore",
    take: taken,
  },
  systemReset: rebooted(to("detached", "forceUnplug")),
  hostRequest: to("unplugging", "insist"),
  unplugDone: to("detached", "closeHost", "announceGone"),
  unplugRefused: {
    healthy: to("operational", "poll"),
    broken: to("awaiting-guest", "reinject"), //        resets were refused meanwhile: it begins anew
    failed: to("failed", "poll"),
    quarantined: to("quarantined", "poll"),
  },
  workerRestarted: to("unplugging", "rearm", "refuseReset", "refuseClear", "repost", "poll"),
};

const failed: Row = {
  ...inService("failed"),
  errorSignalled: { read: to("failed", "poll"), "stop-vm": "ignore" },
  ccdfRead: { ...reading("failed"), quarantine: to("failed", "dropPolicy") },
  queueEmpty: {
    nothing: "ignore",
    injected: to("failed", "report"),
    fetched: to("failed", "report"),
    reset: to("failed", "report"),
    permanent: to("failed", "report"),
    quarantine: to("quarantined", "injectPermanent"),
    unplug: to("unplugging", "report", "requestUnplug"),
    orphan: "ignore",
    starved: to("failed", "report"),
  },
  guestFetched: "ignore",
  guestResetBlock: clearRefused.block("failed"),
  guestResetError: clearRefused.error("failed"),
  guestDisable: {
    requested: to("resetting", "resetForGuest"), //     its driver tries again (sysfs reset, rebind)
    done: "ignore",
    orphan: "ignore",
  },
  guestEnable: { done: to("verifying"), orphan: to("awaiting-guest", "reinject") },
  guestDeconfigure: {
    done: to("operational", "endEpisode"), //           a permanent error stands until deconfigure
    orphan: to("resetting", "resetOrphan"),
  },
  guestConfigure: "ignore",
  guestRegisterIoat: "ignore",
  guestProof: "ignore",
  guestReport: { success: to("operational", "recovered"), failure: "ignore", stale: "ignore" },
  deadline: noDeadline,
  operatorCommand: {
    reset: to("resetting", "resetForRelease"),
    quarantine: to("quarantined", "injectPermanent"),
    release: to("resetting", "resetForRelease"),
    unplug: to("unplugging", "requestUnplug"),
    "stop-vm": to("failed", "stopVm"),
    ask: to("unplugging", "noteAsked", "requestUnplug"),
    take: taken,
  },
  systemReset: {
    working: to("resetting", "resetForSystem"), //      a policy stopped the VM; its guest begins anew
    permanent: "ignore", //                             a permanent error stands until deconfigure
  },
  workerRestarted: to("failed", "refuseReset", "refuseClear", "repost", "poll"),
};

const detached: Row = {
  ...inService("detached"),
  ...outOfService,
  errorSignalled: ignoreSignal,
  ccdfRead: discarding("detached"), //                  between the decision and the close
  queueEmpty: emptiedQuietly,
  hostGone: "ignore",
  hostBack: {
    configured: to("operational", "announceBack"),
    standby: to("operational", "announceStandby"),
  },
  guestResetBlock: clearRefused.block("detached"),
  guestResetError: clearRefused.error("detached"),
  guestDisable: { requested: to("detached", "refuseReset"), done: "ignore", orphan: "ignore" },
  guestEnable: { done: "ignore", orphan: "ignore" },
  guestDeconfigure: { done: "ignore", orphan: "ignore" },
  deadline: noDeadline,
  operatorCommand: {
    reset: "ignore",
    quarantine: "ignore",
    release: "ignore",
    unplug: "ignore",
    "stop-vm": to("detached", "stopVm"),
    ask: "ignore",
    take: "ignore",
  },
  systemReset: rebooted("ignore"),
  creditReturned: "ignore",
  hostRequest: "ignore",
  workerRestarted: to("detached", "refuseReset", "refuseClear", "repost"),
};

export const table: Table = {
  operational,
  draining,
  "awaiting-guest": awaitingGuest,
  "guest-recovering": guestRecovering,
  unblocked,
  resetting,
  verifying,
  quarantined,
  unplugging,
  failed,
  detached,
};

export const STEP = 0;
export const IGNORE = 1;
export const BUG = 2;

/** A cell compiled to numbers. `next` of an ignored event is the state itself. */
export interface Step {
  readonly kind: typeof STEP | typeof IGNORE | typeof BUG;
  readonly next: number;
  readonly effects: readonly number[];
}

const EVENTS = eventNames.length;

/** All cells in one flat array: index = (state * events + event) * CHOICES_MAX + choice. */
export type CompiledTable = readonly Step[];

export function compileTable(source: Table): CompiledTable {
  // Plain arrays: V8 compiles a load from these, from a frozen one it calls out.
  const nothing: readonly number[] = [];
  const compiled: Step[] = [];
  for (const [state, name] of states.entries()) {
    for (const event of eventNames) {
      const choices = events[event].length;
      const cell = source[name][event] as Cell | Readonly<Record<string, Cell>>;
      for (let choice = 0; choice < CHOICES_MAX; choice++) {
        const picked: Cell =
          choices === 0
            ? choice === 0
              ? (cell as Cell)
              : "bug"
            : ((cell as Readonly<Record<string, Cell>>)[events[event][choice] ?? ""] ?? "bug");
        compiled.push(
          Object.freeze(
            typeof picked === "string"
              ? { kind: picked === "bug" ? BUG : IGNORE, next: state, effects: nothing }
              : {
                  kind: STEP,
                  next: State[picked.next],
                  effects: picked.effects.map((effect) => Effect[effect]),
                },
          ),
        );
      }
    }
  }
  return compiled;
}

export const compiledTable: CompiledTable = compileTable(table);

/** Where the step for (state, event, choice) stands in a compiled table. */
export function cellIndex(state: number, event: number, choice: number): number {
  return (state * EVENTS + event) * CHOICES_MAX + choice;
}

/**
 * The machine: which step follows. Pure; hands out preallocated steps, so nothing is allocated.
 * @param choice the event's choice number, 0 for events without choices
 */
export function transition(
  state: number,
  event: number,
  choice: number,
  cells: CompiledTable = compiledTable,
): Step {
  return cells[cellIndex(state, event, choice)] as Step;
}
