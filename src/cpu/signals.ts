/**
 * What CPUs do to each other: the pending bits of one CPU that others set, SIGP orders, and the purge of all CPUs'
 * translations. All of it is atomic words in the vCPUs' headers; no thread waits for another's guest, only for a
 * purge, which a running CPU does at its next block boundary. Sources: SA22-7832 chapter 4 ("CPU Signaling and
 * Response"), chapter 10 (IPTE: "all CPUs in the configuration"); s390x-machine.md 5.2.
 *
 * Purge: the one who asks counts the other's `purgeAsked` up, then looks at its `executing`; a CPU stores
 * `executing`, then looks at its own `purgeAsked`. So either it is seen to stand outside of guest code, or it
 * purges before it goes in. Who waits purges itself when asked meanwhile: two that ask each other do not hang.
 */
import { at } from "../base/bits.ts";
import {
  add,
  and,
  compareExchange,
  exchange,
  load,
  notify,
  or,
  store,
  wait,
} from "../shm/atomics.ts";
import { PENDING_SIGNAL, VcpuHeader, VmBlock } from "../shm/blocks.ts";
import type { VmMemory } from "../shm/vm-memory.ts";
import { Cpu, LOCAL_RESTART } from "./state.ts";

const PURGE_LOOKS = 2000;
const PURGE_SLEEP_MS = 1;

export class Signals {
  /** This CPU's address. */
  readonly own: number;
  readonly count: number;
  readonly #words: Int32Array;
  readonly #headers: readonly number[];
  readonly #command: number;

  constructor(vm: VmMemory, own: number) {
    this.own = own;
    this.count = vm.map.vcpuAreas.length;
    this.#words = vm.words;
    this.#headers = vm.map.vcpuAreas.map((area) => area / 4);
    this.#command = vm.map.vmBlock / 4 + VmBlock.command;
  }

  #word(cpu: number, header: number): number {
    return at(this.#headers, cpu) + header;
  }

  #local(cpu: number, offset: number): number {
    return at(this.#headers, cpu) + offset / 4;
  }

  // Interruptions of one CPU ---------------------------------------------------------------------------

  /** LOCAL_* bits of `cpu`. */
  pending(cpu = this.own): number {
    return load(this.#words, this.#local(cpu, Cpu.localPending));
  }

  /** Sets LOCAL_* bits and has the CPU look at them. */
  post(cpu: number, bits: number): void {
    or(this.#words, this.#local(cpu, Cpu.localPending), bits);
    this.kick(cpu);
  }

  clear(bits: number): void {
    and(this.#words, this.#local(this.own, Cpu.localPending), ~bits);
  }

  kick(cpu: number): void {
    or(this.#words, this.#word(cpu, VcpuHeader.pending), PENDING_SIGNAL);
    const sleeping = this.#word(cpu, VcpuHeader.sleeping);
    if (exchange(this.#words, sleeping, 0) === 1) notify(this.#words, sleeping);
  }

  /** @returns false when an external call is pending there already */
  externalCall(cpu: number, bit: number): boolean {
    const word = this.#local(cpu, Cpu.externalCallCpu);
    if (compareExchange(this.#words, word, 0, this.own + 1) !== 0) return false;
    this.post(cpu, bit);
    return true;
  }

  callPending(cpu: number): boolean {
    return load(this.#words, this.#local(cpu, Cpu.externalCallCpu)) !== 0;
  }

  /** Takes this CPU's external call; returns its sender, -1 when there is none. */
  takeExternalCall(bit: number): number {
    this.clear(bit);
    return exchange(this.#words, this.#local(this.own, Cpu.externalCallCpu), 0) - 1;
  }

  emergency(cpu: number, bit: number): void {
    or(this.#words, this.#local(cpu, Cpu.emergencyCpus), 1 << this.own);
    this.post(cpu, bit);
  }

  /** Takes the emergency signal of the sender with the lowest address; -1 when there is none. */
  takeEmergency(bit: number): number {
    const word = this.#local(this.own, Cpu.emergencyCpus);
    const senders = load(this.#words, word);
    const sender = 31 - Math.clz32(senders & -senders);
    if (sender >= 0) and(this.#words, word, ~(1 << sender));
    this.clear(bit);
    // One that was sent between the two is not forgotten, nor are the rest.
    if (load(this.#words, word) !== 0)
      or(this.#words, this.#local(this.own, Cpu.localPending), bit);
    return sender;
  }

  // SIGP ------------------------------------------------------------------------------------------------

  /** Orders to one CPU come one after the other. @returns false when another one is being carried out: busy */
  beginOrder(cpu: number): boolean {
    return compareExchange(this.#words, this.#word(cpu, VcpuHeader.sigpLock), 0, 1) === 0;
  }

  endOrder(cpu: number): void {
    store(this.#words, this.#word(cpu, VcpuHeader.sigpLock), 0);
  }

  running(cpu: number): boolean {
    return load(this.#words, this.#local(cpu, Cpu.running)) === 1;
  }

  /** Lets a stopped CPU operate: whatever was true of it before, it counts as going from now on. */
  start(cpu: number, bits: number): void {
    store(this.#words, this.#word(cpu, VcpuHeader.halted), 0);
    if (bits !== 0) or(this.#words, this.#local(cpu, Cpu.localPending), bits);
    store(this.#words, this.#local(cpu, Cpu.running), 1);
    this.kick(cpu);
  }

  /** The restart key: a restart interruption, whether the CPU is stopped or operates. Any thread. */
  static restart(vm: VmMemory, cpu: number): void {
    new Signals(vm, cpu).start(cpu, LOCAL_RESTART);
  }

  /** Neither stopped nor in a wait. */
  executing(cpu: number): boolean {
    return load(this.#words, this.#word(cpu, VcpuHeader.executing)) === 1;
  }

  // The end of one CPU and of all -----------------------------------------------------------------------

  /** This CPU does nothing more until it is signalled. @returns whether no CPU does: the machine has come to rest */
  halt(): boolean {
    store(this.#words, this.#word(this.own, VcpuHeader.halted), 1);
    for (let cpu = 0; cpu < this.count; cpu++) {
      if (load(this.#words, this.#word(cpu, VcpuHeader.halted)) === 0) return false;
    }
    return true;
  }

  /** Machine build and reset: the first CPU is to operate, the others are stopped. */
  static prepare(vm: VmMemory): void {
    for (const [cpu, area] of vm.map.vcpuAreas.entries()) {
      store(vm.words, (area + Cpu.running) / 4, cpu === 0 ? 1 : 0);
      store(vm.words, area / 4 + VcpuHeader.halted, cpu === 0 ? 0 : 1);
    }
  }

  // Purge -----------------------------------------------------------------------------------------------

  /** Before guest code. */
  enter(purge: () => void): void {
    store(this.#words, this.#word(this.own, VcpuHeader.executing), 1);
    this.#serve(purge);
  }

  /** After guest code. */
  leave(): void {
    store(this.#words, this.#word(this.own, VcpuHeader.executing), 0);
  }

  /** Has all other CPUs forget their translations, and waits until they have. This one has done so. */
  purgeOthers(purge: () => void): void {
    for (let cpu = 0; cpu < this.count; cpu++) {
      if (cpu === this.own) continue;
      const asked = add(this.#words, this.#word(cpu, VcpuHeader.purgeAsked), 1) + 1;
      if (!this.executing(cpu)) continue;
      or(this.#words, this.#word(cpu, VcpuHeader.pending), PENDING_SIGNAL);
      this.#await(cpu, asked | 0, purge);
    }
  }

  #await(cpu: number, asked: number, purge: () => void): void {
    const done = this.#word(cpu, VcpuHeader.purgeDone);
    for (let looks = 0; ; looks++) {
      const seen = load(this.#words, done);
      if (((seen - asked) | 0) >= 0 || !this.executing(cpu)) return;
      if (load(this.#words, this.#command) !== 0) return; // the machine ends
      this.#serve(purge);
      if (looks >= PURGE_LOOKS) wait(this.#words, done, seen, PURGE_SLEEP_MS);
    }
  }

  #serve(purge: () => void): void {
    const asked = load(this.#words, this.#word(this.own, VcpuHeader.purgeAsked));
    const done = this.#word(this.own, VcpuHeader.purgeDone);
    if (load(this.#words, done) === asked) return;
    purge();
    store(this.#words, done, asked);
    notify(this.#words, done);
  }
}
