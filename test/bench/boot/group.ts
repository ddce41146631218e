/**
 * Group `boot`: Debian's 6.1 and 7.2 with our initramfs from the start of the process to the shell's prompt, and the
 * process's memory when 6.1 is there, against QEMU with the same kernel, RAM disk, memory and command line. One boot
 * of ours between two of QEMU's per round; how much QEMU's differ says whether the machine was calm.
 *
 * Estimate before the first run (performance.md 2.6, 3.4): 3 to 5 times QEMU's time, for 7.2 at most 4 times; 1.5 times its
 * memory.
 */
import { spawn, spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { packageRoot } from "../../../src/base/version.ts";
import { type Group, judge } from "../harness.ts";

const FIXTURES = ["linux-6.1", "linux-7.2"] as const;
type Fixture = (typeof FIXTURES)[number];
const QEMU = "qemu-system-s390x";
const PROMPT = "/ # ";
const LIMIT_MS = 300_000;
const ROUNDS = { quick: 1, full: 3 } as const;
const MIB = 1024 ** 2;

interface Boot {
  readonly seconds: number;
  /** Resident memory at the prompt, MiB. */
  readonly memory: number;
}

const folderOf = (fixture: Fixture): string =>
  fileURLToPath(new URL(`.cache/${fixture}/`, packageRoot));
const ours = fileURLToPath(new URL("dist/src/daemon/zmend-system-s390x.js", packageRoot));
const optionsOf = (fixture: Fixture): string[] => [
  ..."-M s390-ccw-virtio -smp 1 -m 512 -nodefaults -display none".split(" "),
  ..."-chardev stdio,id=c0 -device sclpconsole,chardev=c0 -no-reboot".split(" "),
  ...["-kernel", `${folderOf(fixture)}kernel`, "-initrd", `${folderOf(fixture)}initramfs.cpio`],
  ...["-append", "console=ttysclp0"],
];

function boot(fixture: Fixture, command: string, ...words: string[]): Promise<Boot> {
  const start = performance.now();
  const all = [...words, ...optionsOf(fixture)];
  const child = spawn(command, all, { stdio: ["pipe", "pipe", "ignore"] });
  return new Promise((resolve, reject) => {
    let tail = "";
    const timer = setTimeout(() => child.kill("SIGKILL"), LIMIT_MS);
    child.stdout.setEncoding("latin1").on("data", (text: string) => {
      tail = (tail + text).slice(-4096);
      if (!tail.includes(PROMPT)) return;
      const seconds = (performance.now() - start) / 1e3;
      clearTimeout(timer);
      resolve({ seconds, memory: residentBytes(child.pid ?? 0) / MIB });
      child.kill("SIGKILL");
    });
    child.on("error", reject);
    child.on("close", () => reject(new Error(`${command} ended before its shell:\n${tail}`)));
  });
}

function residentBytes(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, "latin1");
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? Number.NaN) * 1024;
}

/** Why there is nothing to compare with or to boot. */
function missing(fixture: Fixture): string | undefined {
  if (!existsSync(`${folderOf(fixture)}fixture.json`)) {
    return `the kernel is not fetched; npm run fixtures -- ${fixture}`;
  }
  const found = spawnSync(QEMU, ["-version"]).error === undefined;
  return found ? undefined : `${QEMU} is not installed (Debian package qemu-system-misc)`;
}

export const boots: Group = async (how, emit) => {
  for (const fixture of FIXTURES) {
    const names = [`boot.${fixture}`, ...(fixture === "linux-6.1" ? ["boot.rss"] : [])];
    const refused = missing(fixture);
    if (refused !== undefined) {
      for (const name of names) emit({ name, refused });
      continue;
    }
    const peer = (spawnSync(QEMU, ["-version"]).stdout.toString().split("\n")[0] ?? QEMU).trim();
    const theirs: Boot[] = [await boot(fixture, QEMU)];
    const mine: Boot[] = [];
    for (let round = 0; round < (how.quick ? ROUNDS.quick : ROUNDS.full); round++) {
      mine.push(await boot(fixture, process.execPath, ours));
      theirs.push(await boot(fixture, QEMU));
    }
    const facts = { better: "lower", peer } as const;
    const of = (key: keyof Boot, boots: readonly Boot[]): number[] => boots.map((one) => one[key]);
    const [time, memory] = names;
    if (time !== undefined) {
      emit(judge({ name: time, unit: "s", ...facts }, of("seconds", mine), of("seconds", theirs)));
    }
    if (memory !== undefined) {
      emit(
        judge({ name: memory, unit: "MiB", ...facts }, of("memory", mine), of("memory", theirs)),
      );
    }
  }
};
