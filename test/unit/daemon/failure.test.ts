import { spawnSync } from "node:child_process";
import { afterEach, describe, expect, it, vi } from "vitest";
import { ZmendError } from "../../../src/base/errors.ts";
import { EXIT_FAILED, reportFailure } from "../../../src/daemon/failure.ts";

afterEach(() => vi.restoreAllMocks());

function report(error: unknown): { readonly status: number; readonly text: string } {
  let text = "";
  vi.spyOn(process.stderr, "write").mockImplementation((chunk) => {
    text += String(chunk);
    return true;
  });
  const status = reportFailure("zmend", error);
  return { status, text };
}

describe("a reader that goes away", () => {
  it("ends the command without a word, with the status of SIGPIPE: 1 would be a damaged journal", () => {
    const zmend = `"${process.execPath}" dist/src/daemon/zmend.js policy list`;
    const script = `{ ${zmend}; echo $? >&2; } | { exec <&-; sleep 1; }`;
    const { stderr } = spawnSync("sh", ["-c", script], { encoding: "utf8" });
    expect(stderr).toBe("141\n");
  });
});

describe("a failure", () => {
  it("of the user's is one sentence behind the program's name, with the status of its kind", () => {
    const error = new ZmendError("CONFIG_INVALID", "x.yaml:4: fid: expected 0..0xffffffff, got -1");
    expect(report(error)).toEqual({
      status: 2,
      text: "zmend: x.yaml:4: fid: expected 0..0xffffffff, got -1\n",
    });
  });

  it("shows no stack trace, not even its cause's", () => {
    const cause = new Error("ENOENT: no such file");
    const { text } = report(new ZmendError("ENVIRONMENT", "no threads", {}, { cause }));
    expect(text).toBe("zmend: no threads\n");
  });

  it("of ours asks to be reported, with its stack", () => {
    const { status, text } = report(new TypeError("x is undefined"));
    expect(status).toBe(EXIT_FAILED);
    expect(text).toMatch(
      /^zmend: internal error, please report it: TypeError: x is undefined\n +at /,
    );
  });

  it.each(["text", 7, null, undefined])(
    "that is no Error at all (%s) is shown as it is",
    (value) => {
      expect(report(value)).toEqual({
        status: EXIT_FAILED,
        text: `zmend: internal error, please report it: ${value}\n`,
      });
    },
  );
});
