/** `zmend-system-s390x -deterministic`: the run of `deterministic-run.ts` between a terminal and an exit status. */
import { readFileSync } from "node:fs";
import { ZmendError } from "../base/errors.ts";
import { VCPU_CHECK_STOP } from "../machine/loops.ts";
import { DETERMINISTIC_EPOCH_MS } from "../machine/vm-spec.ts";
import { runDeterministic } from "./deterministic-run.ts";
import { EXIT_DONE } from "./failure.ts";
import { outputStalled } from "./output.ts";
import { checkStop, type SystemPlan, specOf } from "./system-run.ts";

/** @returns the exit status */
export async function runInVirtualTime(plan: SystemPlan): Promise<number> {
  const { boot, snapshot, ends, settings } = plan;
  const foreign = ends.find(({ backend }) => backend.kind !== "stdio" && backend.kind !== "null");
  if (foreign !== undefined || settings.paused || boot === undefined) {
    throw new ZmendError(
      "USAGE",
      "-deterministic: nobody can talk to a guest in virtual time; leave out -S, -qmp, -monitor, -chardev and -machine none",
    );
  }
  let interrupted = false;
  const interrupt = (): void => {
    interrupted = true;
  };
  process.on("SIGINT", interrupt).on("SIGTERM", interrupt);
  const quiet = !ends.some((end) => end.console && end.backend.kind === "stdio");
  const result = await runDeterministic({
    boot,
    snapshot,
    spec: { ...specOf(plan), epochMs: DETERMINISTIC_EPOCH_MS },
    reboots: settings.onGuestReset === "reset",
    input: quiet || process.stdin.isTTY ? new Uint8Array(0) : readFileSync(process.stdin.fd),
    console: (bytes) => {
      if (!quiet) process.stdout.write(bytes);
    },
    pause: async () => {
      await new Promise((resolve) => setImmediate(resolve));
      while (outputStalled() && !interrupted) await new Promise((done) => setTimeout(done, 5));
      return interrupted;
    },
  });
  process.off("SIGINT", interrupt).off("SIGTERM", interrupt);
  process.stderr.write(
    `${plan.program}: ${result.instructions} instructions in ${(result.timeUs / 1e6).toFixed(6)} s of virtual time, digest ${result.digest}\n`,
  );
  if (interrupted) process.stderr.write(`${plan.program}: terminated by a signal\n`);
  else if (result.stopped === VCPU_CHECK_STOP) return checkStop(plan.program, result.pswAddress);
  return EXIT_DONE;
}
