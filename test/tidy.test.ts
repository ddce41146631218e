/** The repository checks itself: structure, import directions, honesty of documents. No dependency. */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { describe, expect, it } from "vitest";

const tracked = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard"], {
  encoding: "utf8",
})
  .split("\n")
  .filter((file) => file !== "" && existsSync(file));
const sources = tracked.filter(
  (file) => /^(src|workers)\/.*\.ts$/.test(file) && !file.endsWith(".d.ts"),
);
const tests = tracked.filter((file) => /^test\/.*\.ts$/.test(file));

interface Import {
  readonly target: string;
  readonly typeOnly: boolean;
}

function importsOf(file: string): Import[] {
  const text = readFileSync(file, "utf8");
  const found: Import[] = [];
  const pattern =
    /(?:^|\n)\s*(?:import|export)\s+(type\s+)?([^"';]*?from\s+)?"(\.[^"]+)"|(?:new URL|import)\(\s*"(\.[^"]+)"/g;
  for (const match of text.matchAll(pattern)) {
    const specifier = match[3] ?? match[4];
    if (specifier === undefined || !specifier.endsWith(".ts")) continue;
    found.push({
      target: normalize(join(dirname(file), specifier)),
      typeOnly: match[1] !== undefined,
    });
  }
  return found;
}

const rankOf: Readonly<Record<string, number>> = {
  base: 0,
  abi: 1,
  ports: 2,
  shm: 2,
  cpu: 3,
  devices: 3,
  backend: 3,
  recovery: 3,
  config: 3,
  "guest-model": 3,
  machine: 4,
  control: 5,
  experiment: 5,
  daemon: 6,
};

function moduleOf(file: string): string {
  return file.split("/")[1] ?? "";
}

function rank(file: string): number {
  if (file.startsWith("workers/") || file === "src/index.ts") return 6;
  return rankOf[moduleOf(file)] ?? Number.NaN;
}

/** `base` may name port types; ports and shm see each other (shm implements ports). */
function allowed(from: string, to: Import): boolean {
  if (moduleOf(from) === moduleOf(to.target)) return true;
  if (moduleOf(from) === "base") return moduleOf(to.target) === "ports" && to.typeOnly;
  if (moduleOf(from) === "shm" && moduleOf(to.target) === "ports") return true;
  if (from === "src/index.ts" || from.startsWith("workers/")) return true;
  return rank(to.target) < rank(from);
}

describe("the tree", () => {
  it("has nothing at the top level but the five folders, root documents and tool configuration", () => {
    const top = new Set(tracked.map((file) => file.split("/")[0]));
    const expected = new Set([
      "src",
      "workers",
      "guest-fixtures",
      "test",
      "config",
      "package.json",
      "package-lock.json",
      "README.md",
      "ARCHITECTURE.md",
      "CONTRIBUTING.md",
      "CHANGELOG.md",
      "SECURITY.md",
      "LICENSE",
      "CITATION.cff",
      "tsconfig.json",
      "tsconfig.build.json",
      "biome.json",
      "vitest.config.ts",
      ".ci",
      ".gitignore",
      ".npmrc",
    ]);
    expect([...top].filter((name) => !expected.has(name ?? ""))).toEqual([]);
    expect([...expected].filter((name) => !top.has(name))).toEqual([]);
  });

  it("imports point down only", () => {
    const wrong = sources.flatMap((file) =>
      importsOf(file)
        .filter((target) => target.target.startsWith("src/") && !allowed(file, target))
        .map((target) => `${file} -> ${target.target}`),
    );
    expect(wrong).toEqual([]);
    expect(sources.filter((file) => Number.isNaN(rank(file)))).toEqual([]);
  });

  it("has no cycle of value imports", () => {
    const done = new Set<string>();
    const cycles: string[] = [];
    const visit = (file: string, path: string[]): void => {
      if (path.includes(file)) {
        cycles.push([...path.slice(path.indexOf(file)), file].join(" -> "));
        return;
      }
      if (done.has(file) || !existsSync(file)) return;
      for (const target of importsOf(file)) {
        if (!target.typeOnly) visit(target.target, [...path, file]);
      }
      done.add(file);
    };
    for (const file of sources) visit(file, []);
    expect(cycles).toEqual([]);
  });

  it("exports no variable: the build takes imports for constants", () => {
    const variables = sources.filter((file) =>
      /^export (?:let|var) /m.test(readFileSync(file, "utf8")),
    );
    expect(variables).toEqual([]);
  });

  it("keeps parsers of configuration out of the workers, whose start a guest may wait for", () => {
    const loaded = new Set<string>();
    const visit = (file: string): void => {
      if (loaded.has(file) || !existsSync(file)) return;
      loaded.add(file);
      for (const target of importsOf(file)) if (!target.typeOnly) visit(target.target);
    };
    for (const file of sources) if (file.startsWith("workers/")) visit(file);
    expect(loaded).toContain("src/recovery/unit.ts");
    expect([...loaded].filter((file) => /yaml-file|policy-file|^src\/config\//.test(file))).toEqual(
      [],
    );
  });

  it("names Atomics in one source file only", () => {
    const users = sources.filter((file) => /\bAtomics\./.test(readFileSync(file, "utf8")));
    expect(users).toEqual(["src/shm/atomics.ts"]);
  });

  it("has no source file that no test reaches", () => {
    const reached = new Set<string>();
    const visit = (file: string): void => {
      if (reached.has(file) || !existsSync(file)) return;
      reached.add(file);
      for (const target of importsOf(file)) visit(target.target);
    };
    for (const file of tests) visit(file);
    // Commands and workers are run by the name of their compiled file.
    const texts = tests.map((file) => readFileSync(file, "utf8")).join("\n");
    for (const command of ["src/daemon/zmend.ts", "src/daemon/zmend-system-s390x.ts"]) {
      if (texts.includes(command.replace(/\.ts$/, ".js"))) visit(command);
    }
    const missed = sources.filter((file) => !reached.has(file) && !file.startsWith("workers/"));
    expect(missed).toEqual([]);
  });

  it("keeps clocks and chance in src/base", () => {
    const pattern =
      /\bDate\.now\(|\bnew Date\(|\bperformance\.now\(|\bMath\.random\(|process\.hrtime/;
    const users = sources.filter(
      (file) => !file.startsWith("src/base/") && pattern.test(readFileSync(file, "utf8")),
    );
    expect(users).toEqual([]);
  });
});

describe("vega, which is large", () => {
  it("is loaded by the drawing of a report and by nothing else, and not before it is asked to", () => {
    const users = sources.filter((file) => /["']vega(-lite)?["']/.test(readFileSync(file, "utf8")));
    expect(users).toEqual(["src/experiment/report/svg.ts"]);
    const text = readFileSync("src/experiment/report/svg.ts", "utf8");
    expect(text).not.toMatch(/^import (?!type)[^\n]*vega/m);
  });
});

describe("mathematics that engines agree on", () => {
  it("is all that experiments and the guest model use: no transcendental of Math, no power operator", () => {
    const exact =
      /^(abs|ceil|floor|round|trunc|min|max|sign|sqrt|fround|imul|clz32|[A-Z][A-Z0-9_]*)$/;
    const wrong: string[] = [];
    for (const file of sources) {
      if (!/^src\/(experiment|guest-model)\/|^src\/base\/(elementary|distribution)/.test(file))
        continue;
      const code = readFileSync(file, "utf8").replace(/\/\*[\s\S]*?\*\/|\/\/.*/g, "");
      for (const match of code.matchAll(/\bMath\.(\w+)|\*\*/g)) {
        if (!exact.test(match[1] ?? "")) wrong.push(`${file}: ${match[0]}`);
      }
    }
    expect(wrong).toEqual([]);
  });
});

describe("documents", () => {
  const documents = tracked.filter((file) => file.endsWith(".md"));

  it("name only paths that exist", () => {
    const missing: string[] = [];
    for (const file of documents) {
      const text = readFileSync(file, "utf8");
      for (const match of text.matchAll(
        /(?<![\w./-])((?:src|workers|test|config|guest-fixtures)\/[\w./-]*[\w/])/g,
      )) {
        const path = match[1] ?? "";
        if (!existsSync(path) && !existsSync(join(dirname(file), path)))
          missing.push(`${file}: ${path}`);
      }
    }
    expect(missing).toEqual([]);
  });

  it("and the lock file name no registry", () => {
    const lock = readFileSync("package-lock.json", "utf8");
    expect(lock.includes('"resolved"')).toBe(false);
  });
});
