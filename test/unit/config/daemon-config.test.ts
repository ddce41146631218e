/** The daemon's config: what it means, and that everything wrong with one is said at once, with line and path. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { daemonJsonSchema, parseDaemonConfig } from "../../../src/config/daemon-config.ts";
import { configChecks } from "../../../src/daemon/plan-function.ts";

const minimal = `version: 1
vms:
  - name: one
    fixture: zrecover
`;

function problemsOf(text: string): string[] {
  try {
    parseDaemonConfig(text, "d.yaml", configChecks());
  } catch (error) {
    return (error as Error).message.split("\n");
  }
  return [];
}

describe("a daemon config", () => {
  it("fills in what was left out", () => {
    const config = parseDaemonConfig(minimal, "d.yaml", configChecks());
    expect(config).toMatchObject({
      logLevel: "info",
      stopTimeoutMs: 5000,
      metrics: { port: 0 },
      page: { port: 0, inject: false },
      limits: {},
    });
    expect(config.vms[0]).toMatchObject({
      memory: 16 * 1024 ** 2,
      policy: "mediated",
      autostart: true,
      restart: { when: "on-crash", times: 3, withinMs: 60_000, delayMs: 500 },
      functions: [],
    });
  });

  it("as shipped has VMs alpha and beta with two functions each", () => {
    const config = parseDaemonConfig(
      readFileSync("config/daemon.yaml", "utf8"),
      "d.yaml",
      configChecks(),
    );
    expect(config.vms.map((vm) => [vm.name, vm.fixture, vm.functions.length])).toEqual([
      ["alpha", "zrecover", 2],
      ["beta", "zrecover", 2],
    ]);
  });

  it("is told all its problems at once, each with line and path", () => {
    const problems = problemsOf(`version: 1
logLvel: info
metrics: { port: 70000 }
vms:
  - name: one
    fixture: zrecvr
    memory: 8GiB
    functions:
      - { fid: -1, uid: 1 }
      - { fid: 2, uid: 2, policy: mediatd }
  - name: one
    fixture: zrecover
    restart: { when: sometimes }
`);
    expect(problems).toEqual([
      "d.yaml:2: unknown key 'logLvel' (did you mean 'logLevel'?)",
      "d.yaml:3: metrics.port: expected a whole number from 0 to 65535, got 70000",
      expect.stringMatching(
        /^d\.yaml:6: vms\[0\]\.fixture: fixture 'zrecvr' is unknown \(did you mean 'zrecover'\?\)/,
      ),
      "d.yaml:7: vms[0].memory: expected 1MiB..3584MiB, got '8GiB'",
      "d.yaml:9: vms[0].functions[0].fid: expected 0..0xffffffff, got -1",
      expect.stringMatching(
        /^d\.yaml:10: vms\[0\]\.functions\[1\]\.policy: policy 'mediatd' is unknown \(did you mean 'mediated'/,
      ),
      "d.yaml:11: vms[1].name: 'one' is already taken by vms[0]",
      "d.yaml:13: vms[1].restart.when: expected one of never, on-crash, on-failure, always, got 'sometimes'",
    ]);
  });

  it("whose parts are none of what they should be is refused all the same, not a mistake of ours", () => {
    expect(
      problemsOf("version: 1\nvms: [7, { name: [], functions: { fid: 1 } }, { functions: [7] }]"),
    ).toEqual([
      "d.yaml:2: vms[0]: expected a mapping of keys to values, got 7",
      "d.yaml:2: vms[1].name: expected text that matches ^[a-z0-9][a-z0-9._-]{0,31}$, got an empty list",
      "d.yaml:2: vms[1].functions: expected a list of at most 64 entries, got a mapping",
      "d.yaml:2: vms[1]: needs exactly one of fixture and kernel",
      "d.yaml:2: vms[2].name: is missing; expected text",
      "d.yaml:2: vms[2].functions[0]: expected a mapping of keys to values, got 7",
      "d.yaml:2: vms[2]: needs exactly one of fixture and kernel",
    ]);
    expect(problemsOf("version: 1\nvms: 7")).toEqual([
      "d.yaml:2: vms: expected a list of 1 to 256 entries, got 7",
    ]);
  });

  it("names every file that is not there, from the config's folder", () => {
    const folder = mkdtempSync(join(tmpdir(), "zmend-config-"));
    writeFileSync(join(folder, "vmlinuz"), "");
    const text = `version: 1
vms:
  - name: one
    kernel: vmlinuz
    initrd: none.cpio
    policy: none.yaml
    functions: [{ fid: 1, uid: 1, faults: [{ atMs: 1, ccdf: ./none.json }] }]
`;
    let message = "";
    try {
      parseDaemonConfig(text, "d.yaml", configChecks(folder));
    } catch (error) {
      message = (error as Error).message;
    }
    rmSync(folder, { recursive: true });
    expect(message.split("\n").map((line) => line.replaceAll(folder, "F"))).toEqual([
      "d.yaml:5: vms[0].initrd: initial RAM disk F/none.cpio cannot be read (ENOENT); name an existing file",
      "d.yaml:6: vms[0].policy: policy F/none.yaml cannot be read (ENOENT); name an existing file",
      "d.yaml:7: vms[0].functions[0].faults[0].ccdf: CCDF sequence F/none.json cannot be read (ENOENT); name an existing file",
    ]);
  });

  it.each([
    [
      "a fixture that is unknown",
      minimal.replace("zrecover", "zrecvr"),
      /^d\.yaml:4: vms\[0\]\.fixture: fixture 'zrecvr' is unknown \(did you mean 'zrecover'\?\)/,
    ],
    [
      "two VMs of one name",
      `${minimal}  - { name: one, fixture: zrecover }\n`,
      /^d\.yaml:5: vms\[1\]\.name: 'one' is already taken by vms\[0\]$/,
    ],
    [
      "two functions of one FID",
      `${minimal}    functions: [{ fid: 1, uid: 1 }, { fid: 1, uid: 2 }]\n`,
      /functions\[1\]\.fid: 0x1 is already taken by functions\[0\]$/,
    ],
    [
      "two functions of one id",
      `${minimal}    functions: [{ id: a, fid: 1, uid: 1 }, { id: a, fid: 2, uid: 2 }]\n`,
      /functions\[1\]\.id: 'a' is already taken by functions\[0\]$/,
    ],
    [
      "a function's policy that is unknown",
      `${minimal}    functions: [{ fid: 1, uid: 1, policy: mediatd }]\n`,
      /functions\[0\]\.policy: policy 'mediatd' is unknown \(did you mean 'mediated'\?\)/,
    ],
    [
      "a fault that says nothing of when",
      `${minimal}    functions: [{ fid: 1, uid: 1, faults: [{ pec: 0x3a }] }]\n`,
      /faults\[0\]: needs exactly one of atMs, afterAccesses, afterTransfers, bar, dmaAt, perAccess, perTransfer$/,
    ],
    [
      "a host's interface that is unknown",
      `${minimal}    functions: [{ fid: 1, uid: 1, host: { dialect: zpcy } }]\n`,
      /host\.dialect: dialect 'zpcy' is unknown \(did you mean 'zpci'\?\)/,
    ],
    [
      "an NVMe controller behind a test function",
      `${minimal}    functions: [{ fid: 1, uid: 1, nvme: { seed: 1 } }]\n`,
      /functions\[0\]\.nvme: needs device: nvme$/,
    ],
    [
      "a controller's mistake by its own path",
      `${minimal}    functions: [{ fid: 1, uid: 1, device: nvme, nvme: { namespaces: [{ sizeBytes: 7 }] } }]\n`,
      /functions\[0\]\.nvme\.namespaces\[0\]\.sizeBytes: expected a multiple/,
    ],
    [
      "both fixture and kernel",
      `${minimal}    kernel: vmlinuz\n`,
      /^d\.yaml:3: vms\[0\]: needs exactly one of fixture and kernel$/,
    ],
    [
      "an initrd without kernel",
      `${minimal}    initrd: x.cpio\n`,
      /vms\[0\]\.initrd: needs kernel$/,
    ],
    [
      "a LOADPARM that no machine could tell its guest",
      `${minimal}    loadparm: "LINUX-6.1"\n`,
      /vms\[0\]\.loadparm: expected up to 8 letters, digits, dots and blanks$/,
    ],
    [
      "a name that is no file name",
      minimal.replace("one", "a/b"),
      /vms\[0\]\.name: expected 1 to 32/,
    ],
    [
      "more CPUs than a guest has",
      `${minimal}    cpus: 9\n`,
      /vms\[0\]\.cpus: a guest has at most 8 CPUs/,
    ],
    ["no VM at all", "version: 1\nvms: []\n", /^d\.yaml:2: vms: /],
  ])("refuses %s", (_, text, message) => {
    expect(problemsOf(text)).toEqual([expect.stringMatching(message)]);
  });

  it("is described to editors key by key", () => {
    const schema = daemonJsonSchema();
    const text = JSON.stringify(schema);
    expect(schema["additionalProperties"]).toBe(false);
    for (const key of ["logLevel", "restart", "faults", "stopTimeoutMs"]) {
      expect(text).toContain(`"${key}":{`);
    }
    expect(readFileSync("config/zmend.schema.json", "utf8")).toContain('"withinMs"');
  });
});
