/**
 * The package as a user gets it: a clean build in a folder of its own, `npm pack`, unpacked into a folder with
 * a blank in its name, and run from elsewhere. Only the production dependencies are within its reach.
 */
import { spawnSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, relative, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type CommandResult, runNode } from "../support/command.ts";

const repository = resolve(".");

interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly bin: Readonly<Record<string, string>>;
  readonly exports: Readonly<Record<string, { readonly types: string; readonly default: string }>>;
  readonly files: readonly string[];
  readonly dependencies: Readonly<Record<string, string>>;
}

const manifest = JSON.parse(readFileSync("package.json", "utf8")) as Manifest;

let scratch: string;
/** The unpacked package, and a folder that is neither it nor the repository. */
let unpacked: string;
let elsewhere: string;
let packed: readonly string[];

function must(command: string, words: readonly string[], cwd: string): void {
  const { status, stdout, stderr, error } = spawnSync(command, [...words], {
    cwd,
    encoding: "utf8",
  });
  if (status !== 0)
    throw new Error(`${command} ${words.join(" ")}: ${error ?? ""}${stdout}${stderr}`);
}

function filesUnder(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    return entry.isDirectory() ? filesUnder(path) : [path];
  });
}

/** A fresh copy of the repository, built: what is packed must not depend on an older build. */
function stage(folder: string): void {
  for (const name of readdirSync(repository)) {
    if (name === "dist" || name === "node_modules" || name.startsWith(".git")) continue;
    cpSync(name, join(folder, name), { recursive: true });
  }
  symlinkSync(join(repository, "node_modules"), join(folder, "node_modules"));
  must(process.execPath, ["config/tools/ensure.mjs", "build"], folder);
}

beforeAll(() => {
  scratch = realpathSync(mkdtempSync(join(tmpdir(), "zmend-pack-")));
  const staged = join(scratch, "staged");
  mkdirSync(staged);
  stage(staged);
  must("npm", ["pack", "--ignore-scripts", "--offline", "--pack-destination", scratch], staged);
  rmSync(staged, { recursive: true });

  const home = join(scratch, "a folder");
  mkdirSync(home);
  must("tar", ["-xzf", join(scratch, `zmend-${manifest.version}.tgz`)], scratch);
  unpacked = join(home, "package");
  cpSync(join(scratch, "package"), unpacked, { recursive: true });
  packed = filesUnder(unpacked).map((file) => relative(unpacked, file));

  mkdirSync(join(unpacked, "node_modules"));
  for (const name of Object.keys(manifest.dependencies)) {
    symlinkSync(join(repository, "node_modules", name), join(unpacked, "node_modules", name));
  }
  elsewhere = join(scratch, "elsewhere");
  mkdirSync(join(elsewhere, "node_modules"), { recursive: true });
  symlinkSync(unpacked, join(elsewhere, "node_modules", "zmend"));
});

afterAll(() => rmSync(scratch, { recursive: true, force: true }));

function zmend(...words: string[]): CommandResult {
  return runNode([join(unpacked, "dist/src/daemon/zmend.js"), ...words], elsewhere);
}

describe("the packed package holds", () => {
  it("everything that files, bin and exports name, and its documents", () => {
    const named = [
      ...manifest.files.filter((pattern) => !pattern.startsWith("!")),
      ...Object.values(manifest.bin),
      ...Object.values(manifest.exports).flatMap((entry) => Object.values(entry)),
      "README.md",
      "LICENSE",
      "package.json",
    ];
    expect(named.filter((path) => !existsSync(join(unpacked, path)))).toEqual([]);
  });

  it("commands that a shell can start", () => {
    for (const path of Object.values(manifest.bin)) {
      expect(readFileSync(join(unpacked, path), "utf8")).toMatch(/^#!\/usr\/bin\/env node\n/);
    }
  });

  it("the compiled form of every source, and no file without one", () => {
    const compiled = packed.filter((file) => /^dist\/.*\.js$/.test(file)).sort();
    const sources = ["src", "workers"]
      .flatMap(filesUnder)
      .filter((file) => file.endsWith(".ts") && !file.endsWith(".d.ts"));
    expect(compiled).toEqual(sources.map((file) => `dist/${file.replace(/\.ts$/, ".js")}`).sort());
  });

  it("no test, no benchmark, no TypeScript source, no log, no archive", () => {
    const unwanted = packed.filter(
      (file) =>
        /(^|\/)(test|tests|bench|node_modules)\//.test(file) ||
        /\.test\.|\.tgz$|\.log$|\.tsbuildinfo$|(^|\/)\.(?!npmignore)/.test(file) ||
        (/\.ts$/.test(file) && !/\.d\.ts$/.test(file)),
    );
    expect(unwanted).toEqual([]);
  });

  it("no path of the machine that built it, in source maps or anywhere else", () => {
    const places = [repository, scratch, process.env["HOME"] ?? ""].filter(
      (path) => path.length > 1,
    );
    const marked = packed.filter((file) => {
      const bytes = readFileSync(join(unpacked, file));
      return places.some((place) => bytes.includes(`${place}/`));
    });
    expect(marked).toEqual([]);
    const maps = packed.filter((file) => file.endsWith(".map"));
    for (const file of maps) {
      const map = JSON.parse(readFileSync(join(unpacked, file), "utf8")) as { sources: string[] };
      expect(map.sources.filter((source) => !source.startsWith("../"))).toEqual([]);
    }
  });

  it("less than 8 MiB", () => {
    const total = packed.reduce((sum, file) => sum + statSync(join(unpacked, file)).size, 0);
    expect(total).toBeLessThan(8 * 1024 * 1024);
  });
});

describe("the unpacked package, run from another folder,", () => {
  it("prints its version", () => {
    expect(zmend("--version")).toMatchObject({
      status: 0,
      stdout: `${manifest.version}\n`,
      stderr: "",
    });
  });

  it("shows the demo under virtual time: recovered, books closed", () => {
    const { status, stdout, stderr } = zmend("demo", "--deterministic", "--json");
    expect(stderr).toBe("");
    expect(status).toBe(0);
    const result = JSON.parse(stdout) as Record<string, unknown>;
    expect(result).toMatchObject({
      verdict: "recovered",
      policy: "mediated",
      vm: "running",
      guest: { fixture: "zrecover" },
    });
    expect(result["digest"]).toMatch(/^[0-9a-f]{64}$/);
  });

  it("gives the digest that the repository's own build gives", () => {
    const digest = ({ stdout }: CommandResult): unknown =>
      (JSON.parse(stdout) as Record<string, unknown>)["digest"];
    const words = ["demo", "--deterministic", "--seed", "7", "--json"];
    const own = runNode([join(repository, "dist/src/daemon/zmend.js"), ...words], elsewhere);
    expect(digest(zmend(...words))).toBe(digest(own));
  });

  it("shows the demo on threads: its workers are found", () => {
    // The shipped demo with room for a slow machine.
    const text = readFileSync(join(unpacked, "config/demo.yaml"), "utf8");
    const config = join(elsewhere, "patient.yaml");
    writeFileSync(config, text.replace(/^deadlineMs: .*$/m, "deadlineMs: 60000"));
    const { status, stdout, stderr } = zmend("demo", "--config", "patient.yaml", "--json");
    expect(stderr).toBe("");
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ verdict: "recovered", vm: "running" });
  });

  it("runs a bare-metal guest with zmend-system-s390x", () => {
    const command = join(unpacked, "dist/src/daemon/zmend-system-s390x.js");
    const image = join(unpacked, "guest-fixtures/bin/hello.elf");
    const result = runNode([command, "-kernel", image, "-m", "16", "-nographic"], elsewhere);
    expect(result).toMatchObject({
      status: 0,
      stdout: "hello: a bare-metal s390x guest with 16 MiB\n",
      stderr: "",
    });
  });

  it("has the daemon's page, with its libraries", () => {
    const module = pathToFileURL(join(unpacked, "dist/src/control/page/index.js")).href;
    const script = [
      `import { createPage } from ${JSON.stringify(module)};`,
      "const routes = createPage({ vms: () => [] }).routes();",
      "const files = Object.keys(routes).filter((key) => /[.](js|css|svg)$|^GET .$/.test(key));",
      "const sizes = await Promise.all(files.map(async (key) => (await routes[key]()).body.length));",
      "console.log(files.length, sizes.every((size) => size > 50));",
    ];
    writeFileSync(join(elsewhere, "page.mjs"), script.join("\n"));
    expect(runNode(["page.mjs"], elsewhere)).toMatchObject({ status: 0, stdout: "11 true\n" });
  });

  it("is importable by its three names, and by no other", () => {
    const script = [
      'import { abi, recovery } from "zmend";',
      'import { allLayouts } from "zmend/abi";',
      'import { policyNames } from "zmend/recovery";',
      "console.log(abi.allLayouts === allLayouts, recovery.policyNames === policyNames, policyNames().join());",
      'await import("zmend/dist/src/index.js").catch((error) => console.log(error.code));',
    ];
    writeFileSync(join(elsewhere, "user.mjs"), script.join("\n"));
    expect(runNode(["user.mjs"], elsewhere)).toMatchObject({
      status: 0,
      stdout:
        "true true mediated,patient,qemu-11,quarantine,reset-first,unplug\nERR_PACKAGE_PATH_NOT_EXPORTED\n",
    });
  });

  it("has types that a strict TypeScript program can use", () => {
    writeFileSync(
      join(elsewhere, "user.mts"),
      [
        'import { type Clock, VirtualClock } from "zmend";',
        'import { CcdfErr, decode } from "zmend/abi";',
        'import { type Policy, loadPolicy } from "zmend/recovery";',
        "export const clock: Clock = new VirtualClock();",
        "export const pec: number = decode(CcdfErr, new DataView(new ArrayBuffer(32))).pec;",
        "export const faddr: bigint = decode(CcdfErr, new DataView(new ArrayBuffer(32))).faddr;",
        'export const policy: Policy = loadPolicy("mediated");',
      ].join("\n"),
    );
    const tsc = join(repository, "node_modules/typescript/bin/tsc");
    const options = ["--noEmit", "--strict", "--module", "nodenext", "--target", "es2024"];
    const result = runNode(
      [tsc, ...options, "--skipLibCheck", "--types", "", "user.mts"],
      elsewhere,
    );
    expect(result).toMatchObject({ status: 0, stdout: "" });
  });
});
