/**
 * `npm run fixtures -- NAME...`: Debian's own kernels as guests, and a whole Debian on a disk. Fetches packages with apt,
 * builds the first root file system, keeps both in `.cache/NAME` beside `fixture.json`. `--check NAME...` only says
 * whether they are there, without a network. Exit status: 0 done, 1 not cached, 2 wrong use, 3 no apt or no network.
 */
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { cachedRoot, fetchRoot, ROOT_KERNEL, ROOT_NAME } from "../debian-root/root.mjs";
import { Apt, AptError, unpackPackage } from "./apt.mjs";
import {
  cache,
  described,
  fileSum,
  partialFolder,
  publish,
  say,
  scriptsSum,
  wholeFixture,
} from "./cache.mjs";
import { driverArchive, initramfs } from "./initramfs.mjs";
import { modulesWith } from "./modules.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const { kernels } = JSON.parse(readFileSync(join(here, "kernels.json"), "utf8"));
const init = join(here, "init.sh");
/** Folder of the kernel's modules in a cached fixture. */
const MODULES = "modules";
/** Drivers without or with other error handlers than nvme's, for `zmend experiment sequence --driver`. */
const DRIVERS = "drivers.cpio";
/** What the guest's command line may name with run=. */
const programs = [{ name: "recovery", path: join(here, "recovery.sh") }];
const scripts = [init, ...programs.map(({ path }) => path)];

/** Every fixture in the order to get them: what is cached of it, and how it is fetched. */
const fixtures = [
  ...kernels.map((kernel) => ({
    name: kernel.name,
    cached: () => cached(kernel.name),
    fetch: () => fetch(kernel),
  })),
  { name: ROOT_NAME, cached: cachedRoot, fetch: () => fetchRoot(fetchRootKernel) },
];
const names = fixtures.map(({ name }) => name);

process.exitCode = main(process.argv.slice(2));

/** @param {readonly string[]} words */
function main(words) {
  const check = words.includes("--check");
  const wanted = words.filter((word) => word !== "--check");
  const unknown = wanted.find((word) => !names.includes(word));
  if (wanted.length === 0 || unknown !== undefined) {
    const problem = unknown === undefined ? "no name given" : `'${unknown}' is unknown`;
    say(`fixtures: ${problem}; name one or more of: ${names.join(", ")} (--check first to look)`);
    return 2;
  }
  const chosen = fixtures.filter(({ name }) => wanted.includes(name));
  if (check) return Math.max(...chosen.map(lookUp));
  try {
    for (const fixture of chosen) fixture.fetch();
    return 0;
  } catch (error) {
    if (!(error instanceof AptError)) throw error;
    say(`fixtures: ${error.message}`);
    return 3;
  }
}

/** Whether a fixture is cached whole. */
function lookUp(fixture) {
  const { name } = fixture;
  const state = fixture.cached();
  say(`${name}: ${state ?? "not cached"}`);
  return state === undefined ? 1 : 0;
}

/** @param {string} name @returns {string | undefined} what is cached */
function cached(name) {
  const fixture = wholeFixture(name);
  // A first root file system of other scripts is another fixture.
  return fixture?.scripts === scriptsSum(scripts) ? `Linux ${fixture.version}, cached` : undefined;
}

function fetchRootKernel() {
  fetch(kernels.find(({ name }) => name === ROOT_KERNEL));
}

function fetch(kernel) {
  const present = cached(kernel.name);
  if (present !== undefined) {
    say(`${kernel.name}: ${present}`);
    return;
  }
  const older = wholeFixture(kernel.name);
  if (older?.modules !== undefined) {
    assemble(join(cache, kernel.name), older);
    say(`${kernel.name}: Linux ${older.version}, its first root file system has today's scripts`);
    return;
  }
  const scratch = mkdtempSync(join(tmpdir(), "zmend-fixtures-"));
  try {
    build(kernel, scratch);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

function build(kernel, scratch) {
  say(`${kernel.name}: fetching Debian ${kernel.release} packages for s390x`);
  const apt = updated(kernel, join(scratch, "kernel"), kernel.release);
  const from = kernel.busyboxRelease;
  const other = from === undefined ? apt : updated(kernel, join(scratch, "busybox"), from);
  const root = join(scratch, "root");
  const wanted = apt.dependencies(kernel.metaPackage, kernel.packages).map((name) => [apt, name]);
  const packages = [...wanted, [other, "busybox-static"]].map(([source, name]) => {
    const version = source.version(name);
    const file = source.download(name);
    const sum = fileSum(file);
    noteTested(kernel, name, version, sum);
    unpackPackage(file, root);
    return { package: name, version, sha256: sum };
  });
  const moduleRoot = join(root, kernel.modulesRoot);
  const version = readdirSync(moduleRoot)[0] ?? "";
  const folder = partialFolder(kernel.name);
  mkdirSync(join(folder, MODULES), { recursive: true });
  copyFileSync(join(root, kernel.kernel.replace("{version}", version)), join(folder, "kernel"));
  copyFileSync(join(root, kernel.busybox), join(folder, "busybox"));
  const modules = modulesWith(join(moduleRoot, version), kernel.modules);
  for (const { name, data } of modules) writeFileSync(join(folder, MODULES, name), data);
  const drivers = kernel.drivers.map((name) => ({
    name,
    modules: modulesWith(join(moduleRoot, version), [name]),
  }));
  writeFileSync(join(folder, DRIVERS), driverArchive(drivers));
  const order = modules.map(({ name }) => name);
  assemble(folder, { name: kernel.name, version, packages, modules: order });
  publish(kernel.name);
  say(`${kernel.name}: Linux ${version} in .cache/${kernel.name}`);
}

/**
 * Builds the first root file system from the parts that are in the folder, and writes down what the fixture is.
 * @param {string} folder
 * @param {{ name: string, version: string, packages: object[], modules: string[] }} facts
 */
function assemble(folder, { name, version, packages, modules }) {
  const archive = initramfs({
    busybox: join(folder, "busybox"),
    modules: modules.map((module) => ({
      name: module,
      data: readFileSync(join(folder, MODULES, module)),
    })),
    init,
    programs,
  });
  writeFileSync(join(folder, "initramfs.cpio"), archive);
  const parts = ["kernel", "busybox", ...modules.map((module) => join(MODULES, module))];
  const drivers = existsSync(join(folder, DRIVERS)) ? [DRIVERS] : [];
  const files = [...parts, ...drivers, "initramfs.cpio"].map((file) => described(folder, file));
  const fixture = { name, version, scripts: scriptsSum(scripts), packages, modules, files };
  writeFileSync(join(folder, "fixture.json"), `${JSON.stringify(fixture, undefined, 2)}\n`);
}

function updated(kernel, folder, release) {
  const apt = new Apt(folder, "s390x", release);
  const problem = apt.update();
  if (problem !== undefined)
    say(`${kernel.name}: going on without a part of the lists: ${problem}`);
  return apt;
}

/** A package other than the tested one is taken with a note; one that claims to be it must be it. */
function noteTested(kernel, name, version, sum) {
  const pinned = kernel.tested.find((entry) => entry.package === name && entry.version === version);
  if (pinned === undefined) {
    say(`${kernel.name}: ${name} ${version} has not been tested with zmend`);
  } else if (pinned.sha256 !== sum) {
    throw new AptError(`package ${name} ${version} does not have its tested sha256; try again`);
  }
}
