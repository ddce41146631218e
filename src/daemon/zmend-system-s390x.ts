#!/usr/bin/env node
import { readFileSync } from "node:fs";
/**
 * `zmend-system-s390x`: QEMU's options, QEMU's exit statuses (bad option or image: 1). Runs a Linux kernel or a
 * bare-metal image until it is switched off or stops in a disabled wait; its ASCII console is the terminal. A
 * re-IPL starts the machine again, unless -no-reboot says otherwise.
 */
import type { SimFunctionConfig } from "../backend/sim/index.ts";
import { wallClockMs } from "../base/clock.ts";
import { ZmendError } from "../base/errors.ts";
import { hex } from "../base/hex.ts";
import { GUEST_RAM_MAX_BYTES, GUEST_RAM_MIN_BYTES } from "../base/limits.ts";
import { suggestion } from "../base/nearest.ts";
import { zmendVersion } from "../base/version.ts";
import { cpuModels } from "../cpu/index.ts";
import { requireMemory } from "../machine/host-memory.ts";
import { readImage, readInitrd } from "../machine/image.ts";
import { VCPU_CHECK_STOP } from "../machine/loops.ts";
import { readSnapshot, type Snapshot } from "../machine/snapshot.ts";
import type { RunState, VmEvent } from "../machine/vm-control.ts";
import { type BootSource, VmController } from "../machine/vm-controller.ts";
import { DETERMINISTIC_EPOCH_MS, mapOf, type VmSpec } from "../machine/vm-spec.ts";
import { loadPolicy } from "../recovery/index.ts";
import { runDeterministic } from "./deterministic-run.ts";
import {
  EXIT_DONE,
  EXIT_FAILED,
  EXIT_INTERRUPTED,
  guardStandardOutput,
  reportFailure,
} from "./failure.ts";
import { GuestConsole } from "./guest-console.ts";
import { outputStalled, outputTaken } from "./output.ts";
import { type ConsolePlace, consolePlace } from "./qemu-console.ts";
import { deviceHelp, parseDevices } from "./qemu-devices.ts";
import {
  checkFixedOptions,
  MACHINE,
  parseMemoryOption,
  parseQemuOptions,
  type QemuOptionName,
  qemuHelp,
  qemuWords,
  valuesOf,
} from "./qemu-options.ts";

const PROGRAM = "zmend-system-s390x";
const DEFAULT_MEMORY = "128";

async function main(words: readonly string[]): Promise<number> {
  const options = parseQemuOptions(words);
  const version = zmendVersion();
  if (options.help !== undefined || options.h !== undefined) {
    process.stdout.write(qemuHelp(PROGRAM, version));
    return EXIT_DONE;
  }
  if (options.version !== undefined) {
    process.stdout.write(`${PROGRAM} version ${version}\n`);
    return EXIT_DONE;
  }
  if (options.cpu === "help") {
    process.stdout.write(
      `Available CPUs:\n${Object.keys(cpuModels)
        .map((name) => `  ${name}\n`)
        .join("")}`,
    );
    return EXIT_DONE;
  }
  if (options.M === "help" || options.machine === "help") {
    process.stdout.write(`Supported machines are:\n  ${MACHINE} (default)\n`);
    return EXIT_DONE;
  }
  if (options.accel === "help") {
    process.stdout.write("Accelerators supported:\n  tcg\n  interp\n");
    return EXIT_DONE;
  }
  const given = qemuWords(words);
  const help = deviceHelp(valuesOf(given, "device"));
  if (help !== undefined) {
    process.stdout.write(help);
    return EXIT_DONE;
  }
  checkFixedOptions(options);
  const devices = parseDevices({
    device: valuesOf(given, "device"),
    drive: valuesOf(given, "drive"),
    blockdev: valuesOf(given, "blockdev"),
  });
  const place = consolePlace({
    chardev: valuesOf(given, "chardev"),
    serial: options.serial,
    device: devices.console,
    nodefaults: options.nodefaults !== undefined,
  });
  if (options.kernel === undefined) {
    throw new ZmendError("USAGE", "no -kernel given; name an ELF64 s390x or flat image");
  }
  const spec = vmSpec(options, devices.functions);
  const boot: BootSource = {
    image: readImage(options.kernel),
    file: options.kernel,
    linux: {
      ...(options.append === undefined ? {} : { commandLine: options.append }),
      ...(options.initrd === undefined
        ? {}
        : { initrd: { bytes: readInitrd(options.initrd), file: options.initrd } }),
    },
  };
  const snapshot = options.loadvm === undefined ? undefined : await readSnapshot(options.loadvm);
  snapshot?.requireMachine(spec);
  requireMemory(mapOf(spec).totalBytes, "The guest");
  const run: Run = { boot, spec, snapshot, place, reboots: options["no-reboot"] === undefined };
  return options.deterministic === undefined ? runWithConsole(run) : runInVirtualTime(run);
}

/** One run of a guest. */
interface Run {
  readonly boot: BootSource;
  readonly spec: VmSpec;
  readonly snapshot: Snapshot | undefined;
  readonly place: ConsolePlace;
  readonly reboots: boolean;
}

function vmSpec(
  options: Partial<Record<QemuOptionName, string>>,
  functions: readonly SimFunctionConfig[],
): VmSpec {
  const { m: memory = DEFAULT_MEMORY, cpu: cpuModel = "zmend", name = PROGRAM } = options;
  const ramBytes = parseMemoryOption(memory);
  if (ramBytes === undefined || ramBytes < GUEST_RAM_MIN_BYTES || ramBytes > GUEST_RAM_MAX_BYTES) {
    throw new ZmendError("USAGE", `-m ${memory}: expected 1M to 3584M, for example 512 or 1G`);
  }
  if (!Object.hasOwn(cpuModels, cpuModel)) {
    const names = Object.keys(cpuModels);
    throw new ZmendError(
      "USAGE",
      `-cpu ${cpuModel}: unknown model${suggestion(cpuModel, names)}; -cpu help lists them`,
    );
  }
  return {
    name,
    ramBytes,
    cpuModel,
    functions,
    policy: loadPolicy("mediated"),
    epochMs: wallClockMs(),
  };
}

/** Runs the guest until it ends or the user ends it. */
async function runWithConsole({ boot, spec, snapshot, place, reboots }: Run): Promise<number> {
  const vm = new VmController({
    spec,
    boot,
    ...(snapshot === undefined ? {} : { snapshot }),
    onGuestReset: reboots ? "reset" : "shutdown",
  });
  const end = new Ending(vm);
  const interrupt = (): void => end.end("interrupted");
  process.on("SIGINT", interrupt).on("SIGTERM", interrupt);
  const escapes = place === "escapes";
  const onExit = (): void => end.end(escapes ? "exit" : "interrupted");
  const push = (bytes: Uint8Array): number => vm.pushInput(bytes);
  const terminal =
    place === "none" ? undefined : new GuestConsole(process.stdin, { escapes, onExit, push });
  if (terminal !== undefined) vm.on((event) => printConsole(event));
  try {
    await vm.start({ interrupted: () => end.ended });
    const { by } = await end.reached;
    await vm.stop();
    if (vm.failure() !== undefined) throw vm.failure();
    if (by === "interrupted") return EXIT_INTERRUPTED;
    return by === "check-stop" ? checkStop(vm.pswAddress()) : EXIT_DONE;
  } finally {
    await vm.stop();
    terminal?.close();
    process.off("SIGINT", interrupt).off("SIGTERM", interrupt);
  }
}

function checkStop(pswAddress: bigint): number {
  process.stderr.write(`${PROGRAM}: the guest's CPU is in check stop at ${hex(pswAddress, 16)}\n`);
  return EXIT_FAILED;
}

/** -deterministic. */
async function runInVirtualTime({ place, spec, ...run }: Run): Promise<number> {
  let interrupted = false;
  const interrupt = (): void => {
    interrupted = true;
  };
  process.on("SIGINT", interrupt).on("SIGTERM", interrupt);
  const quiet = place === "none";
  const result = await runDeterministic({
    ...run,
    spec: { ...spec, epochMs: DETERMINISTIC_EPOCH_MS },
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
    `${PROGRAM}: ${result.instructions} instructions in ${(result.timeUs / 1e6).toFixed(6)} s of virtual time, digest ${result.digest}\n`,
  );
  if (interrupted) return EXIT_INTERRUPTED;
  return result.stopped === VCPU_CHECK_STOP ? checkStop(result.pswAddress) : EXIT_DONE;
}

function printConsole(event: VmEvent): Promise<void> | undefined {
  if (event.type !== "console") return undefined;
  process.stdout.write(event.bytes);
  return outputTaken();
}

/** Who ended the run first: the user, or the guest in the way that its run state's reason names. */
class Ending {
  readonly reached: Promise<{ readonly by: string }>;
  ended = false;
  #resolve: (end: { readonly by: string }) => void = () => {};

  constructor(vm: VmController) {
    this.reached = new Promise((resolve) => {
      this.#resolve = resolve;
    });
    vm.on((event) => {
      if (event.type === "run-state" && finalStates.includes(event.to)) this.end(event.reason);
    });
  }

  end(by: string): void {
    if (this.ended) return;
    this.ended = true;
    this.#resolve({ by });
  }
}

const finalStates: readonly RunState[] = [
  "shutdown",
  "guest-panicked",
  "io-error",
  "internal-error",
];

guardStandardOutput(PROGRAM);
try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  // QEMU ends with status 1 on any bad option, image or host condition.
  reportFailure(PROGRAM, error);
  process.exitCode = EXIT_FAILED;
}
