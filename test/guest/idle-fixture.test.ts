/** zrecover with a pause in LOADPARM: a guest that rests between checks, and recovers its functions all the same. */
import { describe, expect, it } from "vitest";
import { simFunctionConfig } from "../../src/backend/sim/index.ts";
import { readBooks } from "../../src/machine/books.ts";
import { DeterministicVm } from "../../src/machine/deterministic-vm.ts";
import { readFixture } from "../../src/machine/fixtures.ts";
import { bootVm } from "../../src/machine/parts.ts";
import { DETERMINISTIC_EPOCH_MS } from "../../src/machine/vm-spec.ts";
import { loadPolicy } from "../../src/recovery/index.ts";

const FUNCTIONS = 64;

describe("zrecover", () => {
  it("with LOADPARM 60000 sleeps in an enabled wait, 64 functions in 4 MiB, and recovers what breaks", () => {
    let console = "";
    const machine = new DeterministicVm(
      {
        name: "idle",
        ramBytes: 4 * 1024 ** 2,
        cpuModel: "zmend",
        functions: Array.from({ length: FUNCTIONS }, (_, n) =>
          simFunctionConfig({ fid: n + 1, uid: n + 1, clearError: true }),
        ),
        loadparm: "60000",
        policy: loadPolicy("mediated"),
        epochMs: DETERMINISTIC_EPOCH_MS,
      },
      (bytes) => {
        console += Buffer.from(bytes).toString("latin1");
      },
    );
    const until = (seconds: number): void => {
      while (machine.clock.nowUs() < seconds * 1e6) machine.step(seconds * 1e6);
    };
    const { image, file } = readFixture("zrecover");
    bootVm(machine.vm, image, file);
    until(2);
    expect(console).toContain(`working on ${FUNCTIONS} functions`);
    const started = machine.instructions();
    until(50);
    // 48 s without work; with rounds at each millisecond they would be billions.
    expect(machine.instructions() - started).toBeLessThan(10_000);
    const ccdf = { type: "ccdf", pec: 0x3a, faddr: 0, stale: false } as const;
    machine.order({ kind: "raise", index: FUNCTIONS - 1, actions: [ccdf] });
    until(52);
    expect(console).toContain("fid 00000040");
    expect(console).toMatch(/fid 00000040 .* recovered by clear pec 003a/);
    expect(readBooks(machine.vm, FUNCTIONS - 1)).toMatchObject({
      errorsRaised: 1,
      fetchedByGuest: 1,
    });
  });
});
