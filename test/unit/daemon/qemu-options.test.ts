import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ZmendError } from "../../../src/base/errors.ts";
import {
  checkFixedOptions,
  parseMemoryOption,
  parseQemuOptions,
  qemuHelp,
  qemuOptions,
  qemuWords,
  valuesOf,
} from "../../../src/daemon/qemu-options.ts";

const KIB = 1024;
const MIB = 1024 * KIB;
const GIB = 1024 * MIB;

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

function fixedRefusal(...words: string[]): string {
  try {
    checkFixedOptions(parseQemuOptions(words));
  } catch (error) {
    if (error instanceof ZmendError && error.code === "USAGE") return error.message;
    throw error;
  }
  return "";
}

describe("options that say what is so anyway", () => {
  it.each([
    "-nodefaults -display none -accel tcg -M s390-ccw-virtio -serial mon:stdio -no-reboot",
    "-no-user-config -monitor none -smp 1 -accel tcg,thread=single -nographic",
    "-machine type=s390-ccw-virtio-7.2,accel=tcg -smp cpus=1,maxcpus=1 -serial null",
    "-machine s390-ccw-virtio,accel=interp -accel interp -name guest",
  ])("%s is accepted", (text) => {
    expect(fixedRefusal(...text.split(" "))).toBe("");
  });

  it.each([
    ["-accel kvm", "-accel kvm: not supported; known: tcg, interp"],
    ["-display gtk", "-display gtk: not supported; known: none"],
    ["-monitor stdio", "-monitor stdio: not supported; known: none, null"],
    ["-smp 2", "-smp 2: the machine has one CPU; use -smp 1"],
    ["-M q35", "-M q35: unknown machine; the one there is: s390-ccw-virtio"],
    ["-machine s390-ccw-virtio,mem=1", "-machine s390-ccw-virtio,mem=1: 'mem=1' is unknown"],
  ])("%s is refused", (text, message) => {
    expect(fixedRefusal(...text.split(" "))).toBe(message);
  });
});

describe("-m", () => {
  it.each([
    ["512", 512 * MIB],
    ["64M", 64 * MIB],
    ["64m", 64 * MIB],
    ["1G", GIB],
    ["2048K", 2 * MIB],
    ["size=524288k", 512 * MIB],
    ["size=16", 16 * MIB],
    ["0", 0],
  ])("%s is %i bytes", (text, expected) => {
    expect(parseMemoryOption(text)).toBe(expected);
  });

  it.each(["", "G", "64MB", "-1", "1.5G", "0x10", "64 M", "size=", "1T", "512,slots=3", "١"])(
    "'%s' is refused",
    (text) => {
      expect(parseMemoryOption(text)).toBeUndefined();
    },
  );
});

describe("-help", () => {
  it("shows every option once, with the program, its version and how a run ends", () => {
    const lines = qemuHelp("zmend-system-s390x", "1.2.3").split("\n");
    expect(lines[0]).toBe("zmend-system-s390x version 1.2.3");
    for (const option of qemuOptions) {
      const shown = lines.filter((line) => line.startsWith(`  -${option.name} `));
      expect(shown, option.name).toHaveLength(1);
      expect(shown[0]).toContain(option.help);
    }
    expect(lines.at(-2)).toBe(
      "The guest ends when it is switched off or stops in a disabled wait.",
    );
  });

  it("fits a terminal of 100 columns", () => {
    const wide = qemuHelp("zmend-system-s390x", "1.2.3").split("\n");
    expect(wide.filter((line) => line.length > 100)).toEqual([]);
  });
});
