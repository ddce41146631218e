import { describe, expect, it } from "vitest";
import { RequestKind } from "../../../src/abi/records.ts";
import { booksBalance, readBooks } from "../../../src/machine/books.ts";
import { EBUSY, EIO, ENOMSG, ENOTTY } from "../../../src/ports/host-function.ts";
import { announceFunction, awaitFunction } from "../../../src/recovery/plug.ts";
import type { Policy } from "../../../src/recovery/policy.ts";
import { compilePolicy, type PolicyFile } from "../../../src/recovery/policy-file.ts";
import { repairAfterDeath } from "../../../src/recovery/repair.ts";
import type { RecoveryUnit } from "../../../src/recovery/unit.ts";
import {
  FunctionBlock,
  FunctionState,
  PHASE_DONE,
  PHASE_FAILED,
  PHASE_IDLE,
  RecoveryCommand,
  stateWord,
  VmBlock,
  WORK_COMMAND,
} from "../../../src/shm/blocks.ts";
import { postOwnEvent } from "../../../src/shm/guest-error.ts";
import { GuestStep, RecoveryRig, rigPolicy, rigPolicyFile } from "../../support/recovery-rig.ts";

const SERVAC = 0x003a;
const PERMERR = 0x003b;

function policy(change: Partial<PolicyFile>): Policy {
  return compilePolicy({ ...rigPolicyFile, ...change });
}

/** Worker, host and guest take turns until none of them has anything to do at this time. */
function settle(rig: RecoveryRig, unit: RecoveryUnit): void {
  for (let round = 0; round < 200; round++) {
    const wake = unit.step();
    const acted = rig.guestAct();
    const ended = rig.endReset();
    const soon = wake < rig.clock.us + 20_000; // a back-off, not a deadline
    if (!acted && !ended && !soon) return;
    rig.clock.us = Math.max(rig.clock.us + 50, acted || ended || !soon ? 0 : wake);
  }
  throw new Error("did not settle");
}

/** Passes virtual time in steps of 1 ms. */
function pass(rig: RecoveryRig, unit: RecoveryUnit, ms: number): void {
  for (let n = 0; n < ms; n++) {
    rig.clock.us += 1000;
    unit.step();
  }
}

function command(rig: RecoveryRig, value: number): void {
  rig.set(FunctionBlock.recoveryCommand, value);
  rig.ring(WORK_COMMAND);
}

describe("the drain", () => {
  it("marks the function ERROR, publishes the record and raises the machine check in one pass", () => {
    const rig = new RecoveryRig();
    const unit = rig.unit();
    unit.step();
    rig.raise(SERVAC);
    unit.step();
    expect(rig.guestState).toBe(FunctionState.ERROR);
    expect(rig.vmWord(VmBlock.machineCheckPending)).toBe(1);
    expect(rig.stateName).toBe("awaiting-guest");
    expect(readBooks(rig.vm, 0)).toMatchObject({ errorsRaised: 1, read: 1, injected: 1 });
  });

  it("keeps PEC, faddr, rw, q, ett, mvn and dmaas and zeroes reserved fields, FH and FID (vfio-uapi 4.5)", () => {
    const rig = new RecoveryRig();
    const unit = rig.unit();
    unit.step();
    rig.raise(0x0002);
    unit.step();
    // Raised with reserved1 ff…, word e 0x300102ff, faddr 0, reserved3 ee…, reserved4 eeee.
    const record = rig.fetch();
    expect(Buffer.from(record?.body ?? []).toString("hex")).toBe(
      "00000000" +
        "00000000" +
        "00000000" +
        "30010203" +
        "0000000000000000" +
        "00000000" +
        "00000002",
    );
  });

  it("reads until ENOMSG: four events of a burst arrive as four records, in order", () => {
    const rig = new RecoveryRig();
    const unit = rig.unit();
    unit.step();
    for (let n = 0; n < 4; n++) rig.raise(0x0002);
    unit.step();
    expect([rig.fetch()?.id, rig.fetch()?.id, rig.fetch()?.id, rig.fetch()?.id]).toEqual([
      0, 1, 2, 3,
    ]);
    expect(rig.fetch()).toBeUndefined();
  });

  it("finds an event that was stored before the eventfd was armed", () => {
    const rig = new RecoveryRig();
    rig.raise(SERVAC);
    rig.set(FunctionBlock.errSignals, 0);
    rig.set(FunctionBlock.workerSummary, 0);
    rig.unit().step();
    expect(readBooks(rig.vm, 0).injected).toBe(1);
  });

  it("finds an event whose signal was lost at the slow interval", () => {
    const rig = new RecoveryRig();
    const unit = rig.unit();
    unit.step();
    rig.raise(SERVAC);
    rig.set(FunctionBlock.errSignals, 0);
    rig.set(FunctionBlock.workerSummary, 0);
    rig.clock.us = 999_000;
    unit.step();
    expect(readBooks(rig.vm, 0).injected).toBe(0);
    rig.clock.us = 1_000_000;
    unit.step();
    expect(readBooks(rig.vm, 0).injected).toBe(1);
  });

  it("takes a wake-up with nothing in the queue as normal", () => {
    const rig = new RecoveryRig();
    const unit = rig.unit();
    unit.step();
    rig.set(FunctionBlock.errSignals, 1);
    rig.ring(1);
    unit.step();
    expect(rig.stateName).toBe("operational");
    expect(rig.vmWord(VmBlock.machineCheckPending)).toBe(0);
  });

  it("does not tell the guest of an event with a handle that is not current", () => {
    const rig = new RecoveryRig();
    const unit = rig.unit();
    unit.step();
    rig.raise(SERVAC, 0x8f010000);
    unit.step();
    expect(rig.guestState).toBe(FunctionState.ENABLED);
    expect(rig.stateName).toBe("operational");
    expect(readBooks(rig.vm, 0).notDelivered.staleHandle).toBe(1);
  });

  it("drops FMB codes and takes no state change from them", () => {
    const rig = new RecoveryRig();
    const unit = rig.unit();
    unit.step();
    rig.raise(0x002b);
    unit.step();
    expect(rig.guestState).toBe(FunctionState.ENABLED);
    expect(readBooks(rig.vm, 0).notDelivered.fmbCode).toBe(1);
  });

  it("enters PERMANENT_ERROR for 0x003b, also when ERROR stands already, and ends in failed", () => {
    const rig = new RecoveryRig();
    const unit = rig.unit();
    unit.step();
    rig.raise(SERVAC);
    unit.step();
    rig.raise(PERMERR);
    unit.step();
    expect(rig.guestState).toBe(FunctionState.PERMANENT_ERROR);
    expect(rig.get(FunctionBlock.permanent)).toBe(1);
    expect(rig.stateName).toBe("failed");
  });

  it("stops asking the host when the guest's ring is full and goes on when the guest has fetched", () => {
    const rig = new RecoveryRig();
    const unit = rig.unit();
    unit.step();
    for (let n = 0; n < 64; n++) {
      rig.raise(0x0002);
      unit.step();
    }
    for (let n = 0; n < 5; n++) rig.raise(0x0002);
    unit.step();
    expect(readBooks(rig.vm, 0)).toMatchObject({
      injected: 64,
      notDelivered: { hostQueueFull: 1 },
    });
    expect(rig.hostPending).toBe(4);
    for (let n = 0; n < 10; n++) rig.fetch();
    unit.step();
    expect(rig.hostPending).toBe(0);
    expect(readBooks(rig.vm, 0).injected).toBe(68);
  });

  it("counts an event superseded when the guest has the function disabled, and repairs the host", () => {
    const rig = new RecoveryRig();
    const unit = rig.unit();
    unit.step();
    rig.clpDisable();
    unit.step();
    rig.raise(SERVAC);
    unit.step();
    expect(rig.clpEnable()).toBe(0x0108);
    settle(rig, unit);
    expect(readBooks(rig.vm, 0).notDelivered.superseded).toBe(1);
    expect(rig.hostBroken).toBe(0);
    expect(rig.clpEnable()).toBe(0x0010);
  });
});

describe("a recovery", () => {
  it("follows the guest from the fetch over CLP disable, host reset, enable and IOAT to the first good load", () => {
    const rig = new RecoveryRig();
    const unit = rig.unit();
    unit.step();
    rig.raise(SERVAC);
    settle(rig, unit);
    expect(rig.stateName).toBe("operational");
    expect(rig.guestStep).toBe(GuestStep.idle);
    expect(readBooks(rig.vm, 0)).toMatchObject({ recoveries: 1, hostResets: 1, fetchedByGuest: 1 });
    expect(booksBalance(readBooks(rig.vm, 0))).toBe(0);
  });

  it("raises one machine check per error: none when a reset ends and nothing is new", () => {
    const rig = new RecoveryRig();
    const unit = rig.unit();
    unit.step();
    rig.raise(SERVAC);
    let checks = 0;
    for (let round = 0; round < 40; round++) {
      unit.step();
      if (rig.vmWord(VmBlock.machineCheckPending) === 1) checks += 1;
      rig.guestAct();
      rig.endReset();
      rig.clock.us += 50;
    }
    expect(rig.stateName).toBe("operational");
    expect(checks).toBe(1);
  });

  it("answers CLP disable with busy until the host reset is done", () => {
    const rig = new RecoveryRig();
    const unit = rig.unit();
    unit.step();
    rig.raise(SERVAC);
    unit.step();
    expect(rig.clpDisable()).toBe(0x0108);
    unit.step();
    expect(rig.clpDisable()).toBe(0x0108);
    rig.endReset();
    unit.step();
    expect(rig.get(FunctionBlock.resetPhase)).toBe(PHASE_DONE);
    expect(rig.clpDisable()).toBe(0x0010);
  });

  it("retries a host reset that answers EAGAIN and EIO, with growing pauses", () => {
    const rig = new RecoveryRig();
    rig.behave({ resetRefusals: 2, resetFailures: 1 });
    const unit = rig.unit();
    unit.step();
    rig.raise(SERVAC);
    unit.step();
    rig.clpDisable();
    expect(unit.step()).toBe(1000); // attempt 1 refused: pause 1 ms
    rig.clock.us = 1000;
    expect(unit.step()).toBe(3000); // attempt 2 refused: pause 2 ms
    rig.clock.us = 3000;
    unit.step(); //                    attempt 3 starts
    rig.endReset();
    expect(unit.step()).toBe(8000); // and answers EIO: pause 5 ms
    rig.clock.us = 8000;
    unit.step();
    rig.endReset();
    unit.step();
    expect(rig.get(FunctionBlock.resetPhase)).toBe(PHASE_DONE);
    expect(rig.stateName).toBe("guest-recovering");
  });

  it("gives up a reset that never ends at the budget: phase FAILED, permanent error, the guest is told", () => {
    const rig = new RecoveryRig();
    rig.behave({ resetHangs: true });
    const unit = rig.unit();
    unit.step();
    rig.raise(SERVAC);
    unit.step();
    rig.fetch();
    rig.clpDisable();
    pass(rig, unit, 51);
    expect(rig.get(FunctionBlock.resetPhase)).toBe(PHASE_FAILED);
    expect(rig.stateName).toBe("failed");
    expect(rig.guestState).toBe(FunctionState.PERMANENT_ERROR);
    expect(rig.fetch()).toMatchObject({ pec: PERMERR, repeat: true });
  });

  it("supersedes what is pending when a reset starts, also when the handle does not change", () => {
    const rig = new RecoveryRig();
    rig.behave({ keepHandle: true });
    const unit = rig.unit();
    unit.step();
    rig.raise(SERVAC);
    unit.step();
    rig.raise(0x0002);
    rig.set(FunctionBlock.errSignals, 0);
    rig.set(FunctionBlock.workerSummary, 0);
    settle(rig, unit);
    expect(rig.stateName).toBe("operational");
    expect(rig.hostBroken).toBe(0);
    expect(booksBalance(readBooks(rig.vm, 0))).toBe(0);
  });

  it("resets again when an error arrives between the end of the reset and the answer to the guest", () => {
    const rig = new RecoveryRig();
    const unit = rig.unit();
    unit.step();
    rig.raise(SERVAC);
    unit.step();
    rig.fetch();
    rig.clpDisable();
    unit.step();
    rig.endReset();
    rig.raise(SERVAC);
    unit.step();
    expect(rig.clpDisable()).toBe(0x0108);
    settle(rig, unit);
    expect(readBooks(rig.vm, 0)).toMatchObject({ hostResets: 2, notDelivered: { superseded: 1 } });
  });

  it("tells the guest again when it enabled a function that had failed meanwhile", () => {
    const rig = new RecoveryRig();
    const unit = rig.unit();
    unit.step();
    rig.raise(SERVAC);
    unit.step();
    rig.fetch();
    rig.clpDisable();
    unit.step();
    rig.endReset();
    unit.step();
    rig.raise(SERVAC); // published under the generation that the next CLP disable ends
    unit.step();
    expect(rig.clpDisable()).toBe(0x0010);
    expect(rig.clpEnable()).toBe(0x0010);
    unit.step();
    expect(rig.guestState).toBe(FunctionState.ERROR);
    settle(rig, unit);
    expect(rig.fetch()).toBeUndefined();
    expect(booksBalance(readBooks(rig.vm, 0))).toBe(0);
    expect(rig.get(FunctionBlock.reinjections)).toBe(1);
  });

  it("clears the error in place when the host can: MPCIFC 9, then 7, and counts a recovery", () => {
    const rig = new RecoveryRig();
    rig.behave({ clearError: true });
    const unit = rig.unit();
    unit.step();
    rig.raise(SERVAC);
    unit.step();
    rig.fetch();
    expect(rig.mpcifc(9)).toBe(2);
    unit.step();
    expect(rig.mpcifc(9)).toBe(0);
    unit.step();
    expect(rig.stateName).toBe("unblocked");
    expect(rig.mpcifc(7)).toBe(2);
    unit.step();
    expect(rig.mpcifc(7)).toBe(0);
    expect(rig.guestState).toBe(FunctionState.ENABLED);
    unit.step();
    expect(rig.stateName).toBe("operational");
    expect(readBooks(rig.vm, 0).recoveries).toBe(1);
  });

  it("refuses MPCIFC 7 when another error came while the host cleared the first", () => {
    const rig = new RecoveryRig();
    rig.behave({ clearError: true });
    const unit = rig.unit();
    unit.step();
    rig.raise(SERVAC);
    unit.step();
    rig.fetch();
    rig.mpcifc(7);
    rig.raise(SERVAC);
    rig.set(FunctionBlock.errSignals, 0);
    rig.set(FunctionBlock.workerSummary, 0);
    unit.step();
    expect(rig.mpcifc(7)).toBe(1);
  });

  it("refuses MPCIFC 9 and 7 asked of a host that cannot clear", () => {
    const rig = new RecoveryRig();
    const unit = rig.unit();
    unit.step();
    rig.raise(SERVAC);
    unit.step();
    rig.set(FunctionBlock.clearPhase, 1 | (9 << 8));
    unit.step();
    expect(rig.get(FunctionBlock.clearPhase)).toBe(PHASE_FAILED);
  });

  it("keeps its deadlines though its worker dies again and again before they pass", () => {
    const rig = new RecoveryRig();
    rig.unit().step();
    rig.raise(SERVAC);
    rig.unit().step();
    expect(rig.stateName).toBe("awaiting-guest");
    const states = new Set<string>();
    for (let deaths = 0; deaths < 12; deaths++) {
      rig.clock.us += 60_000; // the guest has 100 ms
      rig.endReset();
      rig.unit().step();
      states.add(rig.stateName);
    }
    expect([...states]).toEqual(["awaiting-guest", "resetting", "failed"]);
  });

  it("accepts MPCIFC 9 and 7 at once when the host function was reset before the guest heard", () => {
    const rig = new RecoveryRig();
    rig.behave({ clearError: true });
    const unit = rig.unit({ policy: policy({ onError: "reset" }) });
    // A healthy function has no error to clear: this host would refuse for as long as it is asked.
    Object.assign(rig.host, { startClear: () => -EIO });
    unit.step();
    rig.raise(SERVAC);
    unit.step();
    rig.endReset();
    unit.step();
    expect(rig.stateName).toBe("awaiting-guest");
    rig.fetch();
    for (const operation of [9, 7] as const) {
      expect(rig.mpcifc(operation)).toBe(2);
      unit.step();
      expect(rig.mpcifc(operation)).toBe(0);
    }
    unit.step();
    expect(rig.stateName).toBe("operational");
    expect(readBooks(rig.vm, 0)).toMatchObject({ recoveries: 1, hostResets: 1 });
  });

  it("believes the guest's own success report", () => {
    const rig = new RecoveryRig();
    const unit = rig.unit();
    unit.step();
    rig.raise(SERVAC);
    unit.step();
    rig.fetch();
    while (rig.clpDisable() === 0x0108) {
      unit.step();
      rig.endReset();
      unit.step();
    }
    rig.clpEnable();
    rig.post(RequestKind.guestReport, 1);
    unit.step();
    expect(rig.stateName).toBe("operational");
    expect(readBooks(rig.vm, 0).recoveries).toBe(1);
  });

  it("does not believe a success report or a proof from before the last error", () => {
    const rig = new RecoveryRig();
    const unit = rig.unit();
    unit.step();
    rig.raise(SERVAC);
    unit.step();
    rig.post(RequestKind.guestReport, 1);
    rig.post(RequestKind.guestProof);
    unit.step();
    expect(rig.stateName).not.toBe("operational");
    expect(readBooks(rig.vm, 0).recoveries).toBe(0);
  });
});

describe("deadlines", () => {
  it("re-injects, then resets and re-injects, then gives a guest up that never reads its events", () => {
    const rig = new RecoveryRig();
    rig.behave({ guestReads: false });
    const unit = rig.unit();
    unit.step();
    rig.raise(SERVAC);
    unit.step();
    pass(rig, unit, 99);
    expect(rig.stateName).toBe("awaiting-guest");
    pass(rig, unit, 2);
    expect(rig.stateName).toBe("awaiting-guest");
    pass(rig, unit, 100);
    expect(rig.stateName).toBe("resetting");
    rig.endReset();
    unit.step();
    expect(rig.stateName).toBe("awaiting-guest");
    pass(rig, unit, 101);
    expect(rig.stateName).toBe("failed");
    expect(rig.guestState).toBe(FunctionState.PERMANENT_ERROR);
  });

  it("leave a function alone that the guest has switched off", () => {
    const rig = new RecoveryRig();
    const unit = rig.unit();
    unit.step();
    rig.raise(SERVAC);
    unit.step();
    rig.fetch();
    while (rig.clpDisable() === 0x0108) {
      unit.step();
      rig.endReset();
      unit.step();
    }
    pass(rig, unit, 201);
    expect(rig.stateName).toBe("operational");
    expect(readBooks(rig.vm, 0).recoveries).toBe(0);
  });

  it("stand still while the VM is paused", () => {
    const rig = new RecoveryRig();
    const unit = rig.unit();
    unit.step();
    rig.raise(SERVAC);
    unit.step(); // awaiting-guest until 100 ms
    pass(rig, unit, 50);
    command(rig, RecoveryCommand.pause);
    pass(rig, unit, 500);
    command(rig, RecoveryCommand.resume);
    unit.step();
    rig.fetch(); // 45 ms of the first deadline are left, so the next of 200 ms starts in time
    pass(rig, unit, 1);
    expect(rig.stateName).toBe("guest-recovering");
    expect(rig.get(FunctionBlock.reinjections)).toBe(0);
  });
});

describe("policies", () => {
  it("reset-first: the host function is whole before the guest hears of the error", () => {
    const rig = new RecoveryRig();
    const unit = rig.unit({ policy: policy({ onError: "reset" }) });
    unit.step();
    rig.raise(SERVAC);
    unit.step();
    expect(rig.vmWord(VmBlock.machineCheckPending)).toBe(0);
    rig.endReset();
    unit.step();
    expect(rig.vmWord(VmBlock.machineCheckPending)).toBe(1);
    expect(rig.hostBroken).toBe(0);
    settle(rig, unit);
    expect(rig.stateName).toBe("operational");
    expect(booksBalance(readBooks(rig.vm, 0))).toBe(0);
  });

  it("quarantine: the third error within the window takes the function out of service", () => {
    const rig = new RecoveryRig();
    const unit = rig.unit({ policy: policy({ quarantine: { errors: 3, withinMs: 1000 } }) });
    unit.step();
    for (let n = 0; n < 3; n++) {
      rig.raise(SERVAC);
      settle(rig, unit);
    }
    expect(rig.stateName).toBe("quarantined");
    expect(rig.guestStep).toBe(GuestStep.gaveUp);
    expect(readBooks(rig.vm, 0)).toMatchObject({
      fetchedByGuest: 2,
      recoveries: 2,
      notDelivered: { policy: 1 },
    });
  });

  it("quarantine: a burst of events is one failure", () => {
    const rig = new RecoveryRig();
    const unit = rig.unit({ policy: policy({ quarantine: { errors: 2, withinMs: 1000 } }) });
    unit.step();
    for (let n = 0; n < 4; n++) rig.raise(0x0002);
    settle(rig, unit);
    expect(rig.stateName).toBe("operational");
    rig.raise(0x0002);
    settle(rig, unit);
    expect(rig.stateName).toBe("quarantined");
  });

  it("quarantine: errors further apart than the window do not add up", () => {
    const rig = new RecoveryRig();
    const unit = rig.unit({ policy: policy({ quarantine: { errors: 2, withinMs: 1000 } }) });
    unit.step();
    for (let n = 0; n < 4; n++) {
      rig.raise(SERVAC);
      settle(rig, unit);
      rig.clock.us += 1_100_000;
    }
    expect(rig.stateName).toBe("operational");
    expect(readBooks(rig.vm, 0).recoveries).toBe(4);
  });

  it.each([
    ["an hour and a half", 1.5],
    ["a month", 31 * 24],
    ["a year", 365 * 24],
  ])("quarantine, storm and the slow drain keep their times after %s of uptime", (_, hours) => {
    const rig = new RecoveryRig();
    rig.clock.us = hours * 3_600_000_000;
    const limits = {
      quarantine: { errors: 3, withinMs: 1000 },
      storm: { tokens: 1, perSecond: 1 },
    };
    const unit = rig.unit({ policy: policy(limits) });
    unit.step();
    rig.raise(SERVAC);
    rig.raise(SERVAC); //                               a storm: the only token is taken
    settle(rig, unit);
    expect(readBooks(rig.vm, 0).notDelivered.policy).toBe(1);
    expect(unit.step()).toBeGreaterThan(rig.clock.us);
    rig.clock.us += 2_000_000; //                       the first failure is out of the window
    for (let n = 0; n < 2; n++) {
      rig.raise(SERVAC);
      settle(rig, unit);
    }
    expect(rig.stateName).toBe("operational");
    rig.raise(SERVAC);
    settle(rig, unit);
    expect(rig.stateName).toBe("quarantined");
  });

  it.each([
    ["in place", true],
    ["by reset", false],
  ])(
    "storm: an error that the guest met by itself, after it recovered %s, is delivered all the same",
    (_, clearError) => {
      const rig = new RecoveryRig();
      rig.behave({ clearError });
      const unit = rig.unit({ policy: policy({ storm: { tokens: 1, perSecond: 0 } }) });
      unit.step();
      rig.raise(SERVAC); //                             takes the only token
      settle(rig, unit);
      expect(rig.stateName).toBe("operational");
      // RPCIT found the next error: the vCPU has set the state, the event is on its way.
      rig.set(FunctionBlock.stateWord, stateWord(rig.generation, FunctionState.ERROR));
      rig.raise(0x0001);
      settle(rig, unit);
      expect(readBooks(rig.vm, 0)).toMatchObject({ injected: 2, fetchedByGuest: 2, recoveries: 2 });
      expect(rig.stateName).toBe("operational");
    },
  );

  it("storm: errors beyond the bucket are dropped only while the guest knows of one already", () => {
    const rig = new RecoveryRig();
    const unit = rig.unit({ policy: policy({ storm: { tokens: 1, perSecond: 0 } }) });
    unit.step();
    rig.raise(SERVAC);
    rig.raise(0x0002);
    rig.raise(0x0002);
    unit.step();
    expect(readBooks(rig.vm, 0)).toMatchObject({ injected: 1, notDelivered: { policy: 2 } });
    settle(rig, unit);
    rig.raise(SERVAC); // bucket still empty, but the guest knows of nothing
    unit.step();
    expect(readBooks(rig.vm, 0).injected).toBe(2);
  });

  it("unplug: 0x0303 first, 0x0304 when the guest does not give the function up", () => {
    const rig = new RecoveryRig();
    const unit = rig.unit({ policy: policy({ onError: "unplug" }) });
    unit.step();
    rig.raise(SERVAC);
    unit.step();
    expect(rig.stateName).toBe("unplugging");
    expect(rig.fetch()).toMatchObject({ kind: 1, pec: SERVAC });
    expect(rig.fetch()).toMatchObject({ kind: 2, pec: 0x0303 });
    pass(rig, unit, 501);
    expect(rig.stateName).toBe("detached");
    expect(rig.fetch()).toMatchObject({ kind: 2, pec: 0x0304 });
    expect(rig.guestState).toBe(FunctionState.RESERVED);
    expect(unit.ended).toBe(true);
  });

  it("unplug: done when the guest deconfigures the function", () => {
    const rig = new RecoveryRig();
    const unit = rig.unit({ policy: policy({ onError: "unplug" }) });
    unit.step();
    rig.raise(SERVAC);
    unit.step();
    rig.deconfigure();
    unit.step();
    expect(rig.stateName).toBe("detached");
    expect(rig.guestState).toBe(FunctionState.RESERVED);
    expect([rig.fetch(), rig.fetch()]).toMatchObject([
      { kind: 2, pec: 0x0303 }, // the error's generation ended with the deconfigure
      { kind: 2, pec: 0x0308 },
    ]);
  });

  it("stop-vm: the VM is told to stop at the signal, events stay unread", () => {
    const rig = new RecoveryRig();
    const unit = rig.unit({ policy: policy({ onError: "stop-vm" }) });
    unit.step();
    rig.raise(SERVAC);
    unit.step();
    expect(rig.vmWord(VmBlock.command)).toBe(2);
    expect(rig.stateName).toBe("failed");
    expect(unit.vmStopping()).toBe(true);
    expect(unit.step()).toBe(Number.POSITIVE_INFINITY);
    expect(readBooks(rig.vm, 0)).toMatchObject({ read: 0, injected: 0 });
    expect(booksBalance(readBooks(rig.vm, 0))).toBe(1); // left for the machine: vmStopped
  });

  it("stop-vm: what the guest did before the stop does not make the function look alive", () => {
    const rig = new RecoveryRig();
    const unit = rig.unit({ policy: policy({ onError: "stop-vm" }) });
    unit.step();
    rig.post(RequestKind.guestEnable);
    rig.post(RequestKind.guestProof);
    rig.raise(SERVAC);
    unit.step();
    expect(rig.stateName).toBe("failed");
  });
});

describe("operator", () => {
  it("quarantines a function and releases it again", () => {
    const rig = new RecoveryRig();
    const unit = rig.unit();
    unit.step();
    command(rig, RecoveryCommand.quarantine);
    unit.step();
    expect(rig.stateName).toBe("quarantined");
    expect(rig.guestState).toBe(FunctionState.PERMANENT_ERROR);
    rig.raise(SERVAC);
    unit.step();
    expect(readBooks(rig.vm, 0).notDelivered.policy).toBe(1);
    command(rig, RecoveryCommand.release);
    settle(rig, unit);
    expect(rig.stateName).toBe("operational");
    expect(rig.get(FunctionBlock.permanent)).toBe(0);
    expect(rig.guestState).toBe(FunctionState.DISABLED);
  });

  it("a system reset in the middle of a recovery resets the host and starts over", () => {
    const rig = new RecoveryRig();
    const unit = rig.unit();
    unit.step();
    rig.raise(SERVAC);
    unit.step();
    command(rig, RecoveryCommand.systemReset);
    unit.step();
    rig.endReset();
    unit.step();
    expect(rig.stateName).toBe("operational");
    expect(rig.hostBroken).toBe(0);
    expect(rig.get(FunctionBlock.resetPhase)).toBe(PHASE_IDLE);
  });

  it("a function that went away comes back only when the host says so", () => {
    const rig = new RecoveryRig();
    const unit = rig.unit();
    unit.step();
    command(rig, RecoveryCommand.unplug);
    unit.step();
    command(rig, RecoveryCommand.unplug); // asked twice: without the guest's consent
    unit.step();
    expect(rig.stateName).toBe("detached");
    rig.unit().step();
    expect(rig.stateName).toBe("detached");
    command(rig, RecoveryCommand.hostBack);
    rig.unit().step();
    expect(rig.stateName).toBe("operational");
    expect(rig.guestState).toBe(FunctionState.DISABLED);
    rig.fetch(); // 0x0303
    rig.fetch(); // 0x0304
    expect(rig.fetch()).toMatchObject({ kind: 2, pec: 0x0301 });
  });

  it("a function that has left sleeps until it is back, whoever rings meanwhile", () => {
    const rig = new RecoveryRig();
    const unit = rig.unit();
    unit.step();
    command(rig, RecoveryCommand.take);
    unit.step();
    expect(rig.stateName).toBe("detached");
    rig.fetch(); // 0x0304: the guest's thread returns the credit and says what it did
    expect(unit.rung()).toBe(true);
    expect(unit.step()).toBe(Number.POSITIVE_INFINITY);
    expect(unit.rung()).toBe(false);
    // What an operator orders meanwhile is taken: the next order, and the function's return, wait for that.
    command(rig, RecoveryCommand.pause);
    unit.step();
    expect([rig.get(FunctionBlock.recoveryCommand), unit.rung()]).toEqual([0, false]);
    command(rig, RecoveryCommand.hostBack);
    unit.step();
    expect(rig.stateName).toBe("operational");
  });

  it("the successor of a worker that died while it told of a function's return leaves an enabled function alone", () => {
    const rig = new RecoveryRig();
    rig.behave({ guestHeeds: true });
    const unit = rig.unit();
    unit.step();
    rig.requestBack(true);
    unit.step();
    rig.comeBack();
    rig.set(FunctionBlock.killAtStep, 9); // the channel report of 0x0301
    expect(() => unit.step()).toThrow();
    for (let n = 0; n < 10; n++) rig.guestAct(); // 0x0304, 0x0301, CLP enable
    expect(rig.guestState).toBe(FunctionState.ENABLED);
    repairAfterDeath(rig.options());
    settle(rig, rig.unit());
    expect([rig.guestState, rig.stateName]).toEqual([FunctionState.ENABLED, "operational"]);
  });

  it("the successor of a worker that died with REQ taken from its bell looks for itself", () => {
    const rig = new RecoveryRig();
    const never = { ...rigPolicy, slowDrainUs: 0 };
    const unit = rig.unit({ policy: never });
    unit.step();
    rig.requestBack();
    rig.set(FunctionBlock.killAtStep, 1);
    expect(() => unit.step()).toThrow();
    repairAfterDeath(rig.options({ policy: never }));
    rig.unit({ policy: never }).step();
    expect(rig.stateName).toBe("unplugging");
  });

  it("a record without a handle counts although the worker died between reading and judging it", () => {
    const rig = new RecoveryRig();
    let left = 1;
    rig.host.getError = (slot) => {
      if (left-- <= 0) return -ENOMSG;
      rig.vm.view.setUint32(slot + 8, 0x123); // a FID and a code: the function has gone, and its handle with it
      rig.vm.view.setUint16(slot + 30, SERVAC);
      return 0;
    };
    const unit = rig.unit();
    rig.set(FunctionBlock.killAtStep, 3);
    expect(() => unit.step()).toThrow();
    repairAfterDeath(rig.options());
    expect(readBooks(rig.vm, 0)).toMatchObject({ read: 1, notDelivered: { unverifiable: 1 } });
  });

  it("a host that others have open is asked again in a while, whoever rings meanwhile", () => {
    const rig = new RecoveryRig();
    let busy = true;
    rig.host.open = () => (busy ? -EBUSY : 0);
    const unit = rig.unit();
    rig.raise();
    expect(unit.step()).toBe(1000);
    expect(unit.rung()).toBe(false);
    busy = false;
    unit.step();
    expect(rig.guestState).toBe(FunctionState.ERROR); // the event that waited is told
  });

  it("a release tells the guest that the function was taken away and is configured again", () => {
    const rig = new RecoveryRig();
    const unit = rig.unit();
    unit.step();
    command(rig, RecoveryCommand.quarantine);
    unit.step();
    command(rig, RecoveryCommand.release);
    unit.step();
    rig.endReset();
    unit.step();
    const seen: number[] = [];
    for (let record = rig.fetch(); record !== undefined; record = rig.fetch()) {
      if (record.kind === 2) seen.push(record.pec);
    }
    // Linux ignores 0x0301 for a function that it has configured (zpci-guest.md 7.3).
    expect(seen).toEqual([0x0304, 0x0301]);
  });

  it("a guest that is only asked keeps its function, whatever the policy's deadline says", () => {
    const rig = new RecoveryRig();
    const unit = rig.unit();
    unit.step();
    command(rig, RecoveryCommand.ask);
    pass(rig, unit, 5000); //                              the policy would take it after 500 ms
    expect(rig.stateName).toBe("unplugging");
    expect(rig.fetch()).toMatchObject({ kind: 2, pec: 0x0303 });
    command(rig, RecoveryCommand.keep);
    unit.step();
    expect([rig.stateName, rig.guestState]).toEqual(["operational", FunctionState.ENABLED]);
    rig.raise(SERVAC);
    settle(rig, unit);
    expect(readBooks(rig.vm, 0)).toMatchObject({ injected: 1, recoveries: 1 });
    command(rig, RecoveryCommand.keep); //                 nobody has asked
    unit.step();
    expect(rig.stateName).toBe("operational");
  });

  it("an error that came while its guest was asked is told once the function stays", () => {
    const rig = new RecoveryRig();
    const unit = rig.unit();
    unit.step();
    command(rig, RecoveryCommand.ask);
    unit.step();
    rig.raise(SERVAC);
    unit.step();
    expect(readBooks(rig.vm, 0).notDelivered.policy).toBe(1);
    command(rig, RecoveryCommand.keep);
    unit.step();
    expect([rig.stateName, rig.guestState]).toEqual(["awaiting-guest", FunctionState.ERROR]);
    settle(rig, unit);
    expect([rig.stateName, rig.guestState]).toEqual(["operational", FunctionState.ENABLED]);
  });

  it.each([
    ["quarantined", RecoveryCommand.quarantine, undefined],
    ["failed", undefined, PERMERR],
    ["awaiting-guest", undefined, SERVAC],
  ])("a function that was asked for as %s stays as such", (state, before, pec) => {
    const rig = new RecoveryRig();
    const unit = rig.unit();
    unit.step();
    if (before !== undefined) command(rig, before);
    if (pec !== undefined) rig.raise(pec);
    unit.step();
    expect(rig.stateName).toBe(state);
    command(rig, RecoveryCommand.ask);
    unit.step();
    expect(rig.stateName).toBe("unplugging");
    command(rig, RecoveryCommand.keep);
    unit.step();
    expect(rig.stateName).toBe(state);
  });

  it("the successor of a worker that died while the guest was asked does not take the function", () => {
    const rig = new RecoveryRig();
    rig.unit().step();
    command(rig, RecoveryCommand.ask);
    rig.unit({ continued: true }).step();
    repairAfterDeath(rig.options());
    const successor = rig.unit();
    pass(rig, successor, 5000);
    expect(rig.stateName).toBe("unplugging");
    rig.requestBack(); //                                  the host does not ask: now the policy's deadline runs
    pass(rig, successor, 501);
    expect(rig.stateName).toBe("detached");
  });

  it("takes a function from its guest at once when told so", () => {
    const rig = new RecoveryRig();
    const unit = rig.unit();
    unit.step();
    command(rig, RecoveryCommand.take);
    unit.step();
    expect([rig.stateName, rig.guestState]).toEqual(["detached", FunctionState.RESERVED]);
    expect(rig.fetch()).toMatchObject({ kind: 2, pec: 0x0304 });
    expect(unit.ended).toBe(true);
  });

  it("a function comes back in standby with 0x0302 and a new instance of its handle", () => {
    const rig = new RecoveryRig();
    rig.set(FunctionBlock.guestHandle, 0x05010000);
    const unit = rig.unit();
    unit.step();
    command(rig, RecoveryCommand.unplug);
    unit.step();
    command(rig, RecoveryCommand.unplug);
    unit.step();
    expect(rig.guestState).toBe(FunctionState.RESERVED);
    command(rig, RecoveryCommand.hostBackStandby);
    unit.step(); // the same object goes on, as in a deterministic run
    expect(rig.stateName).toBe("operational");
    expect(rig.guestState).toBe(FunctionState.STANDBY);
    expect(rig.get(FunctionBlock.guestHandle)).toBe(0x06010000);
    expect([rig.fetch()?.pec, rig.fetch()?.pec, rig.fetch()?.pec]).toEqual([
      0x0303, 0x0304, 0x0302,
    ]);
  });

  it("a function that is back before the guest has given it up waits for that", () => {
    const rig = new RecoveryRig();
    const unit = rig.unit();
    unit.step();
    rig.requestBack();
    unit.step();
    command(rig, RecoveryCommand.hostBack);
    unit.step();
    expect(rig.stateName).toBe("unplugging");
    rig.deconfigure();
    rig.appear();
    unit.step();
    unit.step();
    expect(rig.stateName).toBe("operational");
    expect([rig.fetch()?.pec, rig.fetch()?.pec, rig.fetch()?.pec]).toEqual([
      0x0303, 0x0308, 0x0301,
    ]);
  });

  it("REQ asks the guest; a device that has gone without asking is taken from it", () => {
    const asked = new RecoveryRig();
    const unit = asked.unit();
    unit.step();
    asked.requestBack();
    unit.step();
    expect(asked.stateName).toBe("unplugging");
    expect(asked.fetch()).toMatchObject({ kind: 2, pec: 0x0303 });
    const gone = new RecoveryRig();
    const other = gone.unit();
    other.step();
    gone.requestBack(true);
    other.step();
    expect(gone.stateName).toBe("detached");
    expect(gone.fetch()).toMatchObject({ kind: 2, pec: 0x0304 });
  });

  it("a function in standby is not asked for: it goes, with 0x0308", () => {
    const rig = new RecoveryRig();
    const unit = rig.unit();
    unit.step();
    rig.deconfigure();
    unit.step();
    rig.requestBack();
    unit.step();
    expect(rig.stateName).toBe("detached");
    expect(rig.fetch()).toMatchObject({ kind: 2, pec: 0x0308 });
    expect(rig.fetch()).toBeUndefined();
  });

  it("availability events wait for room in the guest's ring, in order", () => {
    const rig = new RecoveryRig();
    const unit = rig.unit({ policy: policy({ slowDrainMs: 1 }) });
    unit.step();
    for (let n = 0; n < 64; n++) {
      rig.raise(SERVAC);
      unit.step();
    }
    rig.requestBack(true);
    unit.step();
    expect(rig.stateName).toBe("detached");
    expect(unit.ended).toBe(false); // the guest does not know yet
    expect(rig.comeBack()).toBe(true);
    unit.step();
    const pecs: number[] = [];
    for (let n = 0; n < 200; n++) {
      const record = rig.fetch();
      if (record?.kind === 2) pecs.push(record.pec);
      unit.step();
    }
    expect(pecs).toEqual([0x0304, 0x0301]);
  });

  it("more availability events than can wait become one 0x0306: list everything anew", () => {
    const rig = new RecoveryRig();
    const unit = rig.unit({ policy: policy({ slowDrainMs: 1 }) });
    unit.step();
    for (let n = 0; n < 64; n++) {
      rig.raise(SERVAC);
      unit.step();
    }
    for (let cycle = 0; cycle < 2; cycle++) {
      for (const order of ["unplug", "unplug", "hostBack"] as const) {
        command(rig, RecoveryCommand[order]);
        unit.step();
      }
    }
    const pecs: number[] = [];
    for (let n = 0; n < 200; n++) {
      const record = rig.fetch();
      if (record?.kind === 2) pecs.push(record.pec);
      unit.step();
    }
    // Four wait; the fifth makes one of all of them, and what comes after waits behind it.
    expect(pecs.slice(-2)).toEqual([0x0306, 0x0301]);
  });

  it("the host asks for the device back: the guest is asked to give it up", () => {
    const rig = new RecoveryRig();
    const unit = rig.unit();
    unit.step();
    command(rig, RecoveryCommand.hostRequest);
    unit.step();
    expect(rig.stateName).toBe("unplugging");
    expect(rig.fetch()).toMatchObject({ kind: 2, pec: 0x0303 });
  });
});

describe("events of the machine's own", () => {
  it("reach the guest without changing the function or any book", () => {
    const rig = new RecoveryRig();
    const unit = rig.unit();
    unit.step();
    postOwnEvent(rig.vm, 0, 0x002c, 0x1_2345_6788n);
    postOwnEvent(rig.vm, 0, 0x002a, 0n); // one is enough
    unit.step();
    expect(rig.stateName).toBe("operational");
    expect(rig.guestState).toBe(FunctionState.ENABLED);
    const record = rig.fetch();
    expect(record).toMatchObject({ kind: 1, pec: 0x002c });
    expect(new DataView((record as { body: Uint8Array }).body.buffer).getBigUint64(16)).toBe(
      0x1_2345_6788n,
    );
    expect(rig.fetch()).toBeUndefined();
    expect(readBooks(rig.vm, 0)).toMatchObject({ errorsRaised: 0, injected: 0, fetchedByGuest: 0 });
  });

  it("are forgotten when the guest has the function disabled", () => {
    const rig = new RecoveryRig();
    rig.set(FunctionBlock.stateWord, FunctionState.DISABLED);
    const unit = rig.unit();
    unit.step();
    postOwnEvent(rig.vm, 0, 0x002a, 0n);
    unit.step();
    expect(rig.get(FunctionBlock.ownPec)).toBe(0);
    expect(rig.fetch()).toBeUndefined();
  });
});

describe("bounds", () => {
  it("a pass never drains more than its batch, and asks to be called again at once", () => {
    const rig = new RecoveryRig();
    const endless = Object.create(rig.host, {
      getError: {
        value: (slot: number) => {
          rig.vm.view.setUint32(slot + 4, rig.host.handle());
          rig.vm.view.setUint16(slot + 30, 0x0002);
          return 0;
        },
      },
      open: { value: () => 0 },
      handle: { value: () => 0x80010000 },
      takeSignals: { value: () => 1 },
      takeRequests: { value: () => 0 },
    }) as typeof rig.host;
    const unit = rig.unit({ host: endless });
    expect(unit.step()).toBe(0);
    expect(readBooks(rig.vm, 0).read).toBe(16);
    for (let n = 0; n < 10; n++) unit.step();
    expect(readBooks(rig.vm, 0).read).toBe(64); // the guest's ring is full
  });

  it("a host function that goes away takes the function from the guest", () => {
    const rig = new RecoveryRig();
    const gone = Object.create(rig.host, {
      getError: { value: () => -19 }, // -ENODEV
      open: { value: () => 0 },
      handle: { value: () => 0x80010000 },
      close: { value: () => 0 },
      takeSignals: { value: () => 0 },
      takeRequests: { value: () => 0 },
    }) as typeof rig.host;
    const unit = rig.unit({ host: gone });
    unit.step();
    expect(rig.stateName).toBe("detached");
    expect(rig.fetch()).toMatchObject({ kind: 2, pec: 0x0304 });
  });

  it("a host without the error feature leaves the function running and is not asked again", () => {
    const rig = new RecoveryRig();
    let asked = 0;
    rig.host.open = () => {
      asked += 1;
      return -ENOTTY;
    };
    const unit = rig.unit();
    unit.step();
    unit.step();
    expect([asked, unit.supported]).toEqual([1, false]);
    expect([rig.guestState, rig.stateName]).toEqual([FunctionState.ENABLED, "operational"]);
    // What the host had to tell is nobody's business: no GET was ever asked for.
    rig.raise();
    pass(rig, unit, 3000);
    expect([rig.hostPending, rig.guestState]).toEqual([1, FunctionState.ENABLED]);
  });

  it("over a host without the error feature a guest that finds its function broken resets it all the same", () => {
    const rig = new RecoveryRig();
    rig.host.open = () => -ENOTTY;
    const unit = rig.unit();
    unit.step();
    const { ERROR } = FunctionState;
    rig.set(FunctionBlock.stateWord, stateWord(rig.generation, ERROR)); // RPCIT met a malformed table
    expect(rig.clpDisable()).toBe(0x0108);
    unit.step();
    rig.endReset();
    unit.step();
    expect(rig.clpDisable()).toBe(0x0010);
    expect(rig.clpEnable()).toBe(0x0010);
    settle(rig, unit);
    expect(rig.hostResets).toBe(1);
    expect(rig.guestState).toBe(FunctionState.ENABLED);
  });

  it("a function is told of over a host without the error feature as over any other, and leaves as any other", () => {
    const rig = new RecoveryRig();
    rig.host.open = () => -ENOTTY;
    awaitFunction(rig.vm, 0);
    rig.set(FunctionBlock.stateWord, stateWord(1, FunctionState.RESERVED));
    announceFunction(rig.vm, 0);
    const unit = rig.unit();
    unit.step();
    expect([rig.stateName, rig.fetch()?.pec]).toEqual(["operational", 0x0301]);
    command(rig, RecoveryCommand.take);
    unit.step();
    expect([rig.stateName, rig.fetch()?.pec]).toEqual(["detached", 0x0304]);
  });

  it("rigPolicy has a deadline for every state that waits", () => {
    expect(rigPolicy.deadlineUs.map((us) => us > 0)).toEqual([
      false, // operational
      false, // draining
      true, //  awaiting-guest
      true, //  guest-recovering
      true, //  unblocked
      true, //  resetting
      true, //  verifying
      false, // quarantined
      true, //  unplugging
      false, // failed
      false, // detached
    ]);
  });
});
