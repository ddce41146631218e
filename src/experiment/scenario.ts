/**
 * A scenario with everything resolved: what breaks when, how the host behaves, what people do about it. Plain data;
 * times in microseconds. Written by people as part of an experiment's YAML (`schema.ts`).
 */
import type { Distribution } from "../base/distribution.ts";

/** When the events of a fault source arrive, counted from the trial's start. */
export type Arrivals =
  | { readonly kind: "poisson"; readonly meanUs: number }
  | { readonly kind: "weibull"; readonly scaleUs: number; readonly shape: number }
  /** Bursts at exponential distances, each of `size` events `gap` apart. */
  | {
      readonly kind: "bursts";
      readonly meanUs: number;
      readonly size: Distribution;
      readonly gap: Distribution;
    }
  /** A recorded trace: the same times in every repetition. */
  | { readonly kind: "trace"; readonly atUs: readonly number[] };

/** Who is hit by an arrival: one function, all functions of a guest, or of the whole fleet (correlated faults). */
export const faultScopes = ["function", "guest", "fleet"] as const;
export type FaultScope = (typeof faultScopes)[number];

export interface FaultSource {
  readonly arrivals: Arrivals;
  readonly scope: FaultScope;
  /** Share of the scope's functions that an arrival hits; each by its own draw. */
  readonly share: number;
  /** How long after the arrival a function is hit. */
  readonly spreadUs: Distribution;
  readonly pecs: readonly { readonly pec: number; readonly weight: number }[];
  /** Probability that the event carries a handle that is no longer current: no error of the function. */
  readonly stale: number;
  /** Probability that the ERR signal is lost; the event waits in the host for the slow drain. */
  readonly lostSignal: number;
}

/** The simulated host kernel's answers to VFIO_DEVICE_RESET and, where it has them, MPCIFC 9 and 7. */
export interface HostBehaviour {
  readonly resetUs: Distribution;
  /** Probability that an attempt is refused with EAGAIN. */
  readonly refused: number;
  /** Probability that an attempt ends with EIO. */
  readonly failed: number;
  /** Probability that a reset never ends. */
  readonly hangs: number;
  /** Probability that a failure's hardware cannot be reset any more, whatever the PEC said. */
  readonly broken: number;
  readonly clearError: boolean;
  readonly clearUs: Distribution;
}

/** What people do. Without an entry nobody does it within the trial. */
export interface OperatorBehaviour {
  /** A stopped VM is started again after this. */
  readonly restartVmUs?: Distribution;
  /** A function that left service is repaired and given back after this. */
  readonly repairUs?: Distribution;
}

export interface Scenario {
  readonly name: string;
  readonly horizonUs: number;
  /** Virtual machines, and passed-through functions of each. */
  readonly guests: number;
  readonly functionsPerGuest: number;
  readonly sources: readonly FaultSource[];
  readonly host: HostBehaviour;
  readonly operator: OperatorBehaviour;
}
