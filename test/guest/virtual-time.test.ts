/** `zmend-system-s390x -deterministic` and `-loadvm`, as a user types them. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { packageRoot } from "../../src/base/version.ts";
import { DeterministicVm } from "../../src/machine/deterministic-vm.ts";
import { readFixture } from "../../src/machine/fixtures.ts";
import { bootVm } from "../../src/machine/parts.ts";
import { DETERMINISTIC_EPOCH_MS } from "../../src/machine/vm-spec.ts";
import { loadPolicy } from "../../src/recovery/index.ts";
import { type CommandResult, runNode } from "../support/command.ts";

const root = fileURLToPath(packageRoot);
const command = "dist/src/daemon/zmend-system-s390x.js";
const hello = ["-kernel", "guest-fixtures/bin/hello.elf", "-m", "16", "-nographic"];
const run = (...words: string[]): CommandResult => runNode([command, ...hello, ...words], root, "");

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "zmend-virtual-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** A snapshot of `hello` before its first instruction. */
async function saved(file: string): Promise<void> {
  const spec = {
    name: "hello",
    ramBytes: 16 * 1024 ** 2,
    cpuModel: "zmend",
    functions: [],
    functionSlots: 8, // as the program leaves them free
    policy: loadPolicy("mediated"),
    epochMs: DETERMINISTIC_EPOCH_MS,
  };
  const machine = new DeterministicVm(spec, () => {});
  const { image, file: name } = readFixture("hello");
  bootVm(machine.vm, image, name);
  await machine.save(file);
}

describe("-deterministic", () => {
  it("gives the same console, count and digest each time", () => {
    const [first, second] = [run("-deterministic"), run("-deterministic")];
    expect(first).toMatchObject({ status: 0 });
    expect(first.stdout).toContain("hello: a bare-metal s390x guest with 16 MiB");
    expect(first.stderr).toMatch(
      /^zmend-system-s390x: \d+ instructions in 0\.\d{6} s of virtual time, digest [0-9a-f]{64}\n$/,
    );
    expect(second).toEqual(first);
  });
});

describe("-loadvm", () => {
  it("goes on from a snapshot, on threads and in virtual time", async () => {
    const file = join(folder, "hello.snap");
    await saved(file);
    const text = "hello: a bare-metal s390x guest with 16 MiB";
    expect(run("-loadvm", file)).toMatchObject({ status: 0, stderr: "" });
    expect(run("-loadvm", file).stdout).toContain(text);
    expect(run("-loadvm", file, "-deterministic").stdout).toContain(text);
  });

  it.each([
    ["missing", "does not exist; name a file that savevm wrote."],
    ["foreign", "is no snapshot of zmend; name a file that savevm wrote."],
    [
      "other",
      "is of another machine: its memory was 16 MiB, is 32 MiB; start the machine as it was.",
    ],
  ])("a %s file ends it with status 1 and one sentence", async (name, sentence) => {
    const file = join(folder, name);
    if (name === "foreign") writeFileSync(file, "not ours at all");
    if (name === "other") await saved(file);
    const { status, stdout, stderr } = run(
      "-loadvm",
      file,
      ...(name === "other" ? ["-m", "32"] : []),
    );
    expect({ status, stdout }).toEqual({ status: 1, stdout: "" });
    expect(stderr).toBe(
      `zmend-system-s390x: ${name === "foreign" ? "" : "Snapshot "}${file} ${sentence}\n`,
    );
  });
});
