/**
 * The zPCI instructions of Debian's 6.1 kernel while it recovers from PEC 0x003a on our machine, one by one against
 * the recorded ones of the same kernel on another (conformance/data/zpci-6.1-nvme.log.gz). Under virtual time.
 */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { packageRoot } from "../../src/base/version.ts";
import { ConsoleLines } from "../../src/machine/console-lines.ts";
import { DeterministicVm } from "../../src/machine/deterministic-vm.ts";
import { readLinuxFixture } from "../../src/machine/linux-fixture.ts";
import { bootVm } from "../../src/machine/parts.ts";
import { readLog } from "../replay/log.ts";
import { specOf } from "../support/controlled-vm.ts";
import { zmendFile } from "../support/daemon.ts";
import { linuxMissing } from "../support/linux-vm.ts";
import {
  pollsOnce,
  recordedSequence,
  SequenceRecorder,
  withoutPolls,
} from "../support/zpci-sequence.ts";

const kernel = "linux-6.1";
const missing = linuxMissing(kernel);
const PROMPT = "/ # ";
/** Well behind the boot in virtual time; the guest is idle then, as the recorded one was. */
const ERROR_MS = 40_000;
const AFTER_MS = 1000;

/** Lines of ours that the recorded machine had no reason for. */
const listedDifferences = [
  {
    line: "CLP set 1 -> 0108",
    before: "CLP set 1 -> 0010",
    reason: "a disable in error is answered busy until the host's reset has ended (design.md 5.1)",
  },
];

function ours(): { readonly lines: string[]; readonly console: string[]; promptUs: number } {
  const fixture = readLinuxFixture(kernel);
  const spec = specOf({
    vm: { memory: "256MiB" },
    functions: [{ fid: 1, device: "nvme", nvme: { namespaces: [{ sizeBytes: 16 * 1024 ** 2 }] } }],
    sequence: [{ function: 1, atMs: ERROR_MS, pec: 0x3a }],
  });
  let text = "";
  const console: string[] = [];
  const lines = new ConsoleLines((line) => console.push(line));
  const machine = new DeterministicVm(spec, (bytes) => {
    text += Buffer.from(bytes).toString("latin1");
    lines.push(bytes, 0);
  });
  const { image, file } = fixture.kernel;
  bootVm(machine.vm, image, file, { commandLine: "console=ttysclp0", initrd: fixture.initrd });
  while (!text.includes(PROMPT)) machine.step();
  const promptUs = machine.clock.nowUs();
  const recorder = new SequenceRecorder();
  while (machine.clock.nowUs() < (ERROR_MS + AFTER_MS) * 1000) machine.step();
  recorder.stop();
  machine.close();
  return { lines: withoutPolls(recorder.lines), console, promptUs };
}

/** From the injected 0x003a to the next event, which the guest only logs. */
function theirs(): string[] {
  const log = readLog(
    new URL("../conformance/data/zpci-6.1-nvme.log.gz", import.meta.url).pathname,
  );
  const from = log.findIndex(({ kind }) => kind === "INJECT");
  const to = log.findIndex(({ kind }, index) => index > from && kind === "INJECT");
  return withoutPolls(recordedSequence(log.slice(from, to)));
}

describe.skipIf(missing !== undefined)(`the recovery of ${kernel}${missing ?? ""}`, () => {
  it("is the recorded one, instruction by instruction and answer by answer, but for a written list", () => {
    const { lines, console, promptUs } = ours();
    expect(promptUs).toBeLessThan(ERROR_MS * 1000);
    expect(console.some((line) => line.includes("ready to resume operations"))).toBe(true);
    const expected = theirs();
    expect(expected.length).toBeGreaterThan(250);
    for (const { line, before } of listedDifferences) {
      expected.splice(expected.indexOf(before), 0, line);
    }
    expect(lines).toEqual(expected);
  }, 400_000);

  // Another version of the kernel than the recorded one would be another recording.
  const recording = JSON.parse(
    readFileSync(new URL(`../conformance/data/sequences/${kernel}.json`, import.meta.url), "utf8"),
  ) as { packages: object[]; cases: { lines: string[] }[] };
  const fixture = new URL(`.cache/${kernel}/fixture.json`, packageRoot);
  const cached = missing === undefined ? readFileSync(fixture, "utf8") : "";
  const another = recording.packages.every(({ version }: { version?: string }) =>
    cached.includes(`"${version}"`),
  )
    ? undefined
    : " (skipped: another version is cached than the recorded one)";
  it.skipIf(another !== undefined)(
    `is what 'experiment sequence --machine' prints, live as recorded${another ?? ""}`,
    () => {
      const words = ["experiment", "sequence", "--machine", kernel, "--pec", "0x3a"];
      const { status, stdout, stderr } = spawnSync(process.execPath, [zmendFile, ...words], {
        encoding: "utf8",
      });
      expect(stderr.replace(/^zmend: Booting.*\n/, "")).toBe("");
      expect(status).toBe(0);
      const lines = stdout.trim().split("\n");
      expect(pollsOnce(lines)).toEqual(recording.cases[0]?.lines);
    },
    400_000,
  );
});
