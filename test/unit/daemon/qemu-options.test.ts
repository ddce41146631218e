import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ZmendError } from "../../../src/base/errors.ts";
import {
  parseQemuOptions,
  qemuHelp,
  qemuOptions,
  qemuWords,
  valuesOf,
} from "../../../src/daemon/qemu-options.ts";

function refusal(...words: string[]): string {
  try {
    parseQemuOptions(words);
  } catch (error) {
    if (error instanceof ZmendError && error.code === "USAGE") return error.message;
    throw error;
  }
  return "";
}

describe("QEMU's options", () => {
  it("take one or two dashes and their value as the next word", () => {
    expect(parseQemuOptions(["-kernel", "x.elf", "--m", "64M", "-nographic"])).toEqual({
      kernel: "x.elf",
      m: "64M",
      nographic: "",
    });
  });

  it("take a value that looks like an option", () => {
    expect(parseQemuOptions(["-kernel", "-nographic"])).toEqual({ kernel: "-nographic" });
  });

  it("count by their last mention", () => {
    expect(parseQemuOptions(["-m", "1", "-m", "2"])).toEqual({ m: "2" });
  });

  it("that may be given several times keep all their values, in order", () => {
    const words = qemuWords(["-device", "a", "-m", "1", "-device", "b"]);
    expect(valuesOf(words, "device")).toEqual(["a", "b"]);
    expect(valuesOf(words, "drive")).toEqual([]);
  });

  it("may be none at all", () => {
    expect(parseQemuOptions([])).toEqual({});
  });

  it("suggest the nearest for an unknown one", () => {
    expect(refusal("-kernal", "x")).toBe(
      "-kernal: invalid option (did you mean 'kernel'?); -help lists the options",
    );
    expect(refusal("--nographics")).toBe(
      "--nographics: invalid option (did you mean 'nographic'?); -help lists the options",
    );
  });

  it("say of an option that QEMU has and zmend has not that it is so", () => {
    for (const option of ["-gdb", "-incoming", "--netdev"]) {
      expect(refusal(option, "x")).toBe(
        `${option}: zmend does not have this option of QEMU; leave it out`,
      );
    }
  });

  it("suggest nothing where nothing is near", () => {
    expect(refusal("-xyzzy", "x")).toBe("-xyzzy: invalid option; -help lists the options");
  });

  it("refuse a word without a dash: there is no positional argument", () => {
    expect(refusal("x.elf")).toBe("x.elf: invalid option; -help lists the options");
    expect(refusal("kernel", "x.elf")).toMatch(/^kernel: invalid option/);
  });

  it("refuse an option whose value is missing, naming what it wants", () => {
    expect(refusal("-nographic", "-kernel")).toBe("-kernel: requires an argument (FILE)");
    expect(refusal("-m")).toBe("-m: requires an argument (SIZE)");
  });

  it("answer any words with options or a refusal that begins with one of the words", () => {
    const word = fc.oneof(
      fc.string(),
      fc.constantFrom("-m", "-kernel", "--cpu", "-", "--", "-help", "__proto__", "-__proto__"),
    );
    fc.assert(
      fc.property(fc.array(word), (words) => {
        const message = refusal(...words);
        expect(message === "" || words.some((text) => message.startsWith(`${text}: `))).toBe(true);
      }),
    );
  });
});

describe("-help", () => {
  it("shows every option once, with the program, its version and how a run ends", () => {
    const lines = qemuHelp("zmend-system-s390x", "1.2.3").split("\n");
    expect(lines[0]).toBe("zmend-system-s390x version 1.2.3");
    for (const option of qemuOptions) {
      const at = lines.findIndex((line) => `${line} `.startsWith(`  -${option.name} `));
      const shown = lines.filter((line) => `${line} `.startsWith(`  -${option.name} `));
      expect(shown, option.name).toHaveLength(1);
      expect(`${lines[at]}${lines[at + 1]}`).toContain(option.help);
    }
    expect(lines.at(-4)).toMatch(/^The program ends when the guest is switched off /);
  });

  it("fits a terminal of 100 columns", () => {
    const wide = qemuHelp("zmend-system-s390x", "1.2.3").split("\n");
    expect(wide.filter((line) => line.length > 100)).toEqual([]);
  });
});
