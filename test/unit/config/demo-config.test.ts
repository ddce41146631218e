import { describe, expect, it } from "vitest";
import { ZmendError } from "../../../src/base/errors.ts";
import { parseDemoConfig, readDemoConfig } from "../../../src/config/demo-config.ts";
import { configChecks } from "../../../src/daemon/plan-function.ts";

const minimal = `version: 1
vm: { fixture: zrecover }
functions:
  - { fid: 0x1, uid: 1 }
`;

function messageOf(text: string): string {
  try {
    parseDemoConfig(text, "x.yaml");
  } catch (error) {
    if (error instanceof ZmendError) return error.message;
    throw error;
  }
  return "no error";
}

/** The same with the checks that `zmend demo` makes. */
function checkedMessage(text: string): string {
  try {
    parseDemoConfig(text, "x.yaml", configChecks());
  } catch (error) {
    if (error instanceof ZmendError) return error.message;
    throw error;
  }
  return "no error";
}

describe("an NVMe controller in the config", () => {
  const nvme = (lines: string): string => `version: 1
vm: { fixture: zrecover }
functions:
  - fid: 0x1
    uid: 1
    device: nvme
    nvme:
      serial: disk-1
      namespaces:
        - ${lines}
`;

  it("may have namespaces in memory or in files, and faults", () => {
    const text = nvme(
      "{ sizeBytes: 1048576, blockBytes: 4096 }\n        - { file: disk.raw, readOnly: true }\n" +
        "      faults:\n        - { when: { command: read, lba: 8 }, action: { type: delay, us: 100 } }",
    );
    expect(checkedMessage(text)).toBe("no error");
    expect(parseDemoConfig(text, "x.yaml").functions[0]?.nvme).toMatchObject({ serial: "disk-1" });
  });

  it("is refused with file, line and key of every problem", () => {
    const text = nvme("{ sizeBytes: 1000 }\n        - { flie: disk.raw, sizeBytes: 512 }").replace(
      "disk-1",
      "a-serial-number-of-many-letters",
    );
    expect(checkedMessage(text).split("\n")).toEqual([
      "x.yaml:8: functions[0].nvme.serial: expected 1 to 20 printable ASCII characters",
      "x.yaml:10: functions[0].nvme.namespaces[0].sizeBytes: expected a multiple of the block size up to 64 GiB",
      "x.yaml:11: functions[0].nvme.namespaces[1].flie: unknown key",
    ]);
  });

  it("belongs to a function whose device is nvme", () => {
    expect(checkedMessage(nvme("{ sizeBytes: 512 }").replace("    device: nvme\n", ""))).toBe(
      "x.yaml:7: functions[0].nvme: needs device: nvme",
    );
  });
});

describe("demo config", () => {
  it("accepts the shipped file", () => {
    const config = readDemoConfig("config/demo.yaml");
    expect(config.functions.map((entry) => entry.fid)).toEqual([1, 2, 3]);
    expect(config.sequence).toHaveLength(5);
  });

  it("fills in defaults", () => {
    const config = parseDemoConfig(minimal, "x.yaml");
    expect(config).toMatchObject({ policy: "mediated", deadlineMs: 12000 });
    expect(config.vm.memory).toBe(16 * 1024 * 1024);
    expect(config.functions[0]).toMatchObject({ profile: "plain", expect: "operational" });
  });

  it("takes one guest: a program of ours, a cached kernel, or a file", () => {
    const guest = (text: string): string => minimal.replace("fixture: zrecover", text);
    const linux = "linux: linux-6.1, append: console=ttysclp0";
    expect(parseDemoConfig(guest(linux), "x.yaml").vm).toMatchObject({ linux: "linux-6.1" });
    const file = "kernel: vmlinuz, initrd: root.cpio, append: quiet";
    expect(parseDemoConfig(guest(file), "x.yaml").vm.initrd).toBe("root.cpio");
    expect(checkedMessage(guest("linux: linux-6.2"))).toMatch(
      /^x\.yaml:2: vm\.linux: Linux kernel 'linux-6\.2' is unknown \(did you mean 'linux-6\.1'\?\)/,
    );
    expect(messageOf(guest("linux: linux-6.1, kernel: a"))).toBe(
      "x.yaml:2: vm: needs exactly one of fixture, linux and kernel",
    );
    expect(messageOf(guest("linux: linux-6.1, initrd: a"))).toBe(
      "x.yaml:2: vm.initrd: needs kernel",
    );
    expect(messageOf(guest("fixture: zrecover, append: a"))).toBe(
      "x.yaml:2: vm.append: needs linux or kernel",
    );
  });

  it("names an unknown key with its line and the nearest known one", () => {
    expect(messageOf(minimal.replace("uid: 1", "uid: 1, profle: plain"))).toBe(
      "x.yaml:4: functions[0]: unknown key 'profle' (did you mean 'profile'?)",
    );
  });

  it("names a wrong type with its line and key", () => {
    expect(messageOf(minimal.replace("fid: 0x1", "fid: banana"))).toBe(
      'x.yaml:4: functions[0].fid: expected 0..0xffffffff, got "banana"',
    );
  });

  it("refuses a negative FID", () => {
    expect(messageOf(minimal.replace("fid: 0x1", "fid: -1"))).toContain(
      "functions[0].fid: expected 0..0xffffffff, got -1",
    );
  });

  it("refuses two functions with one FID and lists every problem at once", () => {
    const text = `${minimal}  - { fid: 0x1, uid: 1 }\nsequence:\n  - { atMs: 1, function: 9, pec: 1 }\n`;
    expect(messageOf(text).split("\n")).toEqual([
      "x.yaml:5: functions[1].fid: 0x1 is already taken by functions[0]",
      "x.yaml:5: functions[1].uid: 0x1 is already taken by functions[0]",
      "x.yaml:7: sequence[0].function: no function has the fid 0x9",
    ]);
  });

  it("refuses a step that says two things", () => {
    const text = `${minimal}sequence:\n  - { atMs: 1, function: 1, pec: 1, dma: translation }\n`;
    expect(messageOf(text)).toBe(
      "x.yaml:6: sequence[0]: needs exactly one of ccdf, pec, dma, storm, allOnes, blockedDma, linkDown, lostStores, lostInterrupts, lostSignals, unplug, plug",
    );
  });

  it("takes a part of a unit, up to the 3.5 GiB that a guest may have", () => {
    const sized = (memory: string): string =>
      minimal.replace("zrecover }", `zrecover, memory: ${memory} }`);
    expect(parseDemoConfig(sized("3.5GiB"), "x.yaml").vm.memory).toBe(3584 * 1024 * 1024);
    expect(messageOf(sized("1.00000001MiB"))).toBe(
      "x.yaml:2: vm.memory: expected a size such as 16MiB, got '1.00000001MiB'",
    );
  });

  it("refuses memory sizes it cannot give", () => {
    expect(messageOf(minimal.replace("zrecover }", "zrecover, memory: 4GiB }"))).toBe(
      "x.yaml:2: vm.memory: expected 1MiB..3584MiB, got '4GiB'",
    );
  });

  it("reports YAML that does not parse with its line", () => {
    expect(messageOf("version: 1\nvm: {")).toMatch(/^x\.yaml:\d+: /);
  });
});
