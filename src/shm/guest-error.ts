/**
 * Errors that a guest's own instruction finds (RPCIT over a malformed table) happen on the vCPU's thread, but
 * every error takes one way: through the platform. One mailbox of words per function carries them there. It cannot
 * be full: a function in error raises no further error until the platform has ended it. Measurement codes, which
 * leave the function working and which a guest may cause again and again, have a word of their own and merge.
 */
import { isFmbCode } from "../abi/ccdf.ts";
import { compareExchange, exchange, load, poke, store } from "./atomics.ts";
import { FunctionBlock, VmBlock, WORK_OWN } from "./blocks.ts";
import { Doorbell } from "./doorbell.ts";
import { recoveryBell } from "./recovery-bell.ts";
import type { VmMemory } from "./vm-memory.ts";

const EMPTY = 0;
const FILLING = 1;
const FULL = 2;

export interface GuestError {
  readonly pec: number;
  readonly faddr: bigint;
  readonly write: boolean;
}

export class GuestErrorMailbox {
  readonly #vm: VmMemory;
  readonly #platform: Doorbell;

  constructor(vm: VmMemory) {
    this.#vm = vm;
    const base = vm.map.vmBlock / 4;
    this.#platform = new Doorbell(
      vm.words,
      base + VmBlock.platformSleeping,
      base + VmBlock.platformSummary,
    );
  }

  /** vCPU: tells the platform. `functionIndex` also chooses the doorbell's bit. */
  post(
    functionIndex: number,
    pec: number,
    faddrHigh: number,
    faddrLow: number,
    write: boolean,
  ): void {
    const { words } = this.#vm;
    const base = this.#base(functionIndex);
    if (isFmbCode(pec)) {
      store(words, base + FunctionBlock.guestErrorFmb, pec);
      this.#platform.ring(1 << (functionIndex & 31));
      return;
    }
    if (compareExchange(words, base + FunctionBlock.guestErrorState, EMPTY, FILLING) !== EMPTY)
      return;
    poke(words, base + FunctionBlock.guestErrorPec, pec);
    poke(words, base + FunctionBlock.guestErrorFaddrHigh, faddrHigh);
    poke(words, base + FunctionBlock.guestErrorFaddrLow, faddrLow);
    poke(words, base + FunctionBlock.guestErrorWrite, write ? 1 : 0);
    store(words, base + FunctionBlock.guestErrorState, FULL);
    this.#platform.ring(1 << (functionIndex & 31));
  }

  /** Platform: takes an error of one function, if there is one; call again for what else there may be. */
  take(functionIndex: number): GuestError | undefined {
    const { words } = this.#vm;
    const base = this.#base(functionIndex);
    if (load(words, base + FunctionBlock.guestErrorState) !== FULL) {
      const pec = exchange(words, base + FunctionBlock.guestErrorFmb, 0);
      return pec === 0 ? undefined : { pec, faddr: 0n, write: false };
    }
    const high = load(words, base + FunctionBlock.guestErrorFaddrHigh) >>> 0;
    const low = load(words, base + FunctionBlock.guestErrorFaddrLow) >>> 0;
    const error = {
      pec: load(words, base + FunctionBlock.guestErrorPec),
      faddr: (BigInt(high) << 32n) | BigInt(low),
      write: load(words, base + FunctionBlock.guestErrorWrite) === 1,
    };
    store(words, base + FunctionBlock.guestErrorState, EMPTY);
    return error;
  }

  #base(functionIndex: number): number {
    return (this.#vm.map.functionBlocks[functionIndex] as number) / 4;
  }
}

/**
 * Platform: an event of the machine's own, which the recovery worker hands to the guest without any host knowing of it.
 * One that waits already is enough: the guest logs it and does nothing more (zpci-guest.md 7.2).
 */
export function postOwnEvent(
  vm: VmMemory,
  functionIndex: number,
  pec: number,
  faddr: bigint,
): void {
  const { words } = vm;
  const base = (vm.map.functionBlocks[functionIndex] as number) / 4;
  if (load(words, base + FunctionBlock.ownPec) !== 0) return;
  poke(words, base + FunctionBlock.ownFaddrHigh, Number(faddr >> 32n) | 0);
  poke(words, base + FunctionBlock.ownFaddrLow, Number(faddr & 0xffff_ffffn) | 0);
  store(words, base + FunctionBlock.ownPec, pec);
  recoveryBell(vm, functionIndex).ring(WORK_OWN);
}
