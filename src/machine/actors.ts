/**
 * Threads of a VM: each actor (vCPU, recovery worker, platform) is a piscina instance of one thread whose one
 * task is the actor's life. `atomics: "disabled"`: the thread sleeps on its own doorbell, not on piscina's.
 * The only file that uses piscina.
 */
import type { MessagePort } from "node:worker_threads";
import { Piscina } from "piscina";
import { tuneEngine } from "../base/engine.ts";
import { ACTOR_LOADED } from "./vm-spec.ts";

export type WorkerName = "vcpu" | "recovery" | "io";

/** Linked workers stand in `dist/workers` (config/tools/link-workers.mjs); from TypeScript sources (tests) they are found there too. */
export function workerUrl(name: WorkerName): string {
  const relative = import.meta.url.endsWith(".ts")
    ? `../../dist/workers/${name}.worker.cjs`
    : `../../workers/${name}.worker.cjs`;
  return new URL(relative, import.meta.url).href;
}

/**
 * Heap for short-lived objects, MiB: V8's least. Threads of a VM make hardly any, and there are many: left alone, the garbage
 * of their start makes V8 keep tens of MiB for each.
 */
const YOUNG_HEAP_MIB = 2;

export interface Actor {
  /** Resolves with the task's result when the actor's life ends, rejects when its thread died. */
  readonly done: Promise<unknown>;
  /**
   * Ends the thread at whatever it is doing; `done` rejects. Waits until it has loaded its modules: Node 20
   * aborts the whole process ("IsGraphAsync must be used on an instantiated module") when that is cut short.
   */
  kill(): Promise<void>;
  /** Frees the pool after `done` has settled. */
  close(): Promise<void>;
}

/** Starts one actor. `ports` move to its thread. */
export function startActor(name: WorkerName, task: object, ports: MessagePort[] = []): Actor {
  tuneEngine();
  const pool = new Piscina({
    filename: workerUrl(name),
    minThreads: 1,
    maxThreads: 1,
    idleTimeout: Number.POSITIVE_INFINITY,
    atomics: "disabled",
    recordTiming: false,
    resourceLimits: { maxYoungGenerationSizeMb: YOUNG_HEAP_MIB },
  });
  const done: Promise<unknown> = pool.run(task, { transferList: ports });
  // Whoever awaits `done` sees the failure; an actor that nobody awaits yet must not end the process.
  done.catch(() => {});
  const loaded = new Promise<void>((resolve) => {
    pool.on("message", (message: unknown) => {
      if (message === ACTOR_LOADED) resolve();
    });
    done.then(
      () => resolve(),
      () => resolve(),
    );
  });
  const close = (): Promise<void> => pool.destroy();
  return { done, kill: () => loaded.then(close), close };
}
