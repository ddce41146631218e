/**
 * Group `ring`: the event path's transport against C++ on the same machine and against what Node offers.
 *
 * Estimates made before the first run (performance.md 1.1-1.3): batched 50 M records/s = 0.48 of C++;
 * hop 0.21 us = 1.25; wake = 1.0 of a futex; MessagePort 0.5 M/s = a hundredth of ours; a piscina round trip
 * 25 us against 10 us of two wakes; no heap per record against some 200 bytes of a message.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Piscina } from "piscina";
import {
  type Comparison,
  compare,
  compileCpp,
  type Group,
  median,
  pin,
  type Refusal,
  type Result,
} from "../harness.ts";
import { Pair } from "./pair.ts";

const BATCH = 256;

export const ring: Group = async (options, emit) => {
  const scratch = mkdtempSync(join(tmpdir(), "zmend-bench-"));
  const pair = new Pair();
  const pool = new Piscina({
    filename: fileURLToPath(new URL("./echo.js", import.meta.url)),
    minThreads: 1,
    maxThreads: 1,
  });
  const scale = options.quick ? 1 : 3;
  const against = async (
    program: Peer,
    comparison: Omit<Comparison, "theirs" | "peer">,
    ...args: readonly (string | number)[]
  ): Promise<void> => {
    if (typeof program === "string") {
      const theirs = (): number => Number(execFileSync(program, args.map(String)).toString());
      emit(await compare({ peer: "C++ -O3", theirs, ...comparison }, options));
    } else {
      emit({ name: comparison.name, refused: program.refused });
    }
  };
  const throughput = async (records: number): Promise<number> =>
    (await pair.run("produce", "consume", records, BATCH))[1];
  const wakeUs = async (): Promise<number> =>
    (await pair.run("wakePing", "wakePong", 4_000 * scale))[0];
  try {
    const program = compileCpp("ring.cpp", scratch);
    const records = 4_096_000 * scale;
    await against(
      program,
      {
        name: "ring.batched",
        unit: "M records/s",
        better: "higher",
        ours: () => throughput(records),
      },
      "batched",
      records,
      BATCH,
    );
    emit(
      await compare(
        {
          name: "ring.messageport",
          unit: "M records/s",
          better: "higher",
          peer: "MessagePort, object of 8 numbers",
          ours: () => throughput(1_024_000),
          theirs: async () => (await pair.run("portSend", "portReceive", 40_000))[1],
        },
        options,
      ),
    );
    await against(
      program,
      {
        name: "ring.hop",
        unit: "ns",
        better: "lower",
        ours: async () => (await pair.run("hopPing", "hopPong", 128_000 * scale))[0],
      },
      "hop",
      128_000 * scale,
    );
    await against(
      program,
      { name: "ring.wake", unit: "us", better: "lower", ours: wakeUs },
      "wake",
      4_000 * scale,
    );
    emit(
      await compare(
        {
          name: "ring.piscina",
          unit: "us round trip, blocking",
          better: "lower",
          peer: "piscina task, there and back",
          ours: async () => 2 * (await wakeUs()),
          theirs: () => piscinaUs(pool, 1_000),
        },
        options,
      ),
    );
    emit(await allocations(pair));
  } finally {
    await Promise.all([pair.end(), pool.destroy()]);
    rmSync(scratch, { recursive: true, force: true });
  }
};

type Peer = ReturnType<typeof compileCpp>;

/** The pool's thread pinned itself when it loaded its task; this thread does so for the round. */
async function piscinaUs(pool: Piscina, rounds: number): Promise<number> {
  const samples: number[] = [];
  await pool.run(0);
  const unpin = pin(0);
  for (let n = 0; n < rounds; n++) {
    const start = performance.now();
    await pool.run(n);
    samples.push((performance.now() - start) * 1e3);
  }
  unpin();
  return median(samples);
}

/** Heap growth of the sending thread per record, in slices too short for a collection; median slice. */
async function allocations(pair: Pair): Promise<Result | Refusal> {
  const ours: number[] = [];
  const theirs: number[] = [];
  for (let n = 0; n < 9; n++) {
    ours.push((await pair.run("produceOne", "consume", 10_240))[0]);
    theirs.push((await pair.run("portSend", "portReceive", 1_000))[0]);
  }
  const value = median(ours);
  const peerValue = median(theirs);
  return {
    name: "ring.allocations",
    unit: "bytes/record",
    better: "lower",
    value,
    peer: "MessagePort, object of 8 numbers",
    peerValue,
    ratio: Number((value / peerValue).toPrecision(3)),
  };
}
