import { beforeEach, describe, expect, test } from "vitest";
import {
  Lane,
  RECORD_BODY,
  RECORD_BYTES,
  RingConsumer,
  RingProducer,
  recordTimeUs,
  resetRing,
  ringBytes,
} from "../../../src/shm/ring.ts";

const SLOTS = 8;
const OFFSET = 512;

let words: Int32Array;
beforeEach(() => {
  words = new Int32Array(new SharedArrayBuffer(OFFSET + ringBytes(SLOTS)));
});

function producer(): RingProducer {
  return new RingProducer(words, OFFSET, SLOTS);
}

function consumer(): RingConsumer {
  return new RingConsumer(words, OFFSET, SLOTS);
}

function push(ring: RingProducer, value: number): boolean {
  const slot = ring.reserve();
  if (slot < 0) return false;
  ring.fillHeader(slot, value, value + 1, value + 2, 0, value + 3);
  ring.clearBody(slot);
  ring.publish();
  return true;
}

function pop(ring: RingConsumer): number {
  const slot = ring.front();
  if (slot < 0) return -1;
  const value = words[slot + Lane.kind] ?? -2;
  ring.release();
  return value;
}

describe("a record", () => {
  test("is one cache line of 16 lanes with 32 bytes of body (performance.md 1.4)", () => {
    expect(RECORD_BYTES).toBe(64);
    expect(RECORD_BODY).toBe(32);
    expect(Lane.body * 4).toBe(RECORD_BODY);
  });

  test("carries its header lanes and a time beyond 32 bits of microseconds", () => {
    const out = producer();
    const slot = out.reserve();
    out.fillHeader(slot, 3, 60, 0x7fffff, 2 ** 40 + 7.75, -5);
    out.publish();
    expect(consumer().front()).toBe(slot);
    expect(words.slice(slot + Lane.kind, slot + Lane.generation + 1)).toEqual(
      new Int32Array([3, 60, 0x7fffff]),
    );
    expect(words[slot + Lane.correlation]).toBe(-5);
    expect(recordTimeUs(words, slot)).toBe(2 ** 40 + 7);
  });

  test("lies on a 64-byte boundary, away from the words of the two sides", () => {
    const slot = producer().reserve() * 4;
    expect(slot % 64).toBe(0);
    expect(slot - OFFSET).toBeGreaterThanOrEqual(256);
  });
});

describe("the ring", () => {
  test("of fresh memory is empty", () => {
    expect(consumer().front()).toBe(-1);
    expect(consumer().ready()).toBe(0);
    expect(producer().free()).toBe(SLOTS);
  });

  test("must have a power of two of slots", () => {
    expect(() => new RingProducer(words, OFFSET, 6)).toThrow(/power of two/);
    expect(() => new RingConsumer(words, OFFSET, 0)).toThrow(/power of two/);
  });

  test("gives records in order and their slots back", () => {
    const out = producer();
    const back = consumer();
    for (let n = 0; n < 5 * SLOTS; n++) {
      expect(push(out, n)).toBe(true);
      expect(pop(back)).toBe(n);
    }
    expect(out.free()).toBe(SLOTS);
  });

  test("refuses a record when full and takes it after one release", () => {
    const out = producer();
    const back = consumer();
    for (let n = 0; n < SLOTS; n++) push(out, n);
    expect(out.reserve()).toBe(-1);
    expect(out.reserveMany(3)).toBe(0);
    expect(pop(back)).toBe(0);
    expect(push(out, SLOTS)).toBe(true);
    expect(out.free()).toBe(0);
  });

  test("reserves the same slot until it is published", () => {
    const out = producer();
    const slot = out.reserve();
    expect(out.reserve()).toBe(slot);
    expect(consumer().front()).toBe(-1);
    out.publish();
    expect(out.reserve()).not.toBe(slot);
  });

  test("holds credits back on skip until flush", () => {
    const out = producer();
    const back = consumer();
    for (let n = 0; n < SLOTS; n++) push(out, n);
    back.front();
    back.skip();
    back.front();
    back.skip();
    expect(out.free()).toBe(0);
    back.flush();
    expect(out.free()).toBe(2);
  });

  test("counts what its producer had to give up, for everybody and across producers", () => {
    producer().countLost();
    producer().countLost();
    expect(consumer().lost()).toBe(2);
  });

  test("reset at any index is empty and works across the 32-bit wrap", () => {
    resetRing(words, OFFSET, SLOTS, -3);
    const out = producer();
    const back = consumer();
    expect(back.front()).toBe(-1);
    for (let n = 0; n < 3 * SLOTS; n++) {
      push(out, n);
      expect(pop(back)).toBe(n);
    }
    expect(out.tail).toBe(3 * SLOTS - 3);
  });
});

describe("a look at how full it is", () => {
  test("tells whether so many records stand, also after it wrapped", () => {
    const out = producer();
    const into = consumer();
    for (let round = 0; round < 3; round++) {
      expect(into.holds(1)).toBe(false);
      for (let n = 1; n <= 5; n++) {
        push(out, n);
        expect([into.holds(n), into.holds(n + 1)]).toEqual([true, false]);
      }
      for (let n = 1; n <= 5; n++) expect(pop(into)).toBe(n);
    }
  });

  test("says of a full ring that it is full", () => {
    const out = producer();
    while (push(out, 1));
    expect(consumer().holds(SLOTS)).toBe(true);
  });
});

describe("a batch", () => {
  test("is invisible until it is published, then ready as a whole", () => {
    const out = producer();
    const back = consumer();
    expect(out.reserveMany(5)).toBe(5);
    for (let n = 0; n < 5; n++) words[out.slotAhead(n) + Lane.kind] = n;
    expect(back.ready()).toBe(0);
    out.publishMany(5);
    expect(back.ready()).toBe(5);
    const kinds = [0, 1, 2, 3, 4].map((n) => words[back.slotAhead(n) + Lane.kind]);
    expect(kinds).toEqual([0, 1, 2, 3, 4]);
    back.releaseMany(5);
    expect(out.free()).toBe(SLOTS);
    expect(back.ready()).toBe(0);
  });

  test("may be read one by one, and a batch-wise reader takes single records", () => {
    const out = producer();
    const back = consumer();
    out.reserveMany(2);
    for (let n = 0; n < 2; n++) words[out.slotAhead(n) + Lane.kind] = n;
    out.publishMany(2);
    push(out, 2);
    expect([pop(back), pop(back)]).toEqual([0, 1]);
    expect(back.ready()).toBe(1);
    back.releaseMany(1);
    expect(back.front()).toBe(-1);
  });

  test("of a full ring leaves no count behind for the records of the next lap", () => {
    const out = producer();
    const back = consumer();
    out.publishMany(out.reserveMany(SLOTS));
    back.releaseMany(back.ready());
    push(out, 1);
    expect(back.ready()).toBe(1);
  });

  test("is granted only as far as there is room", () => {
    const out = producer();
    push(out, 0);
    expect(out.reserveMany(100)).toBe(SLOTS - 1);
  });
});

describe("a successor of the producer", () => {
  test("continues behind the last published record", () => {
    const first = producer();
    push(first, 10);
    push(first, 11);
    first.reserve();
    const second = producer();
    expect(second.tail).toBe(2);
    push(second, 12);
    const back = consumer();
    expect([pop(back), pop(back), pop(back), pop(back)]).toEqual([10, 11, 12, -1]);
  });

  test("continues in a full ring and in an emptied one", () => {
    const first = producer();
    for (let n = 0; n < SLOTS; n++) push(first, n);
    expect(producer().reserve()).toBe(-1);
    const back = consumer();
    for (let n = 0; n < SLOTS; n++) pop(back);
    expect(producer().tail).toBe(SLOTS);
  });

  test("takes back what a batch left that died before its first sequence word", () => {
    const dead = producer();
    dead.reserveMany(3);
    const [, second, third] = [0, 1, 2].map((n) => dead.slotAhead(n));
    words[second as number] = 2;
    words[third as number] = 3;
    const out = producer();
    const back = consumer();
    expect(out.tail).toBe(0);
    push(out, 20);
    expect(pop(back)).toBe(20);
    expect(back.front()).toBe(-1);
  });

  test("knows whether the next slot's body is its predecessor's", () => {
    const first = producer();
    for (let n = 0; n < SLOTS; n++) push(first, n);
    const back = consumer();
    pop(back);
    expect(producer().armed()).toBe(false);
    first.arm(first.reserve());
    expect(producer().armed()).toBe(true);
    expect(back.lost()).toBe(0);
    first.publish();
    expect(producer().armed()).toBe(false);
  });

  test("finds a zeroed body in an armed slot", () => {
    const first = producer();
    const slot = first.reserve();
    words.fill(-1, slot + Lane.body, slot + Lane.body + 8);
    first.arm(slot);
    expect([...words.subarray(slot + Lane.body, slot + Lane.body + 8)]).toEqual(Array(8).fill(0));
  });
});

describe("two objects of one side that take turns", () => {
  test("see each other's records after resync", () => {
    const [a, b] = [producer(), producer()];
    push(a, 1);
    b.resync();
    push(b, 2);
    a.resync();
    push(a, 3);
    const [c, d] = [consumer(), consumer()];
    expect(pop(c)).toBe(1);
    d.resync();
    expect([pop(d), pop(d)]).toEqual([2, 3]);
    c.resync();
    expect(pop(c)).toBe(-1);
  });
});
