/** Runs an oracle image on zmend's CPU: one vCPU with nothing around it, on the calling thread. */

import { Prng } from "../../src/base/prng.ts";
import { Cpu, type CpuModelName, VcpuExit } from "../../src/cpu/index.ts";
import { type CpuRig, cpuRig } from "../support/cpu-rig.ts";
import { dumpBytesOf, type Image } from "./harness.ts";
import { External, RAM_BYTES, Scratch } from "./layout.ts";
import type { Dump, Failure, Peer } from "./run.ts";

const SLICE = 1_000_000;
/** A batch of the longest sequences executes well under a hundred million instructions. */
const SLICES = 400;

/** Between two interruptions of an image that asks for them: this many instructions at most. */
const INTERRUPTION_SPACING = 24;
/** Longer than the program asks the clock comparator to wait. */
const INTERRUPTION_US = 10;

/**
 * Time stands still, but for images that ask for interruptions: there the clock moves between any two
 * instructions, by chance.
 * @param slices how many million instructions the image may take
 */
export function runUnderZmend(rig: CpuRig, image: Image, slices = SLICES): Dump | Failure {
  const interrupted = image.bytes[Scratch.externalChosen] === External.repeated;
  const chance = new Prng(1n);
  let most = slices * SLICE;
  rig.vcpu.reset();
  rig.ram.fill(0, rig.ram.sizeBytes, 0);
  rig.ram.write(0, image.bytes);
  rig.start(image.entry);
  const before = rig.vcpu.instructions();
  while (most > 0) {
    const slice = interrupted ? 1 + chance.below(INTERRUPTION_SPACING) : SLICE;
    most -= slice;
    const exit = rig.vcpu.run(slice);
    if (interrupted) rig.clock.advanceTo(rig.clock.nowUs() + INTERRUPTION_US);
    if (exit === VcpuExit.budget) continue;
    const address = rig.state.u64(Cpu.pswAddress);
    if (exit !== VcpuExit.disabledWait || address !== 0n) {
      return { failure: `exit ${exit} at 0x${address.toString(16)}` };
    }
    const memory = new Uint8Array(dumpBytesOf(image));
    rig.ram.read(0, memory);
    return { memory, executed: rig.vcpu.instructions() - before };
  }
  return { failure: `no disabled wait within ${slices} million instructions` };
}

/**
 * @param model the CPU model, where it matters which facilities there are
 * @param translateAfter 1 for generated code from the first branch to an instruction on
 */
export function zmendPeer(model: CpuModelName = "zmend", translateAfter = 0): Peer {
  const rig = cpuRig({ ramBytes: RAM_BYTES, model, translateAfter });
  return {
    name: "zmend",
    run: (image) => Promise.resolve(runUnderZmend(rig, image)),
  };
}
