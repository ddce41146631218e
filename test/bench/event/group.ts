/**
 * Group `event`: from the platform that raises an error (and rings the ERR doorbell) to the machine check that
 * is pending for the guest, across threads: the host stores the CCDF, the recovery worker wakes, reads it,
 * publishes it and posts the channel report. The peer is one blocking wake-up between the same two CPUs: the
 * way contains exactly one.
 *
 * Estimate before the first run: one wake, a futex's 5 to 20 us, plus some 3 us for a drain of one event (two
 * GETs, 60 shared-memory operations of 10 ns, two trace records with a clock reading each): ratio 1.3.
 */
import { Worker } from "node:worker_threads";
import {
  HOST_AREA_BYTES,
  prepareHostArea,
  type SimFunctionConfig,
  simFunctionConfig,
} from "../../../src/backend/sim/index.ts";
import { loadPolicy, type Policy } from "../../../src/recovery/index.ts";
import { store } from "../../../src/shm/atomics.ts";
import { FunctionBlock, FunctionState, stateWord } from "../../../src/shm/blocks.ts";
import { ChannelReport } from "../../../src/shm/channel-report.ts";
import { FloatingInterrupts } from "../../../src/shm/floating.ts";
import { planMemory } from "../../../src/shm/memory-map.ts";
import { createVmMemory } from "../../../src/shm/vm-memory.ts";
import { compare, type Group, median, type Result } from "../harness.ts";
import { ask, Pair } from "../ring/pair.ts";
import type { EventTask } from "./worker.ts";

const FID = 0x123;
const map = planMemory({
  vcpuCount: 1,
  functionCount: 1,
  ramBytes: 1 << 20,
  vcpuBytes: 4096,
  hostBytes: HOST_AREA_BYTES,
});

/** A CCDF of a service action, PEC 0x003a: words of vfio-uapi.md 2.2, big-endian. */
function serviceError(handle: number): Uint8Array {
  const bytes = new Uint8Array(32);
  const view = new DataView(bytes.buffer);
  view.setUint32(4, handle);
  view.setUint32(8, FID);
  view.setUint16(30, 0x003a);
  return bytes;
}

class EventPair {
  readonly #platform = new Worker(new URL("./worker.js", import.meta.url), { workerData: 0 });
  readonly #recovery = new Worker(new URL("./worker.js", import.meta.url), { workerData: 1 });

  /** @returns microseconds, and what the recovery worker counted */
  async run(
    config: SimFunctionConfig,
    policy: Policy,
    count: number,
    role: EventTask["role"] = "recover",
  ): Promise<[number, number]> {
    const vm = createVmMemory(map);
    prepareHostArea(vm, 0, config);
    const base = (map.functionBlocks[0] as number) / 4;
    store(vm.words, base + FunctionBlock.fid, FID);
    store(vm.words, base + FunctionBlock.stateWord, stateWord(1, FunctionState.ENABLED));
    new ChannelReport(vm, new FloatingInterrupts(vm)).reset();
    const ccdf = serviceError(config.hostHandle);
    const task: Omit<EventTask, "role"> = { map, memory: vm.memory, config, policy, ccdf, count };
    return Promise.all([
      ask(this.#platform, { role: "ring", ...task }),
      ask(this.#recovery, { role, ...task }),
    ]);
  }

  async end(): Promise<void> {
    await Promise.all([this.#platform.terminate(), this.#recovery.terminate()]);
  }
}

export const event: Group = async (options, emit) => {
  const pair = new EventPair();
  const wakes = new Pair();
  // A host that does not hold its locks for a while after each error, so that the next can come at once.
  const timing = { deviceLockUs: 0, stateLockUs: 0, resetUs: 0 };
  const config = simFunctionConfig({ fid: FID, timing });
  // Every event is to go the whole way: no token bucket for a function that stays in error.
  const policy: Policy = { ...loadPolicy("mediated"), stormTokens: 0 };
  const count = options.quick ? 1_000 : 4_000;
  try {
    emit(
      await compare(
        {
          name: "event.doorbell-to-mcheck",
          unit: "us",
          better: "lower",
          peer: "one blocking wake",
          ours: async () => (await pair.run(config, policy, count))[0],
          theirs: async () => (await wakes.run("wakePing", "wakePong", count))[0],
        },
        options,
      ),
    );
    const [, bytes] = await pair.run(config, policy, 12_000, "recoverCounting");
    emit(await allocations(bytes, wakes));
  } finally {
    await Promise.all([pair.end(), wakes.end()]);
  }
};

/**
 * Heap of the recovery worker per event, two wake-ups (error, fetch) with everything they write. Reading the clock puts
 * nothing there (src/base/clock.ts); numbers that functions return do.
 */
async function allocations(value: number, wakes: Pair): Promise<Result> {
  const theirs: number[] = [];
  for (let n = 0; n < 5; n++) theirs.push((await wakes.run("portSend", "portReceive", 1_000))[0]);
  const peerValue = median(theirs);
  return {
    name: "event.allocations",
    unit: "bytes/event",
    better: "lower",
    value: Number(value.toPrecision(3)),
    peer: "one MessagePort object of 8 numbers",
    peerValue: Number(peerValue.toPrecision(3)),
    ratio: Number((value / peerValue).toPrecision(3)),
  };
}
