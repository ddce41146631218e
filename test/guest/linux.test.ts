/** Debian's kernel, unmodified, from power-on to its shell and to power-off. `npm run fixtures` fetches it. */
import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, it } from "vitest";
import { packageRoot } from "../../src/base/version.ts";
import { ConsoleGuest } from "../support/console-guest.ts";
import { linuxKernels, linuxMissing } from "../support/linux-vm.ts";
import { qemuInstalled } from "./qemu-guest.ts";

/** Far beyond the boot, also where others use the machine. */
const LIMIT_MS = 390_000;
const PROMPT = "/ # ";

/** What every one of these kernels says otherwise on QEMU 7.2, and why. */
const listedDifferences: readonly { readonly qemu: string; readonly zmend: string }[] = [
  // QEMU's default model has a random number generator (PRNO), which we do not announce (design.md 5.1).
  { qemu: "random: crng init done", zmend: "" },
  // A general characteristic of the channel subsystem (CHSC 0x0010), which nothing here could measure.
  {
    qemu: "cio: Channel measurement facility initialized using format extended (mode autodetected)",
    zmend: "cio: Channel measurement facility initialized using format basic (mode autodetected)",
  },
];

/** What a kernel says of a machine that had no time for it: on either side, or on none. */
const OF_A_BUSY_MACHINE = /^hrtimer: interrupt took \d+ ns$/;

/** Lines without times and counters, sorted: work in the background ends in any order. */
function bootLines(text: string): string[] {
  return text
    .replaceAll("\r", "")
    .split("\n")
    .map((line) =>
      line
        .replace(/^\[ *\d+\.\d+\] /, "")
        .replace(/audit\(\d+\.\d+:/, "audit(TIME:")
        .replace(/\b\d+ms$/, "TIME"),
    )
    .filter((line) => !OF_A_BUSY_MACHINE.test(line))
    .sort();
}

const command = fileURLToPath(new URL("dist/src/daemon/zmend-system-s390x.js", packageRoot));

describe("Linux", () => {
  let guest: ConsoleGuest | undefined;
  afterEach(() => guest?.kill());

  for (const name of linuxKernels) {
    const version = name.replace("linux-", "");
    const folder = fileURLToPath(new URL(`.cache/${name}`, packageRoot));
    const missing = linuxMissing(name);
    const why = missing ?? "";

    // The boot's console, for the comparison below.
    let said = "";

    it.skipIf(missing !== undefined)(
      `${name} boots to its shell, answers, and powers off${why}`,
      async () => {
        const options =
          "-M s390-ccw-virtio -accel tcg -smp 1 -m 512 -nodefaults -nographic -serial mon:stdio -no-reboot";
        guest = new ConsoleGuest(
          [
            command,
            ...options.split(" "),
            "-kernel",
            `${folder}/kernel`,
            "-initrd",
            `${folder}/initramfs.cpio`,
            "-append",
            "console=ttysclp0",
          ],
          LIMIT_MS,
        );
        const boot = await guest.until(PROMPT);
        said = boot;
        expect(boot).toContain(`Linux version ${version}.`);
        expect(boot).toContain("Kernel command line: console=ttysclp0");
        expect(boot).toContain("Run /init as init process");
        expect(boot).not.toMatch(/illegal operation|Unable to handle|Kernel panic|BUG:|WARNING:/);

        // Arithmetic with fractions is the guest's floating point.
        guest.type("uname -sm; cat /proc/cmdline; awk 'BEGIN { print 22 / 7, 1 / 1024 }'\n");
        await guest.until("1024 }'");
        const answer = await guest.until(PROMPT);
        expect(answer).toContain("Linux s390x\r\nconsole=ttysclp0\r\n3.14286 0.000976562\r\n");

        // The clock comparator ends a sleep.
        guest.type("sleep 1 && echo slept $((6 * 7))\n");
        await guest.until("slept 42");

        guest.type("poweroff -f\n");
        expect(await guest.end()).toBe(0);
      },
      LIMIT_MS,
    );

    const noQemu = qemuInstalled ? "" : " (skipped: qemu-system-s390x is not installed)";
    it.skipIf(missing !== undefined || !qemuInstalled)(
      `${name} says the same on QEMU while it boots, but for a written list${why}${noQemu}`,
      async () => {
        expect(said).not.toBe("");
        const options =
          "-M s390-ccw-virtio -accel tcg -smp 1 -m 512 -nodefaults -nographic -serial stdio -no-reboot";
        guest = new ConsoleGuest(
          [
            ...options.split(" "),
            "-kernel",
            `${folder}/kernel`,
            "-initrd",
            `${folder}/initramfs.cpio`,
            "-append",
            "console=ttysclp0",
          ],
          LIMIT_MS,
          "qemu-system-s390x",
        );
        const other = bootLines(await guest.until(PROMPT));
        const ours = bootLines(said);
        expect(other.length).toBeGreaterThan(100);
        for (const { qemu, zmend } of listedDifferences) {
          other.splice(other.indexOf(qemu), 1, ...(zmend === "" ? [] : [zmend]));
        }
        expect(ours).toEqual(other.sort());
      },
      LIMIT_MS,
    );
  }
});
