/**
 * What a guest's zPCI instructions do to the machine, seen from the model: one method per instruction that changes
 * or asks something. The experiments answer with the real devices (`src/experiment/trial/machine-port.ts`).
 */

/** Event handed out by CHSC store event information, NT2. */
export interface GuestEvent {
  /** Slot of the function in the guest, from 0. */
  readonly index: number;
  /** 1 = error, 2 = availability. */
  readonly contentCode: number;
  readonly pec: number;
  /** FH in the CCDF, as the guest sees it. */
  readonly handle: number;
  /** P flag: further events are pending. */
  readonly more: boolean;
}

/** Condition code in bits 0-7, status in bits 8-15. */
export type Answer = number;

export interface GuestPort {
  /** STCRW: true = cc 0. */
  stcrw(): boolean;
  /** CHSC command 0x000e: true = an event was stored; it stands in `event`. */
  chsc(): boolean;
  readonly event: GuestEvent;
  /** CLP List PCI: the handle that is reported for the function, 0 = none. */
  listed(index: number): number;
  /** CLP Set PCI function: response code. */
  enable(index: number): number;
  disable(index: number): number;
  /** MPCIFC. */
  modify(index: number, operation: number): Answer;
  /** PCILG of a word that is never all ones on a healthy function: false when it is, or not loaded at all. */
  alive(index: number): boolean;
  /** What a PCILG or PCISTG would be answered now; without effect. */
  accessAnswer(index: number): Answer;
  /** SCLP Write Event Data, event type 0x18. */
  report(index: number, success: boolean): void;
  /** SCLP deconfigure I/O adapter. */
  deconfigure(index: number): void;
}

/** Times that the model does not know by itself: microseconds of this stage for this function, now. */
export interface GuestTimes {
  /** The time that it now is, microseconds, in its first element. */
  readonly stamp: Float64Array;
  delayUs(index: number, stage: number): number;
}

/** Turning points of a recovery, for whoever measures it. */
export const Mark = {
  /** CHSC handed the guest an error event of the function. */
  fetched: 0,
  /** The guest asks for the error to be cleared or the function to be reset: MPCIFC 9 or CLP disable. */
  resetAsked: 1,
  /** MPCIFC 7 or CLP disable was granted. */
  resetGranted: 2,
  /** First good load after that. */
  proved: 3,
  /** The driver's I/O runs again. */
  resumed: 4,
  /** The guest has given the function up: permanent failure, no driver, or removed. */
  lost: 5,
  /** The driver hangs in a callback and holds the kernel's event thread: no function's events are read any more. */
  stuck: 6,
} as const;

export interface GuestWatcher {
  mark(index: number, mark: number): void;
}
