import { describe, expect, it } from "vitest";
import { WarmUp } from "../../../src/machine/warm-up.ts";
import { loadPolicy, policyNames } from "../../../src/recovery/index.ts";

/** @returns how often there was more to do */
function whole(warmUp: WarmUp): number {
  for (let steps = 1; ; steps++) if (!warmUp.step()) return steps;
}

describe("the warm-up of the event path", () => {
  it("drives errors into its private guest, a few at a time", () => {
    const warmUp = new WarmUp(loadPolicy("mediated"));
    warmUp.step();
    const first = warmUp.injected();
    expect(first).toBeGreaterThan(0);
    expect(first).toBeLessThanOrEqual(4);
    whole(warmUp);
    expect(warmUp.injected()).toBe(24);
  });

  it.each(policyNames())("ends with the policy %s", (name) => {
    const warmUp = new WarmUp(loadPolicy(name));
    expect(whole(warmUp)).toBeLessThanOrEqual(24);
    expect(warmUp.injected()).toBeLessThanOrEqual(24);
  });
});
