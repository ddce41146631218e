/**
 * A real systemd as process 1 of namespaces of its own: this machine's files under an overlay that is thrown away, with
 * the unit and the config that we ship, and this tree as the installed zmend. Needs root.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { packageRoot } from "../../src/base/version.ts";
import type { CommandResult } from "./command.ts";

const MANAGER = "/lib/systemd/systemd";
const NAMESPACES = ["--mount", "--uts", "--ipc", "--net", "--cgroup", "--pid", "--fork"];
const ENTERED = ["-m", "-u", "-i", "-n", "-C", "-p", "-r", "-w"];
const PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** $1: an empty folder. Leaves the overlay of the root file system at $1/root. */
const OVERLAY = `
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" overlay "$1/root"
cd "$1/root"
`;

/** $2: this tree; $3: Node. */
const BOOT = `set -e
${OVERLAY}
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
for at in run tmp dev etc/systemd/system; do mount -t tmpfs -o mode=755 tmpfs "$at"; done
chmod 1777 tmp
for device in null zero full random urandom tty; do
  : > "dev/$device"
  mount --bind "/dev/$device" "dev/$device"
done
mkdir dev/shm dev/pts
mount -t tmpfs tmpfs dev/shm
mount -t devpts -o newinstance,ptmxmode=666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
if [ -d /sys/fs/cgroup/systemd ]; then
  mount -t tmpfs -o mode=755 tmpfs sys/fs/cgroup
  mkdir sys/fs/cgroup/systemd sys/fs/cgroup/unified
  mount -t cgroup -o none,name=systemd cgroup sys/fs/cgroup/systemd
  mount -t cgroup2 cgroup2 sys/fs/cgroup/unified
else
  mount -t cgroup2 cgroup2 sys/fs/cgroup
fi
: > etc/fstab
for unit in udevd.service udevd-control.socket udevd-kernel.socket udev-trigger.service modules-load.service timesyncd.service; do
  ln -s /dev/null "etc/systemd/system/systemd-$unit"
done
mkdir -p opt/zmend etc/zmend
mount --bind "$2" opt/zmend
mount -o remount,bind,ro opt/zmend
: > opt/node
mount --bind "$3" opt/node
printf '#!/bin/sh\\nexec /opt/node /opt/zmend/dist/src/daemon/zmend.js "$@"\\n' > usr/local/bin/zmend
chmod 755 usr/local/bin/zmend
chroot . id -u zmend > dev/null 2>&1 || chroot . useradd --system --no-create-home zmend
rm -rf var/lib/zmend
cp opt/zmend/config/deploy/zmend.service etc/systemd/system/
cp opt/zmend/config/daemon.yaml etc/zmend/zmend.yaml
exec chroot . env -i container=zmend-test ${PATH} ${MANAGER} --system --unit=basic.target
`;

/** Cgroup hierarchies that systemd uses: its own and the unified one of a hybrid set-up, or the only one. */
const hierarchies = ["systemd", "unified", "."]
  .map((name) => join("/sys/fs/cgroup", name))
  .filter((folder) => existsSync(join(folder, "cgroup.procs")));

function isThere(): boolean {
  if (process.getuid?.() !== 0 || !existsSync(MANAGER) || hierarchies.length === 0) return false;
  const folder = mkdtempSync(join(tmpdir(), "zmend-overlay-"));
  try {
    const words = [...NAMESPACES, "sh", "-e", "-c", OVERLAY, "sh", folder];
    return spawnSync("unshare", words).status === 0;
  } finally {
    rmdirSync(folder);
  }
}

/** For `describe.skipIf`, with the reason in the name. */
export const withoutSystemd = !isThere();
export const needsSystemd = withoutSystemd
  ? " (skipped: needs root, systemd, namespaces and overlays)"
  : "";

export class SystemdMachine {
  readonly #folder = mkdtempSync(join(tmpdir(), "zmend-systemd-"));
  readonly #name = `zmend-test-${process.pid}`;
  readonly #process: ChildProcess;
  #said = "";

  constructor() {
    const groups = hierarchies.map((folder) => join(folder, this.#name));
    const enter = `for group; do [ "$group" != -- ] || break; shift; mkdir "$group"; echo $$ > "$group/cgroup.procs"; done
      shift; exec unshare ${NAMESPACES.join(" ")} --kill-child sh -c "$@"`;
    const words = [BOOT, "sh", this.#folder, fileURLToPath(packageRoot), process.execPath];
    this.#process = spawn("sh", ["-e", "-c", enter, "sh", ...groups, "--", ...words], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    for (const stream of [this.#process.stdout, this.#process.stderr]) {
      stream?.on("data", (data: Buffer) => {
        this.#said += data.toString();
      });
    }
  }

  /** Waits until systemd takes orders. */
  async booted(): Promise<void> {
    await this.until(() => {
      if (this.#process.exitCode !== null) throw new Error(`systemd did not start: ${this.#said}`);
      return ["running", "degraded"].includes(
        this.run("systemctl", "is-system-running").stdout.trim(),
      );
    });
  }

  /** Runs a command in there, as root. */
  run(...words: readonly string[]): CommandResult {
    const { pid } = this.#process;
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim();
    const target = children === "" ? "0" : children;
    const all = ["-t", target, ...ENTERED, "env", "-i", PATH, ...words];
    const result = spawnSync("nsenter", all, { encoding: "utf8", timeout: 60_000 });
    const { status, signal, stdout, stderr } = result;
    return { status, signal, stdout, stderr };
  }

  /** A property of the service, as systemd has it. */
  property(name: string): string {
    return this.run("systemctl", "show", "-P", name, "zmend").stdout.trim();
  }

  /** The service's lines in systemd's journal. */
  log(...words: readonly string[]): Record<string, string>[] {
    this.run("journalctl", "--sync");
    const { stdout } = this.run("journalctl", "-t", "zmend", "-o", "json", ...words);
    const lines = stdout.split("\n").filter((line) => line !== "");
    return lines.map((line) => JSON.parse(line) as Record<string, string>);
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise((resolve) => setTimeout(resolve, 100));
  }

  /** Ends it with all its processes. */
  async close(): Promise<void> {
    if (this.#process.exitCode === null && this.#process.kill("SIGKILL")) {
      await once(this.#process, "exit");
    }
    for (const folder of hierarchies) await removed(join(folder, this.#name));
    rmdirSync(this.#folder);
  }
}

/** Removes a cgroup with those below it; the kernel needs a moment to see that their processes are gone. */
async function removed(group: string): Promise<void> {
  for (let tries = 0; existsSync(group) && tries < 100; tries += 1) {
    const below = readdirSync(group, { recursive: true, withFileTypes: true });
    const folders = below.filter((entry) => entry.isDirectory());
    const paths = folders.map((entry) => join(entry.parentPath, entry.name));
    try {
      for (const path of [...paths.sort().reverse(), group]) rmdirSync(path);
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}
