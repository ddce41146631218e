/**
 * Lets a recovery thread's engine compile the event path while its VM has nothing for it to do: the first error of a VM
 * should not be the one that runs cold code. The same objects, over a private memory, under a virtual clock.
 */
import { Pec } from "../abi/ccdf.ts";
import { buildCcdf } from "../backend/sim/ccdf-builder.ts";
import { simFunctionConfig } from "../backend/sim/config.ts";
import { HOST_AREA_BYTES, hostArea, prepareHostArea } from "../backend/sim/host-area.ts";
import { HostKernel } from "../backend/sim/host-kernel.ts";
import { VirtualClock, warmUpClock } from "../base/clock.ts";
import { CCDF_RING_SLOTS } from "../base/limits.ts";
import type { Policy } from "../recovery/index.ts";
import { RecoveryUnit } from "../recovery/unit.ts";
import { load, store } from "../shm/atomics.ts";
import { FunctionBlock, FunctionState, generationOf, stateWord } from "../shm/blocks.ts";
import { planMemory, platformTraceRing } from "../shm/memory-map.ts";
import { RingConsumer } from "../shm/ring.ts";
import { TraceWriter } from "../shm/trace.ts";
import { createVmMemory, type VmMemory } from "../shm/vm-memory.ts";
import { recoveryOptions } from "./recovery-parts.ts";
import type { VmSpec } from "./vm-spec.ts";

/** Enough for V8 to compile the path to machine code without optimising it: code that runs once a second does not pay that. */
const ROUNDS = 24;
/** An error that arrives meanwhile waits for these: under a millisecond, but for the first ones, which load code. */
const ROUNDS_PER_STEP = 4;
const ROUND_US = 10_000;

export class WarmUp {
  readonly #clock = new VirtualClock();
  readonly #vm: VmMemory;
  readonly #kernel: HostKernel;
  readonly #unit: RecoveryUnit;
  /** The guest's side of the ring. */
  readonly #fetched: RingConsumer;
  readonly #block: number;
  readonly #event: readonly Uint8Array[];
  #round = 0;

  constructor(policy: Policy) {
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
    const trace = new TraceWriter(vm, platformTraceRing(vm.map), this.#clock);
    this.#vm = vm;
    this.#kernel = new HostKernel(hostArea(vm, 0), config, trace);
    this.#unit = new RecoveryUnit(recoveryOptions(vm, spec, 0, this.#clock));
    this.#fetched = new RingConsumer(vm.words, vm.map.ccdfRings[0] as number, CCDF_RING_SLOTS);
    this.#block = (vm.map.functionBlocks[0] as number) / 4;
    this.#event = [buildCcdf({ pec: Pec.SERVAC }, config.hostHandle, config.fid)];
    this.#unit.step();
  }

  /** A few more events. @returns whether there is more to do */
  step(): boolean {
    if (this.#round === 0) warmUpClock();
    for (let n = 0; n < ROUNDS_PER_STEP; n++) this.#one();
    return this.#round < ROUNDS;
  }

  /** Events that have reached the (private) guest's ring. */
  injected(): number {
    return load(this.#vm.words, this.#block + FunctionBlock.injected);
  }

  #one(): void {
    const { words } = this.#vm;
    const state = this.#block + FunctionBlock.stateWord;
    store(words, state, stateWord(generationOf(load(words, state)), FunctionState.ENABLED));
    this.#kernel.report(this.#event);
    this.#kernel.step(this.#clock.nowUs());
    this.#unit.step();
    while (this.#fetched.front() >= 0) this.#fetched.release();
    this.#round += 1;
    this.#clock.advanceTo(this.#round * ROUND_US);
  }
}
