/** The processes of the daemon bench: a daemon with a config of its own, its peer of bare threads, a probe of QMP. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { FunctionReport } from "../../../src/control/daemon/status.ts";
import { DaemonClient } from "../../../src/daemon/client.ts";
import type { Round, RoundResult } from "./bare.ts";
import { oncePerSecond, pause, residentBytes } from "./load.ts";

const zmend = fileURLToPath(new URL("../../../src/daemon/zmend.js", import.meta.url));
const bareProgram = fileURLToPath(new URL("bare.js", import.meta.url));
const QMP_INTERVAL_MS = 100;
const SETTLE_MS = 4000;
const POLL_MS = 500;

export interface Size {
  readonly vms: number;
  readonly functionsPerVm: number;
  readonly workers: "own" | "shared";
}

/** Guests that sleep in an enabled wait: zrecover works on a function at its start and after a recovery. */
const GUEST = 'fixture: zrecover\n    memory: 4MiB\n    loadparm: "60000"';

function configText({ vms: vmCount, functionsPerVm, workers }: Size): string {
  const functions = Array.from(
    { length: functionsPerVm },
    (_, index) => `      - { fid: ${index + 1}, uid: ${index + 1}, clearError: true }\n`,
  ).join("");
  const vm = (index: number): string =>
    `  - name: vm${index}\n    ${GUEST}\n` +
    (functions === "" ? "" : `    functions:\n${functions}`);
  const vms = Array.from({ length: vmCount }, (_, index) => vm(index)).join("");
  return `version: 1\nlogLevel: error\nrecovery: { workers: ${workers} }\nvms:\n${vms}`;
}

/** A daemon process with one client. */
export class Daemon {
  readonly folder = mkdtempSync(join(tmpdir(), "zmb-"));
  readonly state = join(this.folder, "state");
  readonly #child;
  readonly #ended: Promise<unknown>;
  readonly #functionsPerVm: number;
  #client: DaemonClient | undefined;

  constructor(size: Size) {
    this.#functionsPerVm = size.functionsPerVm;
    const file = join(this.folder, "daemon.yaml");
    writeFileSync(file, configText(size));
    this.#child = spawn(
      process.execPath,
      [zmend, "daemon", "--config", file, "--state-dir", this.state],
      { stdio: ["ignore", "pipe", "inherit"] },
    );
    this.#ended = once(this.#child, "close");
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  async ready(): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#child.stdout.once("data", () => resolve());
      this.#child.once("close", (status) => reject(new Error(`the daemon ended with ${status}`)));
    });
    this.#client = await DaemonClient.connect(this.state);
  }

  request(name: string, words: Record<string, unknown> = {}): Promise<unknown> {
    if (this.#client === undefined) throw new Error("the daemon is not ready");
    return this.#client.request(name, words);
  }

  /** An error on the function with this number over all VMs; or `count` of them, one a second. */
  raise(index: number, count = 1): Promise<unknown> {
    return this.request("vm-inject", {
      vm: `vm${Math.floor(index / this.#functionsPerVm)}`,
      function: (index % this.#functionsPerVm) + 1,
      pec: 0x3a,
      ...(count === 1 ? {} : { count, everyMs: 1000 }),
    });
  }

  /**
   * An error on every function every second, evenly spread, for `seconds` (whole ones). The simulated hosts raise them in their
   * own time, as hardware would: nobody asks for each. @returns how many
   */
  async raiseEverySecond(seconds: number): Promise<number> {
    const asked = await oncePerSecond(1, (index) => this.raise(index, seconds));
    await pause((seconds - 1) * 1000);
    return asked * seconds;
  }

  /** The functions, when all are as they should be or the time is up. */
  async functions(
    holds: (report: FunctionReport) => boolean,
    waitMs: number,
  ): Promise<readonly FunctionReport[]> {
    const latestMs = performance.now() + waitMs;
    for (;;) {
      const reports = (await this.request("function-list")) as FunctionReport[];
      if (reports.every(holds) || performance.now() > latestMs) return reports;
      await pause(POLL_MS);
    }
  }

  /** Resident bytes when what the start has left behind is collected. */
  async restingBytes(): Promise<number> {
    await pause(SETTLE_MS);
    return residentBytes(this.pid);
  }

  async end(): Promise<void> {
    this.#client?.close();
    this.#child.kill("SIGTERM");
    await this.#ended;
  }

  remove(): void {
    if (this.#child.exitCode === null) this.#child.kill("SIGKILL");
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Resident bytes of a daemon whose VMs have no function, when it has come to rest. */
export async function emptyDaemon(size: Omit<Size, "functionsPerVm">): Promise<number> {
  const daemon = new Daemon({ ...size, functionsPerVm: 0 });
  try {
    await daemon.ready();
    const rss = await daemon.restingBytes();
    await daemon.end();
    return rss;
  } finally {
    daemon.remove();
  }
}

export class BareThreads {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  constructor(workers: number, loads: number) {
    const child = spawn(process.execPath, [bareProgram, `${workers}`, `${loads}`], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    this.#child = child;
    this.#lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  }

  async round(round: Round): Promise<RoundResult> {
    this.#child.stdin?.write(`${JSON.stringify(round)}\n`);
    const { value, done } = await this.#lines.next();
    if (done === true) throw new Error("the bare threads have ended");
    return JSON.parse(value) as RoundResult;
  }

  /** Their process ends; the resident bytes of the same program without threads are returned. */
  static async none(): Promise<number> {
    const none = new BareThreads(0, 0);
    const { rss } = await none.round({ share: 0, seconds: 0 });
    none.end();
    return rss;
  }

  end(): void {
    this.#child.kill();
  }
}

/** Round trips of query-status on a QMP socket, milliseconds. */
export class QmpProbe {
  readonly times: number[] = [];
  readonly #socket;
  readonly #timer: NodeJS.Timeout;
  #sentMs = 0;

  constructor(path: string) {
    this.#socket = connect(path);
    this.#socket.write('{"execute":"qmp_capabilities"}\n');
    this.#socket.on("data", (chunk: Uint8Array) => {
      if (this.#sentMs === 0 || !Buffer.from(chunk).includes('"status"')) return;
      this.times.push(performance.now() - this.#sentMs);
      this.#sentMs = 0;
    });
    this.#timer = setInterval(() => {
      if (this.#sentMs !== 0) return;
      this.#sentMs = performance.now();
      this.#socket.write('{"execute":"query-status"}\n');
    }, QMP_INTERVAL_MS);
  }

  close(): void {
    clearInterval(this.#timer);
    this.#socket.destroy();
  }
}
