import { execFile } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { Script } from "node:vm";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { packageRoot } from "../../../src/base/version.ts";

const { linked, linkWorkers } = (await import(
  pathToFileURL(resolve("config/tools/link-workers.mjs")).href
)) as {
  linked: (entry: string) => string;
  linkWorkers: (dist: string, names: readonly string[]) => void;
};

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "zmend-link-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

function write(files: Readonly<Record<string, string>>): void {
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
}

/** What the script exports. */
function run(text: string): unknown {
  const module: { exports?: unknown } = {};
  new Script(text).runInThisContext()(createRequire(import.meta.url), module);
  return module.exports;
}

describe("linking a thread's doorway", () => {
  test("gives one module that does what the many did, each of them evaluated once", async () => {
    write({
      "leaf.js":
        "globalThis.leaves = (globalThis.leaves ?? 0) + 1;\n" +
        "export const one = 1;\nexport const { two, 3: three } = { two: 2, 3: 3 };\n" +
        "function hidden() {\n  return 4;\n}\nexport { hidden as four };\n",
      "more.js":
        "export class Five {\n  value = 5;\n}\nexport async function six() {\n  return 6;\n}\n",
      "index.js": 'export { one, two as deux } from "./leaf.js";\nexport * from "./more.js";\n',
      "entry.js":
        'import "./leaf.js";\nimport {\n  deux,\n  Five,\n  one as first,\n  six,\n} from "./index.js";\n' +
        'import * as leaf from "./leaf.js";\nimport { basename } from "node:path";\n' +
        "export default async function life(path) {\n" +
        "  return [first, deux, leaf.three, leaf.four(), new Five().value, await six(), basename(path)];\n}\n" +
        "//# sourceMappingURL=entry.js.map\n",
    });
    const life = run(linked(join(folder, "entry.js"))) as (path: string) => Promise<unknown>;
    expect(await life("/a/seven")).toEqual([1, 2, 3, 4, 5, 6, "seven"]);
    expect((globalThis as { leaves?: number }).leaves).toBe(1);
    expect(linked(join(folder, "entry.js"))).not.toMatch(/^import .*"\.|sourceMappingURL/m);
  });

  test("leaves out comments and what makes a text two bytes wide, and nothing that is meant", async () => {
    write({
      "words.js":
        '/**\n * One … of * many.\n */\nexport const dots = "…"; // stays\n// gone\n  // gone too\n' +
        "export const ratio = /* half */ 4 / 2 / 1;\nexport const path =\n  /* a */ 'a//b';\n",
      "page.js": "export const page = `first\n// no comment\n/* nor this */\n`;\n// may stay\n",
      "entry.js":
        'import { dots, path, ratio } from "./words.js";\nimport { page } from "./page.js";\n' +
        "export default function words() {\n  return [dots, ratio, path, page];\n}\n",
    });
    const text = linked(join(folder, "entry.js"));
    expect(text).not.toContain("gone");
    expect(text).not.toContain("of * many");
    expect(text).not.toMatch(/[^\0-\x7f]/);
    const words = run(text) as () => unknown;
    expect(words()).toEqual(["…", 2, "a//b", "first\n// no comment\n/* nor this */\n"]);
  });

  test("puts beside the script what V8 made of it, and a doorway that goes without it too", async () => {
    const workers = join(folder, "dist", "workers");
    mkdirSync(workers, { recursive: true });
    const source = "export default function life(n) {\n  return n + 1;\n}\n";
    writeFileSync(join(workers, "one.worker.js"), source);
    linkWorkers(join(folder, "dist"), ["one"]);
    const cachedData = readFileSync(join(workers, "one.worker.cache"));
    const script = new Script(readFileSync(join(workers, "one.worker.js"), "latin1"), {
      cachedData,
    });
    expect(script.cachedDataRejected).toBe(false);
    const doorway = join(workers, "one.worker.cjs");
    const require = createRequire(import.meta.url);
    expect(require(doorway)(1)).toBe(2);
    for (const cache of [undefined, "of another V8"]) {
      if (cache === undefined) rmSync(join(workers, "one.worker.cache"));
      else writeFileSync(join(workers, "one.worker.cache"), cache);
      delete require.cache[doorway];
      expect(require(doorway)(2)).toBe(3);
    }
  });

  describe("makes caches that V8 takes under the flags that VMs' threads run under", () => {
    const threads = ["recovery", "vcpu", "io"];

    /** Whether V8 takes each thread's cache, in a process that was set up as ours are. */
    async function taken(root: URL): Promise<unknown> {
      const program = `
        import { readFileSync } from "node:fs";
        import { Script } from "node:vm";
        import { tuneEngine } from ${JSON.stringify(new URL("dist/src/base/engine.js", root))};
        tuneEngine();
        const taken = ${JSON.stringify(threads)}.map((name) => {
          const file = (ending) => new URL(name + ".worker." + ending, ${JSON.stringify(new URL("dist/workers/", root))});
          const cachedData = readFileSync(file("cache"));
          return !new Script(readFileSync(file("js"), "latin1"), { cachedData }).cachedDataRejected;
        });
        console.log(JSON.stringify(taken));`;
      const words = ["--input-type=module", "--eval", program];
      const { stdout } = await promisify(execFile)(process.execPath, words);
      return JSON.parse(stdout);
    }

    test("in the build", async () => {
      expect(await taken(packageRoot)).toEqual([true, true, true]);
    });

    test("where a package was installed, which brings none", async () => {
      const root = pathToFileURL(join(folder, "installed/"));
      const copied = [
        "config/tools/link-workers.mjs",
        "config/tools/cache-workers.mjs",
        "dist/src/base/engine.js",
        ...threads.map((name) => `dist/workers/${name}.worker.js`),
      ];
      for (const file of copied) cpSync(new URL(file, packageRoot), new URL(file, root));
      writeFileSync(new URL("package.json", root), '{ "type": "module" }');
      await promisify(execFile)(process.execPath, [
        fileURLToPath(new URL("config/tools/cache-workers.mjs", root)),
      ]);
      expect(await taken(root)).toEqual([true, true, true]);
    });
  });

  test.each([
    ["a package", 'import { Piscina } from "piscina";\n', "imports piscina"],
    ["its own place", "export const here = import.meta.url;\n", "cannot be linked"],
    ["a default import", 'import fs from "node:fs";\n', "cannot be linked"],
  ])("refuses %s with the file's name", (_what, text, problem) => {
    write({ "odd.js": text });
    expect(() => linked(join(folder, "odd.js"))).toThrow(problem);
    expect(() => linked(join(folder, "odd.js"))).toThrow("odd.js");
  });
});
