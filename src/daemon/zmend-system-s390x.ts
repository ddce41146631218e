#!/usr/bin/env node
/**
 * `zmend-system-s390x`: QEMU's options, QEMU's exit statuses (bad option or image: 1). Runs a Linux kernel or a
 * bare-metal image until it is switched off or stops in a disabled wait; its ASCII console is the terminal. A
 * re-IPL starts the machine again, unless -no-reboot says otherwise.
 */
import { tuneEngine } from "../base/engine.ts";
import { ZmendError } from "../base/errors.ts";
import { zmendVersion } from "../base/version.ts";
import { MACHINE_TYPE } from "../control/qmp/index.ts";
import { cpuModels } from "../cpu/index.ts";
import { readImage, readInitrd } from "../machine/image.ts";
import { readSnapshot } from "../machine/snapshot.ts";
import type { BootSource } from "../machine/vm-controller.ts";
import { inBackground, startInBackground } from "./daemonize.ts";
import { EXIT_DONE, EXIT_FAILED, guardStandardOutput, reportFailure } from "./failure.ts";
import { deviceHelp, parseDevices } from "./qemu-devices.ts";
import { type End, parseEnds } from "./qemu-ends.ts";
import {
  parseQemuOptions,
  type QemuOptionName,
  qemuHelp,
  qemuWords,
  valuesOf,
} from "./qemu-options.ts";
import { accelerators, logHelp, systemSettings } from "./qemu-settings.ts";
import { runSystem, type SystemPlan } from "./system-run.ts";
import { runInVirtualTime } from "./system-virtual-time.ts";

const PROGRAM = "zmend-system-s390x";

type Options = Partial<Record<QemuOptionName, string>>;

async function main(words: readonly string[]): Promise<number> {
  const options = parseQemuOptions(words);
  const given = qemuWords(words);
  const help = helpText(options) ?? deviceHelp(valuesOf(given, "device"));
  if (help !== undefined) {
    process.stdout.write(help);
    return EXIT_DONE;
  }
  const settings = systemSettings(given, PROGRAM);
  const devices = parseDevices({
    device: valuesOf(given, "device"),
    drive: valuesOf(given, "drive"),
    blockdev: valuesOf(given, "blockdev"),
  });
  const ends = parseEnds({
    chardev: valuesOf(given, "chardev"),
    serial: valuesOf(given, "serial"),
    monitor: valuesOf(given, "monitor"),
    qmp: valuesOf(given, "qmp"),
    mon: valuesOf(given, "mon"),
    addFd: valuesOf(given, "add-fd"),
    device: devices.console,
    nodefaults: options.nodefaults !== undefined || !settings.machine,
    nographic: options.nographic !== undefined,
  });
  const boot = settings.machine ? bootSource(options) : undefined;
  if (settings.daemonize && !inBackground()) return startInBackground(words, inherited(ends));
  const snapshot = options.loadvm === undefined ? undefined : await readSnapshot(options.loadvm);
  const plan: SystemPlan = { program: PROGRAM, settings, ends, boot, snapshot, ...devices };
  return options.deterministic === undefined ? runSystem(plan) : runInVirtualTime(plan);
}

/** What an option asks to be told, if one does. */
function helpText(options: Options): string | undefined {
  const version = zmendVersion();
  if (options.help !== undefined || options.h !== undefined) return qemuHelp(PROGRAM, version);
  if (options.version !== undefined) return `${PROGRAM} version ${version}\n`;
  if (options.cpu === "help") {
    const names = Object.keys(cpuModels).map((name) => `  ${name}\n`);
    return `Available CPUs:\n${names.join("")}`;
  }
  if (options.M === "help" || options.machine === "help") {
    return `Supported machines are:\n  ${MACHINE_TYPE} (default)\n  none\n`;
  }
  if (options.accel === "help") {
    return `Accelerators supported:\n${Object.keys(accelerators)
      .map((name) => `  ${name}\n`)
      .join("")}`;
  }
  return options.d === "help" ? logHelp() : undefined;
}

function bootSource(options: Options): BootSource {
  if (options.kernel === undefined) {
    throw new ZmendError("USAGE", "no -kernel given; name an ELF64 s390x or flat image");
  }
  return {
    image: readImage(options.kernel),
    file: options.kernel,
    linux: {
      ...(options.append === undefined ? {} : { commandLine: options.append }),
      ...(options.initrd === undefined
        ? {}
        : { initrd: { bytes: readInitrd(options.initrd), file: options.initrd } }),
    },
  };
}

/** Descriptors that the ends were given by number. */
function inherited(ends: readonly End[]): number[] {
  return ends.flatMap(({ backend }) => {
    if (backend.kind === "fd") return [backend.fd];
    return backend.kind === "socket" && "fd" in backend.address ? [backend.address.fd] : [];
  });
}

tuneEngine();
guardStandardOutput(PROGRAM);
try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  // QEMU ends with status 1 on any bad option, image or host condition.
  reportFailure(PROGRAM, error);
  process.exitCode = EXIT_FAILED;
}
