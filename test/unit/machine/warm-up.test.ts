import { describe, expect, it } from "vitest";
import { warmUpEventPath } from "../../../src/machine/warm-up.ts";
import { loadPolicy, policyNames } from "../../../src/recovery/index.ts";

describe("the warm-up of the event path", () => {
  it("drives as many errors into its private guest as asked for", () => {
    expect(warmUpEventPath(loadPolicy("mediated"), 50)).toBe(50);
  });

  it.each(policyNames())("ends with the policy %s", (name) => {
    expect(warmUpEventPath(loadPolicy(name), 5)).toBeLessThanOrEqual(5);
  });
});
