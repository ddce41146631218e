/**
 * Every kind of operating failure zmend reports, with the exit status that the commands use for it
 * (0 done, 1 the run failed, 2 bad usage or config, 3 host or environment lacks something).
 */
export const errorCatalogue = {
  USAGE: { exit: 2 },
  CONFIG_INVALID: { exit: 2 },
  FIXTURE_MISSING: { exit: 2 },
  FIXTURE_INVALID: { exit: 2 },
  IMAGE_INVALID: { exit: 2 },
  CCDF_FILE_INVALID: { exit: 2 },
  POLICY_INVALID: { exit: 2 },
  SNAPSHOT_INVALID: { exit: 2 },
  EXPERIMENT_INVALID: { exit: 2 },
  LEDGER_INVALID: { exit: 2 },
  NOT_ENOUGH_MEMORY: { exit: 3 },
  ENVIRONMENT: { exit: 3 },
  /** What was asked for does not go in the state that the VM is in. */
  STATE_REFUSED: { exit: 1 },
  NOT_FOUND: { exit: 1 },
  WORKER_FAILED: { exit: 1 },
} as const;

export type ErrorCode = keyof typeof errorCatalogue;

/** A failure that a user or operator can act on: one sentence naming the thing, the place, the remedy. */
export class ZmendError extends Error {
  override readonly name = "ZmendError";
  readonly code: ErrorCode;
  readonly detail: Readonly<Record<string, unknown>>;

  constructor(
    code: ErrorCode,
    message: string,
    detail: Readonly<Record<string, unknown>> = {},
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.code = code;
    this.detail = detail;
  }

  get exitStatus(): number {
    return errorCatalogue[this.code].exit;
  }
}
