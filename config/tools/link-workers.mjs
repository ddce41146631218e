/**
 * A step of the build: each thread's doorway becomes one file with everything that it imports from its neighbours. A
 * worker loads its modules anew, and on Node 20 each costs near a millisecond of processor time: a recovery worker's 86
 * and a vCPU's 200 were most of what its start took. Every module is a function that runs once and returns its exports;
 * those of Node stay imports. Sound, because value imports have no cycles, nobody exports a variable, and threads
 * have no use for import.meta (test/tidy.test.ts).
 */
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";

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
 * Without comments that have lines of their own, and in ASCII: every thread keeps the text of its file, in two bytes for
 * each character where one is beyond Latin-1. A module with a template over several lines keeps its comments, because
 * a line of it may look like one.
 */
function lean(text) {
  const ascii = text.replace(
    /[^\0-\x7f]/g,
    (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
  if (ascii.split("\n").some((line) => line.split("`").length % 2 === 0)) return ascii;
  return ascii
    .replace(/^[ \t]*\/\*(?:(?!\*\/)[\s\S])*\*\/[ \t]*\n/gm, "")
    .replace(/^[ \t]*\/\/.*\n/gm, "");
}

/** One file for the module `entry` and all that it reaches. */
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
  const imports = [...outside].map(([name, variable]) => `import * as ${variable} from "${name}";`);
  return [...imports, ...parts, `export default ${last}.default;`, ""].join("\n");
}

export function linkWorkers(dist, names) {
  for (const name of names) {
    const file = join(dist, "workers", `${name}.worker.js`);
    writeFileSync(file, linked(file));
  }
}
