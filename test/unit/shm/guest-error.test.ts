import { beforeEach, describe, expect, test } from "vitest";
import { VmBlock } from "../../../src/shm/blocks.ts";
import { Doorbell } from "../../../src/shm/doorbell.ts";
import { GuestErrorMailbox } from "../../../src/shm/guest-error.ts";
import type { VmMemory } from "../../../src/shm/vm-memory.ts";
import { bareVm } from "../../support/vm.ts";

let vm: VmMemory;
let mailbox: GuestErrorMailbox;
beforeEach(() => {
  vm = bareVm(2);
  mailbox = new GuestErrorMailbox(vm);
});

describe("the mailbox of errors that guest instructions find", () => {
  test("is empty at first", () => {
    expect(mailbox.take(0)).toBeUndefined();
  });

  test("hands an error over once, with a 64-bit address, and rings the platform", () => {
    mailbox.post(1, 0x0006, 0x80000001 | 0, -1, true);
    const base = vm.map.vmBlock / 4;
    const bell = new Doorbell(
      vm.words,
      base + VmBlock.platformSleeping,
      base + VmBlock.platformSummary,
    );
    expect(bell.take()).toBe(2);
    expect(mailbox.take(0)).toBeUndefined();
    expect(mailbox.take(1)).toEqual({ pec: 6, faddr: 0x80000001ffffffffn, write: true });
    expect(mailbox.take(1)).toBeUndefined();
  });

  test("merges a second error of a function into the one that was not taken", () => {
    mailbox.post(0, 1, 0, 0x1000, false);
    mailbox.post(0, 2, 0, 0x2000, true);
    expect(mailbox.take(0)).toEqual({ pec: 1, faddr: 0x1000n, write: false });
    mailbox.post(0, 2, 0, 0x2000, true);
    expect(mailbox.take(0)).toEqual({ pec: 2, faddr: 0x2000n, write: true });
  });

  test("keeps an error that comes right behind a measurement code, and merges such codes", () => {
    mailbox.post(0, 0x2c, 0, 0, false);
    mailbox.post(0, 0x2c, 0, 0, false);
    mailbox.post(0, 2, 0, 0x2000, true);
    expect(mailbox.take(0)).toEqual({ pec: 2, faddr: 0x2000n, write: true });
    expect(mailbox.take(0)).toEqual({ pec: 0x2c, faddr: 0n, write: false });
    expect(mailbox.take(0)).toBeUndefined();
  });
});
