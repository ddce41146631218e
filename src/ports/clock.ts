/** Time as the core sees it. */
export interface Clock {
  /** Monotonic microseconds since the VM was created; fractions allowed; never goes back. */
  nowUs(): number;
}
