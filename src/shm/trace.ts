/**
 * Hot file: no allocation in `write`. One trace ring per thread, read by the main thread: timeline,
 * ledger, `--trace`. A full ring loses trace records and counts them in the ring (`RingConsumer.lost`); events
 * are never involved.
 */
import type { Clock } from "../ports/clock.ts";
import { peek, poke } from "./atomics.ts";
import { VcpuHeader } from "./blocks.ts";
import { traceRingSlots } from "./memory-map.ts";
import { Lane, RingConsumer, RingProducer, ringLost } from "./ring.ts";
import type { VmMemory } from "./vm-memory.ts";

export class TraceWriter {
  readonly #words: Int32Array;
  readonly #ring: RingProducer;
  readonly #clock: Clock;
  /** Time of the record to write, microseconds. */
  #stamp = new Float64Array(1);
  #stamped = false;
  /** Word of the first vCPU's instruction count. */
  readonly #instructions: number;

  /** @param ring a ring's offset, or its producer where several writers of one thread share it */
  constructor(vm: VmMemory, ring: number | RingProducer, clock: Clock) {
    this.#words = vm.words;
    this.#ring = typeof ring === "number" ? traceProducer(vm, ring) : ring;
    this.#clock = clock;
    this.#instructions = (vm.map.vcpuAreas[0] as number) / 4 + VcpuHeader.instructionsLow;
  }

  /** From now on records carry the time in `stamp[0]`, which the caller sets once for several records. */
  useStamp(stamp: Float64Array<ArrayBuffer>): void {
    this.#stamp = stamp;
    this.#stamped = true;
  }

  /**
   * The last two words of the body are the first vCPU's instruction count as it last published it.
   * @param kind `TraceKind` @param functionIndex -1 = the VM; body words as `src/abi/records.ts` says
   */
  write(
    kind: number,
    functionIndex: number,
    generation: number,
    correlation: number,
    b0: number,
    b1: number,
    b2: number,
    b3: number,
    b4 = 0,
  ): void {
    const slot = this.#ring.reserve();
    if (slot < 0) {
      this.#ring.countLost();
      return;
    }
    if (!this.#stamped) this.#stamp[0] = this.#clock.nowUs();
    this.#ring.stampHeader(slot, kind, functionIndex, generation, this.#stamp, correlation);
    this.#ring.clearBody(slot);
    poke(this.#words, slot + Lane.body, b0);
    poke(this.#words, slot + Lane.body + 1, b1);
    poke(this.#words, slot + Lane.body + 2, b2);
    poke(this.#words, slot + Lane.body + 3, b3);
    poke(this.#words, slot + Lane.body + 4, b4);
    poke(this.#words, slot + Lane.body + 6, peek(this.#words, this.#instructions));
    poke(this.#words, slot + Lane.body + 7, peek(this.#words, this.#instructions + 1));
    this.#ring.publish();
  }
}

export function traceProducer(vm: VmMemory, ringOffset: number): RingProducer {
  return new RingProducer(vm.words, ringOffset, traceRingSlots(vm.map, ringOffset));
}

export function traceConsumer(vm: VmMemory, ringOffset: number): RingConsumer {
  return new RingConsumer(vm.words, ringOffset, traceRingSlots(vm.map, ringOffset));
}

/** Records that all threads of a VM had to give up because their ring was full; for whoever only looks. */
export function traceRecordsLost(vm: VmMemory): number {
  let lost = 0;
  for (const ring of vm.map.traceRings) lost += ringLost(vm.words, ring);
  return lost;
}
