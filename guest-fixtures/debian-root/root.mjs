/**
 * The fixture `debian-root`: Debian's userland for s390x on a disk image, with Debian's kernel. Packages come by apt, the
 * first stage (unpacking, `unpack.sh`) runs here, the second (the packages' own scripts, `configure.sh`) in a guest of
 * zmend-system-s390x, because only that one can run them.
 */
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { Apt, AptError } from "../linux/apt.mjs";
import {
  cache,
  described,
  partialFolder,
  publish,
  say,
  scriptsSum,
  wholeFixture,
} from "../linux/cache.mjs";
import { initramfs } from "../linux/initramfs.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const emulator = join(here, "..", "..", "dist", "src", "daemon", "zmend-system-s390x.js");
const scripts = ["unpack.sh", "init.sh", "configure.sh"].map((name) => join(here, name));
const [unpack = "", init = "", configure = ""] = scripts;

export const ROOT_NAME = "debian-root";
/** The fixture that kernel, modules and busybox are taken from. */
export const ROOT_KERNEL = "linux-6.1";
const RELEASE = "bookworm";
/** What every Debian has, and what makes it boot to a login. */
const PACKAGES = [
  ...["?essential", "usr-is-merged", "systemd-sysv", "udev", "kmod", "procps"],
  ...["apt", "e2fsprogs"],
];
const IMAGE = "root.img";
const IMAGE_SIZE = "768M";
const CONFIGURE_LIMIT_MS = 3_600_000;

/** @returns {string | undefined} what is cached */
export function cachedRoot() {
  const fixture = wholeFixture(ROOT_NAME);
  return fixture?.scripts === scriptsSum(scripts)
    ? `Debian ${RELEASE}, ${fixture.packages.length} packages, cached`
    : undefined;
}

/** @param {() => void} fetchKernel gets the fixture ROOT_KERNEL @throws AptError */
export function fetchRoot(fetchKernel) {
  const present = cachedRoot();
  if (present !== undefined) {
    say(`${ROOT_NAME}: ${present}`);
    return;
  }
  requirePrograms();
  fetchKernel();
  const scratch = mkdtempSync(join(tmpdir(), "zmend-fixtures-"));
  // Unpacked files keep their owners and permissions, which others of this machine need not see.
  chmodSync(scratch, 0o700);
  try {
    build(scratch);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

const isRoot = process.getuid?.() === 0;

/** @type {(isThere: (program: string) => boolean, asRoot: boolean) => string[]} */
export function missingPackages(isThere, asRoot) {
  const needed = [
    ["dpkg-deb", "dpkg"],
    ["mke2fs", "e2fsprogs"],
    ...(asRoot ? [] : [["fakeroot", "fakeroot"]]),
  ];
  return needed.filter(([program = ""]) => !isThere(program)).map(([, name = ""]) => name);
}

function requirePrograms() {
  const isThere = (program) => run(program, ["--version"]).error === undefined;
  const missing = missingPackages(isThere, isRoot);
  if (missing.length === 0) return;
  throw new AptError(
    `${ROOT_NAME} needs programs that are not here; apt-get install ${missing.join(" ")}`,
  );
}

/** @param {string} scratch */
function build(scratch) {
  say(`${ROOT_NAME}: fetching Debian ${RELEASE} packages for s390x`);
  const apt = new Apt(join(scratch, "apt"), "s390x", RELEASE);
  const problem = apt.update();
  if (problem !== undefined) say(`${ROOT_NAME}: going on without a part of the lists: ${problem}`);
  const archives = apt.downloadAll(PACKAGES);
  const folder = partialFolder(ROOT_NAME);
  mkdirSync(folder, { recursive: true });
  const image = join(folder, IMAGE);
  say(`${ROOT_NAME}: unpacking ${archives.length} packages`);
  const words = ["sh", unpack, join(scratch, "root"), image, IMAGE_SIZE, ...archives];
  const [program = "", ...rest] = isRoot ? words : ["fakeroot", ...words];
  const unpacked = run(program, rest);
  if (unpacked.status !== 0) throw new AptError(`unpacking failed: ${unpacked.stderr.trim()}`);

  const kernel = join(cache, ROOT_KERNEL);
  const { modules, version } = JSON.parse(readFileSync(join(kernel, "fixture.json"), "utf8"));
  copyFileSync(join(kernel, "kernel"), join(folder, "kernel"));
  const archive = initramfs({
    busybox: join(kernel, "busybox"),
    modules: modules.map((name) => ({ name, data: readFileSync(join(kernel, "modules", name)) })),
    init,
    programs: [],
    files: [{ name: "configure", path: configure }],
  });
  writeFileSync(join(folder, "initramfs.cpio"), archive);
  const started = process.hrtime.bigint();
  configureInGuest(folder);
  const seconds = Number((process.hrtime.bigint() - started) / 1_000_000_000n);

  const packages = archives.map((file) => {
    const field = (name) => run("dpkg-deb", ["--field", file, name]).stdout.trim();
    return { package: field("Package"), version: field("Version") };
  });
  const files = ["kernel", "initramfs.cpio", IMAGE].map((file) => described(folder, file));
  const facts = { name: ROOT_NAME, version, scripts: scriptsSum(scripts), packages, files };
  writeFileSync(join(folder, "fixture.json"), `${JSON.stringify(facts, undefined, 2)}\n`);
  publish(ROOT_NAME);
  say(
    `${ROOT_NAME}: configured in ${seconds} s; copy .cache/${ROOT_NAME}/${IMAGE} before you boot it`,
  );
}

/** @param {string} folder with kernel, initramfs and image */
function configureInGuest(folder) {
  say(`${ROOT_NAME}: a guest configures them, which takes some minutes`);
  const result = run(
    process.execPath,
    [
      ...[emulator, "-m", "512", "-nodefaults", "-nographic", "-serial", "stdio", "-no-reboot"],
      ...["-kernel", join(folder, "kernel")],
      ...["-initrd", join(folder, "initramfs.cpio")],
      ...["-append", "console=ttysclp0 quiet stage=configure"],
      ...["-drive", `if=none,id=d0,file=${join(folder, IMAGE)},format=raw`],
      ...["-device", "nvme,serial=zmend,drive=d0"],
    ],
    { timeout: CONFIGURE_LIMIT_MS },
  );
  if (result.stdout.includes("configure: done")) return;
  const tail = `${result.stdout}${result.stderr}`.trim().split("\n").slice(-20).join("\n");
  throw new AptError(`the guest could not configure the packages; it says last:\n${tail}`);
}

/** @param {string} program @param {readonly string[]} words @param {object} options */
function run(program, words, options = {}) {
  const path = `${process.env.PATH ?? ""}:/usr/sbin:/sbin`;
  return spawnSync(program, words, {
    encoding: "utf8",
    maxBuffer: 64 * 1024 ** 2,
    env: { ...process.env, PATH: path },
    ...options,
  });
}
