import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { notDeliveredReasons } from "../../../src/abi/records.ts";
import { booksBalance, readBooks } from "../../../src/machine/books.ts";
import { store } from "../../../src/shm/atomics.ts";
import { FunctionBlock } from "../../../src/shm/blocks.ts";
import type { VmMemory } from "../../../src/shm/vm-memory.ts";
import { bareVm } from "../../support/vm.ts";

type Word = keyof typeof FunctionBlock;

/** Every way an error can end without the guest: counter, reason in the books. */
const losses: readonly [Word, (typeof notDeliveredReasons)[number]][] = [
  ["hostDropped", "hostQueueFull"],
  ["hostStale", "staleHandle"],
  ["staleAtWorker", "staleHandle"],
  ["hostFmbCode", "fmbCode"],
  ["fmbAtWorker", "fmbCode"],
  ["superseded", "superseded"],
  ["supersededAtWorker", "superseded"],
  ["droppedByPolicy", "policy"],
  ["unverifiable", "unverifiable"],
  ["vmStoppedLost", "vmStopped"],
];

function set(vm: VmMemory, index: number, word: Word, value: number): void {
  store(vm.words, (vm.map.functionBlocks[index] as number) / 4 + FunctionBlock[word], value);
}

describe("the books of a function", () => {
  it("are all zero and balanced when nothing has happened", () => {
    const books = readBooks(bareVm(1), 0);
    expect(booksBalance(books)).toBe(0);
    expect(books).toEqual({
      errorsRaised: 0,
      droppedByHost: 0,
      staleIgnored: 0,
      read: 0,
      injected: 0,
      fetchedByGuest: 0,
      notDelivered: Object.fromEntries(notDeliveredReasons.map((reason) => [reason, 0])),
      recoveries: 0,
      hostResets: 0,
      workerRestarts: 0,
    });
  });

  it("give every reason of the closed list, in its order", () => {
    const { notDelivered } = readBooks(bareVm(1), 0);
    expect(Object.keys(notDelivered)).toEqual([...notDeliveredReasons]);
    expect(new Set(losses.map(([, reason]) => reason))).toEqual(new Set(notDeliveredReasons));
  });

  it.each(losses)("count %s as %s, and nowhere else", (word, reason) => {
    const vm = bareVm(1);
    set(vm, 0, word, 5);
    const { notDelivered } = readBooks(vm, 0);
    for (const other of notDeliveredReasons) {
      expect(notDelivered[other]).toBe(other === reason ? 5 : 0);
    }
  });

  it("balance exactly when raised = fetched + the sum of all losses", () => {
    const count = fc.nat(1000);
    fc.assert(
      fc.property(
        count,
        fc.array(count, { minLength: losses.length, maxLength: losses.length }),
        fc.integer({ min: -3, max: 3 }),
        (fetched, lost, surplus) => {
          const vm = bareVm(1);
          set(vm, 0, "fetchedByGuest", fetched);
          for (const [n, [word]] of losses.entries()) set(vm, 0, word, lost[n] ?? 0);
          const sum = fetched + lost.reduce((a, b) => a + b, 0);
          fc.pre(sum + surplus >= 0);
          set(vm, 0, "errorsRaised", sum + surplus);
          expect(booksBalance(readBooks(vm, 0))).toBe(surplus);
        },
      ),
    );
  });

  it("leave repeated injections and host-handled errors out of the law", () => {
    const vm = bareVm(1);
    for (const word of ["reinjections", "hostHandled", "injected", "readByWorker"] as const) {
      set(vm, 0, word, 9);
    }
    expect(booksBalance(readBooks(vm, 0))).toBe(0);
  });

  it("are those of one function only", () => {
    const vm = bareVm(3);
    set(vm, 1, "errorsRaised", 4);
    set(vm, 1, "fetchedByGuest", 4);
    expect(readBooks(vm, 0).errorsRaised).toBe(0);
    expect(readBooks(vm, 1)).toMatchObject({ errorsRaised: 4, fetchedByGuest: 4 });
    expect(readBooks(vm, 2).errorsRaised).toBe(0);
  });

  it("read counters beyond 2^31 as positive numbers", () => {
    const vm = bareVm(1);
    set(vm, 0, "errorsRaised", 0x90000000);
    expect(readBooks(vm, 0).errorsRaised).toBe(0x90000000);
  });
});
