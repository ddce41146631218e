/**
 * Debian's own kernel and nvme driver recover from what breaks under them: asserted from the guest's console, from
 * zmend's books and ledger, and from files that the guest checks. What Linux does with each code: zpci-guest.md
 * 7.2, 9 and 12.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { hex } from "../../src/base/hex.ts";
import { loadPolicy } from "../../src/recovery/index.ts";
import {
  type LinuxReport,
  LinuxVm,
  linuxKernels,
  linuxMissing,
  pciName,
} from "../support/linux-vm.ts";

/** A boot takes some 15 s; far more where others use the machine too. */
const BOOT_LIMIT_MS = 400_000;

/** zpci-guest.md 7.2: every code that Linux 6.1.176 answers with a recovery. */
const RECOVERABLE = [
  0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b, 0x10, 0x11, 0x12, 0x13, 0x30,
  0x3a,
];
/** 7.2: logged, no action. */
const MEASUREMENT = [0x2a, 0x2b, 0x2c];

/** The books close, and no disk that answers has lost or changed what it had acknowledged. */
async function ended(guest: LinuxVm): Promise<ReadonlyMap<number, LinuxReport>> {
  const reports = await guest.finish();
  const last = guest.lines.slice(-30).join("\n");
  expect([...reports.keys()].sort(), last).toEqual(guest.vm.functions().map(({ fid }) => fid));
  for (const [fid, { corrupt }] of reports)
    expect({ fid, corrupt }, last).toEqual({ fid, corrupt: 0 });
  expect(guest.said("is lost").concat(guest.said("is corrupt"))).toEqual([]);
  expect(guest.said("Kernel panic").concat(guest.said("Oops"))).toEqual([]);
  expect(guest.balances()).toEqual(guest.vm.functions().map(() => 0));
  return reports;
}

for (const kernel of linuxKernels) recoveriesOf(kernel, linuxMissing(kernel));

function recoveriesOf(kernel: string, missing: string | undefined): void {
  // Where the guest gets a tenth of a core, what takes it a second takes a minute.
  const limits = { timeout: BOOT_LIMIT_MS };
  describe.skipIf(missing !== undefined)(`recovery in ${kernel}${missing ?? ""}`, limits, () => {
    describe("three disks, one VM", () => {
      let guest: LinuxVm;
      let folder = "";
      beforeAll(async () => {
        // The third one is taken out and put in again with what was written to it.
        folder = mkdtempSync(join(tmpdir(), "zmend-disk-"));
        const file = join(folder, "disk.raw");
        writeFileSync(file, Buffer.alloc(16 * 1024 ** 2));
        guest = new LinuxVm(kernel, { functions: 3, files: { 3: file } });
        await guest.atWork();
      }, BOOT_LIMIT_MS);
      afterAll(async () => {
        await guest.vm.stop();
        rmSync(folder, { recursive: true, force: true });
      });

      it.each(RECOVERABLE.map((pec) => ({ pec, code: hex(pec, 4) })))(
        "code $code: the guest resets the controller and resumes",
        async ({ pec }) => {
          await guest.recover(1, { type: "ccdf", pec });
          const code = `Event ${hex(pec)} reports an error for PCI function 0x1`;
          expect(guest.said(`zpci: ${pciName(1)}: ${code}`)).toHaveLength(1);
        },
      );

      it("each recovery had the kernel's steps, in the kernel's words", () => {
        for (const step of [
          "nvme nvme0: frozen state error detected, reset controller",
          `zpci: ${pciName(1)}: Initiating reset`,
          "nvme nvme0: restart after slot reset",
          `zpci: ${pciName(1)}: The device is ready to resume operations`,
        ]) {
          expect(guest.said(step), step).toHaveLength(RECOVERABLE.length);
        }
      });

      it("codes of the measurement block change nothing", async () => {
        const before = guest.recoveries(1);
        guest.raise(1, ...MEASUREMENT.map((pec) => ({ type: "ccdf" as const, pec })));
        await guest.until(
          () => guest.function(0).books.notDelivered.fmbCode === MEASUREMENT.length,
        );
        await guest.progress(1);
        expect(guest.recoveries(1)).toBe(before);
      });

      it("a burst of events is one recovery after the other, and the disk goes on", async () => {
        const ccdfs = [{ pec: 0x3a }, { pec: 0x01 }, { pec: 0x02 }, { pec: 0x3a }];
        await guest.recover(1, { type: "burst", ccdfs });
        await guest.until(() => guest.balances()[0] === 0);
        await guest.progress(1);
        expect(guest.function(0)).toMatchObject({ state: "operational", guestState: "enabled" });
      });

      it("an event with a stale handle never reaches the guest", async () => {
        const { staleIgnored } = guest.function(0).books;
        const events = guest.said("reports an error").length;
        guest.raise(1, { type: "ccdf", pec: 0x3a, stale: true });
        await guest.until(() => guest.function(0).books.staleIgnored > staleIgnored);
        await guest.progress(1);
        expect(guest.said("reports an error")).toHaveLength(events);
      });

      it("the device's own DMA to an address that the guest has not mapped is recovered from", async () => {
        await guest.recover(1, { type: "dma", kind: "translation" });
        expect(guest.entries("dma-fault").length).toBeGreaterThan(0);
        await guest.progress(1);
      });

      it("a disk that the operator quarantines is given up, and works again when he releases it", async () => {
        guest.vm.command(2, "quarantine");
        await guest.until(() => guest.function(1).state === "quarantined");
        await guest.until(() =>
          guest.said("fid=00000002").some((line) => line.endsWith("; unmounted")),
        );
        const failure = `zpci: ${pciName(2)}: Event 0x3b reports an error for PCI function 0x2`;
        expect(guest.said(failure)).toHaveLength(1);
        await guest.progress(1);
        expect(guest.function(1).state).toBe("quarantined");
        guest.vm.command(2, "release");
        await guest.until(() => guest.workAgain(2));
        await guest.progress(2);
        expect(guest.function(1)).toMatchObject({ state: "operational", guestState: "enabled" });
      });

      it("a permanent failure of one disk leaves the others at work", async () => {
        const told = (): number =>
          guest.said("Event 0x3b reports an error for PCI function 0x2").length;
        const before = told();
        guest.raise(2, { type: "ccdf", pec: 0x3b });
        await guest.until(() => told() > before);
        await guest.until(() => guest.function(1).state === "failed");
        await guest.progress(1);
        await guest.progress(3);
        expect(guest.function(1).guestState).toBe("permanent-error");
      });

      it("a disk that is asked back is given up, and works again when it is plugged in again", async () => {
        const deleted = () => guest.events.some((event) => event.type === "device-deleted");
        const [, , config] = guest.vm.spec.functions;
        guest.vm.unplug(3);
        await guest.until(deleted);
        if (config === undefined) throw new RangeError("the third function had a config");
        // Its place is free when the guest has heard the last of it, and the kernel takes it when nobody holds its disk.
        await guest.until(() =>
          guest.entries("fetched").some(({ detail }) => detail["pec"] === "0x0308"),
        );
        await guest.until(() =>
          guest.said("fid=00000003").some((line) => line.endsWith("; unmounted")),
        );
        await guest.vm.plug("again", config);
        await guest.until(() => guest.workAgain(3));
        await guest.progress(3);
      });

      it("no acknowledged write is lost or changed, and the books close", async () => {
        const reports = await ended(guest);
        expect(reports.get(1)?.state).toBe("ok");
        expect(reports.get(1)?.checked).toBeGreaterThan(8);
        // It can no longer say what it has, and said nothing wrong before.
        expect(reports.get(2)?.state).toBe("failed");
        expect(reports.get(3)?.state).toBe("ok");
      });
    });

    describe("errors faster than the guest recovers", () => {
      let guest: LinuxVm;
      beforeAll(async () => {
        guest = new LinuxVm(kernel, { functions: 3 });
        await guest.atWork();
      }, BOOT_LIMIT_MS);
      afterAll(() => guest.vm.stop());

      // An error that comes while nvme sets its queues up again makes the driver give the disk up ("Removing after
      // probe failure"), as on any machine: whether it does is a matter of milliseconds.
      it("an error while the guest recovers is recovered from as well, by the driver or by hand", async () => {
        const { books } = guest.function(1);
        guest.raise(2, { type: "ccdf", pec: 0x3a });
        await guest.until(() => guest.function(1).state === "guest-recovering");
        guest.raise(2, { type: "ccdf", pec: 0x02 });
        await guest.until(
          () =>
            guest.function(1).books.errorsRaised === books.errorsRaised + 2 &&
            guest.function(1).books.recoveries > books.recoveries &&
            guest.balances()[1] === 0,
        );
        await guest.progress(1);
      });

      it("a storm of twenty errors on one disk: every one is accounted for, the others work on", async () => {
        const before = guest.function(1).books.errorsRaised;
        for (let count = 0; count < 20; count++) {
          guest.raise(2, { type: "ccdf", pec: 0x3a });
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
        await guest.until(() => guest.function(1).books.errorsRaised === before + 20);
        await guest.progress(1);
        await guest.progress(3);
        await guest.until(() => guest.balances()[1] === 0);
      });

      it("no acknowledged write is lost or changed", async () => {
        const reports = await ended(guest);
        for (const fid of [1, 3]) expect(reports.get(fid)?.state).toBe("ok");
      });
    });

    describe("an error while the driver probes", () => {
      let guest: LinuxVm;
      beforeAll(async () => {
        // In the middle of the identify commands of the first disk; the second is not touched.
        const sequence = [{ function: 1, afterAccesses: 30, pec: 0x3a }];
        guest = new LinuxVm(kernel, { functions: 2, sequence });
        await guest.atWork();
      }, BOOT_LIMIT_MS);
      afterAll(() => guest.vm.stop());

      it("leaves the function usable: nvme gives up a probe that was disturbed, and works after a reset by hand", async () => {
        expect(guest.entries("error-raised")).toHaveLength(1);
        await guest.progress(1);
        await guest.progress(2);
        expect(guest.function(0)).toMatchObject({ state: "operational", guestState: "enabled" });
        expect(guest.recoveries(2)).toBe(0);
      });

      it("policy qemu-11 stops the VM at the next error, and the guest hears nothing of it", async () => {
        await guest.vm.setPolicy(loadPolicy("qemu-11"));
        const events = guest.said("reports an error").length;
        guest.raise(2, { type: "ccdf", pec: 0x3a });
        await guest.until(() => guest.vm.runState() === "io-error");
        expect(guest.said("reports an error")).toHaveLength(events);
        expect(guest.said("is corrupt")).toEqual([]);
      });
    });

    describe("a guest without PCI (pci=off)", () => {
      let guest: LinuxVm;
      beforeAll(async () => {
        guest = new LinuxVm(kernel, { append: "pci=off" });
        await guest.vm.start();
        await guest.until(() => guest.said("recovery: ready, 0 disks").length > 0);
      }, BOOT_LIMIT_MS);
      afterAll(() => guest.vm.stop());

      it("is not disturbed by an error of a function that it never enabled", async () => {
        guest.raise(1, { type: "ccdf", pec: 0x3a });
        await guest.until(() => guest.function(0).books.errorsRaised === 1);
        await guest.finish();
        expect(guest.said("reports an error")).toEqual([]);
        expect(guest.balances()).toEqual([0]);
      });
    });
  });
}
