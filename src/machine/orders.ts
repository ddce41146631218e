/**
 * Orders of the main thread to threads that sleep on a doorbell and never return to their event loop: a message
 * on a port of theirs, then the doorbell; the thread takes its messages between two steps.
 */
import { type MessagePort, receiveMessageOnPort } from "node:worker_threads";
import type { Policy, RecoveryUnit } from "../recovery/index.ts";
import { load, store } from "../shm/atomics.ts";
import { FunctionBlock } from "../shm/blocks.ts";
import type { VmMemory } from "../shm/vm-memory.ts";
import { standAsOther } from "./hold.ts";
import type { PlatformOrder, PlatformUnit } from "./loops.ts";
import { PLATFORM_ACTOR } from "./start-gate.ts";

export interface PlatformRequest {
  /** Number of the request, in its answer too. */
  readonly request: number;
  readonly order: PlatformOrder;
}

export interface PlatformAnswer {
  readonly request: number;
  readonly answer?: unknown;
  /** Why the order could not be carried out. */
  readonly refusal?: string;
}

/** Platform's thread, between two steps. */
export function platformBetween(vm: VmMemory, platform: PlatformUnit, port: MessagePort): void {
  const take = (): void => takeOrders(platform, port);
  standAsOther(vm, PLATFORM_ACTOR, take);
  take();
}

function takeOrders(platform: PlatformUnit, port: MessagePort): void {
  for (;;) {
    const received = receiveMessageOnPort(port);
    if (received === undefined) return;
    const { request, order } = received.message as PlatformRequest;
    port.postMessage(answerTo(platform, request, order));
  }
}

/** An order that fails must not end the platform: other functions live on it. */
function answerTo(platform: PlatformUnit, request: number, order: PlatformOrder): PlatformAnswer {
  try {
    return { request, answer: platform.carryOut(order) };
  } catch (error) {
    return { request, refusal: (error as Error).message };
  }
}

/** The policy that shall be in force from now on; numbers count up. */
export interface PolicyOrder {
  readonly number: number;
  readonly policy: Policy;
}

/** A recovery worker's policy: takes a new one between two steps, and says so. */
export class PolicyOrders {
  readonly #vm: VmMemory;
  readonly #block: number;
  readonly #port: MessagePort;
  readonly #successor: (policy: Policy) => RecoveryUnit;
  #taken: number;

  /** @param taken number of the policy that the worker was started with */
  constructor(
    vm: VmMemory,
    index: number,
    port: MessagePort,
    taken: number,
    successor: (policy: Policy) => RecoveryUnit,
  ) {
    this.#vm = vm;
    this.#block = (vm.map.functionBlocks[index] as number) / 4;
    this.#port = port;
    this.#successor = successor;
    this.#taken = taken;
    store(vm.words, this.#block + FunctionBlock.policyTaken, taken);
  }

  /** @returns the unit to go on with */
  take(unit: RecoveryUnit): RecoveryUnit {
    const { words } = this.#vm;
    if (load(words, this.#block + FunctionBlock.policyAsked) === this.#taken) return unit;
    let last: PolicyOrder | undefined;
    for (;;) {
      const received = receiveMessageOnPort(this.#port);
      if (received === undefined) break;
      last = received.message as PolicyOrder;
    }
    if (last === undefined) return unit;
    const next = this.#successor(last.policy);
    this.#taken = last.number;
    store(words, this.#block + FunctionBlock.policyTaken, last.number);
    return next;
  }
}
