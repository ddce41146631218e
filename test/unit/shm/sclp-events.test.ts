import { beforeEach, describe, expect, test } from "vitest";
import { FloatingInterrupts } from "../../../src/shm/floating.ts";
import { SclpEvents } from "../../../src/shm/sclp-events.ts";
import { bareVm } from "../../support/vm.ts";

const ROOM = 256;
let floating: FloatingInterrupts;
let events: SclpEvents;
beforeEach(() => {
  const vm = bareVm(0);
  floating = new FloatingInterrupts(vm);
  events = new SclpEvents(vm, floating);
});

describe("SCLP events from outside", () => {
  test("raise no service signal while the guest receives nothing", () => {
    events.requestQuiesce();
    events.pushInput(new Uint8Array([1]));
    expect(floating.servicePending()).toBe(false);
    expect([events.quiesceRequested(), events.inputAvailable()]).toEqual([true, 1]);
  });

  test("raise one that says 'events pending' once the guest has a receive mask", () => {
    events.setReceiveMask(0x80000000);
    expect(events.receiveMask()).toBe(0x80000000);
    events.requestQuiesce();
    expect(floating.claimService()).toBe(1);
    events.takeQuiesce();
    expect(events.quiesceRequested()).toBe(false);
  });

  test("raise none for input that does not fit or is empty", () => {
    events.pushInput(new Uint8Array(ROOM));
    events.setReceiveMask(1);
    expect(events.pushInput(new Uint8Array([1]))).toBe(0);
    expect(floating.servicePending()).toBe(false);
  });

  test("queue console input in order, as far as there is room, round and round", () => {
    const target = new Uint8Array(ROOM);
    let next = 0;
    let expected = 0;
    for (let round = 0; round < 5; round++) {
      const typed = Uint8Array.from({ length: 200 }, (_, n) => (next + n) & 0xff);
      next += events.pushInput(typed);
      const count = events.takeInput(target, 3, 150);
      for (let n = 0; n < count; n++) expect(target[3 + n]).toBe((expected + n) & 0xff);
      expected += count;
    }
    // Rounds 3 to 5 find room for 156, 150 and 150 of the 200 bytes.
    expect([next, expected]).toEqual([200 + 200 + 156 + 150 + 150, 750]);
    expect(events.inputAvailable()).toBe(856 - 750);
  });
});
