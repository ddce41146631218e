/**
 * Lets a recovery thread's engine compile the event path while the rest of its VM still starts: the first error of a VM
 * should not be the one that runs cold code, and the guest should not wait for that. The same objects, over a private memory, under a virtual clock.
 */
import { Pec } from "../abi/ccdf.ts";
import { buildCcdf } from "../backend/sim/ccdf-builder.ts";
import { simFunctionConfig } from "../backend/sim/config.ts";
import { HOST_AREA_BYTES, HostArea, prepareHostArea } from "../backend/sim/host-area.ts";
import { HostKernel } from "../backend/sim/host-kernel.ts";
import { VirtualClock } from "../base/clock.ts";
import { CCDF_RING_SLOTS } from "../base/limits.ts";
import type { Policy } from "../recovery/index.ts";
import { RecoveryUnit } from "../recovery/unit.ts";
import { load, store } from "../shm/atomics.ts";
import { FunctionBlock, FunctionState, generationOf, stateWord } from "../shm/blocks.ts";
import { planMemory, platformTraceRing } from "../shm/memory-map.ts";
import { RingConsumer } from "../shm/ring.ts";
import { TraceWriter } from "../shm/trace.ts";
import { createVmMemory } from "../shm/vm-memory.ts";
import { recoveryOptions } from "./recovery-parts.ts";
import type { VmSpec } from "./vm-spec.ts";

/** Some 15 ms of CPU time, most of it for loading code and making events; enough for V8 to compile the path. */
const ROUNDS = 100;
const ROUND_US = 10_000;

/** @returns the events that reached the (private) guest's ring */
export function warmUpEventPath(policy: Policy, rounds = ROUNDS): number {
  const timing = { deviceLockUs: 0, stateLockUs: 0, resetUs: 0 };
  const config = simFunctionConfig({ fid: 1, uid: 1, timing });
  const spec: VmSpec = {
    name: "warm-up",
    ramBytes: 1 << 20,
    cpuModel: "zmend",
    functions: [config],
    policy,
    epochMs: 0,
  };
  const vm = createVmMemory(
    planMemory({
      vcpuCount: 1,
      functionCount: 1,
      ramBytes: spec.ramBytes,
      vcpuBytes: 4096,
      hostBytes: HOST_AREA_BYTES,
    }),
  );
  prepareHostArea(vm, 0, config);
  const clock = new VirtualClock();
  const trace = new TraceWriter(vm, platformTraceRing(vm.map), clock);
  const kernel = new HostKernel(new HostArea(vm, 0), config, trace);
  const unit = new RecoveryUnit(recoveryOptions(vm, spec, 0, clock));
  const fetched = new RingConsumer(vm.words, vm.map.ccdfRings[0] as number, CCDF_RING_SLOTS);
  const block = (vm.map.functionBlocks[0] as number) / 4;
  const state = block + FunctionBlock.stateWord;
  const event = [buildCcdf({ pec: Pec.SERVAC }, config.hostHandle, config.fid)];
  unit.step();
  for (let round = 1; round <= rounds; round++) {
    store(vm.words, state, stateWord(generationOf(load(vm.words, state)), FunctionState.ENABLED));
    kernel.report(event);
    kernel.step(clock.nowUs());
    unit.step();
    while (fetched.front() >= 0) fetched.release();
    clock.advanceTo(round * ROUND_US);
  }
  return load(vm.words, block + FunctionBlock.injected);
}
