/**
 * The words of the recovery machine (design.md 5): states, events, the choices an event may carry, and
 * effects. All travel as small integers, the index in these lists; names are for people. The order is part
 * of the shared-memory format (`FunctionBlock.recoveryState`) and of the trace records: append only.
 */

/** `operational` is 0, so a fresh function block is an operational function. */
export const states = [
  "operational",
  "draining", //         CCDFs are being read from the host
  "awaiting-guest", //   injected, the guest has not fetched
  "guest-recovering", // fetched; the guest's driver is at work
  "unblocked", //        loads and stores allowed, DMA still blocked
  "resetting", //        a host reset runs
  "verifying", //        enabled again; proof of life is wanted
  "quarantined", //      taken out of service by policy or operator
  "unplugging", //       the guest was asked to give the function up
  "failed", //           permanent
  "detached", //         no longer the guest's
] as const;
export type StateName = (typeof states)[number];

/** What a policy can decide when a deadline passes or a reset fails for good. */
export const policySteps = [
  "wait", //             give the state one more deadline
  "reinject", //         tell the guest again
  "reset-and-reinject", // reset the host function, then tell the guest again
  "quarantine",
  "unplug",
  "stop-vm",
  "fail", //             permanent error, told to the guest as PEC 0x003b
] as const;

/** Events with the choices that the unit finds out before it asks the table. `[]`: one kind only. */
export const events = {
  errorSignalled: ["read", "stop-vm"],
  ccdfRead: ["deliver", "permanent", "stale", "fmb", "coalesce", "quarantine", "unverifiable"],
  queueEmpty: [
    "nothing", //    no record was published since the last report
    "injected", //   records are waiting for the guest
    "fetched", //    records were published and the guest has already taken them
    "reset", //      injected, and the policy resets before it reports
    "permanent", //  one of them was a permanent error
    "quarantine", // the policy quarantines on the first error
    "unplug", //     the policy unplugs on the first error
    "orphan", //     the host function is broken while the guest has it disabled
    "starved", //    the guest's ring is full: the guest must fetch first
  ],
  hostGone: [],
  hostBack: ["configured", "standby"],
  guestFetched: [],
  guestResetBlock: ["requested", "accepted", "refused"],
  guestResetError: ["requested", "accepted", "verify", "refused"],
  guestDisable: ["requested", "done", "orphan"],
  guestEnable: ["done", "orphan"],
  guestDeconfigure: ["done", "orphan"],
  guestConfigure: [],
  guestRegisterIoat: [],
  guestProof: [],
  guestReport: ["success", "failure", "stale"],
  hostResetDone: [
    "guest",
    "before-injection",
    "reinject",
    "release",
    "system",
    "orphan",
    "enabled",
  ],
  hostResetFailed: ["quarantine", "unplug", "stop-vm", "fail"],
  hostResetBusy: [],
  deadline: [...policySteps, "idle"],
  operatorCommand: [
    "reset",
    "quarantine",
    "release",
    "unplug",
    "stop-vm",
    "ask", //  the guest may give it up, or keep it
    "take", // without the guest's consent
  ],
  systemReset: ["working", "permanent"], // permanent: the function was given up for good
  vmPaused: [],
  vmResumed: [],
  creditReturned: [],
  handleChanged: [],
  hostRequest: [],
  unplugDone: [],
  /** Who asked has waited long enough; by what the function is now. */
  unplugRefused: ["healthy", "broken", "failed", "quarantined"],
  workerRestarted: [],
} as const satisfies Readonly<Record<string, readonly string[]>>;
export type EventName = keyof typeof events;
export type ChoiceName<E extends EventName> = (typeof events)[E][number];

/** What the machine does; carried out in order by `effect-runner.ts`. */
export const effects = [
  "poll", //              read the host's queue in this pass
  "deliver", //           mark the function, publish the record that was read
  "dropStale", //         its host handle is not current
  "dropFmb", //           function measurement code: no error of the function
  "dropPolicy", //        coalesced or quarantined
  "dropSuperseded", //    its generation ends with the reset at hand
  "dropUnverifiable", //  neither handle nor code
  "report", //            post the channel report
  "repost", //            as report, by a successor that does not know how far it got
  "reinject", //          mark the function, publish a repeat of the last error, report
  "injectPermanent", //   mark the function permanent, publish PEC 0x003b, report
  "resetForGuest", //     start a host reset, by what it is for …
  "resetBeforeInjection",
  "resetAndReinject",
  "resetForRelease",
  "resetForSystem",
  "resetOrphan",
  "retryReset", //        after the back-off
  "answerReset", //       tell the waiting vCPU: done
  "refuseReset", //       tell the waiting vCPU: failed
  "startClear", //        MPCIFC 9 or 7 on the host
  "answerClear",
  "refuseClear",
  "rearm", //             the state's deadline starts anew
  "recovered", //         count and trace a recovery, forget the episode
  "endEpisode", //        forget the episode without a recovery
  "readmit", //           after a quarantine: taken away and configured again, 0x0304 and 0x0301
  "requestUnplug", //     availability 0x0303, if the guest has it configured
  "forceUnplug", //       availability 0x0304; the host function is closed
  "closeHost",
  "announceBack", //      configured: availability 0x0301
  "stopVm",
  "noteHandle",
  "freeze", //            deadlines stand still
  "thaw",
  "announceStandby", //   availability 0x0302
  "announceGone", //      reserved after standby: availability 0x0308
  "noteAsked", //         the guest is only asked: no deadline of the policy takes the function
  "insist", //            … until somebody wants it who does not ask
] as const;
export type EffectName = (typeof effects)[number];

type Numbers<T extends string> = { readonly [K in T]: number };

function numbers<const T extends readonly string[]>(names: T): Numbers<T[number]> {
  return Object.freeze(Object.fromEntries(names.map((name, index) => [name, index]))) as Numbers<
    T[number]
  >;
}

export const eventNames = Object.freeze(Object.keys(events)) as readonly EventName[];

export const State = numbers(states);
export const Event = numbers(eventNames);
export const Effect = numbers(effects);
export const PolicyStep = numbers(policySteps);

/** Choice numbers of one event, e.g. `choicesOf("ccdfRead").deliver`. */
export function choicesOf<const E extends EventName>(event: E): Numbers<ChoiceName<E>> {
  return numbers(events[event] as readonly ChoiceName<E>[]) as Numbers<ChoiceName<E>>;
}

export const CHOICES_MAX = Math.max(...eventNames.map((name) => Math.max(1, events[name].length)));
