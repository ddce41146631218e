/**
 * The oracle in the test suite: some thousands of random sequences over all families that zmend announces,
 * under qemu-system-s390x and under zmend. `npm run oracle` runs as many as one likes.
 */
import { describe, expect, it } from "vitest";
import { families, generateSequence } from "../oracle/families.ts";
import { HERCULES, herculesPeer, herculesVersion } from "../oracle/hercules.ts";
import { SLOT_BYTES, Slot, slotAddress } from "../oracle/layout.ts";
import { mixedChecksum, mixedLoop } from "../oracle/mixed-loop.ts";
import { QEMU, qemuPeer, qemuVersion, runUnderQemu } from "../oracle/qemu.ts";
import { type Counts, type Finding, type Peer, runFamily } from "../oracle/run.ts";
import { runUnderZmend, zmendPeer } from "../oracle/zmend-cpu.ts";
import { cpuRig } from "../support/cpu-rig.ts";

const QEMU_TIMEOUT_MS = 60_000;
const SEED = 20261121;
const SEQUENCES = 150;
const ROUNDS = 2;

const installed = qemuVersion() !== undefined;
const reason = installed ? "" : ` (skipped: ${QEMU} is not installed)`;

function describeFinding(finding: Finding): string {
  const differences = finding.differences
    .slice(0, 4)
    .map((d) => `${d.what}: ${d.expected} ${d.got}`);
  return `${finding.family} #${finding.index} ${finding.text} [${finding.bytes}] ${differences.join("; ")}`;
}

/** A CPU that takes AGR for SGR: the image is changed before the run, its code restored in the dump. */
function subtractingPeer(peer: Peer): Peer {
  return {
    name: "subtracting",
    async run(image) {
      const bytes = image.bytes.slice();
      for (let slot = slotAddress(0); slot < bytes.length; slot += SLOT_BYTES) {
        for (let at = slot + Slot.code; at < slot + Slot.codeEnd; at += 2) {
          if (bytes[at] === 0xb9 && bytes[at + 1] === 0x08 && bytes[at + 2] === 0)
            bytes[at + 1] = 9;
        }
      }
      const result = await peer.run({ ...image, bytes });
      if ("failure" in result) return result;
      for (let slot = slotAddress(0); slot < bytes.length; slot += SLOT_BYTES) {
        const code = image.bytes.subarray(slot + Slot.code, slot + Slot.codeEnd);
        result.memory.set(code, slot + Slot.code);
      }
      return result;
    },
  };
}

describe("the oracle itself", () => {
  it("names AGR as the culprit when one CPU subtracts where the other adds", async () => {
    const counts: Counts = { sequences: 0, instructions: 0, differing: 0 };
    const expected = zmendPeer();
    const subject = subtractingPeer(zmendPeer());
    const registers = families.filter((family) => family.name === "registers");
    for (const family of registers) {
      const options = {
        seed: SEED,
        sequences: 60,
        rounds: 1,
        first: 0,
        expected,
        subject,
        explain: 60,
      };
      const findings = await runFamily(family, options, counts);
      expect(new Set(findings.map((finding) => finding.culprit))).toEqual(new Set(["agr"]));
    }
    expect(counts.differing).toBeGreaterThan(3);
  });

  it("builds the same sequence from the same seed, family and index", () => {
    for (const family of families) {
      const [one, two] = [
        generateSequence(SEED, family, 7, 0),
        generateSequence(SEED, family, 7, 0),
      ];
      expect(two).toEqual(one);
    }
  });
});

type Chosen = (typeof families)[number];

function chosen(wanted: (family: Chosen) => boolean): (readonly [string, Chosen])[] {
  return families.filter(wanted).map((family) => [family.name, family]);
}

async function endsAlike(family: Chosen, expected: Peer): Promise<void> {
  const counts: Counts = { sequences: 0, instructions: 0, differing: 0 };
  const subject = zmendPeer(family.model);
  const options = {
    seed: SEED,
    sequences: SEQUENCES,
    rounds: ROUNDS,
    first: 0,
    expected,
    subject,
    explain: 5,
  };
  const findings = await runFamily(family, options, counts);
  expect(findings.map(describeFinding)).toEqual([]);
  expect(counts.differing).toBe(0);
  expect(counts.sequences).toBe(SEQUENCES);
}

const hercules = herculesVersion() !== undefined;
const withoutHercules = hercules ? "" : ` (skipped: ${HERCULES} is not installed)`;

describe.skipIf(!hercules)(`random sequences end alike under Hercules${withoutHercules}`, () => {
  it.each(chosen((family) => family.judge === "hercules"))(
    "family %s: registers, condition codes, interruptions and storage are the same",
    async (_, family) => endsAlike(family, herculesPeer(QEMU_TIMEOUT_MS)),
  );
});

describe.skipIf(!installed)(`random sequences end alike under QEMU and zmend${reason}`, () => {
  const expected = qemuPeer(QEMU_TIMEOUT_MS);

  it.each(chosen((family) => family.judge === undefined))(
    "family %s: registers, condition codes, interruptions and storage are the same",
    async (_, family) => endsAlike(family, expected),
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
