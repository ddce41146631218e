/**
 * Floating interruptions of one VM. Any thread may post; a vCPU whose masks allow claims
 * (`src/shm/floating.ts`). Posting marks every vCPU's pending word and wakes sleepers.
 */
export interface InterruptSink {
  /** Channel-report-pending machine check. */
  channelReport(): void;
  /** Adapter interruption for an interruption subclass 0..7. */
  adapterInterruption(isc: number): void;
  /** External interruption 0x2401 with its 32-bit parameter. */
  serviceSignal(parameter: number): void;
}
