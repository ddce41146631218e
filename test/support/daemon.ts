/** Real `zmend daemon` processes on temporary state directories, and commands against them. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { packageRoot } from "../../src/base/version.ts";

export const zmendFile = fileURLToPath(new URL("dist/src/daemon/zmend.js", packageRoot));

/** For `it.skipIf`, with the reason in the test's name. */
export const withoutMounts =
  spawnSync("unshare", ["-Urm", "mount", "-t", "tmpfs", "tmpfs", tmpdir()]).status !== 0;
export const needsMounts = withoutMounts ? " (skipped: no user and mount namespaces)" : "";

export interface Ready {
  readonly ready: boolean;
  readonly pid: number;
  readonly control: string;
  readonly vms: readonly { readonly name: string; readonly qmp: string }[];
  readonly metrics: string;
  readonly page: string;
}

export interface Outcome {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A config with one VM per name, each with two functions. */
export function daemonConfig(names: readonly string[], extra = ""): string {
  const vms = names.map(
    (name) => `  - name: ${name}
    fixture: zrecover
    functions:
      - { id: ${name}-0, fid: 1, uid: 1, clearError: true }
      - { id: ${name}-1, fid: 2, uid: 2 }
`,
  );
  return `version: 1\nstopTimeoutMs: 20000\n${extra}vms:\n${vms.join("")}`;
}

export class TestDaemon {
  readonly folder = mkdtempSync(join(tmpdir(), "zmd-"));
  readonly state = join(this.folder, "state");
  readonly configFile = join(this.folder, "daemon.yaml");
  readonly #env: NodeJS.ProcessEnv;
  child: ChildProcess | undefined;
  stdout = "";
  stderr = "";
  #ended: Promise<number | null> = Promise.resolve(null);

  constructor(config: string, env: NodeJS.ProcessEnv = {}) {
    this.#env = { ...process.env, ...env };
    this.writeConfig(config);
  }

  writeConfig(text: string): void {
    writeFileSync(this.configFile, text);
  }

  /** Starts it and waits for the ready line. */
  async start(...words: readonly string[]): Promise<Ready> {
    this.launch(...words);
    return this.ready();
  }

  /** The ready line of a daemon that was launched. */
  async ready(): Promise<Ready> {
    await this.until(() => this.stdout.includes("\n"));
    return JSON.parse(this.stdout.split("\n")[0] ?? "") as Ready;
  }

  launch(...words: readonly string[]): void {
    this.#launch(process.execPath, [zmendFile, ...this.#words(), ...words]);
  }

  /** Starts it after a shell command, for example one that sets a limit. */
  launchUnder(command: string): void {
    const script = `${command}; exec "$@"`;
    this.#launch("bash", ["-c", script, "-", process.execPath, zmendFile, ...this.#words()]);
  }

  /**
   * Starts it with a file system of `size` at `folder`, which only it sees and which goes with it.
   * @param before a shell command that then runs first
   */
  launchOnSmallDisk(folder: string, size: string, before: string): void {
    const script = `mount -t tmpfs -o size=${size},mode=700 tmpfs ${folder} && ${before}; exec "$@"`;
    const program = [process.execPath, zmendFile, ...this.#words()];
    this.#launch("unshare", ["-Urm", "bash", "-c", script, "-", ...program]);
  }

  /** The path of a file as the daemon sees it. */
  inside(path: string): string {
    return `/proc/${this.child?.pid}/root${path}`;
  }

  #words(): string[] {
    return ["daemon", "--config", this.configFile, "--state-dir", this.state];
  }

  #launch(program: string, args: readonly string[]): void {
    this.stdout = "";
    this.stderr = "";
    const child = spawn(program, args, {
      stdio: ["ignore", "pipe", "pipe"],
      env: this.#env,
    });
    this.child = child;
    child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      this.stdout += text;
    });
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.stderr += text;
    });
    this.#ended = new Promise((resolve) => child.on("close", (status) => resolve(status)));
  }

  /** Log records whose message is `message`. */
  logged(message: string): Record<string, unknown>[] {
    return this.stderr
      .split("\n")
      .filter((line) => line.startsWith("{"))
      .map((line) => JSON.parse(line) as Record<string, unknown>)
      .filter((record) => record["msg"] === message);
  }

  /** A client command against this daemon. */
  zmend(...words: readonly string[]): Promise<Outcome> {
    return runZmend([...words, "--state-dir", this.state]);
  }

  /** A client command's JSON. */
  async ask<T>(...words: readonly string[]): Promise<T> {
    const { stdout, stderr, status } = await this.zmend(...words, "--json");
    if (status !== 0) throw new Error(`zmend ${words.join(" ")} ended with ${status}: ${stderr}`);
    return JSON.parse(stdout) as T;
  }

  async untilAsked<T>(words: readonly string[], condition: (value: T) => boolean): Promise<T> {
    for (;;) {
      const value = await this.ask<T>(...words);
      if (condition(value)) return value;
      await pause(50);
    }
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      if (this.child?.exitCode !== null || this.child.signalCode !== null) {
        if (condition()) return;
        throw new Error(`the daemon ended (${this.child?.exitCode}): ${this.stderr}`);
      }
      await pause(10);
    }
  }

  /** @returns the exit status */
  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<number | null> {
    this.child?.kill(signal);
    return this.#ended;
  }

  ended(): Promise<number | null> {
    return this.#ended;
  }

  async remove(): Promise<void> {
    if (this.child?.exitCode === null) await this.stop("SIGKILL");
    rmSync(this.folder, { recursive: true, force: true });
  }
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

export function runZmend(words: readonly string[]): Promise<Outcome> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [zmendFile, ...words], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    let stdout = "";
    let stderr = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      stderr += text;
    });
    child.on("close", (status) => resolve({ status, stdout, stderr }));
  });
}
