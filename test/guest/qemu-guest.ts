/**
 * A fixture under `qemu-system-s390x`, the independent machine that the fixtures are tried on. Console
 * lines come from its standard output, commands go to its QMP socket.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

const program = "qemu-system-s390x";

export const qemuInstalled = spawnSync(program, ["--version"]).status === 0;

export class QemuGuest {
  readonly lines: string[] = [];
  readonly #folder: string;
  readonly #child: ChildProcess;
  readonly #ended: Promise<void>;
  #qmp: Socket | undefined;
  #wake: () => void = () => {};

  constructor(kernel: string, devices: readonly string[]) {
    this.#folder = mkdtempSync(join(tmpdir(), "zmend-qemu-"));
    const child = spawn(
      program,
      [
        ...["-M", "s390-ccw-virtio", "-accel", "tcg", "-cpu", "max", "-m", "8"],
        ...["-nodefaults", "-nographic", "-serial", "stdio", "-kernel", kernel],
        ...["-qmp", `unix:${this.#socketPath},server=on,wait=off`],
        ...devices.flatMap((device) => ["-device", device]),
      ],
      { stdio: ["ignore", "pipe", "inherit"] },
    );
    this.#child = child;
    createInterface({ input: child.stdout }).on("line", (line) => {
      this.lines.push(line);
      this.#wake();
    });
    this.#ended = new Promise((resolve) => child.on("close", () => resolve()));
    child.on("close", () => this.#wake());
  }

  get #socketPath(): string {
    return join(this.#folder, "qmp");
  }

  /** Resolves with the first console line that contains `text`. */
  async line(text: string): Promise<string> {
    for (;;) {
      const found = this.lines.find((line) => line.includes(text));
      if (found !== undefined) return found;
      if (this.#child.exitCode !== null || this.#child.signalCode !== null) {
        throw new Error(`the guest ended before '${text}':\n${this.lines.join("\n")}`);
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** One QMP command; the answer is not looked at, its effect on the guest is. */
  async command(execute: string, parameters: Record<string, unknown> = {}): Promise<void> {
    this.#qmp ??= await this.#connect();
    this.#qmp.write(`${JSON.stringify({ execute, arguments: parameters })}\n`);
  }

  async ended(): Promise<void> {
    await this.#ended;
  }

  async close(): Promise<void> {
    this.#qmp?.destroy();
    if (this.#child.exitCode === null) this.#child.kill("SIGKILL");
    await this.#ended;
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async #connect(): Promise<Socket> {
    const socket = connect(this.#socketPath);
    await new Promise<void>((resolve, reject) => {
      socket.once("error", reject);
      socket.once("data", () => resolve());
    });
    socket.on("error", () => {});
    socket.resume();
    socket.write('{"execute":"qmp_capabilities"}\n');
    return socket;
  }
}
