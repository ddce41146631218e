/** How the commands end: one sentence on standard error, the exit status of the error's kind. */
import type { Logger } from "pino";
import { ZmendError } from "../base/errors.ts";

export const EXIT_DONE = 0;
export const EXIT_FAILED = 1;
export const EXIT_USAGE = 2;
export const EXIT_INTERRUPTED = 130;

/**
 * Prints an error a user can act on without a stack trace; anything else is our mistake and is logged whole.
 * @returns the exit status
 */
export function reportFailure(program: string, error: unknown, log?: Logger): number {
  if (error instanceof ZmendError) {
    process.stderr.write(`${program}: ${error.message}\n`);
    log?.debug({ err: error, code: error.code }, "failure");
    return error.exitStatus;
  }
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  process.stderr.write(`${program}: internal error, please report it: ${text}\n`);
  return EXIT_FAILED;
}
