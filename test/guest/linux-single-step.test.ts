/** A debugger's single steps inside of Linux 6.1: the kernel's use of program-event recording. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, it } from "vitest";
import { packageRoot } from "../../src/base/version.ts";
import { ConsoleGuest } from "../support/console-guest.ts";

const LIMIT_MS = 390_000;
const PROMPT = "/ # ";
const COMPILER = "s390x-linux-gnu-gcc";
/** A hundred turns of at least two instructions each: an addition, a branch. */
const STEPS_LEAST = 200;

const folder = fileURLToPath(new URL(".cache/linux-6.1", packageRoot));
const command = fileURLToPath(new URL("dist/src/daemon/zmend-system-s390x.js", packageRoot));
const source = fileURLToPath(new URL("test/guest/single-step.c", packageRoot));
const reason = !existsSync(`${folder}/fixture.json`)
  ? " (skipped: not fetched, npm run fixtures -- linux-6.1)"
  : spawnSync(COMPILER, ["--version"]).error === undefined
    ? ""
    : ` (skipped: ${COMPILER} is not installed)`;

interface Cpio {
  file(name: string, data: Uint8Array, permissions: number): unknown;
  cpioArchive(entries: readonly unknown[]): Uint8Array;
}

/** The fixture's initramfs with one more program: the kernel unpacks archives one after the other. */
async function initramfsWith(name: string, program: Uint8Array): Promise<Uint8Array> {
  const writer = new URL("guest-fixtures/linux/cpio.mjs", packageRoot);
  const { file, cpioArchive } = (await import(writer.href)) as Cpio;
  const first = readFileSync(`${folder}/initramfs.cpio`);
  const gap = Buffer.alloc((512 - (first.length % 512)) % 512);
  return Buffer.concat([first, gap, cpioArchive([file(name, program, 0o755)])]);
}

describe("Linux", () => {
  let guest: ConsoleGuest | undefined;
  const scratch = mkdtempSync(join(tmpdir(), "zmend-single-step-"));
  afterEach(() => {
    guest?.kill();
    rmSync(scratch, { recursive: true, force: true });
  });

  it.skipIf(reason !== "")(
    `a child that is single-stepped stops after each instruction and ends as it would alone${reason}`,
    async () => {
      const program = join(scratch, "single-step");
      const flags = ["-O1", "-march=z10", "-ffreestanding", "-nostdlib", "-static"];
      const compiled = spawnSync(COMPILER, [...flags, "-o", program, source], { encoding: "utf8" });
      expect(compiled.stderr).toBe("");
      const initrd = join(scratch, "initramfs.cpio");
      writeFileSync(initrd, await initramfsWith("single-step", readFileSync(program)));
      const options =
        "-M s390-ccw-virtio -m 512 -nodefaults -nographic -serial mon:stdio -no-reboot";
      guest = new ConsoleGuest(
        [
          ...[command, ...options.split(" "), "-kernel", `${folder}/kernel`],
          ...["-initrd", initrd, "-append", "console=ttysclp0"],
        ],
        LIMIT_MS,
      );
      await guest.until(PROMPT);
      guest.type("/single-step\n");
      await guest.until("steps ");
      const steps = Number(await guest.until(", exit status "));
      expect(steps).toBeGreaterThan(STEPS_LEAST);
      expect(steps).toBeLessThan(1000);
      expect((await guest.until(PROMPT)).trim()).toBe("7");
      guest.type("poweroff -f\n");
      expect(await guest.end()).toBe(0);
    },
    LIMIT_MS,
  );
});
