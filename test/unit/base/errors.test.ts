import { describe, expect, it } from "vitest";
import { AssertionError, assert, unreachable } from "../../../src/base/assert.ts";
import { type ErrorCode, errorCatalogue, ZmendError } from "../../../src/base/errors.ts";

describe("a ZmendError", () => {
  it("has a code, the facts, the cause and one message", () => {
    const cause = new Error("ENOENT");
    const error = new ZmendError(
      "FIXTURE_MISSING",
      "x is missing; restore it.",
      { file: "x" },
      { cause },
    );
    expect(error).toBeInstanceOf(Error);
    expect(error).toMatchObject({
      name: "ZmendError",
      code: "FIXTURE_MISSING",
      message: "x is missing; restore it.",
      detail: { file: "x" },
      cause,
      exitStatus: 2,
    });
  });

  it("has an empty detail and no cause unless given", () => {
    const error = new ZmendError("USAGE", "no");
    expect(error.detail).toEqual({});
    expect(error.cause).toBeUndefined();
  });
});

describe("the catalogue", () => {
  // The statuses that `zmend demo --help` promises.
  const promised: Readonly<Record<ErrorCode, number>> = {
    USAGE: 2,
    CONFIG_INVALID: 2,
    FIXTURE_MISSING: 2,
    FIXTURE_INVALID: 2,
    IMAGE_INVALID: 2,
    CCDF_FILE_INVALID: 2,
    POLICY_INVALID: 2,
    SNAPSHOT_INVALID: 2,
    EXPERIMENT_INVALID: 2,
    LEDGER_INVALID: 2,
    NOT_ENOUGH_MEMORY: 3,
    ENVIRONMENT: 3,
    STATE_REFUSED: 1,
    NOT_FOUND: 1,
    WORKER_FAILED: 1,
  };

  it.each(Object.entries(promised))("%s ends a command with status %i", (code, status) => {
    expect(new ZmendError(code as ErrorCode, "x").exitStatus).toBe(status);
  });

  it("never takes status 0, nor one of the shell's (126 and above)", () => {
    const statuses = Object.values(errorCatalogue).map((entry) => entry.exit);
    expect(statuses.filter((status: number) => status < 1 || status > 125)).toEqual([]);
  });
});

describe("assertions", () => {
  it("pass what holds and throw an AssertionError with their message otherwise", () => {
    expect(() => assert(true, "never")).not.toThrow();
    expect(() => assert(false, "9 of 8 slots")).toThrow(new AssertionError("9 of 8 slots"));
  });

  it("are no ZmendError: they are our mistakes, not a user's", () => {
    expect(new AssertionError("x")).not.toBeInstanceOf(ZmendError);
  });

  it("name the value that a branch should have been unable to see", () => {
    expect(() => unreachable("seven" as never)).toThrow("unreachable value seven");
  });
});
