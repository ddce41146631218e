/** Debian's kernel, unmodified, from power-on to its shell and to power-off. `npm run fixtures` fetches it. */
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, it } from "vitest";
import { packageRoot } from "../../src/base/version.ts";
import { ConsoleGuest } from "../support/console-guest.ts";

/** Far beyond the boot on a loaded machine, well below vitest's limit. */
const LIMIT_MS = 110_000;
const PROMPT = "/ # ";

const command = fileURLToPath(new URL("dist/src/daemon/zmend-system-s390x.js", packageRoot));

describe("Linux", () => {
  let guest: ConsoleGuest | undefined;
  afterEach(() => guest?.kill());

  for (const name of ["linux-6.1"]) {
    const folder = fileURLToPath(new URL(`.cache/${name}`, packageRoot));
    const missing = !existsSync(`${folder}/fixture.json`);
    const why = missing ? ` (skipped: not fetched, npm run fixtures -- ${name})` : "";

    it.skipIf(missing)(`${name} boots to its shell, answers, and powers off${why}`, async () => {
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
      expect(boot).toMatch(/Linux version 6\.1\./);
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
    });
  }
});
