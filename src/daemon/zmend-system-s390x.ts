#!/usr/bin/env node
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
import type { LinuxBoot } from "../machine/linux-boot.ts";
import { VCPU_CHECK_STOP, VCPU_RESET, VCPU_RUNNING } from "../machine/loops.ts";
import { bootVm } from "../machine/parts.ts";
import { ThreadedVm } from "../machine/threaded-vm.ts";
import { mapOf, type VmSpec } from "../machine/vm-spec.ts";
import { loadPolicy } from "../recovery/index.ts";
import {
  EXIT_DONE,
  EXIT_FAILED,
  EXIT_INTERRUPTED,
  guardStandardOutput,
  reportFailure,
} from "./failure.ts";
import { GuestConsole } from "./guest-console.ts";
import { outputTaken } from "./output.ts";
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
const POLL_MS = 5;

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
  const programs: Programs = {
    kernel: { bytes: readImage(options.kernel), file: options.kernel },
    linux: {
      ...(options.append === undefined ? {} : { commandLine: options.append }),
      ...(options.initrd === undefined
        ? {}
        : { initrd: { bytes: readInitrd(options.initrd), file: options.initrd } }),
    },
  };
  return runWithConsole(programs, spec, place, options["no-reboot"] === undefined);
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

interface Programs {
  readonly kernel: { readonly bytes: Uint8Array; readonly file: string };
  readonly linux: LinuxBoot;
}

/** Runs the guest, again and again while it asks for a re-IPL and may have it. */
async function runWithConsole(
  programs: Programs,
  spec: VmSpec,
  place: ConsolePlace,
  reboots: boolean,
): Promise<number> {
  requireMemory(mapOf(spec).totalBytes, "The guest");
  const end: RunEnd = { interrupted: false, exit: false };
  const interrupt = (): void => {
    end.interrupted = true;
  };
  process.on("SIGINT", interrupt).on("SIGTERM", interrupt);
  const escapes = place === "escapes";
  const onExit = (): void => {
    if (escapes) end.exit = true;
    else interrupt();
  };
  const terminal =
    place === "none" ? undefined : new GuestConsole(process.stdin, { escapes, onExit });
  try {
    for (;;) {
      const stopped = await run(programs, spec, terminal, end);
      if (end.interrupted) return EXIT_INTERRUPTED;
      if (end.exit) return EXIT_DONE;
      if (stopped === VCPU_CHECK_STOP) return EXIT_FAILED;
      if (stopped !== VCPU_RESET || !reboots) return EXIT_DONE;
    }
  } finally {
    terminal?.close();
    process.off("SIGINT", interrupt).off("SIGTERM", interrupt);
  }
}

/** What the user asked for while the guest ran. */
interface RunEnd {
  interrupted: boolean;
  exit: boolean;
}

/** One life of the machine. @returns how its CPU stood at the end */
async function run(
  { kernel, linux }: Programs,
  spec: VmSpec,
  terminal: GuestConsole | undefined,
  end: RunEnd,
): Promise<number> {
  const write = (bytes: Uint8Array): Promise<void> | undefined => {
    if (terminal === undefined) return undefined;
    process.stdout.write(bytes);
    return outputTaken();
  };
  const vm = new ThreadedVm(spec, write);
  bootVm(vm.vm, kernel.bytes, kernel.file, linux);
  await vm.start(() => end.interrupted || end.exit);
  const running = (): boolean =>
    vm.stopped() === VCPU_RUNNING && !end.interrupted && !end.exit && vm.failure === undefined;
  while (running()) {
    terminal?.deliver((bytes) => vm.pushInput(bytes));
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  const stopped = vm.stopped();
  await vm.stop();
  if (vm.failure !== undefined) throw vm.failure;
  if (stopped === VCPU_CHECK_STOP && !end.interrupted) {
    const address = hex(vm.pswAddress(), 16);
    process.stderr.write(`${PROGRAM}: the guest's CPU is in check stop at ${address}\n`);
  }
  return stopped;
}

guardStandardOutput(PROGRAM);
try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  // QEMU ends with status 1 on any bad option, image or host condition.
  reportFailure(PROGRAM, error);
  process.exitCode = EXIT_FAILED;
}
