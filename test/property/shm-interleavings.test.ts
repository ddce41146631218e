/**
 * The genuine code of `src/shm` on real threads, stepped one shared-memory access at a time in orders that
 * fast-check draws (or all of them, where they are few). Sequentially consistent interleavings only: why
 * that is enough is argued at the top of src/shm/ring.ts; the same protocols are proved in test/model.
 */
import fc from "fast-check";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { VmBlock } from "../../src/shm/blocks.ts";
import { resetRing } from "../../src/shm/ring.ts";
import { explore, fromBytes, type Run, type Scheduler, Stepper } from "../support/stepper.ts";
import {
  Consume,
  channelMap,
  LIFE,
  Program,
  RING_SLOTS,
  Script,
  STEPPED_BYTES,
} from "../support/stepper-programs.ts";

const PRODUCER = 0;
const CONSUMER = 1;
const THIRD = 2;

let stepper: Stepper;
beforeAll(async () => {
  stepper = new Stepper(3, STEPPED_BYTES);
  await stepper.start();
});
afterAll(() => stepper.end());
beforeEach(() => stepper.reset());

function write(at: number, values: readonly number[]): void {
  stepper.side[at] = values.length;
  stepper.side.set(values, at + 1);
}

/** Kills the producer before its `killAt`-th step and starts `again` in its place. */
function withDeath(schedule: Scheduler, killAt: number, again: number): Scheduler {
  let steps = 0;
  return (runnable, step) => {
    const chosen = schedule(runnable, step);
    if (chosen === PRODUCER && steps++ === killAt) {
      stepper.kill(PRODUCER);
      stepper.begin(PRODUCER, again);
    }
    return chosen;
  };
}

const schedules = fc.array(fc.integer({ min: 0, max: 255 }), { maxLength: 60 });
/** Both ends of the 32-bit range, and the sign change. */
const firstIndex = fc.constantFrom(0, 5, 0x7ffffffe, -1, -2, -3);

describe("the ring", () => {
  const game = fc.record({
    first: firstIndex,
    produce: fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 14 }),
    consume: fc.array(fc.integer({ min: 0, max: 4 }), { minLength: 10, maxLength: 60 }),
    schedule: schedules,
  });

  interface Game {
    readonly first: number;
    readonly produce: readonly number[];
    readonly consume: readonly number[];
    readonly schedule: readonly number[];
  }

  function play(
    { first, produce, consume, schedule }: Game,
    deathAt = Number.POSITIVE_INFINITY,
  ): number[] {
    stepper.reset();
    resetRing(stepper.memory, 0, RING_SLOTS, first);
    stepper.side[Script.first] = first;
    write(Script.producer, produce);
    write(Script.consumer, consume);
    stepper.begin(PRODUCER, Program.produce);
    stepper.begin(CONSUMER, Program.consume);
    stepper.run(withDeath(fromBytes(schedule), deathAt, Program.produce));
    stepper.begin(CONSUMER, Program.consumeRest);
    stepper.run((runnable) => runnable[0] ?? 0);
    return stepper.log(CONSUMER);
  }

  test("keeps order and loses, doubles, tears and overwrites nothing, at any interleaving and index", () => {
    fc.assert(
      fc.property(game, (drawn) => {
        const seen = play(drawn);
        expect(seen).toEqual(seen.map((_value, n) => n + 1));
      }),
      { numRuns: 1000 },
    );
  });

  test("still does when the producer dies at any step and a successor goes on", () => {
    fc.assert(
      fc.property(game, fc.integer({ min: 0, max: 150 }), (drawn, deathAt) => {
        const seen = play(drawn, deathAt);
        expect(seen.map((value) => value % LIFE)).toEqual(seen.map((_value, n) => n + 1));
        const lives = seen.map((value) => Math.floor(value / LIFE));
        expect(lives).toEqual([...lives].sort((a, b) => a - b));
      }),
      { numRuns: 1000 },
    );
  });

  test("takes back what a batch made ready before it died, at each of its steps", () => {
    const alone: Scheduler = (runnable) => runnable[0] ?? 0;
    const turn = (operation: number): void => {
      write(Script.producer, [operation]);
      stepper.begin(PRODUCER, Program.produce);
      stepper.run(alone);
      stepper.begin(CONSUMER, Program.consumeRest);
      stepper.run(alone);
    };
    for (let deathAt = 0; deathAt < 40; deathAt++) {
      stepper.reset();
      write(Script.producer, [3]);
      stepper.begin(PRODUCER, Program.produce);
      for (let n = 0; n < deathAt; n++) stepper.step(PRODUCER);
      stepper.kill(PRODUCER);
      turn(0);
      turn(0);
      const batch = stepper.log(CONSUMER).length === 5 ? [1, 2, 3] : [];
      const after = [LIFE + batch.length + 1, 2 * LIFE + batch.length + 2];
      expect([deathAt, stepper.log(CONSUMER)]).toEqual([deathAt, [...batch, ...after]]);
    }
  });

  test("delivers what was published when nobody stands in the way", () => {
    const seen = play({
      first: -2,
      produce: [0, 2, 1, 3, 0],
      consume: [],
      schedule: [],
    });
    // Four slots: one record, two, one; nothing fits for the batch of three and the last record.
    expect(seen).toEqual([1, 2, 3, 4]);
  });

  test("gives a consumer's successor what was skipped and not flushed again, in order", () => {
    stepper.reset();
    stepper.side[Script.first] = 0;
    write(Script.producer, [3]);
    write(Script.consumer, [Consume.skip, Consume.skip]);
    stepper.begin(PRODUCER, Program.produce);
    stepper.run((runnable) => runnable[0] ?? 0);
    stepper.begin(CONSUMER, Program.consume);
    while (stepper.log(CONSUMER).length < 2) stepper.step(CONSUMER);
    stepper.kill(CONSUMER);
    stepper.begin(CONSUMER, Program.consumeRest);
    stepper.run((runnable) => runnable[0] ?? 0);
    expect(stepper.log(CONSUMER)).toEqual([1, 2, 1, 2, 3]);
  });
});

describe("a destructive source behind an armed slot", () => {
  const TOTAL = 9;
  const everything = [1, 2, 3, 4, 5, 6, 7, 8, 9];

  function play(first: number, schedule: readonly number[], deathAt: number): number[] {
    stepper.reset();
    resetRing(stepper.memory, 0, RING_SLOTS, first);
    stepper.side[Script.first] = first;
    stepper.side[Script.total] = TOTAL;
    write(Script.consumer, [0, 1, 1, 2, 3, 0, 0, 3, 3, 0, 1, 2, 3, 3, 0, 0]);
    stepper.begin(PRODUCER, Program.drain);
    stepper.begin(CONSUMER, Program.consume);
    stepper.run(withDeath(fromBytes(schedule), deathAt, Program.drain));
    for (let n = 0; n < 3; n++) {
      stepper.begin(CONSUMER, Program.consumeRest);
      stepper.run((runnable) => runnable[0] ?? 0);
      stepper.begin(PRODUCER, Program.drain);
      stepper.run((runnable) => runnable[0] ?? 0);
    }
    stepper.begin(CONSUMER, Program.consumeRest);
    stepper.run((runnable) => runnable[0] ?? 0);
    return stepper.log(CONSUMER);
  }

  test("gives every record exactly once for a death at each of the first 200 steps", () => {
    for (let deathAt = 0; deathAt < 200; deathAt++) {
      expect([deathAt, play(-3, [deathAt, 77, 31, 200, 9, 140], deathAt)]).toEqual([
        deathAt,
        everything,
      ]);
    }
  });

  test("gives every record exactly once for any interleaving and death", () => {
    fc.assert(
      fc.property(
        firstIndex,
        schedules,
        fc.integer({ min: 0, max: 250 }),
        (first, schedule, deathAt) => {
          expect(play(first, schedule, deathAt)).toEqual(everything);
        },
      ),
      { numRuns: 100 },
    );
  });
});

describe("the doorbell", () => {
  function play(ringers: readonly number[], wanted: number, schedule: Scheduler): Run {
    stepper.reset();
    stepper.side[0] = wanted;
    stepper.side[1] = ringers.includes(Program.ringShared) ? 1 : 0;
    stepper.begin(CONSUMER, Program.sleeper);
    ringers.forEach((program, n) => {
      stepper.begin(n === 0 ? PRODUCER : THIRD, program);
    });
    const run = stepper.run(schedule);
    expect(run.stuck).toEqual([]);
    expect(stepper.log(CONSUMER).at(-1)).toBe(wanted);
    return run;
  }

  test("wakes its owner in each interleaving with one ringer", () => {
    const count = explore(20_000, (schedule) => play([Program.ringFirst], 1, schedule));
    // A ringer of 4 to 5 steps among a sleeper of 2 to 8: hundreds of orders, not a handful.
    expect(count).toBeGreaterThan(100);
  });

  test.each([
    ["bits of their own", Program.ringSecond],
    ["one bit together", Program.ringShared],
  ])("wakes its owner for two ringers with %s", (_name, second) => {
    fc.assert(
      fc.property(schedules, (bytes) => {
        play([Program.ringFirst, second], 2, fromBytes(bytes));
      }),
      { numRuns: 300 },
    );
  });
});

describe("the channel report", () => {
  const EVENTS = 2;

  function play(schedule: Scheduler): Run {
    stepper.reset();
    stepper.side[0] = EVENTS;
    stepper.memory[channelMap.vmBlock / 4 + VmBlock.machineCheckEnabled] = 1;
    stepper.begin(PRODUCER, Program.postFirst);
    stepper.begin(THIRD, Program.postSecond);
    stepper.begin(CONSUMER, Program.guest);
    return stepper.run(schedule);
  }

  function expectAllFetched(run: Run): void {
    expect(run.stuck).toEqual([]);
    const fetched = stepper.log(CONSUMER);
    expect(fetched.filter((event) => event < 100)).toEqual([1, 2]);
    expect(fetched.filter((event) => event >= 100)).toEqual([101, 102]);
  }

  test("brings every event of two posters to a sleeping guest, each once and in order", () => {
    fc.assert(
      fc.property(schedules, (bytes) => expectAllFetched(play(fromBytes(bytes)))),
      { numRuns: 250 },
    );
  });

  test("still does when one poster dies at any step and its successor reposts", () => {
    // Its first 65 steps find the tail of its ring.
    fc.assert(
      fc.property(schedules, fc.integer({ min: 60, max: 130 }), (bytes, deathAt) => {
        expectAllFetched(play(withDeath(fromBytes(bytes), deathAt, Program.postFirstAgain)));
      }),
      { numRuns: 250 },
    );
  });
});
