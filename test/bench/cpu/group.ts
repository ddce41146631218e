/**
 * Group `cpu`: the interpreter against QEMU's translator on the mixed loop of performance.md 0: the same
 * bytes in both, rates from counted instructions, and the checksums that the two leave must agree. QEMU's
 * time for a loop of few iterations (its start) is taken off.
 *
 * Estimate before the first run (performance.md 2.6): 0.45 to 0.75 of QEMU.
 */

import { VCPU_SLICE_INSTRUCTIONS } from "../../../src/base/limits.ts";
import { Cpu, CpuState, VCPU_AREA_BYTES, Vcpu, VcpuExit } from "../../../src/cpu/index.ts";
import { FloatingInterrupts } from "../../../src/shm/floating.ts";
import { GuestRam } from "../../../src/shm/guest-ram.ts";
import { planMemory } from "../../../src/shm/memory-map.ts";
import { createVmMemory } from "../../../src/shm/vm-memory.ts";
import {
  MIXED_CHECKSUM,
  MIXED_INSTRUCTIONS_PER_ITERATION,
  MIXED_RAM_BYTES,
  mixedChecksum,
  mixedLoop,
} from "../../oracle/mixed-loop.ts";
import { qemuVersion, runUnderQemu } from "../../oracle/qemu.ts";
import { compare, type Group } from "../harness.ts";

const SHORT = 1_000;
const TIMEOUT_MS = 60_000;

interface Timed {
  readonly seconds: number;
  readonly checksum: bigint;
}

async function onQemu(iterations: number): Promise<Timed> {
  const start = performance.now();
  const dump = await runUnderQemu(mixedLoop(iterations), TIMEOUT_MS, "normal");
  const seconds = (performance.now() - start) / 1e3;
  if ("failure" in dump) throw new Error(`QEMU: ${String(dump.failure)}`);
  return { seconds, checksum: mixedChecksum(dump.memory) };
}

function onZmend(iterations: number): Timed {
  const image = mixedLoop(iterations);
  const map = planMemory({
    vcpuCount: 1,
    functionCount: 0,
    ramBytes: MIXED_RAM_BYTES,
    vcpuBytes: VCPU_AREA_BYTES,
    hostBytes: 0,
  });
  const vm = createVmMemory(map);
  const ram = new GuestRam(vm);
  const floating = new FloatingInterrupts(vm);
  const clock = { nowUs: () => 0 };
  const vcpu = new Vcpu(vm, 0, { intercepts: new Map(), floating, clock, model: "zmend" });
  vcpu.reset();
  ram.write(0, image.bytes);
  const state = new CpuState(vm, 0);
  state.setHalves(Cpu.pswMask, 1, 0x80000000 | 0);
  state.setHalves(Cpu.pswAddress, 0, image.entry);
  vcpu.purgeTlb();
  const start = performance.now();
  let exit: number = VcpuExit.budget;
  while (exit === VcpuExit.budget) exit = vcpu.run(VCPU_SLICE_INSTRUCTIONS);
  const seconds = (performance.now() - start) / 1e3;
  if (exit !== VcpuExit.disabledWait) throw new Error(`the loop ended with exit ${exit}`);
  const memory = new Uint8Array(MIXED_CHECKSUM + 8);
  ram.read(0, memory);
  return { seconds, checksum: mixedChecksum(memory) };
}

/** Million instructions per second. */
function rate(iterations: number, seconds: number): number {
  return (iterations * MIXED_INSTRUCTIONS_PER_ITERATION) / seconds / 1e6;
}

export const cpu: Group = async (options, emit) => {
  const version = qemuVersion();
  if (version === undefined) {
    emit({
      name: "cpu.mixed",
      refused: "qemu-system-s390x is not installed (Debian package qemu-system-misc)",
    });
    return;
  }
  const iterations = options.quick ? 10_000_000 : 40_000_000;
  const qemuIterations = iterations * 2;
  const starts = [await onQemu(SHORT), await onQemu(SHORT), await onQemu(SHORT)];
  const startSeconds = Math.min(...starts.map((run) => run.seconds));
  if (starts[0]?.checksum !== onZmend(SHORT).checksum) {
    emit({ name: "cpu.mixed", refused: "the two emulators ended with different checksums" });
    return;
  }
  emit(
    await compare(
      {
        name: "cpu.mixed",
        unit: "M instructions/s",
        better: "higher",
        peer: version,
        ours: () => rate(iterations, onZmend(iterations).seconds),
        theirs: async () =>
          rate(qemuIterations - SHORT, (await onQemu(qemuIterations)).seconds - startSeconds),
      },
      options,
    ),
  );
};
