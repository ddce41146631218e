/**
 * A recovery policy in its compiled form: plain numbers, so it travels in workerData and the hot path reads
 * it without looking anything up. Written by people as YAML (`policy-file.ts`, config/policies).
 */
import { PolicyStep } from "./vocabulary.ts";

/** What happens on a function's first error. */
export const onErrorChoices = ["inject", "reset", "quarantine", "unplug", "stop-vm"] as const;
export const OnError = {
  inject: 0, //     pass through to the guest
  reset: 1, //      host reset first, then tell the guest
  quarantine: 2,
  unplug: 3,
  stopVm: 4, //     what QEMU 11 does
} as const;

/** Errors remembered for "quarantine after N in T". */
export const QUARANTINE_ERRORS_MAX = 8;

export interface Policy {
  readonly name: string;
  readonly onError: number;
  /** A `PolicyStep`: when the host reset fails for good. */
  readonly onResetFailure: number;
  /** Microseconds by state number, 0 = the state waits for nobody. */
  readonly deadlineUs: readonly number[];
  readonly resetBudgetUs: number;
  /** Pauses before the second, third … attempt; the last one repeats until the budget ends. */
  readonly resetBackoffUs: readonly number[];
  /** How often a started host call is asked whether it has ended, when the host does not ring. */
  readonly hostPollUs: number;
  /** Rungs taken one deadline after the other within one recovery; after the last comes `fail`. */
  readonly escalationStep: readonly number[];
  readonly escalationTimes: readonly number[];
  /** Whether an accepted MPCIFC 7 needs proof of life before it counts. */
  readonly verifyResetError: boolean;
  /** Token bucket for errors of a function that is already in error; 0 tokens = every error is passed on. */
  readonly stormTokens: number;
  readonly stormPerSecond: number;
  /** Quarantine on the Nth failure within T (a burst of events is one failure); N = 0: never. */
  readonly quarantineErrors: number;
  readonly quarantineWithinMs: number;
  /** The host's queue is read at this interval even without a signal; 0 = never. */
  readonly slowDrainUs: number;
}

/** Longest time one recovery may take before the function ends in a settled state, microseconds. */
export function episodeBoundUs(policy: Policy): number {
  const longest = Math.max(...policy.deadlineUs);
  const rungs = policy.escalationTimes.reduce((sum, times) => sum + times, 0);
  return (rungs + 2) * (longest + policy.resetBudgetUs);
}

export function policyStepOf(policy: Policy, rung: number): number {
  return policy.escalationStep[rung] ?? PolicyStep.fail;
}
