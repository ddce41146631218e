/**
 * Debian's userland on a disk that breaks under it: boots to its login prompt, and survives the error of the disk with its
 * root file system. Many seconds of boot: `npm run test:guest -- --all` runs it, CI does not.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { packageRoot } from "../../src/base/version.ts";
import { ConsoleGuest } from "../support/console-guest.ts";
import { linuxMissing } from "../support/linux-vm.ts";
import { QmpClient } from "../support/qmp-client.ts";

const LIMIT_MS = 1_500_000;
const PROMPT = "root@zmend:~# ";
/** Of a plain shell: bash draws long lines anew while they are typed. */
const PLAIN_PROMPT = "ready> ";
/** Whoever asks for a password throws away what was typed just before: it is typed until it is taken. */
const TYPE_AGAIN_MS = 20_000;
const FILES = 12;

const missing =
  process.env["ZMEND_GUESTS"] === "all"
    ? linuxMissing("debian-root")
    : " (skipped: only with --all)";
const folder = fileURLToPath(new URL(".cache/debian-root", packageRoot));
const command = fileURLToPath(new URL("dist/src/daemon/zmend-system-s390x.js", packageRoot));

/** Files written one after the other with fsync, their sums, and a word at the end. */
const WORK = `for n in $(seq ${FILES}); do head -c 262144 /dev/urandom >f$n; sync f$n; sha256sum f$n >>sums; echo 'written '$n; done; echo all 'written'`;

async function typedUntil(guest: ConsoleGuest, text: string, expected: string): Promise<void> {
  guest.type(text);
  const again = setInterval(() => guest.type(text), TYPE_AGAIN_MS);
  try {
    await guest.until(expected);
  } finally {
    clearInterval(again);
  }
}

describe.skipIf(missing !== undefined)(`Debian on a disk${missing ?? ""}`, () => {
  let guest: ConsoleGuest | undefined;
  let scratch = "";
  beforeAll(() => {
    scratch = mkdtempSync(join(tmpdir(), "zmend-debian-"));
  });
  afterEach(() => guest?.kill());
  afterAll(() => rmSync(scratch, { recursive: true, force: true }));

  it(
    "boots to a login, takes it, and survives errors of the disk with its root file system",
    async () => {
      const image = join(scratch, "debian.img");
      const socket = join(scratch, "qmp.sock");
      const copied = spawnSync("cp", ["--sparse=always", join(folder, "root.img"), image]);
      expect(copied.status).toBe(0);
      guest = new ConsoleGuest(
        [
          ...[command, "-m", "512", "-nodefaults", "-nographic", "-serial", "mon:stdio"],
          ...["-no-reboot", "-qmp", `unix:${socket},server=on,wait=off`],
          ...["-kernel", `${folder}/kernel`, "-initrd", `${folder}/initramfs.cpio`],
          ...["-append", "console=ttysclp0 root=/dev/nvme0n1"],
          ...["-drive", `file=${image},if=none,id=d,format=raw`],
          ...["-device", "zpci,uid=1,fid=1,target=root,id=z", "-device"],
          "nvme,serial=zmend,drive=d,id=root",
        ],
        LIMIT_MS,
      );
      const boot = await guest.until("zmend login: ");
      expect(boot).toContain("Run /init as init process");
      expect(boot).toContain("Welcome to ");
      expect(boot).not.toMatch(/illegal operation|Unable to handle|Kernel panic|BUG:|WARNING:/);
      guest.type("root\n");
      await guest.until("Password: ");
      await typedUntil(guest, "zmend\n", PROMPT);
      guest.type("exec env PS1='rea''dy> ' sh\n");
      await guest.until(PLAIN_PROMPT);
      guest.type("findmnt -no SOURCE /; systemctl --failed --no-legend | wc -l; arch\n");
      await guest.until("arch\r\n");
      const answer = await guest.until(PLAIN_PROMPT);
      expect(answer).toBe("/dev/nvme0n1\r\n0\r\ns390x\r\n");

      const client = await QmpClient.ready(socket);
      guest.type(`${WORK}\n`);
      for (const [n, pec] of [0x3a, 0x02].entries()) {
        await guest.until(`written ${4 * n + 2}`);
        await client.execute("x-zmend-inject-error", { id: "root", pec });
        await guest.until("zpci: 0001:00:00.0: The device is ready to resume operations");
      }
      await guest.until("all written\r\n");
      await guest.until(PLAIN_PROMPT);
      const recovery = await client.execute("x-zmend-query-recovery", { id: "root" });
      expect(recovery).toMatchObject([{ state: "operational", errorsRaised: 2, recoveries: 2 }]);

      // From the disk, not from what the kernel remembers of it.
      guest.type(
        "sync; echo 3 >/proc/sys/vm/drop_caches; sha256sum --quiet -c sums && wc -l <sums\n",
      );
      await guest.until("<sums\r\n");
      // Behind what the kernel says of the dropping.
      expect(await guest.until(PLAIN_PROMPT)).toMatch(new RegExp(`(^|\\n)${FILES}\\r\\n$`));
      guest.type("systemctl poweroff\n");
      expect(await guest.end()).toBe(0);
      expect(guest.text).not.toMatch(/I\/O error|EXT4-fs error|Kernel panic|Remounting filesystem/);
      client.socket.destroy();

      const checker = ["/usr/sbin/e2fsck", "/sbin/e2fsck"].find((path) => existsSync(path));
      if (checker === undefined) return;
      const checked = spawnSync(checker, ["-fn", image], { encoding: "utf8" });
      expect({ status: checked.status, said: checked.stdout }).toMatchObject({ status: 0 });
    },
    LIMIT_MS,
  );
});
