/** What is wrong with a daemon's config on this machine: all of it, each by its line in the config. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ZmendError } from "../../../src/base/errors.ts";
import { loadDaemonConfig } from "../../../src/daemon/daemon-plan.ts";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "zmend-plan-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

/** The problems of a config in `folder`, without the folder's name. */
function refusal(config: string): string[] {
  const file = join(folder, "d.yaml");
  writeFileSync(file, config);
  try {
    loadDaemonConfig(file);
  } catch (error) {
    if (!(error instanceof ZmendError)) throw error;
    expect(error.exitStatus).toBe(2);
    return error.message.replaceAll(`${folder}/`, "").split("\n");
  }
  return [];
}

const disk = "device: nvme, nvme: { serial: s, namespaces: [{ file: disk.img }] }";

describe("the files that a daemon's config names", () => {
  it("are all looked into at once, and what is wrong with them stands by its line", () => {
    writeFileSync(join(folder, "kernel"), Uint8Array.of(0, 1, 2));
    writeFileSync(join(folder, "disk.img"), new Uint8Array(4096));
    writeFileSync(join(folder, "policy.yaml"), "name: [\n");
    writeFileSync(join(folder, "events.json"), "[");
    const found = refusal(`version: 1
vms:
  - name: one
    kernel: kernel
    policy: ./policy.yaml
    functions:
      - { fid: 1, uid: 1, ${disk} }
      - { fid: 2, uid: 2, ${disk} }
  - name: two
    fixture: hello
    functions:
      - { fid: 1, uid: 1, faults: [{ atMs: 1, ccdf: ./events.json }] }
      - { fid: 2, uid: 2, ${disk} }
`);
    expect(found.slice(0, 4)).toEqual([
      "d.yaml:4: vms[0].kernel: Kernel image kernel is shorter than the 8-byte IPL PSW that a flat image starts with.",
      "d.yaml:5: vms[0].policy: policy.yaml:2: Flow sequence in block collection must be sufficiently indented and end with a ]",
      "d.yaml:8: vms[0].functions[1].nvme: disk image disk.img is used twice and written; give each namespace an image of its own",
      "d.yaml:12: vms[1].functions[0].faults: events.json:1: Flow sequence must end with a ]",
    ]);
    expect(found.at(-1)).toMatch(
      /^d\.yaml:13: vms\[1\]\.functions\[1\]\.nvme: disk image .* used twice/,
    );
  });

  it("may need more memory than their VM has", () => {
    writeFileSync(join(folder, "kernel"), Uint8Array.of(0, 8, 0, 0, 0, 0, 0, 8, 0, 0));
    writeFileSync(join(folder, "disk.cpio"), new Uint8Array(2 * 1024 ** 2));
    const vm = "version: 1\nvms:\n  - name: one\n    kernel: kernel\n    initrd: disk.cpio\n";
    // The RAM disk stands at 8 MiB (s390x-machine.md 3.1).
    expect(refusal(`${vm}    memory: 9MiB\n`)).toEqual([
      "d.yaml:4: vms[0].kernel: Initial RAM disk disk.cpio has 2097152 bytes and would stand at 0x800000, " +
        "the guest has 9437184 bytes of memory; give it more with -m (memory: in a config).",
    ]);
    expect(refusal(`${vm}    memory: 10MiB\n`)).toEqual([]);
  });

  it("leave limits alone, which are told by line when the VMs exceed them", () => {
    const text = "limits: { functions: 0 }\nversion: 1\nvms: [{ name: a, fixture: hello }]\n";
    expect(refusal(text)).toEqual([]);
    expect(refusal(text.replace("hello", "hello, functions: [{ fid: 1, uid: 1 }]"))).toEqual([
      "d.yaml:1: limits.functions: the VMs need 1 function, the limit is 0; raise it or ask for less",
    ]);
  });
});
