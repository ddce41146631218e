/** Runs an oracle image on zmend's CPU: one vCPU with nothing around it, on the calling thread. */
import { Cpu, type CpuModelName, VcpuExit } from "../../src/cpu/index.ts";
import { type CpuRig, cpuRig } from "../support/cpu-rig.ts";
import type { Image } from "./harness.ts";
import { RAM_BYTES } from "./layout.ts";
import type { Dump, Failure, Peer } from "./run.ts";

const SLICE = 1_000_000;
/** A batch of the longest sequences executes well under ten million instructions. */
const SLICES = 60;

/** @param slices how many million instructions the image may take */
export function runUnderZmend(rig: CpuRig, image: Image, slices = SLICES): Dump | Failure {
  rig.vcpu.reset();
  rig.ram.fill(0, rig.ram.sizeBytes, 0);
  rig.ram.write(0, image.bytes);
  rig.start(image.entry);
  for (let slice = 0; slice < slices; slice++) {
    const exit = rig.vcpu.run(SLICE);
    if (exit === VcpuExit.budget) continue;
    const address = rig.state.u64(Cpu.pswAddress);
    if (exit !== VcpuExit.disabledWait || address !== 0n) {
      return { failure: `exit ${exit} at 0x${address.toString(16)}` };
    }
    const memory = new Uint8Array(image.bytes.length);
    rig.ram.read(0, memory);
    return { memory };
  }
  return { failure: `no disabled wait within ${slices} million instructions` };
}

/** @param model the CPU model, where it matters which facilities there are */
export function zmendPeer(model: CpuModelName = "zmend"): Peer {
  const rig = cpuRig({ ramBytes: RAM_BYTES, model });
  return {
    name: "zmend",
    run: (image) => Promise.resolve(runUnderZmend(rig, image)),
  };
}
