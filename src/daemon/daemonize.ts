/**
 * `-daemonize`: the command that was typed ends when the guest's program stands in the background with all its
 * sockets open, or with its status and words when that failed. A Node process cannot fork; it starts itself anew.
 */
import { spawn } from "node:child_process";
import { EXIT_DONE, EXIT_FAILED } from "./failure.ts";

/** Set for the one in the background. */
const MARK = "ZMEND_BACKGROUND";

/** True in the process that runs in the background. */
export function inBackground(): boolean {
  return process.env[MARK] === "1";
}

/**
 * Starts this program again in the background and waits until it is ready.
 * @param descriptors inherited ones that it needs, under the same numbers
 * @returns the exit status
 */
export function startInBackground(
  words: readonly string[],
  descriptors: readonly number[],
): Promise<number> {
  const script = process.argv[1] ?? "";
  const stdio: ("ignore" | "pipe" | "ipc" | number)[] = ["ignore", "ignore", "pipe"];
  for (const fd of descriptors) {
    while (stdio.length < fd) stdio.push("ignore");
    stdio[fd] = fd;
  }
  stdio.push("ipc");
  const child = spawn(process.execPath, [...process.execArgv, script, ...words], {
    detached: true,
    stdio,
    env: { ...process.env, [MARK]: "1" },
  });
  child.stderr?.on("data", (chunk: Uint8Array) => process.stderr.write(chunk));
  return new Promise((resolve) => {
    child.once("message", () => {
      child.disconnect();
      child.stderr?.destroy();
      child.unref();
      resolve(EXIT_DONE);
    });
    child.once("error", (error) => {
      process.stderr.write(`zmend-system-s390x: ${error.message}\n`);
      resolve(EXIT_FAILED);
    });
    child.once("close", (status) => resolve(status ?? EXIT_FAILED));
  });
}

/** Tells the command that was typed that it can end. From then on nobody reads standard error. */
export function backgroundReady(): Promise<void> {
  process.stderr.on("error", () => {});
  return new Promise((resolve) => {
    if (process.send === undefined) resolve();
    else process.send("ready", () => resolve());
  });
}
