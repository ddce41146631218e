/**
 * A host that lies: errno values that do not belong there, records of random bytes, handles that change, resets that
 * never end, capability chains and region descriptions with bytes turned over.
 */
import {
  type SimFunctionConfig,
  SimHostFunction,
  SimVfioDevice,
} from "../../src/backend/sim/index.ts";
import {
  EAGAIN,
  EFAULT,
  EINVAL,
  EIO,
  ENODEV,
  ENOMSG,
  ENOTTY,
  HOST_PENDING,
  type HostFacts,
  type HostFunction,
} from "../../src/ports/host-function.ts";
import type { VmMemory } from "../../src/shm/vm-memory.ts";
import type { Random } from "./random.ts";

const CCDF_BYTES = 32;
const answers = [
  0,
  0,
  -ENOMSG,
  -EAGAIN,
  -EIO,
  -EINVAL,
  -EFAULT,
  -ENODEV,
  -ENOTTY,
  HOST_PENDING,
  7,
  -4095,
  0x7fffffff,
  -0x80000000,
];
/** One answer in so many is a lie. */
const LIES = 6;
/** A host that never opens teaches nothing. */
const OPEN_LIES = 24;

export class HostileHost implements HostFunction {
  lies = 0;
  readonly facts: HostFacts;
  readonly clearError: boolean;
  readonly #inner: HostFunction;
  readonly #vm: VmMemory;
  readonly #random: Random;
  readonly #index: number;

  constructor(inner: HostFunction, vm: VmMemory, index: number, random: Random) {
    this.#inner = inner;
    this.#vm = vm;
    this.#index = index;
    this.#random = random;
    this.facts = inner.facts;
    this.clearError = inner.clearError;
  }

  #answer(honest: number, oneIn = LIES): number {
    if (!this.#random.chance(oneIn)) return honest;
    this.lies += 1;
    return this.#random.pick(answers);
  }

  handle(): number {
    const honest = this.#inner.handle();
    if (!this.#random.chance(LIES)) return honest;
    this.lies += 1;
    return this.#random.u32();
  }

  open(): number {
    return this.#answer(this.#inner.open(), OPEN_LIES);
  }

  close(): number {
    return this.#answer(this.#inner.close());
  }

  getError(slot: number): number {
    const honest = this.#inner.getError(slot);
    const random = this.#random;
    if (!random.chance(LIES)) return honest;
    this.lies += 1;
    // A record out of nothing, half of them with the bytes of a real one where they matter.
    const { bytes, view } = this.#vm;
    for (let n = 0; n < CCDF_BYTES; n++) bytes[slot + n] = random.u32();
    if (random.chance(2)) {
      view.setUint32(slot + 4, this.#inner.handle());
      view.setUint32(slot + 8, 0x10 + this.#index);
      view.setUint16(slot + 30, random.pick([0x3a, 0x3b, 0x2a, 0x0e, 0, 0xffff]));
    }
    return random.pick(answers);
  }

  completeInterruptedCall(slot: number): void {
    this.#inner.completeInterruptedCall?.(slot);
  }

  takeSignals(): number {
    const honest = this.#inner.takeSignals();
    if (!this.#random.chance(LIES)) return honest;
    this.lies += 1;
    return this.#random.pick([0, 1, 4, 0x7fffffff, -1]);
  }

  takeRequests(): number {
    const honest = this.#inner.takeRequests();
    if (!this.#random.chance(LIES)) return honest;
    this.lies += 1;
    return this.#random.pick([0, 0, 0, 1, -1, 0x7fffffff]);
  }

  startReset(): number {
    return this.#answer(this.#inner.startReset());
  }

  pollReset(): number {
    return this.#answer(this.#inner.pollReset());
  }

  startClear(operation: 7 | 9): number {
    return this.#answer(this.#inner.startClear(operation));
  }

  pollClear(): number {
    return this.#answer(this.#inner.pollClear());
  }
}

/** A device fd whose answers have some bytes turned over. */
class TurnedDevice extends SimVfioDevice {
  readonly #random: Random;

  constructor(vm: VmMemory, index: number, config: SimFunctionConfig, random: Random) {
    super(vm, index, config);
    this.#random = random;
  }

  override ioctl(request: number, buffer: Uint8Array = new Uint8Array(0)): number {
    return this.#turn(super.ioctl(request, buffer), buffer);
  }

  override pread(offset: number, target: Uint8Array): number {
    return this.#turn(super.pread(offset, target), target);
  }

  #turn(result: number, buffer: Uint8Array): number {
    const random = this.#random;
    if (!random.chance(2) || buffer.length === 0) return result;
    for (let count = random.below(6); count > 0; count--) {
      // Low bytes of small numbers more often: sizes, offsets, counts.
      const value = random.chance(2) ? random.below(256) : random.pick([0, 1, 0x7f, 0x80, 0xff]);
      buffer[random.below(buffer.length)] = value;
    }
    return random.chance(8) ? random.pick(answers) : result;
  }
}

/** The function's facts as read from such a host. */
export function hostileFacts(
  vm: VmMemory,
  index: number,
  config: SimFunctionConfig,
  random: Random,
): HostFunction {
  const device = new TurnedDevice(vm, index, config, random);
  return new SimHostFunction(vm, index, config, { device });
}
