/**
 * Orders of the main thread to the platform's thread, which sleeps on a doorbell and never returns to its event loop: a
 * message on a port of its own, then the doorbell; it takes its messages between two steps. (Recovery threads: the
 * same, in recovery-load.ts.)
 */
import { type MessagePort, receiveMessageOnPort } from "node:worker_threads";
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
