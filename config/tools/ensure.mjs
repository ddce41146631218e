/**
 * Makes `npm start`, `npm test` and the other npm commands work from a bare clone: checks Node, installs
 * and builds what is missing or stale, then runs the task. Plain JavaScript, no dependency, because it
 * runs before anything is installed.
 */
import { spawnSync } from "node:child_process";
import {
  existsSync,
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { bindImports } from "./bind-imports.mjs";
import { doorways, linkWorkers } from "./link-workers.mjs";

const root = join(dirname(fileURLToPath(import.meta.url)), "..", "..");
const dist = join(root, "dist");
const stamp = join(dist, ".built");
const [task = "", ...args] = process.argv.slice(2);

const node = (file, parameters) => [process.execPath, [join(root, file), ...parameters]];
const bin = (packagePath, parameters) => node(join("node_modules", packagePath), parameters);
const biome = (parameters) => bin("@biomejs/biome/bin/biome", parameters);
const tsc = (parameters) => bin("typescript/bin/tsc", parameters);

const tasks = {
  start: () => run(...node("dist/src/daemon/zmend.js", args.length > 0 ? args : ["demo"])),
  build: () => 0,
  test: () => test(args),
  check: () => run(...biome(["ci", "."])) || run(...tsc(["--noEmit"])) || test([]),
  "experiment:smoke": () => experimentSmoke(),
  bench: () => run(...node("dist/test/bench/main.js", args)),
  oracle: () => run(...node("dist/test/oracle/main.js", args)),
  "replay:zpci": () => run(...node("dist/test/replay/main.js", args)),
  fuzz: () => run(...node("dist/test/fuzz/main.js", args)),
  "verify:model": () => run(...node("dist/test/model/main.js", args)),
  "test:guest": () => testGuest(),
  fixtures: () => run(...node("guest-fixtures/linux/fetch.mjs", args)),
  generate: () => run(...node("config/tools/generate.mjs", args)),
  "fixtures:build": () => run(...node("guest-fixtures/build.mjs", args)),
};

checkNode();
const action = tasks[task];
if (action === undefined) {
  fail(2, `unknown task '${task}'; one of: ${Object.keys(tasks).join(", ")}.`);
}
install();
await build();
process.exitCode = action();

function checkNode() {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  if (major < 20 || (major === 20 && minor < 19)) {
    fail(3, `zmend needs Node 20.19 or newer, this is ${process.version}; install a newer Node.`);
  }
}

/** Installs when nothing is installed or the lock file is newer than the installation. */
function install() {
  const lock = join(root, "package-lock.json");
  const installed = join(root, "node_modules", ".package-lock.json");
  if (existsSync(installed) && (!existsSync(lock) || modified(installed) >= modified(lock))) return;
  // A linked node_modules belongs to somebody else: an installation would change it through the link.
  const modules = lstatSync(join(root, "node_modules"), { throwIfNoEntry: false });
  if (modules?.isSymbolicLink()) return;
  // `npm install` keeps to the lock file, and unlike `npm ci` forgives a registry that lacks the optional
  // binaries of other platforms.
  const command = ["install", "--no-save", "--ignore-scripts"];
  if (!existsSync(lock)) command.push("--omit=dev");
  say("installing dependencies (npm)");
  const status = run("npm", [...command, "--no-audit", "--no-fund", "--loglevel=error"], {
    quiet: true,
  });
  if (status !== 0) fail(3, "npm could not install the dependencies; its message stands above.");
  if (existsSync(lock)) writeFileSync(installed, readFileSync(installed));
}

/** Compiles when a source is newer than the last build. A packed release carries no sources. */
async function build() {
  const sources = [
    ...["src", "workers", "test", "tsconfig.json", "tsconfig.build.json"],
    ...["config/tools/bind-imports.mjs", "config/tools/link-workers.mjs"],
  ].map((name) => join(root, name));
  if (!existsSync(join(root, "tsconfig.build.json"))) return;
  if (!args.includes("--clean") && existsSync(stamp) && newest(sources) <= modified(stamp)) return;
  say("compiling TypeScript");
  if (args.includes("--clean")) rmSync(dist, { recursive: true, force: true });
  if (run(...tsc(["-p", join(root, "tsconfig.build.json")]), { quiet: true }) !== 0) {
    fail(1, "the TypeScript sources do not compile; tsc's messages stand above.");
  }
  const { tuneEngine } = await import(new URL("../../dist/src/base/engine.js", import.meta.url));
  tuneEngine();
  linkWorkers(dist, doorways);
  for (const folder of ["src", "workers"]) bindImports(join(dist, folder));
  writeFileSync(stamp, "");
}

/** Runs vitest and ends with the one line that CI reads. */
function test(parameters) {
  const scratch = mkdtempSync(join(tmpdir(), "zmend-test-"));
  const report = join(scratch, "report.json");
  const status = run(
    ...bin("vitest/vitest.mjs", [
      "run",
      "--reporter=default",
      `--reporter=${join(root, "config/tools/second-tries.mjs")}`,
      "--reporter=json",
      `--outputFile.json=${report}`,
      ...parameters,
    ]),
  );
  if (!existsSync(report)) return status || 1;
  const counts = JSON.parse(readFileSync(report, "utf8"));
  rmSync(scratch, { recursive: true, force: true });
  const skipped = counts.numPendingTests + counts.numTodoTests;
  if (skipped > 0) process.stdout.write(`${skipped} skipped\n`);
  process.stdout.write(`${counts.numPassedTests} passed, ${counts.numFailedTests} failed\n`);
  return status;
}

/** Whole guests only; with --all, every Linux kernel that is cached and not 6.1 alone. */
function testGuest() {
  if (args.includes("--all")) process.env.ZMEND_GUESTS = "all";
  return test(["test/guest", ...args.filter((word) => word !== "--all")]);
}

function modified(path) {
  return statSync(path).mtimeMs;
}

function newest(paths) {
  let latest = 0;
  for (const path of paths) {
    const status = statSync(path);
    latest = Math.max(latest, status.isDirectory() ? newest(children(path)) : status.mtimeMs);
  }
  return latest;
}

function children(folder) {
  return readdirSync(folder).map((name) => join(folder, name));
}

function run(command, parameters, { quiet = false } = {}) {
  const result = spawnSync(command, parameters, {
    cwd: quiet ? root : process.cwd(),
    stdio: ["inherit", quiet ? 2 : "inherit", "inherit"],
  });
  if (result.error) fail(3, `${command} could not be started: ${result.error.message}.`);
  return result.status ?? 130;
}

function say(text) {
  process.stderr.write(`zmend: ${text}\n`);
}

function fail(status, text) {
  say(text);
  process.exit(status);
}

/** The smoke experiment, whose digest the README prints. */
function experimentSmoke() {
  const out = mkdtempSync(join(tmpdir(), "zmend-smoke-"));
  const words = ["dist/src/daemon/zmend.js", "experiment", "run", "smoke", "--out", out, ...args];
  const status = run(...node(words[0], words.slice(1)));
  rmSync(out, { recursive: true, force: true });
  return status;
}
