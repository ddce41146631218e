/**
 * Tells systemd how the daemon is (sd_notify(3)). The protocol is a datagram to NOTIFY_SOCKET, and Node has no Unix
 * datagram sockets, so systemd's own `systemd-notify` sends it; the unit needs NotifyAccess=all for that.
 */
import { execFile } from "node:child_process";

/** systemd-notify waits for systemd to have read it; one that does not must not pile up. */
const TIMEOUT_MS = 10_000;

export class SystemdNotify {
  readonly #onProblem: (problem: string) => void;
  readonly #watched: boolean;
  readonly #intervalMs: number;
  readonly #present: boolean;
  #timer: NodeJS.Timeout | undefined;
  #busy = false;
  #told = false;

  constructor(onProblem: (problem: string) => void, env: NodeJS.ProcessEnv = process.env) {
    this.#onProblem = onProblem;
    this.#present = (env["NOTIFY_SOCKET"] ?? "") !== "";
    const forUs = env["WATCHDOG_PID"] === undefined || env["WATCHDOG_PID"] === `${process.pid}`;
    const intervalUs = Number(env["WATCHDOG_USEC"] ?? "0");
    this.#watched = this.#present && forUs && intervalUs > 0;
    this.#intervalMs = intervalUs / 2000;
  }

  /** The daemon serves; from now on the watchdog is fed from the main thread, whose standstill it is to notice. */
  ready(status: string): Promise<void> {
    if (this.#watched) {
      this.#timer = setInterval(() => void this.#feed(), this.#intervalMs);
      this.#timer.unref();
    }
    return this.#send("READY=1", `STATUS=${status}`);
  }

  reloading(status: string): Promise<void> {
    return this.#send(`STATUS=${status}`);
  }

  stopping(): Promise<void> {
    clearInterval(this.#timer);
    return this.#send("STOPPING=1");
  }

  async #feed(): Promise<void> {
    if (this.#busy) return;
    this.#busy = true;
    await this.#send("WATCHDOG=1");
    this.#busy = false;
  }

  #send(...words: readonly string[]): Promise<void> {
    if (!this.#present) return Promise.resolve();
    return new Promise((resolve) => {
      execFile("systemd-notify", [...words], { timeout: TIMEOUT_MS }, (error) => {
        if (error !== null && !this.#told) {
          this.#told = true;
          const missing = (error as NodeJS.ErrnoException).code === "ENOENT";
          this.#onProblem(missing ? "systemd-notify is not installed" : error.message);
        }
        resolve();
      });
    });
  }
}
