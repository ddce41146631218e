/**
 * A step of the build: each thread's doorway becomes one script with everything that it imports from its neighbours. A
 * worker loads its modules anew, and on Node 20 each costs near a millisecond of processor time: a recovery worker's 86
 * and a vCPU's 200 were most of what its start took. Every module is a function that runs once and returns its exports;
 * those of Node are required. Sound, because value imports have no cycles, nobody exports a variable, and threads
 * have no use for import.meta (test/tidy.test.ts).
 *
 * Beside the script stands what V8 made of it (`NAME.worker.cache`): a thread that takes it does not parse the script again,
 * 13 ms of processor time for a recovery worker and 33 ms for a vCPU. A V8 of another version, or one with other flags, refuses
 * it and parses: who calls `linkWorkers` has set those that the threads will run under. A packed release has none before
 * `cache-workers.mjs` has run where it was installed.
 */
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { Script } from "node:vm";

const IMPORT = /^import\s+(?:(\*\s+as\s+[\w$]+|\{[^}]*\})\s+from\s+)?"([^"]+)";$/gm;
const FORWARD = /^export\s+(\*|\{[^}]*\})\s+from\s+"([^"]+)";$/gm;
const DECLARED = /^export\s+(default\s+)?((?:async\s+)?function\*?|class|const)\s+([\w$]+)/gm;
const TAKEN_APART = /^export\s+const\s+\{([^}]*)\}\s+=/gm;
const LISTED = /^export\s+\{([^}]*)\};$/gm;
const MAP = /^\/\/# sourceMappingURL=.*$/gm;

/** `a, b as c` or `a, b: c` as pairs of names, the one where they come from first. */
function pairs(list) {
  return list
    .replace(/[{}]/g, "")
    .split(",")
    .map((name) => name.trim().split(/\s+as\s+|:\s+/))
    .filter(([name]) => name !== "")
    .map(([name, other = name]) => [name, other]);
}

/**
 * Without indentation and comments that have lines of their own, and in ASCII: every thread keeps the text of its file, in
 * two bytes for each character where one is beyond Latin-1. A module with a template over several lines keeps both,
 * because a line of it may look like one.
 */
function lean(text) {
  const ascii = text.replace(
    /[^\0-\x7f]/g,
    (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
  if (ascii.split("\n").some((line) => line.split("`").length % 2 === 0)) return ascii;
  return ascii
    .replace(/^[ \t]*\/\*(?:(?!\*\/)[\s\S])*\*\/[ \t]*\n/gm, "")
    .replace(/^[ \t]*\/\/.*\n/gm, "")
    .replace(/^[ \t]+/gm, "");
}

/** One script for the module `entry` and all that it reaches: a function of `require` and `module`, as Node's own for CommonJS. */
export function linked(entry) {
  const modules = new Map();
  const outside = new Map();
  const parts = [];

  const place = (specifier, from) => {
    if (specifier.startsWith(".")) return module(resolve(dirname(from), specifier));
    if (!specifier.startsWith("node:")) throw new Error(`${from} imports ${specifier}`);
    if (!outside.has(specifier)) outside.set(specifier, `outside${outside.size}`);
    return outside.get(specifier);
  };

  /** @returns the variable that holds the module's exports */
  const module = (file) => {
    const known = modules.get(file);
    if (known !== undefined) return known;
    const exported = [];
    const text = lean(readFileSync(file, "utf8"))
      .replace(MAP, "")
      .replace(FORWARD, (_whole, what, specifier) => {
        const from = place(specifier, file);
        if (what === "*") exported.push(`...${from}`);
        else for (const [name, as] of pairs(what)) exported.push(`${as}: ${from}.${name}`);
        return "";
      })
      .replace(IMPORT, (_whole, what, specifier) => {
        const from = place(specifier, file);
        if (what === undefined) return "";
        if (what.startsWith("*")) return `const ${what.replace(/^\*\s+as\s+/, "")} = ${from};`;
        const names = pairs(what).map(([name, as]) => (name === as ? name : `${name}: ${as}`));
        return `const { ${names.join(", ")} } = ${from};`;
      })
      .replace(DECLARED, (_whole, byDefault, kind, name) => {
        exported.push(byDefault === undefined ? name : `default: ${name}`);
        return `${kind} ${name}`;
      })
      .replace(TAKEN_APART, (_whole, list) => {
        for (const [, name] of pairs(list)) exported.push(name);
        return `const { ${list} } =`;
      })
      .replace(LISTED, (_whole, list) => {
        for (const [name, as] of pairs(list)) exported.push(`${as}: ${name}`);
        return "";
      });
    if (/^(?:import|export)\b/m.test(text) || text.includes("import.meta")) {
      throw new Error(`${file} has an import or export that cannot be linked`);
    }
    const variable = `module${modules.size}`;
    modules.set(file, variable);
    parts.push(`const ${variable} = (() => {\n${text}\nreturn { ${exported.join(", ")} };\n})();`);
    return variable;
  };

  const last = module(resolve(entry));
  const required = [...outside].map(
    ([name, variable]) => `const ${variable} = require("${name}");`,
  );
  const lines = ['(function (require, module) { "use strict";', ...required, ...parts];
  return [...lines, `module.exports = ${last}.default;`, "})", ""].join("\n");
}

/** What a thread loads: it runs the script of the same name, from V8's cache if that is this V8's. */
const DOORWAY = `"use strict";
const { readFileSync } = require("node:fs");
const { Script } = require("node:vm");
const filename = __filename.replace(/cjs$/, "js");
let cachedData;
try {
  cachedData = readFileSync(__filename.replace(/cjs$/, "cache"));
} catch {
  // It is parsed then.
}
new Script(readFileSync(filename, "latin1"), { filename, cachedData }).runInThisContext()(require, module);
`;

/** The doorways of `workers/` that VMs' threads come in by. */
export const doorways = ["recovery", "vcpu", "io"];

export function linkWorkers(dist, names) {
  for (const name of names) {
    const text = linked(join(dist, "workers", `${name}.worker.js`));
    // V8 compares lengths only: no cache may stand beside a script that it was not made of.
    rmSync(join(dist, "workers", `${name}.worker.cache`), { force: true });
    writeFileSync(join(dist, "workers", `${name}.worker.js`), text);
    writeFileSync(join(dist, "workers", `${name}.worker.cjs`), DOORWAY);
  }
  cacheWorkers(dist, names);
}

/** Puts this V8's code cache beside each linked script. */
export function cacheWorkers(dist, names) {
  for (const name of names) {
    const filename = join(dist, "workers", `${name}.worker.js`);
    const script = new Script(readFileSync(filename, "latin1"), { filename });
    // Its modules run once, so that what they compiled is in the cache too.
    script.runInThisContext()(createRequire(filename), {});
    writeFileSync(filename.replace(/js$/, "cache"), script.createCachedData());
  }
}
