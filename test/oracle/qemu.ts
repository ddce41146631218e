/**
 * Runs an image under qemu-system-s390x (TCG) and returns guest storage after its disabled wait. QEMU is
 * driven over QMP on standard input and output: the guest's stop arrives as the event GUEST_PANICKED
 * (`-action panic=pause`), then `pmemsave` writes absolute storage to a file.
 */
import { type ChildProcessWithoutNullStreams, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { dumpBytesOf, type Image, toElf } from "./harness.ts";
import { RAM_BYTES } from "./layout.ts";
import { QEMU_MODE } from "./qemu-faults.ts";
import type { Dump, Failure, Peer } from "./run.ts";

export const QEMU = "qemu-system-s390x";

export type QemuMode = "normal" | "singlestep";

/** The version line, or undefined when the program is not installed. */
export function qemuVersion(): string | undefined {
  const result = spawnSync(QEMU, ["--version"], { encoding: "utf8" });
  if (result.error !== undefined || result.status !== 0) return undefined;
  return result.stdout.split("\n")[0];
}

interface Message {
  readonly event?: string;
  readonly data?: { readonly info?: { readonly "psw-addr"?: number; readonly reason?: string } };
  readonly return?: unknown;
  readonly id?: string;
  readonly error?: { readonly desc: string };
  readonly QMP?: unknown;
}

/** The qemu process of one run: sends commands in order, gives messages in order. */
class Qmp {
  readonly child: ChildProcessWithoutNullStreams;
  readonly #queue: Message[] = [];
  #waiter: (() => void) | undefined;
  #ended = false;
  #errors = "";

  constructor(child: ChildProcessWithoutNullStreams) {
    this.child = child;
    createInterface({ input: child.stdout }).on("line", (line) => {
      // A failed assertion of QEMU is announced in between.
      if (line.startsWith("{")) this.#queue.push(JSON.parse(line) as Message);
      else this.#errors += line;
      this.#waiter?.();
    });
    child.stderr.on("data", (chunk: Buffer) => {
      this.#errors += chunk.toString();
    });
    child.on("close", () => {
      this.#ended = true;
      this.#waiter?.();
    });
    child.stdin.on("error", () => {
      this.#ended = true;
    });
  }

  send(command: string, parameters: Record<string, unknown> = {}): void {
    const message = { execute: command, arguments: parameters, id: command };
    this.child.stdin.write(`${JSON.stringify(message)}\n`);
  }

  async answer(command: string): Promise<void> {
    await this.until((message) => message.return !== undefined && message.id === command);
  }

  /** The next message that `accept` takes; earlier ones are dropped. */
  async until(accept: (message: Message) => boolean): Promise<Message> {
    for (;;) {
      const message = this.#queue.shift();
      if (message === undefined) {
        if (this.#ended) {
          const how = this.child.signalCode ?? `status ${this.child.exitCode}`;
          throw new Error(`${QEMU} ended early (${how}): ${this.#errors.trim()}`);
        }
        await new Promise<void>((resolve) => {
          this.#waiter = resolve;
        });
      } else if (message.error !== undefined) {
        throw new Error(`${QEMU}: ${message.error.desc}`);
      } else if (accept(message)) {
        return message;
      }
    }
  }
}

/** Processor time of a process's threads, to the nanosecond (Linux: Documentation/scheduler/sched-stats.rst). */
function processorSeconds(pid: number | undefined): number | undefined {
  try {
    const tasks = `/proc/${pid}/task`;
    return readdirSync(tasks).reduce((sum, task) => {
      const [running = ""] = readFileSync(join(tasks, task, "schedstat"), "utf8").split(" ");
      return sum + Number(running) / 1e9;
    }, 0);
  } catch {
    return undefined; // no Linux, or no scheduler statistics
  }
}

/** Fails when the guest does not reach its disabled wait within `timeoutMs`, and when QEMU dies. */
export async function runUnderQemu(
  image: Image,
  timeoutMs: number,
  mode: QemuMode = QEMU_MODE,
  devices: readonly string[] = [],
): Promise<Dump | Failure> {
  const folder = mkdtempSync(join(tmpdir(), "zmend-oracle-"));
  const kernel = join(folder, "image.elf");
  const dump = join(folder, "memory.bin");
  writeFileSync(kernel, toElf(image));
  const child = spawn(QEMU, [
    ...["-machine", "s390-ccw-virtio", "-cpu", "max", "-accel", "tcg"],
    ...["-m", `${RAM_BYTES >> 20}M`, "-display", "none", "-nodefaults", "-qmp", "stdio"],
    ...["-S", "-action", "panic=pause", "-kernel", kernel],
    ...(mode === "singlestep" ? ["-singlestep"] : []),
    ...devices.flatMap((device) => ["-device", device]),
  ]);
  const closed = new Promise<void>((resolve) => child.once("close", () => resolve()));
  let late = false;
  let answered = false;
  const timer = setTimeout(() => {
    late = true;
    child.kill("SIGKILL");
  }, timeoutMs);
  try {
    const qmp = new Qmp(child);
    await qmp.until((message) => message.QMP !== undefined);
    qmp.send("qmp_capabilities");
    await qmp.answer("qmp_capabilities");
    qmp.send("cont"); // started with -S: no event can come before this
    const stop = await qmp.until((message) => message.event === "GUEST_PANICKED");
    const cpuSeconds = processorSeconds(child.pid);
    qmp.send("pmemsave", { val: 0, size: dumpBytesOf(image), filename: dump });
    await qmp.answer("pmemsave");
    const memory = new Uint8Array(readFileSync(dump));
    qmp.send("quit");
    answered = true;
    const waitAddress = stop.data?.info?.["psw-addr"] ?? 0;
    return waitAddress === 0
      ? { memory, ...(cpuSeconds === undefined ? {} : { cpuSeconds }) }
      : { failure: `disabled wait at 0x${waitAddress.toString(16)}` };
  } catch (error) {
    if (late) return { failure: `no disabled wait within ${timeoutMs} ms` };
    return { failure: error instanceof Error ? error.message : String(error) };
  } finally {
    clearTimeout(timer);
    if (!answered) child.kill("SIGKILL");
    await closed;
    rmSync(folder, { recursive: true, force: true });
  }
}

export function qemuPeer(timeoutMs: number, mode: QemuMode = QEMU_MODE): Peer {
  return {
    name: mode === QEMU_MODE ? QEMU : `${QEMU} (${mode})`,
    run: (image) => runUnderQemu(image, timeoutMs, mode),
  };
}
