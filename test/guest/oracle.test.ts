/**
 * The oracle in the test suite: some thousands of random sequences over all families that zmend announces,
 * under qemu-system-s390x and under zmend. `npm run oracle` runs as many as one likes.
 */
import { describe, expect, it } from "vitest";
import { families } from "../oracle/families.ts";
import { mixedChecksum, mixedLoop } from "../oracle/mixed-loop.ts";
import { QEMU, qemuPeer, qemuVersion, runUnderQemu } from "../oracle/qemu.ts";
import { type Counts, type Finding, runFamily } from "../oracle/run.ts";
import { runUnderZmend, zmendPeer } from "../oracle/zmend-cpu.ts";
import { cpuRig } from "../support/cpu-rig.ts";

const QEMU_TIMEOUT_MS = 60_000;
const SEED = 20261121;
const SEQUENCES = 200;

const installed = qemuVersion() !== undefined;
const reason = installed ? "" : ` (skipped: ${QEMU} is not installed)`;

function describeFinding(finding: Finding): string {
  const differences = finding.differences
    .slice(0, 4)
    .map((d) => `${d.what}: ${d.expected} ${d.got}`);
  return `${finding.family} #${finding.index} ${finding.text} [${finding.bytes}] ${differences.join("; ")}`;
}

describe.skipIf(!installed)(`random sequences end alike under QEMU and zmend${reason}`, () => {
  const expected = qemuPeer(QEMU_TIMEOUT_MS);
  const subject = zmendPeer();

  it.each(
    families.filter((family) => family.optional !== true).map((family) => [family.name, family]),
  )(
    "family %s: registers, condition codes, interruptions and storage are the same",
    async (_, family) => {
      const counts: Counts = { sequences: 0, instructions: 0, differing: 0 };
      const options = { seed: SEED, sequences: SEQUENCES, first: 0, expected, subject, explain: 5 };
      const findings = await runFamily(family, options, counts);
      expect(findings.map(describeFinding)).toEqual([]);
      expect(counts.differing).toBe(0);
      expect(counts.sequences).toBe(SEQUENCES);
    },
  );

  it("the mixed loop of the CPU benchmark leaves QEMU's checksum", async () => {
    const image = mixedLoop(5_000);
    const reference = await runUnderQemu(image, QEMU_TIMEOUT_MS, "normal");
    const own = runUnderZmend(cpuRig({ ramBytes: 2 << 20 }), image);
    if ("failure" in reference || "failure" in own) {
      expect([reference, own]).toEqual([]);
      return;
    }
    expect(mixedChecksum(own.memory)).toBe(mixedChecksum(reference.memory));
  });
});
