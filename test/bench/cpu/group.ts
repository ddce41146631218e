/**
 * Group `cpu`: zmend's CPU against QEMU's translator on the mixed loop of performance.md 0 and on the four plain
 * loops of 2.1b: the same bytes in both, the checksums that the two leave must agree. Rates are instructions,
 * counted by zmend, per second of processor time of all threads of the process, so that what else the machine
 * does counts little; QEMU's time for a run of one round (its start) is taken off.
 *
 * Estimate before the first run (performance.md 2.6, 2.1b): mixed 0.45 to 0.75 of QEMU; alu 0.15 to 0.3, for QEMU
 * keeps registers in the host's over a block; crc and fib like the mixed loop.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { VCPU_SLICE_INSTRUCTIONS } from "../../../src/base/limits.ts";
import {
  Cpu,
  CpuState,
  HEAT_AFTER,
  VCPU_AREA_BYTES,
  Vcpu,
  VcpuExit,
} from "../../../src/cpu/index.ts";
import { FloatingInterrupts } from "../../../src/shm/floating.ts";
import { GuestRam } from "../../../src/shm/guest-ram.ts";
import { planMemory } from "../../../src/shm/memory-map.ts";
import { createVmMemory } from "../../../src/shm/vm-memory.ts";
import type { Image } from "../../oracle/harness.ts";
import { MIXED_RAM_BYTES, mixedChecksum } from "../../oracle/mixed-loop.ts";
import { qemuVersion, runUnderQemu } from "../../oracle/qemu.ts";
import {
  type Count,
  compare,
  type Group,
  type Options,
  type Refusal,
  type Result,
} from "../harness.ts";
import { CHECKSUM, type Guest, mixed, plainLoops } from "./guests.ts";

const TIMEOUT_MS = 60_000;
/** The loops keep their data and their stack below 3 MiB, the mixed loop below 2. */
const RAM_BYTES = Math.max(MIXED_RAM_BYTES, 4 << 20);

interface Timed {
  readonly seconds: number;
  readonly checksum: bigint;
  readonly instructions: number;
}

async function onQemu(image: Image): Promise<Timed> {
  const dump = await runUnderQemu(image, TIMEOUT_MS, "normal");
  if ("failure" in dump) throw new Error(`QEMU: ${String(dump.failure)}`);
  const seconds = dump.cpuSeconds ?? Number.NaN;
  return { seconds, checksum: mixedChecksum(dump.memory), instructions: 0 };
}

function onZmend(image: Image, jit: boolean): Timed {
  const map = planMemory({
    vcpuCount: 1,
    functionCount: 0,
    ramBytes: RAM_BYTES,
    vcpuBytes: VCPU_AREA_BYTES,
    hostBytes: 0,
  });
  const vm = createVmMemory(map);
  const ram = new GuestRam(vm);
  const floating = new FloatingInterrupts(vm);
  const clock = { nowUs: () => 0 };
  const vcpu = new Vcpu(vm, 0, {
    intercepts: new Map(),
    floating,
    clock,
    model: "zmend",
    translateAfter: jit ? HEAT_AFTER : 0,
  });
  vcpu.reset();
  ram.write(0, image.bytes);
  const state = new CpuState(vm, 0);
  state.setHalves(Cpu.pswMask, 1, 0x80000000 | 0);
  state.setHalves(Cpu.pswAddress, 0, image.entry);
  vcpu.purgeTlb();
  const start = process.cpuUsage();
  let exit: number = VcpuExit.budget;
  while (exit === VcpuExit.budget) exit = vcpu.run(VCPU_SLICE_INSTRUCTIONS);
  const used = process.cpuUsage(start);
  if (exit !== VcpuExit.disabledWait) throw new Error(`the loop ended with exit ${exit}`);
  const memory = new Uint8Array(CHECKSUM + 8);
  ram.read(0, memory);
  return {
    seconds: (used.user + used.system) / 1e6,
    checksum: mixedChecksum(memory),
    instructions: vcpu.instructions(),
  };
}

async function measure(guest: Guest, peer: string, options: Options): Promise<Result | Refusal> {
  const name = `cpu.${guest.name}${options.jit ? ".jit" : ""}`;
  const rounds = options.quick ? guest.rounds : guest.rounds * 4;
  const [once, all] = [guest.image(1), guest.image(rounds)];
  const starts = [await onQemu(once), await onQemu(once), await onQemu(once)];
  const startSeconds = Math.min(...starts.map((run) => run.seconds));
  const counts = [onZmend(once, options.jit), onZmend(all, options.jit)] as const;
  const theirs = await onQemu(all);
  if (starts[0]?.checksum !== counts[0].checksum || theirs.checksum !== counts[1].checksum) {
    return { name, refused: "the two emulators ended with different checksums" };
  }
  const { instructions } = counts[1];
  const behindStart = instructions - counts[0].instructions;
  return compare(
    {
      name,
      unit: "M instructions/s",
      better: "higher",
      peer,
      ours: () => instructions / onZmend(all, options.jit).seconds / 1e6,
      theirs: async () => behindStart / ((await onQemu(all)).seconds - startSeconds) / 1e6,
    },
    options,
  );
}

export const cpu: Group = async (options, emit: (line: Result | Count | Refusal) => void) => {
  const version = qemuVersion();
  const scratch = mkdtempSync(join(tmpdir(), "zmend-bench-"));
  try {
    const loops = plainLoops(scratch);
    if (version === undefined) {
      const refused = "qemu-system-s390x is not installed (Debian package qemu-system-misc)";
      emit({ name: "cpu.mixed", refused });
      return;
    }
    emit(await measure(mixed, version, options));
    if ("refused" in loops) {
      emit({ name: "cpu.alu", refused: loops.refused });
      return;
    }
    for (const guest of loops) emit(await measure(guest, version, options));
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
};
