import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { ZmendError } from "../../../src/base/errors.ts";
import { episodeBoundUs, OnError } from "../../../src/recovery/policy.ts";
import { loadPolicy, parsePolicy, policyNames } from "../../../src/recovery/policy-file.ts";
import { PolicyStep, State } from "../../../src/recovery/vocabulary.ts";

const mediated = readFileSync("config/policies/mediated.yaml", "utf8");

function refusal(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    expect(error).toBeInstanceOf(ZmendError);
    expect((error as ZmendError).exitStatus).toBe(2);
    return (error as ZmendError).message;
  }
  return "accepted";
}

describe("shipped policies", () => {
  it("are the six of the design", () => {
    expect(policyNames()).toEqual([
      "mediated",
      "patient",
      "qemu-11",
      "quarantine",
      "reset-first",
      "unplug",
    ]);
  });

  it.each(["mediated", "patient", "qemu-11", "quarantine", "reset-first", "unplug"])(
    "%s is named as its file",
    (name) => {
      expect(loadPolicy(name).name).toBe(name);
    },
  );

  it("qemu-11 stops the VM on the first error", () => {
    expect(loadPolicy("qemu-11").onError).toBe(OnError.stopVm);
  });

  it("mediated passes errors through, re-injects, resets and re-injects, gives up", () => {
    const policy = loadPolicy("mediated");
    expect(policy.onError).toBe(OnError.inject);
    expect(policy.escalationStep).toEqual([
      PolicyStep.reinject,
      PolicyStep["reset-and-reinject"],
      PolicyStep.fail,
    ]);
  });

  it("mediated spends at most 1.5 s on a host reset, below Linux's 100 tries of 20 ms (design 5.1)", () => {
    expect(loadPolicy("mediated").deadlineUs[State.resetting]).toBe(1_500_000);
  });

  it("retry host resets after 1, 2, 5, 10, 20, 50 and 100 ms (vfio-uapi 3.8)", () => {
    expect(loadPolicy("mediated").resetBackoffUs).toEqual([
      1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000,
    ]);
  });

  it("quarantine takes a function out of service at the third error within a minute", () => {
    const policy = loadPolicy("quarantine");
    expect([policy.quarantineErrors, policy.quarantineWithinMs]).toEqual([3, 60_000]);
  });

  it("are plain data that travels in workerData", () => {
    const policy = loadPolicy("quarantine");
    expect(structuredClone(policy)).toEqual(policy);
    expect(JSON.parse(JSON.stringify(policy))).toEqual(policy);
  });

  it("bound the time of a recovery", () => {
    expect(episodeBoundUs(loadPolicy("mediated"))).toBeLessThan(60_000_000);
  });
});

describe("a policy file is refused", () => {
  it("for an unknown key, with file, line and the nearest known key", () => {
    const text = mediated.replace("slowDrainMs", "slowDrainMS");
    expect(refusal(() => parsePolicy(text, "p.yaml"))).toMatch(
      /^p\.yaml:\d+: unknown key 'slowDrainMS' \(did you mean 'slowDrainMs'\?\)$/,
    );
  });

  it("for an unknown step, with the steps there are", () => {
    const text = mediated.replace("step: reinject", "step: reinjekt");
    expect(refusal(() => parsePolicy(text, "p.yaml"))).toMatch(
      /^p\.yaml:17: escalation\[0\]\.step: expected one of wait, reinject, .*got 'reinjekt' \(did you mean 'reinject'\?\)$/,
    );
  });

  it("for a waiting state without a deadline", () => {
    const text = mediated.replace(/ {2}verifying: .*\n/, "");
    expect(refusal(() => parsePolicy(text, "p.yaml"))).toMatch(
      /p\.yaml:\d+: deadlineMs\.verifying/,
    );
  });

  it("for a wrong type", () => {
    const text = mediated.replace("budgetMs: 1500", "budgetMs: soon");
    expect(refusal(() => parsePolicy(text, "p.yaml"))).toMatch(/p\.yaml:\d+: reset\.budgetMs/);
  });

  it("for text that is not YAML", () => {
    expect(refusal(() => parsePolicy("name: [", "p.yaml"))).toMatch(/^p\.yaml:1: /);
  });

  it("for a name that no shipped policy has, suggesting the nearest", () => {
    expect(refusal(() => loadPolicy("mediatd"))).toBe(
      "Policy 'mediatd' is unknown (did you mean 'mediated'?); " +
        "name one of mediated, patient, qemu-11, quarantine, reset-first, unplug or a YAML file.",
    );
  });

  it("for a path that does not exist", () => {
    expect(refusal(() => loadPolicy("./nowhere/p.yaml"))).toMatch(
      /^Policy file \.\/nowhere\/p\.yaml does not exist;/,
    );
  });

  it("for a folder", () => {
    expect(refusal(() => loadPolicy("config/policies/"))).toMatch(/cannot be read/);
  });
});
