/**
 * Builds the guest fixtures from source: `npm run fixtures:build`, or `node guest-fixtures/build.mjs`
 * with `--check` (compare with the committed binaries, write nothing) or `--out DIR` (write there only).
 *
 * The same compiler gives the same bytes on every machine: no build id, no debug data, no comments, no
 * paths (sources are named relative to this folder) and no time enter the binary.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const compiler = "s390x-linux-gnu-gcc";
const flags = [
  "-std=gnu11",
  "-m64",
  "-march=z10",
  "-O2",
  "-Wall",
  "-Wextra",
  "-Werror",
  "-ffreestanding",
  "-nostdlib",
  "-static",
  "-no-pie",
  "-fno-pic",
  "-msoft-float",
  "-fno-stack-protector",
  "-fno-asynchronous-unwind-tables",
  "-fno-delete-null-pointer-checks",
  "-fno-tree-loop-distribute-patterns",
  "-Iinclude",
  "-Wl,--build-id=none,-T,fixture.ld,-s,--no-warn-rwx-segments",
];

/** What each fixture is linked from; `folders` hold all its own sources. */
const base = ["start.S", "cpu.c", "fixture.c", "memory.c", "print.c", "sclp.c"];
const pci = ["clp.c", "function.c", "loop.c", "pci.c", "work.c"];
const fixtures = [
  {
    name: "hello",
    purpose: "prints one console line and stops",
    folder: "hello",
    lib: base,
  },
  {
    name: "zrecover",
    purpose: "drives zmend test functions with checked DMA and recovers them from error events",
    folder: "zrecover",
    lib: [...base, ...pci],
  },
  {
    name: "zhang",
    purpose: "works like zrecover but never fetches an event",
    folder: "zhang",
    lib: [...base, ...pci],
  },
  {
    name: "zhostile",
    purpose: "issues random zPCI, channel and service instructions with bad operands",
    folder: "zhostile",
    lib: [...base, "clp.c"],
  },
  {
    name: "zsmp",
    purpose: "has all CPUs update, map and signal at the same time",
    folder: "zsmp",
    lib: base,
  },
];

const args = process.argv.slice(2);
const check = args.includes("--check");
const outAt = args.indexOf("--out");
const version = spawnSync(compiler, ["-dumpfullversion"], { encoding: "utf8" });
if (version.error || version.status !== 0) {
  fail(3, `${compiler} is not installed; on Debian: apt-get install gcc-s390x-linux-gnu.`);
}

const scratch = mkdtempSync(join(tmpdir(), "zmend-fixtures-"));
try {
  process.exitCode = main();
} finally {
  rmSync(scratch, { recursive: true, force: true });
}

function main() {
  const target = check ? scratch : outAt >= 0 ? resolve(args[outAt + 1] ?? ".") : join(here, "bin");
  mkdirSync(target, { recursive: true });
  const rows = fixtures.map((fixture) => build(fixture, target));
  if (check) return compare(rows);
  if (outAt < 0) {
    const manifest = `${JSON.stringify({ version: 1, fixtures: rows }, null, 2)}\n`;
    writeFileSync(join(here, "manifest.json"), manifest);
  }
  for (const row of rows) process.stdout.write(`${row.sha256}  ${row.file}\n`);
  return 0;
}

function build(fixture, target) {
  const sources = [
    ...listing(fixture.folder, /\.[cS]$/),
    ...fixture.lib.map((name) => `lib/${name}`),
  ];
  const output = join(target, `${fixture.name}.elf`);
  const result = spawnSync(compiler, [...flags, "-o", output, ...sources], {
    cwd: here,
    stdio: ["ignore", "inherit", "inherit"],
    env: { ...process.env, LC_ALL: "C", SOURCE_DATE_EPOCH: "0" },
  });
  if (result.status !== 0) fail(1, `${fixture.name} does not compile; the messages stand above.`);
  chmodSync(output, 0o644);
  const headers = [...listing("include", /\.h$/), ...listing(fixture.folder, /\.h$/)];
  const inputs = [...sources, ...headers, "fixture.ld"];
  return {
    name: fixture.name,
    purpose: fixture.purpose,
    file: `bin/${fixture.name}.elf`,
    sha256: sha256([readFileSync(output)]),
    source: [`${fixture.folder}/`, "lib/", "include/", "fixture.ld"].join(" "),
    sourceSha256: sha256(inputs.map((name) => readFileSync(join(here, name)))),
    sources: inputs,
    compiler: `gcc ${version.stdout.trim()} (Debian package gcc-s390x-linux-gnu)`,
    flags: flags.join(" "),
    licence: "Apache-2.0",
    rebuild: "npm run fixtures:build",
  };
}

/** Compares fresh rows with the manifest; names every fixture that differs. */
function compare(rows) {
  const manifest = JSON.parse(readFileSync(join(here, "manifest.json"), "utf8"));
  const different = rows.filter(
    (row) => manifest.fixtures.find((known) => known.name === row.name)?.sha256 !== row.sha256,
  );
  for (const row of different) {
    process.stdout.write(`${row.name}: built ${row.sha256}, which is not what the manifest says\n`);
  }
  if (different.length === 0) process.stdout.write(`${rows.length} fixtures rebuilt identically\n`);
  return different.length === 0 ? 0 : 1;
}

function listing(folder, pattern) {
  return readdirSync(join(here, folder))
    .filter((name) => pattern.test(name))
    .sort()
    .map((name) => `${folder}/${name}`);
}

function sha256(parts) {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest("hex");
}

function fail(status, text) {
  process.stderr.write(`fixtures: ${text}\n`);
  process.exit(status);
}
