/**
 * Debian's kernel on several CPUs, each on a thread of its own: it finds them, and recovers a disk that breaks. Linux 6.1
 * frees an interrupt vector (arch_teardown_msi_irqs) without waiting for a CPU whose handler scans it; where the host has
 * fewer CPUs than the guest, one can lose its processor just there for long enough, and the kernel panics. So four CPUs are
 * for hosts that have them.
 */
import { availableParallelism } from "node:os";
import { afterEach, describe, expect, it } from "vitest";
import { LinuxVm, linuxMissing } from "../support/linux-vm.ts";

const kernel = "linux-6.1";
const missing = linuxMissing(kernel);

/** A boot takes some 15 s; far more where others use the machine too. */
const LIMIT_MS = 900_000;

describe.skipIf(missing !== undefined)(`${kernel} on several CPUs${missing ?? ""}`, () => {
  let guest: LinuxVm | undefined;
  afterEach(() => guest?.vm.stop());

  it.each([2, 4].filter((vcpus) => vcpus <= Math.max(2, availableParallelism())))(
    "has %i CPUs, recovers its disk and loses nothing",
    async (vcpus) => {
      guest = new LinuxVm(kernel, { vcpus });
      await guest.atWork();
      expect(guest.said(`recovery: ready, 1 disks, ${vcpus} CPUs`)).toHaveLength(1);
      await guest.recover(1, { type: "ccdf", pec: 0x3a });
      await guest.recover(1, { type: "dma", kind: "translation" });
      await guest.progress(1);
      const reports = await guest.finish();
      const end = guest.lines.slice(-20).join("\n");
      expect(reports.get(1), end).toMatchObject({ state: "ok", corrupt: 0 });
      expect(guest.balances()).toEqual([0]);
      expect(guest.said("Kernel panic").concat(guest.said("Oops"), guest.said("BUG"))).toEqual([]);
    },
    LIMIT_MS,
  );
});
