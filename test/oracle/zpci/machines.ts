/** The same program on both machines: QEMU with a virtio-rng function behind zPCI, zmend with its test function. */
import { simFunctionConfig } from "../../../src/backend/sim/index.ts";
import { Cpu, CpuState, clearReset, PswBit } from "../../../src/cpu/index.ts";
import { DeterministicVm } from "../../../src/machine/deterministic-vm.ts";
import { loadPolicy } from "../../../src/recovery/index.ts";
import { load } from "../../../src/shm/atomics.ts";
import { VmBlock } from "../../../src/shm/blocks.ts";
import { GuestRam } from "../../../src/shm/guest-ram.ts";
import type { Image } from "../harness.ts";
import { runUnderQemu } from "../qemu.ts";
import type { Dump } from "../run.ts";
import { compareEnds, type ZpciComparison } from "./compare.ts";
import { buildProgram, readEnds, type StepEnd } from "./program.ts";
import { type AskedStep, type Target, zpciSteps, zpciTables } from "./steps.ts";

const RAM_BYTES = 64 << 20;
const TIMEOUT_MS = 60_000;
const FID = 0x10;
/** Steps of the machine in which a program of some hundred instructions has long ended. */
const ROUNDS_MAX = 10_000_000;

/** virtio-rng-pci, modern: MSI-X in BAR 1, registers in BAR 4 of 16 KiB. */
export const qemuTarget: Target = { bar: 4, barBytes: 0x4000, fid: FID };
/** The test function: one BAR of 64 KiB. */
export const zmendTarget: Target = { bar: 0, barBytes: 0x10000, fid: FID };

export async function onQemu(image: Image): Promise<Dump> {
  const devices = [
    `zpci,uid=1,fid=${FID},target=function0,id=zpci0`,
    "virtio-rng-pci,id=function0,disable-legacy=on",
  ];
  const dump = await runUnderQemu(image, TIMEOUT_MS, "normal", devices);
  if ("failure" in dump) throw new Error(`QEMU: ${String(dump.failure)}`);
  return dump;
}

/** The program on one thread under virtual time. */
export function onZmend(image: Image): Dump {
  const vm = new DeterministicVm(
    {
      name: "zpci-oracle",
      ramBytes: RAM_BYTES,
      cpuModel: "zmend",
      functions: [simFunctionConfig({ fid: FID, uid: 1 })],
      policy: loadPolicy("mediated"),
      epochMs: 0,
    },
    () => {},
  );
  const ram = new GuestRam(vm.vm);
  ram.write(0, image.bytes);
  const state = new CpuState(vm.vm, 0);
  clearReset(state);
  state.setHalves(Cpu.pswMask, PswBit.ea64High, PswBit.ba31Low | 0);
  state.setHalves(Cpu.pswAddress, 0, image.entry);
  state.setI32(Cpu.running, 1);
  const stopped = vm.vm.map.vmBlock / 4 + VmBlock.vcpuStopped;
  const before = process.cpuUsage();
  for (let round = 0; load(vm.vm.words, stopped) === 0; round++) {
    if (round > ROUNDS_MAX) throw new Error("the program did not end");
    vm.step();
  }
  const { user, system } = process.cpuUsage(before);
  const memory = new Uint8Array(image.bytes.length);
  ram.read(0, memory);
  return { memory, cpuSeconds: (user + system) / 1e6 };
}

/** The whole list of steps on both. */
export async function runBoth(): Promise<ZpciComparison> {
  const ends = async (
    target: Target,
    run: (image: Image) => Promise<Dump> | Dump,
  ): Promise<{ step: AskedStep; end: StepEnd }[]> => {
    const steps = zpciSteps(target);
    const found = readEnds((await run(buildProgram(steps, 1, zpciTables))).memory, steps.length);
    return steps.map((step, index) => ({ step, end: found[index] as StepEnd }));
  };
  return compareEnds(await ends(qemuTarget, onQemu), await ends(zmendTarget, onZmend));
}
