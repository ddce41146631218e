import { describe, expect, it } from "vitest";
import { RequestKind } from "../../../src/abi/records.ts";
import { guestEvent, NO_EVENT } from "../../../src/recovery/guest-event.ts";
import { CHOICES_MAX, choicesOf, Event } from "../../../src/recovery/vocabulary.ts";
import { FunctionState } from "../../../src/shm/blocks.ts";

const { DISABLED, ENABLED, BLOCKED, ERROR } = FunctionState;

function meaning(kind: number, state: FunctionState, hostBroken = false, b0 = 0, verify = false) {
  return guestEvent(kind, b0, state, hostBroken, verify);
}
function event(number: number, choice = 0): number {
  return number * CHOICES_MAX + choice;
}

describe("what a guest's record means", () => {
  it("a proof of life counts only while the function is enabled and the host has not failed since", () => {
    expect(meaning(RequestKind.guestProof, ENABLED)).toBe(event(Event.guestProof));
    expect(meaning(RequestKind.guestProof, ERROR)).toBe(NO_EVENT);
    expect(meaning(RequestKind.guestProof, ENABLED, true)).toBe(NO_EVENT);
  });

  it("a disable in error is a request, which the phase word carries", () => {
    expect(meaning(RequestKind.guestDisable, ERROR)).toBe(NO_EVENT);
    expect(meaning(RequestKind.guestDisable, DISABLED)).toBe(
      event(Event.guestDisable, choicesOf("guestDisable").done),
    );
  });

  it("a disabled or enabled function over a broken host is an orphan", () => {
    expect(meaning(RequestKind.guestDisable, DISABLED, true)).toBe(
      event(Event.guestDisable, choicesOf("guestDisable").orphan),
    );
    expect(meaning(RequestKind.guestEnable, ENABLED, true)).toBe(
      event(Event.guestEnable, choicesOf("guestEnable").orphan),
    );
  });

  it("MPCIFC 9 is believed when the state says BLOCKED, MPCIFC 7 when it says ENABLED", () => {
    const block = choicesOf("guestResetBlock").accepted;
    const clear = choicesOf("guestResetError");
    expect(meaning(RequestKind.guestResetBlock, BLOCKED)).toBe(event(Event.guestResetBlock, block));
    expect(meaning(RequestKind.guestResetBlock, ERROR)).toBe(NO_EVENT);
    expect(meaning(RequestKind.guestResetError, ENABLED)).toBe(
      event(Event.guestResetError, clear.accepted),
    );
    expect(meaning(RequestKind.guestResetError, ENABLED, false, 0, true)).toBe(
      event(Event.guestResetError, clear.verify),
    );
    expect(meaning(RequestKind.guestResetError, BLOCKED)).toBe(NO_EVENT);
  });

  it("a success report over a failed function is stale, a failure report never is", () => {
    const report = choicesOf("guestReport");
    expect(meaning(RequestKind.guestReport, ENABLED, false, 1)).toBe(
      event(Event.guestReport, report.success),
    );
    expect(meaning(RequestKind.guestReport, ERROR, false, 1)).toBe(
      event(Event.guestReport, report.stale),
    );
    expect(meaning(RequestKind.guestReport, ERROR, false, 0)).toBe(
      event(Event.guestReport, report.failure),
    );
  });

  it("a kind that nobody knows means nothing", () => {
    expect(meaning(99, ENABLED)).toBe(NO_EVENT);
    expect(meaning(-1, ENABLED)).toBe(NO_EVENT);
  });
});
