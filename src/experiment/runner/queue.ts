/**
 * Trials through Redis (BullMQ): a run hands out batches, `experiment worker`s anywhere bring the lines back. A batch's job
 * id is the hash of plan and trials, so handing it out twice changes nothing, and a batch whose worker died goes to
 * another one. Redis may go away for a while; when it stays away, what is written stands. Source: dependencies.md 5.
 */
import { createHash } from "node:crypto";
import type { Job, Queue, QueueEvents, Worker } from "bullmq";
import type { Redis } from "ioredis";
import { ZmendError } from "../../base/errors.ts";
import type { Plan } from "../plan.ts";
import { Lifeline } from "./lifeline.ts";
import { TrialPool } from "./pool.ts";
import type { TrialSource } from "./run.ts";

const QUEUE = "zmend-trials";
const PLAN_SECONDS = 7 * 86_400;
const RESULT_SECONDS = 3600;
/** Batches under way: enough for some dozens of workers. */
const WIDTH = 64;
/** A batch of a worker that gives no sign for so long goes to another. */
const LOCK_MS = 6_000;
const STALLED_LOOK_MS = 2_000;
const STALLED_MAX = 1_000;
/** How long Redis may be away. */
const REDIS_PATIENCE_MS = 60_000;

interface Batch {
  readonly plan: string;
  readonly trials: readonly number[];
}

interface Libraries {
  readonly bullmq: Pick<typeof import("bullmq"), "Queue" | "QueueEvents" | "Worker">;
  readonly ioredis: Pick<typeof import("ioredis"), "Redis">;
}

async function libraries(): Promise<Libraries> {
  try {
    return { bullmq: await import("bullmq"), ioredis: await import("ioredis") };
  } catch (error) {
    throw new ZmendError(
      "ENVIRONMENT",
      "--queue needs the packages bullmq and ioredis; install them with 'npm install bullmq ioredis'.",
      {},
      { cause: error },
    );
  }
}

/** Without its password. */
function shown(url: string): string {
  return url.replace(/\/\/[^@/]*@/, "//");
}

function checkUrl(url: string): void {
  if (
    /^rediss?:\/\/[^/]/.test(url) ||
    /^redis\+unix:\/\/\/|^unix:\/\//.test(url) ||
    url.startsWith("/")
  )
    return;
  throw new ZmendError(
    "USAGE",
    `--queue ${shown(url)} is no Redis URL; write redis://HOST:PORT or the path of a Unix socket.`,
  );
}

/** What to do when Redis stays away, by who says it. */
const remedies = {
  run: "go on with --resume, finished trials are kept",
  worker: "start this worker again; what it was doing goes to another one",
} as const;

/** A connection that tries again until its owner's patience ends, which cuts the lifeline. */
class Connection {
  readonly redis: Redis;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;
  #seen = false;

  constructor(
    ioredis: Libraries["ioredis"],
    url: string,
    patienceMs: number,
    lifeline: Lifeline,
    whose: keyof typeof remedies,
  ) {
    checkUrl(url);
    const path = url.startsWith("/") ? url : /^(?:redis\+)?unix:\/\/(\/.*)$/.exec(url)?.[1];
    const options = {
      maxRetriesPerRequest: null,
      retryStrategy: (times: number) => Math.min(1000, 50 * times),
    };
    this.redis =
      path === undefined
        ? new ioredis.Redis(url, options)
        : new ioredis.Redis({ path, ...options });
    const start = (): void => {
      if (this.#closed) return;
      this.#timer ??= setTimeout(() => {
        lifeline.cut(
          new ZmendError(
            "ENVIRONMENT",
            `Redis at ${shown(url)} has been away for ${Math.round(patienceMs / 1000)} s; start it and ${this.#seen ? remedies[whose] : "try again"}.`,
          ),
        );
      }, patienceMs);
    };
    start();
    this.redis.on("close", start);
    this.redis.on("ready", () => {
      this.#seen = true;
      clearTimeout(this.#timer);
      this.#timer = undefined;
    });
    // Said by the lifeline when it matters; without a listener ioredis prints it.
    this.redis.on("error", () => {});
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.redis.disconnect();
  }
}

export interface QueueOptions {
  readonly patienceMs?: number;
  /** Another queue of the same Redis, for tests. */
  readonly name?: string;
}

/** The run's side. */
export class QueueSource implements TrialSource {
  readonly width = WIDTH;
  readonly #lifeline: Lifeline;
  readonly #connections: readonly Connection[];
  readonly #queue: Queue<Batch, string[]>;
  readonly #events: QueueEvents;
  readonly #key: string;

  private constructor(
    lifeline: Lifeline,
    connections: readonly Connection[],
    queue: Queue<Batch, string[]>,
    events: QueueEvents,
    key: string,
  ) {
    this.#lifeline = lifeline;
    this.#connections = connections;
    this.#queue = queue;
    this.#events = events;
    this.#key = key;
  }

  /** @throws ZmendError ENVIRONMENT when Redis does not answer within its patience */
  static async open(url: string, plan: Plan, options: QueueOptions = {}): Promise<QueueSource> {
    const { bullmq, ioredis } = await libraries();
    const patience = options.patienceMs ?? REDIS_PATIENCE_MS;
    const name = options.name ?? QUEUE;
    const lifeline = new Lifeline();
    const connections = [1, 2].map(() => new Connection(ioredis, url, patience, lifeline, "run"));
    const [first, second] = connections as [Connection, Connection];
    const text = JSON.stringify(plan);
    const key = `zmend:plan:${createHash("sha256").update(text).digest("hex")}`;
    try {
      await lifeline.hold(first.redis.set(key, text, "EX", PLAN_SECONDS));
    } catch (error) {
      for (const connection of connections) connection.close();
      throw error;
    }
    const queue = new bullmq.Queue<Batch, string[]>(name, { connection: first.redis });
    const events = new bullmq.QueueEvents(name, { connection: second.redis });
    queue.on("error", () => {});
    events.on("error", () => {});
    // Every batch under way listens to both.
    queue.setMaxListeners(2 * WIDTH);
    events.setMaxListeners(2 * WIDTH);
    await lifeline.hold(events.waitUntilReady());
    return new QueueSource(lifeline, connections, queue, events, key);
  }

  async run(trials: readonly number[]): Promise<readonly string[]> {
    const id = createHash("sha256")
      .update(`${this.#key} ${trials.join(" ")}`)
      .digest("hex");
    const work = async (): Promise<string[]> => {
      const job = await this.#queue.add(
        "batch",
        { plan: this.#key, trials },
        {
          jobId: id,
          attempts: 3,
          removeOnComplete: { age: RESULT_SECONDS },
          removeOnFail: { age: RESULT_SECONDS },
        },
      );
      return job.waitUntilFinished(this.#events);
    };
    return this.#lifeline.hold(work());
  }

  async close(): Promise<void> {
    const quiet = Promise.allSettled([this.#queue.close(), this.#events.close()]);
    await Promise.race([quiet, new Promise((resolve) => setTimeout(resolve, 1000).unref())]);
    for (const connection of this.#connections) connection.close();
  }
}

export interface WorkerOptions extends QueueOptions {
  readonly threads?: number | undefined;
  /** Folder that policy modules are relative to. */
  readonly folder: string;
  readonly signal: AbortSignal;
}

/** A worker's life: until interrupted, or Redis stays away. */
export async function serveQueue(url: string, options: WorkerOptions): Promise<void> {
  const { bullmq, ioredis } = await libraries();
  const patience = options.patienceMs ?? REDIS_PATIENCE_MS;
  const lifeline = new Lifeline();
  const connections = [1, 2].map(() => new Connection(ioredis, url, patience, lifeline, "worker"));
  const [first, second] = connections as [Connection, Connection];
  const pools = new Map<string, Promise<TrialPool>>();
  const open = async (key: string): Promise<TrialPool> => {
    const text = await second.redis.get(key);
    if (text === null) throw new Error("the plan of this batch is gone");
    return new TrialPool(
      { plan: JSON.parse(text) as Plan, folder: options.folder },
      options.threads,
    );
  };
  const poolOf = (key: string): Promise<TrialPool> => {
    const found = pools.get(key) ?? open(key);
    pools.set(key, found);
    found.catch(() => pools.delete(key));
    return found;
  };
  let worker: Worker<Batch, string[]> | undefined;
  try {
    await lifeline.hold(first.redis.ping());
    worker = new bullmq.Worker<Batch, string[]>(
      options.name ?? QUEUE,
      async (job: Job<Batch, string[]>) => (await poolOf(job.data.plan)).run(job.data.trials),
      {
        connection: first.redis,
        concurrency: 2 * (options.threads ?? 1),
        lockDuration: LOCK_MS,
        stalledInterval: STALLED_LOOK_MS,
        maxStalledCount: STALLED_MAX,
      },
    );
    worker.on("error", () => {});
    const stopped = new Promise<void>((resolve) => {
      if (options.signal.aborted) resolve();
      options.signal.addEventListener("abort", () => resolve(), { once: true });
    });
    await lifeline.hold(stopped);
  } finally {
    await worker?.close(true).catch(() => {});
    for (const pool of pools.values()) await pool.then((open) => open.close()).catch(() => {});
    for (const connection of connections) connection.close();
  }
}
