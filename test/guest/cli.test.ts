/** The two commands as a user types them: what they print, how they end, what they refuse. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { unpackMultiple } from "msgpackr";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { packageRoot, zmendVersion } from "../../src/base/version.ts";
import { availableMemoryBytes } from "../../src/machine/host-memory.ts";
import { type CommandResult, interruptNode, runNode } from "../support/command.ts";

const compiled = (name: string): string =>
  fileURLToPath(new URL(`dist/src/daemon/${name}.js`, packageRoot));
const zmend = (...words: string[]): CommandResult => runNode([compiled("zmend"), ...words]);
const system = (...words: string[]): CommandResult =>
  runNode([compiled("zmend-system-s390x"), ...words]);
const hello = "guest-fixtures/bin/hello.elf";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "zmend-cli-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

function file(name: string, content: string | Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

/** The shipped demo, changed; with room for a slow machine. */
function demoFile(name: string, change: (text: string) => string = (text) => text): string {
  const text = readFileSync("config/demo.yaml", "utf8");
  return file(name, change(text.replace(/^deadlineMs: .*$/m, "deadlineMs: 60000")));
}

/** A refusal: nothing on standard output, lines of text on standard error, none of them a stack trace. */
function expectRefusal(result: CommandResult, status: number): void {
  expect(result.stderr).not.toMatch(/^\s+at |Error:|internal error|node:internal/m);
  expect(result.stderr).not.toBe("");
  expect(result.stdout).toBe("");
  expect(result.status).toBe(status);
}

describe("zmend", () => {
  it("explains itself with --help", () => {
    const { status, stdout, stderr } = zmend("--help");
    expect([status, stderr]).toEqual([0, ""]);
    expect(stdout).toMatch(/^Usage: zmend \[options\] \[command\]/);
    expect(stdout).toMatch(/^ {2}demo /m);
  });

  it("explains every option and exit status of the demo", () => {
    const { status, stdout } = zmend("demo", "--help");
    expect(status).toBe(0);
    for (const option of "config policy json trace deterministic seed log-level".split(" ")) {
      expect(stdout).toContain(`--${option}`);
    }
    expect(stdout).toMatch(/Exit status: 0 .* 1 .* 2 .*\n?.*3 .* 130 /s);
  });

  it("prints its version", () => {
    expect(zmend("--version")).toMatchObject({ status: 0, stdout: `${zmendVersion()}\n` });
  });

  it.each([
    [
      "an unknown command, suggesting the nearest",
      ["demoo"],
      /unknown command 'demoo'\n\(Did you mean demo\?\)/,
    ],
    [
      "an unknown option, suggesting the nearest",
      ["demo", "--polcy", "x"],
      /unknown option '--polcy'\n\(Did you mean --policy\?\)/,
    ],
    ["an unknown option that resembles none", ["--wombat"], /unknown option '--wombat'/],
    ["a word too many", ["demo", "now"], /too many arguments for 'demo'/],
    ["an option without its value", ["demo", "--seed"], /option '--seed <n>' argument missing/],
    ["a seed below zero", ["demo", "--seed", "-1"], /argument '-1' is invalid/],
    ["a seed that is no number", ["demo", "--seed", "x"], /argument 'x' is invalid/],
    ["an unknown log level", ["demo", "--log-level", "loud"], /Allowed choices are fatal/],
    [
      "an unknown policy, suggesting the nearest",
      ["demo", "--policy", "mediatd"],
      /^zmend: Policy 'mediatd' is unknown \(did you mean 'mediated'\?\); name one of .*\.\n$/,
    ],
    [
      "a policy file that is missing",
      ["demo", "--policy", "./none.yaml"],
      /^zmend: Policy file \.\/none\.yaml does not exist; .*\n$/,
    ],
    [
      "a config that is missing",
      ["demo", "--config", "none.yaml"],
      /^zmend: Config file none\.yaml cannot be read; .*\n$/,
    ],
    [
      "a config that is a folder",
      ["demo", "--config", "config"],
      /^zmend: Config file config cannot be read; .*\n$/,
    ],
    [
      "a trace file it cannot create",
      ["demo", "--trace", "/nowhere/x"],
      /^zmend: Trace file \/nowhere\/x cannot be created; .*\n$/,
    ],
  ])("refuses %s with status 2", (_, words, message) => {
    const result = zmend(...words);
    expectRefusal(result, 2);
    expect(result.stderr).toMatch(message);
  });

  it.each([
    [
      "an unknown key",
      (text: string) => text.replace("policy: mediated", "polcy: mediated"),
      /:\d+: unknown key 'polcy' \(did you mean 'policy'\?\)/,
    ],
    [
      "two functions with one FID",
      (text: string) => text.replace("fid: 0x2", "fid: 0x1"),
      /: functions\[1\]\.fid: 0x1 is already taken by functions\[0\]/,
    ],
    [
      "a wrong type",
      (text: string) => text.replace("uid: 1,", "uid: one,"),
      /: functions\[0\]\.uid: /,
    ],
    [
      "an unknown policy",
      (text: string) => text.replace("policy: mediated", "policy: mediatd"),
      /:\d+: policy: policy 'mediatd' is unknown \(did you mean 'mediated'\?\)/,
    ],
    [
      "an unknown fixture",
      (text: string) => text.replace("fixture: zrecover", "fixture: zrecovr"),
      /:\d+: vm\.fixture: fixture 'zrecovr' is unknown \(did you mean 'zrecover'\?\)/,
    ],
    [
      "an unknown CCDF sequence",
      (text: string) => text.replace("ccdf: single-003a", "ccdf: single-003"),
      /:\d+: sequence\[0\]\.ccdf: CCDF sequence 'single-003' is unknown \(did you mean 'single-003a'\?\)/,
    ],
    [
      "an unknown CPU model",
      (text: string) => text.replace("memory: 16MiB", "memory: 16MiB\n  cpu: z1x"),
      /:\d+: vm\.cpu: CPU model 'z1x' is unknown \(did you mean 'z10'\?\)/,
    ],
    [
      "a CPU model that only JavaScript knows",
      (text: string) => text.replace("memory: 16MiB", "memory: 16MiB\n  cpu: toString"),
      /:\d+: vm\.cpu: CPU model 'toString' is unknown/,
    ],
    [
      "more memory than it can give",
      (text: string) => text.replace("memory: 16MiB", "memory: 4GiB"),
      /: vm\.memory: expected 1MiB\.\.3584MiB, got '4GiB'/,
    ],
    [
      "a guest image that is missing",
      (text: string) => text.replace("fixture: zrecover", "kernel: none.elf"),
      /Kernel image none\.elf does not exist/,
    ],
    ["YAML that is none", (text: string) => `${text}\n  - [`, /: /],
  ])("refuses a config with %s with status 2", (name, change, message) => {
    const path = demoFile(`${name.replaceAll(" ", "-")}.yaml`, change);
    const result = zmend("demo", "--config", path);
    expectRefusal(result, 2);
    expect(result.stderr).toMatch(message);
  });

  it("names file, line and key of every problem of a config at once", () => {
    const path = file(
      "three.yaml",
      "version: 1\nvm: { fixture: zrecover }\nfunctions:\n  - { fid: -1, uid: 0 }\nspeed: 9\n",
    );
    const result = zmend("demo", "--config", path);
    expectRefusal(result, 2);
    const lines = result.stderr.trimEnd().split("\n");
    expect(
      lines.map((line) => line.replace("zmend: ", "").replace(`${path}:`, "").split(" ")[0]),
    ).toEqual(["4:", "4:", "5:"]);
  });

  it("refuses a CCDF file whose records were cut off, naming file and sizes", () => {
    const json = readFileSync("guest-fixtures/ccdf/single-003a.json", "utf8");
    const sequence = file("cut.json", json.replace("single-003a.bin", "cut.bin"));
    file("cut.bin", new Uint8Array(31));
    const path = demoFile("cut.yaml", (text) =>
      text.replace("ccdf: single-003a", `ccdf: ${sequence}`),
    );
    const result = zmend("demo", "--config", path);
    expectRefusal(result, 2);
    expect(result.stderr).toBe(
      `zmend: CCDF file ${join(folder, "cut.bin")} has 31 bytes; it must hold records of 32 bytes each.\n`,
    );
  });
});

describe("zmend demo", () => {
  it("with the policy qemu-11 shows the VM stopped and fails", () => {
    const { status, stdout, stderr } = zmend(
      "demo",
      "--policy",
      "qemu-11",
      "--json",
      "--config",
      demoFile("q.yaml"),
    );
    expect(status).toBe(1);
    expect(stderr).toContain("zmend: The policy qemu-11 stopped the VM.\n");
    expect(JSON.parse(stdout)).toMatchObject({
      verdict: "failed",
      policy: "qemu-11",
      vm: "stopped",
    });
  });

  it("prints one JSON object with every promised field, books closed", () => {
    const { status, stdout, stderr } = zmend("demo", "--json", "--deterministic");
    expect([status, stderr]).toEqual([0, ""]);
    expect(stdout.trimEnd()).not.toContain("\n");
    const result = JSON.parse(stdout);
    expect(Object.keys(result)).toEqual(
      expect.arrayContaining([
        "verdict",
        "policy",
        "vm",
        "digest",
        "guest",
        "functions",
        "latencyUs",
      ]),
    );
    expect(Object.keys(result.latencyUs)).toEqual([
      "doorbellToInject",
      "injectToFetch",
      "errorToRecovered",
    ]);
    expect(result.functions.map((row: { fid: string }) => row.fid)).toEqual(["0x1", "0x2", "0x3"]);
    for (const row of result.functions) {
      expect(Object.keys(row)).toEqual(
        expect.arrayContaining(
          "fid state expected errorsRaised droppedByHost staleIgnored read injected fetchedByGuest notDelivered recoveries dmaChecked dmaCorrupt".split(
            " ",
          ),
        ),
      );
      const lost = Object.values(row.notDelivered as Record<string, number>);
      expect(row.errorsRaised).toBe(row.fetchedByGuest + lost.reduce((a, b) => a + b, 0));
      expect(row.state).toBe(row.expected);
      expect(row.dmaCorrupt).toBe(0);
    }
    // Six faults under one queue lock, of which the genuine kernel stored four.
    expect(result.functions[1]).toMatchObject({
      errorsRaised: 7,
      droppedByHost: 2,
      fetchedByGuest: 5,
    });
  });

  it("leaves the digest out when the run is not deterministic", () => {
    const { status, stdout } = zmend("demo", "--json", "--config", demoFile("plain.yaml"));
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).not.toHaveProperty("digest");
  });

  it("gives the same output for the same seed, another for another", () => {
    const run = (seed: string): string => zmend("demo", "--deterministic", "--seed", seed).stdout;
    const first = run("7");
    expect(first).toMatch(/ledger digest [0-9a-f]{64}\n/);
    expect(run("7")).toBe(first);
    expect(run("8")).not.toBe(first);
  });

  it("writes every ledger entry to the trace file", () => {
    const path = join(folder, "trace.msgpack");
    const { status, stdout } = zmend("demo", "--deterministic", "--trace", path);
    expect(status).toBe(0);
    const entries = unpackMultiple(readFileSync(path)) as {
      seq: number;
      kind: string;
    }[];
    const timeline = stdout.split("\n").filter((line) => /^ *\d+\.\d{3} ms /.test(line));
    expect(entries).toHaveLength(timeline.length);
    expect(entries.map((entry) => entry.seq).sort((a, b) => a - b)).toEqual(
      entries.map((_, n) => n),
    );
    expect(entries.map((entry) => entry.kind)).toEqual(
      expect.arrayContaining(["error-raised", "injected", "machine-check", "fetched", "recovered"]),
    );
  });

  it("fails when a function ends otherwise than the config expects, and says which", () => {
    const path = demoFile("expect.yaml", (text) =>
      text.replace("expect: failed", "expect: operational"),
    );
    const { status, stderr } = zmend("demo", "--deterministic", "--config", path);
    expect(status).toBe(1);
    expect(stderr).toBe(
      "zmend: Function 0x00000003 ended failed, the config expects operational.\n",
    );
  });

  it("ends a guest that never reads its events at the deadline, with the reason", () => {
    const path = file(
      "hang.yaml",
      "version: 1\nvm: { fixture: zhang }\ndeadlineMs: 2000\nfunctions:\n  - { fid: 0x1, uid: 1 }\n" +
        "sequence:\n  - { atMs: 500, function: 0x1, pec: 0x3a }\n",
    );
    const { status, stdout, stderr } = zmend("demo", "--deterministic", "--json", "--config", path);
    expect(status).toBe(1);
    expect(stderr).toMatch(/^zmend: The guest did not finish within 2 s \(deadlineMs\): /);
    const [row] = JSON.parse(stdout).functions;
    const lost = Object.values(row.notDelivered as Record<string, number>);
    expect(row).toMatchObject({ errorsRaised: 1, fetchedByGuest: 0 });
    expect(lost.reduce((a, b) => a + b, 0)).toBe(1);
  });

  it.each(["SIGINT", "SIGTERM"] as const)(
    "on %s stops cleanly, sums up and ends with 130",
    async (signal) => {
      const words = [compiled("zmend"), "demo", "--config", demoFile("interrupted.yaml")];
      const result = await interruptNode(words, /error-raised/, signal);
      expect(result).toMatchObject({ status: 130, signal: null });
      expect(result.stdout).toMatch(/^function {4}state .*\n0x00000001 /m);
      expect(result.stdout).toMatch(/guest instructions; policy mediated\nfailed\n$/);
      expect(result.stderr).toMatch(
        /^zmend: Interrupted; what had happened until then stands above\.\n/,
      );
    },
  );
});

/** ELF64 for s390 with four bytes at 2 MiB. Offsets: System V ABI, ELF-64 header and program header. */
function highImage(): Uint8Array {
  const image = new Uint8Array(64 + 56 + 4);
  const view = new DataView(image.buffer);
  image.set([0x7f, 0x45, 0x4c, 0x46, 2, 2, 1]);
  view.setUint16(16, 2); // executable
  view.setUint16(18, 22); // EM_S390
  view.setBigUint64(24, 0x200000n); // entry
  view.setBigUint64(32, 64n); // program headers
  view.setUint16(54, 56);
  view.setUint16(56, 1);
  view.setUint32(64, 1); // PT_LOAD
  view.setBigUint64(72, 120n); // offset
  view.setBigUint64(88, 0x200000n); // physical address
  view.setBigUint64(96, 4n);
  view.setBigUint64(104, 4n);
  return image;
}

describe("zmend-system-s390x", () => {
  it("runs a bare-metal image: its console on standard output, status 0 at its disabled wait", () => {
    expect(system("-kernel", hello, "-m", "16", "-nographic")).toMatchObject({
      status: 0,
      stdout: "hello: a bare-metal s390x guest with 16 MiB\n",
      stderr: "",
    });
  });

  it.each(["-help", "--help", "-h"])("explains its options with %s", (option) => {
    const { status, stdout, stderr } = system(option);
    expect([status, stderr]).toEqual([0, ""]);
    for (const name of ["kernel FILE", "m SIZE", "cpu MODEL", "nographic", "version"]) {
      expect(stdout).toContain(`  -${name} `);
    }
  });

  it("starts a guest that asks for a re-IPL again, and ends with -no-reboot", () => {
    // Flat image: IPL PSW to 0x10; LGHI 3,3; DIAG 1,3,0x308
    const image = file(
      "reipl.bin",
      Buffer.from(`0008000080000010${"00".repeat(8)}a739000383130308`, "hex"),
    );
    const words = ["-kernel", image, "-m", "1"];
    expect(system(...words, "-no-reboot")).toMatchObject({ status: 0, stdout: "", stderr: "" });
    const again = runNode([compiled("zmend-system-s390x"), ...words], undefined, "\x01x");
    expect(again).toMatchObject({ status: 0, signal: null, stdout: "", stderr: "" });
  });

  it("shows no console with -serial none", () => {
    expect(system("-kernel", hello, "-m", "16", "-serial", "none")).toMatchObject({
      status: 0,
      stdout: "",
      stderr: "",
    });
  });

  it("ends at Ctrl-A x typed on its console", () => {
    const words = ["-kernel", "guest-fixtures/bin/zrecover.elf", "-m", "16", "-nographic"];
    const result = runNode([compiled("zmend-system-s390x"), ...words], undefined, "\x01x");
    expect(result).toMatchObject({ status: 0, signal: null, stderr: "" });
  });

  it("prints its version", () => {
    expect(system("-version")).toMatchObject({
      status: 0,
      stdout: `zmend-system-s390x version ${zmendVersion()}\n`,
    });
  });

  it("lists its CPU models", () => {
    const { status, stdout } = system("-cpu", "help");
    expect(status).toBe(0);
    expect(stdout).toMatch(/^ {2}zmend$/m);
  });

  it.each([
    [
      "an unknown option, suggesting the nearest",
      ["-kernal", hello],
      /^zmend-system-s390x: -kernal: invalid option \(did you mean 'kernel'\?\)/,
    ],
    ["an option without its value", ["-kernel"], /-kernel: requires an argument \(FILE\)/],
    ["to run without -kernel", [], /no -kernel given/],
    ["a kernel that is missing", ["-kernel", "none.elf"], /Kernel image none\.elf does not exist/],
    ["a kernel that is a folder", ["-kernel", "config"], /Kernel image config /],
    [
      "an initial RAM disk that is missing",
      ["-kernel", hello, "-initrd", "none.cpio"],
      /Initial RAM disk none\.cpio does not exist/,
    ],
    [
      "an initial RAM disk that does not fit",
      ["-kernel", hello, "-initrd", hello, "-m", "8"],
      /Initial RAM disk .*hello\.elf has \d+ bytes .* give it more with -m/,
    ],
    ["a ninth CPU", ["-kernel", hello, "-smp", "9"], /-smp 9: the machine has at most 8 CPUs/],
    ["another machine", ["-M", "q35", "-kernel", hello], /-M q35: unknown machine/],
    [
      "an ELF of another architecture",
      ["-kernel", process.execPath],
      /is not a 64-bit big-endian ELF|machine \d+, not for s390/,
    ],
    [
      "too little memory to be a machine",
      ["-kernel", hello, "-m", "64K"],
      /-m 64K: expected 1M to 3584M/,
    ],
    [
      "more memory than it can address",
      ["-kernel", hello, "-m", "4G"],
      /-m 4G: expected 1M to 3584M/,
    ],
    ["a size that is none", ["-kernel", hello, "-m", "lots"], /-m lots: expected 1M to 3584M/],
    [
      "an unknown CPU model",
      ["-kernel", hello, "-cpu", "z1x"],
      /-cpu z1x: unknown model .*-cpu help lists them/,
    ],
    [
      "a CPU model that only JavaScript knows",
      ["-kernel", hello, "-cpu", "toString"],
      /-cpu toString: unknown model/,
    ],
  ])("refuses %s with status 1, as QEMU does", (_, words, message) => {
    const result = system(...words);
    expectRefusal(result, 1);
    expect(result.stderr).toMatch(message);
    expect(result.stderr.trimEnd()).not.toContain("\n");
  });

  it("refuses an image that does not fit its memory, and says what to do", () => {
    const image = file("high.elf", highImage());
    const result = system("-kernel", image, "-m", "1");
    expectRefusal(result, 1);
    expect(result.stderr).toMatch(/give it more with -m/);
  });

  const largest = 3584 * 1024 * 1024;
  const tooLarge = availableMemoryBytes() < largest;
  it.skipIf(!tooLarge)(
    "refuses a guest larger than this machine's free memory (skipped where 3.5 GiB are free)",
    () => {
      const result = system("-kernel", hello, "-m", "3584M");
      expectRefusal(result, 1);
      expect(result.stderr).toMatch(/The guest needs \d+ MiB, this machine has \d+ MiB available/);
    },
  );

  it("ends with 0 and a word, as QEMU does, when a guest that would run for ever is interrupted", async () => {
    const words = [
      compiled("zmend-system-s390x"),
      "-kernel",
      "guest-fixtures/bin/zrecover.elf",
      "-m",
      "16",
    ];
    const result = await interruptNode(words, /working on 0 functions\n/, "SIGINT");
    expect(result).toMatchObject({
      status: 0,
      signal: null,
      stderr: "zmend-system-s390x: terminating on SIGINT\n",
    });
  });
});
