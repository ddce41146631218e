/** A `VmControl` without a machine behind it: shared words a test can set, events it can send, calls it can look at. */
import { simFunctionConfig } from "../../src/backend/sim/index.ts";
import { readBooks } from "../../src/machine/books.ts";
import type { LedgerEntry } from "../../src/machine/ledger-entry.ts";
import type { RecentEntries } from "../../src/machine/recent-records.ts";
import type {
  FunctionStatus,
  InjectRequest,
  RunState,
  VmControl,
  VmEvent,
} from "../../src/machine/vm-control.ts";
import type { VmSpec } from "../../src/machine/vm-spec.ts";
import { loadPolicy, type StateName } from "../../src/recovery/index.ts";
import { store } from "../../src/shm/atomics.ts";
import { FunctionBlock } from "../../src/shm/blocks.ts";
import type { VmMemory } from "../../src/shm/vm-memory.ts";
import { bareVm } from "./vm.ts";

export class VmControlDouble implements VmControl {
  readonly name: string;
  spec: VmSpec;
  readonly vm: VmMemory;
  readonly injected: { readonly fid: number; readonly request: InjectRequest }[] = [];
  state: RunState = "running";
  functionStates: StateName[];
  nowUs = 0;
  executed = 0;
  readonly #listeners = new Set<(event: VmEvent) => void>();

  constructor(name: string, fids: readonly number[]) {
    this.name = name;
    this.spec = {
      name,
      ramBytes: 1024 * 1024,
      cpuModel: "zmend",
      functions: fids.map((fid, index) => simFunctionConfig({ fid }, index)),
      policy: loadPolicy("mediated"),
      epochMs: 0,
    };
    this.vm = bareVm(fids.length);
    this.functionStates = fids.map(() => "operational");
    for (const [index, fid] of fids.entries()) this.setWord(index, FunctionBlock.fid, fid);
  }

  setWord(index: number, word: number, value: number): void {
    store(this.vm.words, (this.vm.map.functionBlocks[index] as number) / 4 + word, value);
  }

  send(event: VmEvent): void {
    for (const listener of this.#listeners) listener(event);
  }

  /** A ledger entry at `timeUs`. */
  entry(
    timeUs: number,
    fid: number,
    kind: string,
    detail: LedgerEntry["detail"],
    correlation = 0,
  ): void {
    const numbered = correlation === 0 ? {} : { correlation };
    const entry: LedgerEntry = {
      seq: 0,
      timeUs,
      actor: "recovery",
      kind,
      fid,
      ...numbered,
      detail,
    };
    this.send({ type: "entry", entry });
  }

  recent(): RecentEntries {
    return { entries: [], first: 0, next: 0 };
  }
  runState(): RunState {
    return this.state;
  }
  failure(): Error | undefined {
    return undefined;
  }
  timeUs(): number {
    return this.nowUs;
  }
  instructions(): number {
    return this.executed;
  }
  functions(): readonly FunctionStatus[] {
    return this.spec.functions.map(({ fid, uid, device }, index) => ({
      index,
      id: `fn-${fid}`,
      fid,
      uid,
      device,
      guestHandle: 0x81010000,
      guestState: "enabled",
      state: this.functionStates[index] ?? "operational",
      policy: "mediated",
      books: readBooks(this.vm, index),
    }));
  }
  inject(fid: number, request: InjectRequest): void {
    this.injected.push({ fid, request });
  }
  on(listener: (event: VmEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  // What readers of a VM never call.
  start = notHere;
  pause = notHere;
  resume = notHere;
  reset = notHere;
  stop = notHere;
  save = notHere;
  load = notHere;
  plug = notHere;
  setPolicy = notHere;
  faults = notHere;
  powerdown(): void {
    throw new Error("not part of this double");
  }
  nmi(): void {
    throw new Error("not part of this double");
  }
  setWatchdogAction(): void {
    throw new Error("not part of this double");
  }
  command(): void {
    throw new Error("not part of this double");
  }
  unplug(): void {
    throw new Error("not part of this double");
  }
  pushInput(): number {
    throw new Error("not part of this double");
  }
}

function notHere(): Promise<never> {
  return Promise.reject(new Error("not part of this double"));
}
