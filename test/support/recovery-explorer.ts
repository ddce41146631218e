/**
 * Exhaustive exploration, breadth first, of the recovery unit with its table over the rig's host (queue of
 * four, resets) and guest. From every state reached: the worker steps, or dies at any numbered drain step, or the
 * guest, an error or the host cuts in at that step; the guest steps; an error is raised; a reset ends; the host asks for
 * its function, takes it, has it again; time passes.
 * Checked in every state: events are neither lost nor doubled. Checked from every state: if nothing more
 * goes wrong, the world comes to rest in a settled state, with the books closed and nobody waiting.
 */
import { CcdfFlag, CcdfKind } from "../../src/abi/records.ts";
import { CCDF_RING_SLOTS, REQUEST_RING_SLOTS } from "../../src/base/limits.ts";
import { booksBalance, readBooks } from "../../src/machine/books.ts";
import type { Policy } from "../../src/recovery/policy.ts";
import { compilePolicy, type PolicyFile } from "../../src/recovery/policy-file.ts";
import { repairAfterDeath } from "../../src/recovery/repair.ts";
import type { CompiledTable } from "../../src/recovery/table.ts";
import { DRAIN_STEP_LAST, DrainStep, Scratch, WorkerKilled } from "../../src/recovery/words.ts";
import { load, peek } from "../../src/shm/atomics.ts";
import {
  FunctionBlock,
  FunctionState,
  PHASE_REQUESTED,
  PHASE_RUNNING,
  VmBlock,
} from "../../src/shm/blocks.ts";
import { Lane, RingConsumer, RingProducer, ringBytes } from "../../src/shm/ring.ts";
import { GuestStep, RecoveryRig, rigPolicyFile, WORLD_WORDS } from "./recovery-rig.ts";

export interface ExploreOptions {
  readonly table?: CompiledTable;
  readonly policy?: Policy;
  /** PEC of each error that may be raised, in this order, at any time. */
  readonly errors: readonly number[];
  /** Deaths of the worker at a numbered drain step. */
  readonly kills: number;
  /** What the host does with the function as a whole, in this order, at any time; `back` as soon as it can. */
  readonly host?: readonly HostMove[];
  /** How often time may pass although the guest or the host has something to do. */
  readonly stalls: number;
  /** Whether the guest and errors cut in between two drain steps. */
  readonly interleave: boolean;
  readonly behaviour?: Parameters<RecoveryRig["behave"]>[0];
  /** Gives up (and says so) beyond this many states. */
  readonly statesMax: number;
}

/** It asks for the function, has taken it, has it again. */
export type HostMove = "request" | "gone" | "back";

export interface Exploration {
  readonly states: number;
  readonly transitions: number;
  readonly restStates: number;
  readonly deaths: number;
  readonly recoveryStates: readonly string[];
  readonly complete: boolean;
  /** First thing found wrong, with the way there; undefined when all is well. */
  readonly violation: string | undefined;
}

/** One state of the world: nonzero words of the shared memory, as index and value in turn, and the rest. */
interface Node {
  readonly words: Int32Array;
  readonly us: number;
  readonly wake: number;
  readonly alive: 0 | 1 | 2; // 0 dead, 1 alive, 2 repaired, successor not started
  readonly errorsLeft: number;
  readonly hostLeft: number;
  readonly killsLeft: number;
  readonly stallsLeft: number;
  readonly depth: number;
  readonly path: string;
}

/** One deadline for all states and few, equal pauses: times do not tell states apart that behave alike. */
export const explorerPolicyFile: PolicyFile = {
  ...rigPolicyFile,
  deadlineMs: {
    "awaiting-guest": 100,
    "guest-recovering": 100,
    unblocked: 100,
    verifying: 100,
    unplugging: 100,
  },
  reset: { budgetMs: 25, backoffMs: [10], pollMs: 10 },
};

const SETTLED = new Set(["operational", "failed", "quarantined", "detached"]);
/** Rounds of a run without trouble before it counts as waiting without bound. */
const ROUNDS_MAX = 3000;

class Violation extends Error {}

export function explore(options: ExploreOptions): Exploration {
  return new Explorer(options).run();
}

class Explorer {
  readonly #rig = new RecoveryRig();
  readonly #options: ExploreOptions;
  readonly #policy: Policy;
  readonly #ranges: readonly (readonly [number, number])[];
  readonly #seen = new Set<string>();
  readonly #rests = new Set<string>();
  readonly #recoveryStates = new Set<string>();
  #transitions = 0;
  #deaths = 0;
  // The part of the current node that is not in the memory
  #wake = 0;
  #alive: 0 | 1 | 2 = 1;
  #errorsLeft: number;
  #hostLeft: number;
  #killsLeft: number;
  #stallsLeft: number;
  #path = "";

  constructor(options: ExploreOptions) {
    this.#options = options;
    this.#policy = { ...(options.policy ?? compilePolicy(explorerPolicyFile)), slowDrainUs: 0 };
    this.#errorsLeft = options.errors.length;
    this.#hostLeft = options.host?.length ?? 0;
    this.#killsLeft = options.kills;
    this.#stallsLeft = options.stalls;
    const map = this.#rig.vm.map;
    const range = (offset: number, bytes: number): readonly [number, number] => [
      offset / 4,
      (offset + bytes) / 4,
    ];
    this.#ranges = [
      range(map.vmBlock, VmBlock.sizeBytes),
      range(map.functionBlocks[0] as number, FunctionBlock.sizeBytes),
      range(map.ccdfRings[0] as number, ringBytes(CCDF_RING_SLOTS)),
      range(map.requestRings[0] as number, ringBytes(REQUEST_RING_SLOTS)),
      range(map.hostAreas[0] as number, WORLD_WORDS * 4),
    ];
  }

  run(): Exploration {
    const rig = this.#rig;
    rig.behave(this.#options.behaviour ?? {});
    let violation: string | undefined;
    let complete = true;
    let queue: Node[] = [];
    try {
      this.#wake = rig.unit(this.#unitOptions(false)).step();
      this.#visit(queue, 0);
      while (queue.length > 0 && complete) {
        const level = queue;
        queue = [];
        for (const node of level) {
          this.#expand(node, queue);
          if (this.#seen.size > this.#options.statesMax) {
            complete = false;
            break;
          }
        }
      }
    } catch (error) {
      violation = `${(error as Error).message} [${this.#path.trim()}]`;
    }
    return {
      states: this.#seen.size,
      transitions: this.#transitions,
      restStates: this.#rests.size,
      deaths: this.#deaths,
      recoveryStates: [...this.#recoveryStates].sort(),
      complete,
      violation,
    };
  }

  #unitOptions(continued: boolean, killHook?: (step: number) => void) {
    return {
      policy: this.#policy,
      continued,
      ...(this.#options.table === undefined ? {} : { table: this.#options.table }),
      ...(killHook === undefined ? {} : { killHook }),
    };
  }

  // Moves -----------------------------------------------------------------------------------------------

  #expand(node: Node, queue: Node[]): void {
    const go = (name: string, move: () => boolean): void => {
      this.#restore(node);
      this.#path = `${node.path} ${name}`;
      this.#transitions += 1;
      if (move()) this.#visit(queue, node.depth + 1);
    };
    const rig = this.#rig;
    if (node.errorsLeft > 0) go("error", () => this.#raise());
    if (node.hostLeft > 0) go("host", () => this.#hostMoves());
    let othersCanAct = false;
    const other = (move: () => boolean) => (): boolean => {
      const moved = move();
      othersCanAct ||= moved;
      return moved;
    };
    go(
      "guest",
      other(() => rig.guestAct()),
    );
    go(
      "reset-ends",
      other(() => rig.endReset()),
    );
    if (node.alive === 0) {
      go("repair", () => {
        repairAfterDeath(rig.options(this.#unitOptions(false)));
        this.#alive = 2;
        return true;
      });
      return;
    }
    if (node.alive === 2) {
      go("restart", () => {
        this.#alive = 1;
        return this.#step(false);
      });
      return;
    }
    go("worker", () => this.#step(true));
    const timer = node.wake > node.us && node.wake !== Number.POSITIVE_INFINITY;
    if (timer && (!othersCanAct || node.stallsLeft > 0)) {
      go("time", () => {
        if (othersCanAct) this.#stallsLeft -= 1;
        rig.clock.us = node.wake;
        return this.#step(true);
      });
    }
    for (let step = DrainStep.woken; step <= DRAIN_STEP_LAST; step++) {
      if (node.killsLeft > 0) go(`death@${step}`, () => this.#dieAt(step));
      if (!this.#options.interleave || step === DrainStep.woken) continue;
      go(`guest@${step}`, () => this.#cutIn(step, () => rig.guestAct()));
      if (node.errorsLeft > 0) go(`error@${step}`, () => this.#cutIn(step, () => this.#raise()));
      if (node.hostLeft > 0) go(`host@${step}`, () => this.#cutIn(step, () => this.#hostMoves()));
    }
  }

  #hostMoves(): boolean {
    const moves = this.#options.host ?? [];
    const move = moves[moves.length - this.#hostLeft];
    if (move === "back") {
      if (!this.#rig.comeBack()) return false;
    } else this.#rig.requestBack(move === "gone");
    this.#hostLeft -= 1;
    return true;
  }

  #raise(): boolean {
    const errors = this.#options.errors;
    this.#rig.raise(errors[errors.length - this.#errorsLeft]);
    this.#errorsLeft -= 1;
    return true;
  }

  #step(continued: boolean): boolean {
    this.#wake = this.#rig.unit(this.#unitOptions(continued)).step();
    return true;
  }

  /** The worker steps and dies at drain step `step`; false when it does not come by there. */
  #dieAt(step: number): boolean {
    const hook = (reached: number): void => {
      if (reached === step) throw new WorkerKilled(step);
    };
    try {
      this.#rig.unit(this.#unitOptions(true, hook)).step();
    } catch (error) {
      if (!(error instanceof WorkerKilled)) throw error;
      this.#alive = 0;
      this.#killsLeft -= 1;
      this.#deaths += 1;
      return true;
    }
    return false;
  }

  /** The worker steps, and somebody else acts when it is at drain step `step`. */
  #cutIn(step: number, act: () => boolean): boolean {
    let acted = false;
    const hook = (reached: number): void => {
      if (reached === step && !acted) acted = act();
    };
    this.#wake = this.#rig.unit(this.#unitOptions(true, hook)).step();
    return acted;
  }

  // States ----------------------------------------------------------------------------------------------

  #visit(queue: Node[], depth: number): void {
    const key = this.#key();
    if (this.#seen.has(key)) return;
    this.#seen.add(key);
    this.#recoveryStates.add(this.#rig.stateName);
    this.#checkNow();
    this.#checkIdle();
    const node = this.#save(depth);
    this.#comesToRest(key);
    queue.push(node);
  }

  #save(depth: number): Node {
    const words = this.#rig.vm.words;
    const list: number[] = [];
    for (const [from, to] of this.#ranges) {
      for (let n = from; n < to; n++) {
        const value = words[n] as number;
        if (value !== 0) list.push(n, value);
      }
    }
    return {
      words: Int32Array.from(list),
      us: this.#rig.clock.us,
      wake: this.#wake,
      alive: this.#alive,
      errorsLeft: this.#errorsLeft,
      hostLeft: this.#hostLeft,
      killsLeft: this.#killsLeft,
      stallsLeft: this.#stallsLeft,
      depth,
      path: this.#path,
    };
  }

  #restore(node: Node): void {
    const words = this.#rig.vm.words;
    for (const [from, to] of this.#ranges) words.fill(0, from, to);
    for (let n = 0; n < node.words.length; n += 2) {
      words[node.words[n] as number] = node.words[n + 1] as number;
    }
    this.#rig.clock.us = node.us;
    this.#wake = node.wake;
    this.#alive = node.alive;
    this.#errorsLeft = node.errorsLeft;
    this.#hostLeft = node.hostLeft;
    this.#killsLeft = node.killsLeft;
    this.#stallsLeft = node.stallsLeft;
    this.#path = node.path;
  }

  /** Events waiting in the guest's ring that count in the books. */
  #untaken(): number {
    return this.#ringRecords().filter(
      (record) => record.kind >>> 8 !== CcdfFlag.repeat && record.kind === 1,
    ).length;
  }

  #ringRecords(): { kind: number; generation: number; pec: number; id: number }[] {
    const { vm } = this.#rig;
    const ring = new RingConsumer(vm.words, vm.map.ccdfRings[0] as number, CCDF_RING_SLOTS);
    const records = [];
    for (let slot = ring.front(); slot >= 0; slot = ring.front()) {
      const body = (slot + Lane.body) * 4;
      records.push({
        kind: peek(vm.words, slot + Lane.kind),
        generation: peek(vm.words, slot + Lane.generation),
        pec: vm.view.getUint16(body + 30),
        id: vm.view.getUint32(body + 20),
      });
      ring.skip();
    }
    return records;
  }

  /** What must hold at any moment. */
  #checkNow(): void {
    const rig = this.#rig;
    if (rig.doubled > 0) throw new Violation("an event reached the guest twice");
    const open = booksBalance(readBooks(rig.vm, 0));
    const where = rig.hostPending + this.#untaken();
    if (this.#alive === 0) {
      if (open < where || open > where + 1) {
        throw new Violation(`${open} events are open, ${where} can be found`);
      }
    } else if (open !== where) {
      throw new Violation(`${open} events are open, ${where} can be found`);
    }
  }

  /** What a worker that has nothing to do and only waits must not leave behind: it would wait for a deadline. */
  #checkIdle(): void {
    const rig = this.#rig;
    const own = (word: number): number =>
      peek(rig.vm.words, rig.block + FunctionBlock.recoveryScratch + word);
    const busy = rig.get(FunctionBlock.workerSummary) !== 0 || own(Scratch.pollDue) === 1;
    if (this.#alive !== 1 || busy || rig.vmWord(VmBlock.command) !== 0) return;
    const wrong = (what: string): never => {
      throw new Violation(`idle in ${rig.stateName}: ${what}`);
    };
    if (rig.hostPending > 0 && rig.stateName !== "resetting") wrong("the host's queue is not read");
    if (own(Scratch.unreported) === 1 && rig.stateName !== "resetting") {
      wrong("records are published and not reported");
    }
    if (rig.get(FunctionBlock.recoveryCommand) !== 0) wrong("an order is not taken");
    if (own(Scratch.owedCount) > 0 && rig.ringRoom) wrong("an availability event is not told");
    const gone = rig.stateName === "detached"; // CLP and MPCIFC answer by the guest's state
    if (!gone && rig.get(FunctionBlock.resetPhase) === PHASE_REQUESTED)
      wrong("a reset is not taken up");
    if (!gone && (rig.get(FunctionBlock.clearPhase) & 0xff) === PHASE_REQUESTED) {
      wrong("a clear is not taken up");
    }
    const broken = own(Scratch.hostErrorStands) === 1 && rig.stateName !== "resetting";
    // Who is asked to give a function up hears of its errors when it keeps it.
    const going = rig.stateName === "detached" || rig.stateName === "unplugging";
    if (broken && rig.guestState === FunctionState.ENABLED && !going) {
      wrong("the guest works with a function known to be broken");
    }
    const untold = this.#ringRecords().some(
      ({ kind, generation }) => (kind & 0xff) === CcdfKind.error && generation === rig.generation,
    );
    if (rig.stateName === "operational" && untold) wrong("a record waits without a deadline");
  }

  /** Everything that decides what can happen next, without times and counts that only history tells apart. */
  #key(): string {
    const rig = this.#rig;
    const { vm } = rig;
    const scratch = rig.block + FunctionBlock.recoveryScratch;
    const own = (word: number): number => peek(vm.words, scratch + word);
    const time = (word: number): number => {
      const us = (own(word + 1) >>> 0) * 0x1_0000_0000 + (own(word) >>> 0);
      return us === 0 ? -1 : Math.max(us - rig.clock.us, 0);
    };
    const producer = new RingProducer(vm.words, vm.map.ccdfRings[0] as number, CCDF_RING_SLOTS);
    const slot = producer.reserve();
    const step = rig.get(FunctionBlock.drainStep);
    const logged = this.#alive === 0 && step >= DrainStep.logged && step <= DrainStep.counted;
    const generation = rig.generation;
    const key: (number | string)[] = [
      this.#alive,
      this.#errorsLeft,
      this.#hostLeft,
      this.#killsLeft,
      this.#stallsLeft,
      rig.host.handle() === 0 ? 1 : 0,
      rig.get(FunctionBlock.recoveryCommand),
      Math.min(rig.world(14), 1),
      own(Scratch.told) === rig.generation + 1 ? 1 : 0,
      this.#wake === Number.POSITIVE_INFINITY ? "-" : Math.max(this.#wake - rig.clock.us, 0),
      rig.guestState,
      rig.get(FunctionBlock.recoveryState),
      rig.get(FunctionBlock.resetPhase),
      rig.get(FunctionBlock.clearPhase),
      rig.get(FunctionBlock.permanent),
      rig.get(FunctionBlock.proofPending),
      rig.get(FunctionBlock.resetGeneration) === generation ? 1 : 0,
      Math.min(rig.get(FunctionBlock.errSignals), 1),
      rig.get(FunctionBlock.workerSummary),
      rig.vmWord(VmBlock.command),
      rig.vmWord(VmBlock.crwPending),
      rig.vmWord(VmBlock.machineCheckEnabled),
      rig.vmWord(VmBlock.machineCheckPending),
      rig.vmWord(VmBlock.seiPending),
      rig.vmWord(VmBlock.ccdfSummary),
      booksBalance(readBooks(vm, 0)),
      this.#alive === 0 ? step : 0,
      producer.armed() && slot >= 0 ? vm.view.getUint32(slot * 4 + 36) : 0,
      producer.armed() && slot >= 0 ? vm.view.getUint32(slot * 4 + 52) : 0,
      ...(logged ? [own(Scratch.logIndex) - producer.tail, own(Scratch.logPublish)] : []),
      own(Scratch.judgedOrdinal) === rig.get(FunctionBlock.readByWorker) + 1
        ? own(Scratch.judgedVerdict)
        : -1,
      time(Scratch.deadline),
      own(Scratch.resetStage) === 0 ? 0 : time(Scratch.resetAt),
      own(Scratch.clearStage) === 0 ? 0 : time(Scratch.clearAt),
      time(Scratch.errorAt) < 0 ? 0 : 1,
      this.#alive === 1 ? 0 : own(Scratch.pendingCell),
      this.#alive === 1 ? 0 : own(Scratch.pendingEffect),
      own(Scratch.hostHandle) === rig.host.handle() ? 1 : 0,
    ];
    for (const word of keyWords) key.push(own(word));
    for (let word = 3; word < 32; word++) {
      if (worldInKey.has(word)) key.push(rig.world(word));
    }
    for (let at = rig.world(1); at < rig.world(2); at++) {
      const byte = (rig.worldBase + 32 + (at % 4) * 8) * 4;
      key.push(vm.view.getUint32(byte + 4) === rig.host.handle() ? 1 : 0);
      key.push(vm.view.getUint32(byte + 20));
    }
    for (const record of this.#ringRecords()) {
      key.push("r", record.kind, generation - record.generation, record.pec, record.id);
    }
    const requests = new RingConsumer(
      vm.words,
      vm.map.requestRings[0] as number,
      REQUEST_RING_SLOTS,
    );
    for (let at = requests.front(); at >= 0; at = requests.front()) {
      key.push("q", load(vm.words, at + Lane.kind), load(vm.words, at + Lane.body));
      requests.skip();
    }
    return key.join();
  }

  // Rest ------------------------------------------------------------------------------------------------

  /** Nothing more goes wrong: worker, guest, host and time take turns until nothing moves. */
  #comesToRest(start: string): void {
    const rig = this.#rig;
    const way = [start];
    const path = this.#path;
    for (let round = 0; round < ROUNDS_MAX; round++) {
      if (this.#alive === 0) repairAfterDeath(rig.options(this.#unitOptions(false)));
      const continued = this.#alive === 1;
      this.#alive = 1;
      this.#step(continued);
      const acted = rig.guestAct();
      const ended = rig.endReset();
      if (!acted && !ended) {
        if (this.#wake === Number.POSITIVE_INFINITY) {
          this.#checkRest();
          this.#rests.add(this.#key());
          for (const key of way) this.#rested.add(key);
          this.#path = path;
          return;
        }
        rig.clock.us = Math.max(rig.clock.us, this.#wake);
      }
      const key = this.#key();
      if (this.#rested.has(key)) {
        for (const passed of way) this.#rested.add(passed);
        this.#path = path;
        return;
      }
      way.push(key);
    }
    throw new Violation(`waits without bound in ${rig.stateName}`);
  }

  readonly #rested = new Set<string>();

  #checkRest(): void {
    const rig = this.#rig;
    const wrong = (what: string): never => {
      throw new Violation(`at rest in ${rig.stateName}: ${what}`);
    };
    this.#checkNow();
    if (!SETTLED.has(rig.stateName)) wrong("not a settled state");
    const reads = this.#options.behaviour?.guestReads !== false;
    const stopped = rig.vmWord(VmBlock.command) !== 0;
    const open = booksBalance(readBooks(rig.vm, 0));
    if (open !== 0 && reads && !stopped) wrong(`${open} events have reached nobody`);
    for (const word of [FunctionBlock.resetPhase, FunctionBlock.clearPhase]) {
      const phase = rig.guestState < FunctionState.DISABLED ? 0 : rig.get(word) & 0xff;
      if (phase === PHASE_REQUESTED || phase === PHASE_RUNNING) wrong("a vCPU waits for an answer");
    }
    if (rig.stateName === "operational") {
      if (rig.hostBroken !== 0) wrong("the host function is broken");
      if (rig.guestState === FunctionState.ENABLED && rig.guestStep !== GuestStep.idle) {
        wrong("the guest is not done");
      }
      if (rig.guestState > FunctionState.ENABLED) wrong("the guest's function is in error");
    }
    if (this.#options.behaviour?.guestHeeds === true && reads && !stopped) this.#checkPlace(wrong);
    const givenUp = rig.stateName === "failed" || rig.stateName === "quarantined";
    if (givenUp && reads && !stopped) {
      if (rig.guestStep !== GuestStep.gaveUp)
        wrong(`the guest (step ${rig.guestStep}) was not told`);
      if (rig.get(FunctionBlock.permanent) !== 1) wrong("not marked permanent");
    }
  }

  /** The guest that follows availability events has the function where the host has it, and knows when not. */
  #checkPlace(wrong: (what: string) => never): void {
    const rig = this.#rig;
    const gone = rig.guestStep === GuestStep.gone;
    if (rig.stateName === "detached" && !gone) wrong("the guest was not told that it has gone");
    if (rig.stateName !== "operational" || !gone) return;
    if (rig.guestState === FunctionState.DISABLED) wrong("the guest was not told that it is back");
  }
}

/** Scratch words that steer the machine. */
const keyWords: readonly number[] = [
  Scratch.opened,
  Scratch.askedFrom,
  Scratch.owedCount,
  Scratch.owed,
  Scratch.owed + 1,
  Scratch.unreported,
  Scratch.hostErrorStands,
  Scratch.starved,
  Scratch.lastPec,
  Scratch.pollDue,
  Scratch.rung,
  Scratch.rungUses,
  Scratch.resetPurpose,
  Scratch.resetStage,
  Scratch.resetAttempt,
  Scratch.resetRequested,
  Scratch.clearOperation,
  Scratch.clearStage,
  Scratch.clearAttempt,
  Scratch.errorDuringClear,
  Scratch.errorTimesNext,
];

/** Words of the rig's world that steer it: broken … clearRunning, guest … leaving. */
const worldInKey = new Set([3, 4, 5, 6, 7, 8, 9, 10, 11, 16, 17, 18, 19, 20, 21, 22]);
