/** Runs a command of ours the way a shell does, and collects what it said. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";

export interface CommandResult {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Longer than any run that ends by itself: a test that hangs fails by this, not by chance. */
const TIMEOUT_MS = 90_000;

/** @param input what the command reads; nothing without it */
export function runNode(words: readonly string[], cwd?: string, input?: string): CommandResult {
  const result = spawnSync(process.execPath, [...words], {
    encoding: "utf8",
    timeout: TIMEOUT_MS,
    maxBuffer: 64 * 1024 * 1024,
    ...(cwd === undefined ? {} : { cwd }),
    ...(input === undefined ? {} : { input }),
  });
  const { status, signal, stdout, stderr } = result;
  return { status, signal, stdout, stderr };
}

/**
 * Starts a command, waits until its standard output matches `ready`, sends `signal`, waits for its end.
 * A command that ends before it was ready is not signalled.
 */
export function interruptNode(
  words: readonly string[],
  ready: RegExp,
  signal: NodeJS.Signals,
): Promise<CommandResult> {
  return new Promise((resolve, reject) => {
    const child: ChildProcess = spawn(process.execPath, [...words], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    let stdout = "";
    let stderr = "";
    let sent = false;
    const timer = setTimeout(() => child.kill("SIGKILL"), TIMEOUT_MS);
    child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      stdout += text;
      if (sent || !ready.test(stdout)) return;
      sent = true;
      child.kill(signal);
    });
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      stderr += text;
    });
    child.on("error", reject);
    child.on("close", (status, endSignal) => {
      clearTimeout(timer);
      resolve({ status, signal: endSignal, stdout, stderr });
    });
  });
}
