#!/usr/bin/env node
/**
 * `zmend-system-s390x`: QEMU's options, QEMU's exit statuses (bad option or image: 1). Runs a bare-metal image
 * until it stops in a disabled wait; its ASCII console is standard output.
 */
import { wallClockMs } from "../base/clock.ts";
import { ZmendError } from "../base/errors.ts";
import { hex } from "../base/hex.ts";
import { GUEST_RAM_MAX_BYTES, GUEST_RAM_MIN_BYTES } from "../base/limits.ts";
import { suggestion } from "../base/nearest.ts";
import { zmendVersion } from "../base/version.ts";
import { cpuModels } from "../cpu/index.ts";
import { requireMemory } from "../machine/host-memory.ts";
import { readImage } from "../machine/image.ts";
import { VCPU_CHECK_STOP, VCPU_RUNNING } from "../machine/loops.ts";
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
import { parseMemoryOption, parseQemuOptions, qemuHelp } from "./qemu-options.ts";

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
  if (options.kernel === undefined) {
    throw new ZmendError("USAGE", "no -kernel given; name an ELF64 s390x or flat image");
  }
  return run(options.kernel, vmSpec(options.m ?? DEFAULT_MEMORY, options.cpu ?? "zmend"));
}

function vmSpec(memory: string, cpuModel: string): VmSpec {
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
    name: PROGRAM,
    ramBytes,
    cpuModel,
    functions: [],
    policy: loadPolicy("mediated"),
    epochMs: wallClockMs(),
  };
}

async function run(kernel: string, spec: VmSpec): Promise<number> {
  const image = readImage(kernel);
  requireMemory(mapOf(spec).totalBytes, "The guest");
  const vm = new ThreadedVm(spec, (bytes) => process.stdout.write(bytes));
  bootVm(vm.vm, image, kernel);
  let interrupted = false;
  const interrupt = (): void => {
    interrupted = true;
  };
  process.on("SIGINT", interrupt).on("SIGTERM", interrupt);
  await vm.start();
  while (vm.stopped() === VCPU_RUNNING && !interrupted && vm.failure === undefined) {
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  const stopped = vm.stopped();
  await vm.stop();
  if (vm.failure !== undefined) throw vm.failure;
  if (interrupted) return EXIT_INTERRUPTED;
  if (stopped === VCPU_CHECK_STOP) {
    process.stderr.write(
      `${PROGRAM}: the guest's CPU is in check stop at ${hex(vm.pswAddress(), 16)}\n`,
    );
    return EXIT_FAILED;
  }
  return EXIT_DONE;
}

guardStandardOutput(PROGRAM);
try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  // QEMU ends with status 1 on any bad option, image or host condition.
  reportFailure(PROGRAM, error);
  process.exitCode = EXIT_FAILED;
}
