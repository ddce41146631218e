/** How the commands end: one sentence on standard error, the exit status of the error's kind. */
import type { Logger } from "pino";
import { ZmendError } from "../base/errors.ts";

export const EXIT_DONE = 0;
export const EXIT_FAILED = 1;
export const EXIT_USAGE = 2;
const EXIT_ENVIRONMENT = 3;
export const EXIT_INTERRUPTED = 130;
/** As a shell tells of a program that SIGPIPE ended. */
const EXIT_PIPE = 141;

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

/**
 * Without this, a standard output that fails is an exception from nowhere. A reader that goes away (`zmend demo
 * | head`) ends the command without a word, anything else with one sentence; threads end with the process.
 */
export function guardStandardOutput(program: string): void {
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE") process.exit(EXIT_PIPE);
    process.stderr.write(
      `${program}: Standard output cannot be written (${error.code}); make room or send it elsewhere.\n`,
    );
    process.exit(EXIT_ENVIRONMENT);
  });
}
