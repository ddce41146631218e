/**
 * `zmend abi check`: the tables against the C compiler, the counterpart of the kernel's BUILD_BUG_ON. A first
 * pass finds out which structures and members the headers have, a second compiles and runs a program
 * that prints their sizes and offsets. Bit fields have no offset in C: only their presence is looked at.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { type AbiEntry, abiRegistry, abiVersions } from "../abi/registry.ts";
import { ZmendError } from "../base/errors.ts";

const ERROR_FEATURE = "vfio_device_feature_zpci_err";

export interface CheckedStructure {
  readonly name: string;
  /** The version of ours that the headers agree with, or come closest to. */
  readonly version: string;
  readonly agrees: boolean;
  /** "ccdf_err_length: offset 32, ours 36" */
  readonly differences: readonly string[];
}

/** What the compiler says of one structure. */
interface Measured {
  readonly size: number;
  readonly offsets: ReadonlyMap<string, number>;
  /** -1 for a flexible array, which has none. */
  readonly sizes: ReadonlyMap<string, number>;
  /** Every member found, bit fields included. */
  readonly present: ReadonlySet<string>;
}

class Compiler {
  readonly #command: string;
  readonly #includes: readonly string[];
  readonly #preamble: readonly string[];

  constructor(headers: readonly string[]) {
    this.#command = process.env["CC"] || "gcc";
    const roots = headers.map((file) => dirname(resolve(file)));
    const trees = roots.filter((folder) => basename(folder) === "linux").map(dirname);
    this.#includes = [...new Set(trees)].map((folder) => `-I${folder}`);
    this.#preamble = [
      "#include <stddef.h>",
      "#include <stdio.h>",
      ...headers.map((file) => `#include ${JSON.stringify(resolve(file))}`),
    ];
  }

  /** @returns standard error, empty when the program compiles @throws ZmendError without a compiler */
  run(lines: readonly string[], options: readonly string[]): string {
    const result = spawnSync(this.#command, [...options, ...this.#includes, "-x", "c", "-"], {
      input: [...this.#preamble, ...lines, ""].join("\n"),
      encoding: "utf8",
      env: { ...process.env, LC_ALL: "C" },
    });
    if (result.error !== undefined) {
      throw new ZmendError(
        "ENVIRONMENT",
        `No C compiler: '${this.#command}' cannot be started; install gcc or name another in CC.`,
        { compiler: this.#command },
        { cause: result.error },
      );
    }
    return result.status === 0 ? "" : result.stderr || "the compiler failed without a message";
  }

  /** Indices of the lines that do not compile, each a declaration of its own. */
  refused(lines: readonly string[]): Set<number> {
    const text = this.run(lines, ["-fsyntax-only", "-fmax-errors=0", "-w"]);
    const found = new Set<number>();
    for (const match of text.matchAll(/^<stdin>:(\d+):\d+: error:/gm)) {
      found.add(Number(match[1]) - this.#preamble.length - 1);
    }
    return found;
  }

  /** Compiles and runs `main` with these statements; the lines that it prints. */
  output(statements: readonly string[]): string[] {
    const folder = mkdtempSync(join(tmpdir(), "zmend-abi-"));
    try {
      const program = join(folder, "check");
      const text = this.run(
        ["int main(void) {", ...statements, "return 0; }"],
        ["-w", "-o", program],
      );
      if (text !== "") throw unusable(text);
      return spawnSync(program, { encoding: "utf8" }).stdout.trimEnd().split("\n");
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }
}

function unusable(text: string): ZmendError {
  const first = /error: (.*)/.exec(text)?.[1] ?? text.split("\n")[0];
  return new ZmendError("USAGE", `The headers do not compile: ${first}`, { compiler: text });
}

function membersOf(name: string): string[] {
  const all = abiVersions(name).flatMap((item) => Object.keys(item.layout.fields));
  return [...new Set(all)];
}

function measure(compiler: Compiler): Map<string, Measured> {
  const names = [...new Set(abiRegistry.map((item) => item.name))];
  const noSize = compiler.refused(
    names.map((name) => `char probe_${name}[sizeof(struct ${name})];`),
  );
  const known = names.filter((_, index) => !noSize.has(index));
  const members = known.flatMap((name) => membersOf(name).map((member) => ({ name, member })));
  const lines = (text: (name: string, member: string) => string): Set<number> =>
    compiler.refused(
      members.map(({ name, member }, index) => `void f${index}${text(name, member)}`),
    );
  const absent = lines((name, member) => `(struct ${name} *p) { (void)p->${member}; }`);
  const noOffset = lines((name, member) => `(int a[offsetof(struct ${name}, ${member}) + 1]);`);
  const flexible = lines(
    (name, member) => `(int a[sizeof(((struct ${name} *)0)->${member}) + 1]);`,
  );
  const placed = members.filter((_, index) => !absent.has(index) && !noOffset.has(index));
  const unsized = new Set(members.filter((_, index) => flexible.has(index)));
  const printed = compiler.output([
    ...known.map((name) => `printf("%zu\\n", sizeof(struct ${name}));`),
    ...placed.map((item) => {
      const { name, member } = item;
      const size = unsized.has(item) ? "-1L" : `(long)sizeof(((struct ${name} *)0)->${member})`;
      return `printf("%zu %ld\\n", offsetof(struct ${name}, ${member}), ${size});`;
    }),
  ]);
  const result = new Map<string, Measured>();
  for (const [index, name] of known.entries()) {
    const present = members.filter((item, n) => item.name === name && !absent.has(n));
    const own = placed.map((item, n) => ({
      ...item,
      values: printed[known.length + n]?.split(" "),
    }));
    const of = (which: 0 | 1): Map<string, number> =>
      new Map(
        own
          .filter((item) => item.name === name)
          .map((item): [string, number] => [item.member, Number(item.values?.[which])]),
      );
    result.set(name, {
      size: Number(printed[index]),
      offsets: of(0),
      sizes: of(1),
      present: new Set(present.map((item) => item.member)),
    });
  }
  return result;
}

function differences(item: AbiEntry, measured: Measured): string[] {
  const found: string[] = [];
  let size = item.layout.size;
  for (const [name, field] of Object.entries(item.layout.fields)) {
    if (!measured.present.has(name)) {
      found.push(`${name}: not in the headers, ours at ${field.offset}`);
      continue;
    }
    if (field.kind === "bits") continue;
    const offset = measured.offsets.get(name);
    if (offset !== field.offset) found.push(`${name}: offset ${offset}, ours ${field.offset}`);
    const width = measured.sizes.get(name);
    // A flexible array counts for nothing in sizeof.
    if (width === -1) size = field.offset;
    else if (width !== field.size) found.push(`${name}: size ${width}, ours ${field.size}`);
  }
  for (const name of measured.present) {
    if (!(name in item.layout.fields)) found.push(`${name}: in the headers, not in ours`);
  }
  if (measured.size !== size) found.push(`sizeof: ${measured.size}, ours ${size}`);
  return found;
}

/**
 * Compares our tables with every structure of ours that the headers define.
 * @throws ZmendError USAGE for headers that are missing, broken or without any such structure; ENVIRONMENT
 * without a compiler
 */
export function checkHeaders(headers: readonly string[]): CheckedStructure[] {
  const missing = headers.find((file) => !existsSync(file));
  if (missing !== undefined) {
    throw new ZmendError("USAGE", `Header ${missing} does not exist.`, { file: missing });
  }
  const compiler = new Compiler(headers);
  const broken = compiler.run([], ["-fsyntax-only", "-w"]);
  if (broken !== "") throw unusable(broken);
  const measured = measure(compiler);
  if (measured.size === 0) {
    throw new ZmendError(
      "USAGE",
      `${headers.join(", ")}: no structure that zmend knows is defined there; give linux/vfio.h or linux/vfio_zdev.h.`,
    );
  }
  const rows = [...measured].map(([name, values]): CheckedStructure => {
    const candidates = abiVersions(name)
      .filter((item) => item.layout.size > 0)
      .map((item) => ({ item, found: differences(item, values) }))
      .reverse();
    const fields = ({ item }: (typeof candidates)[number]): number =>
      Object.keys(item.layout.fields).length;
    candidates.sort((a, b) => a.found.length - b.found.length || fields(b) - fields(a));
    const best = candidates[0];
    const version = best?.item.version ?? "";
    const found = best?.found ?? [];
    return { name, version, agrees: found.length === 0, differences: found };
  });
  // A kernel that has features but not this one speaks the dialect `none`.
  if (measured.has("vfio_device_feature") && !measured.has(ERROR_FEATURE)) {
    rows.unshift({ name: ERROR_FEATURE, version: "none", agrees: true, differences: [] });
  }
  return rows;
}
