/**
 * Debian packages of another architecture by the machine's own apt: its sources with the release replaced, in a
 * private configuration that leaves the machine's package lists and packages alone. Formats:
 * sources.list(5), apt.conf(5).
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const SOURCES = "/etc/apt/sources.list";
const SOURCE_FOLDER = "/etc/apt/sources.list.d";

const ROLLING = ["sid", "experimental"];

/** A failure that the user can do something about; the command ends with status 3. */
export class AptError extends Error {}

/** @typedef {{ uris: string, suites: string[], components: string[], signedBy: string }} Source */

export class Apt {
  #folder;
  #config;

  /**
   * @param {string} folder empty folder for everything apt keeps
   * @param {string} architecture
   * @param {string} release Debian release to take packages from
   */
  constructor(folder, architecture, release) {
    this.#folder = folder;
    this.#config = join(folder, "apt.conf");
    for (const name of ["lists/partial", "cache/archives/partial", "parts", "packages"]) {
      mkdirSync(join(folder, name), { recursive: true });
    }
    writeFileSync(join(folder, "status"), "");
    const sources = join(folder, "debian.sources");
    writeFileSync(sources, sourcesOf(machineSources(), architecture, release));
    const settings = {
      "Dir::Etc::sourcelist": sources,
      "Dir::Etc::sourceparts": join(folder, "parts"),
      "Dir::State": folder,
      "Dir::State::lists": join(folder, "lists"),
      "Dir::State::status": join(folder, "status"),
      "Dir::Cache": join(folder, "cache"),
      "APT::Architecture": architecture,
      "APT::Architectures": architecture,
      "Acquire::Languages": "none",
      "Acquire::Retries": "2",
      // As root, apt would fetch as a user that has no access to a private folder.
      ...(process.getuid?.() === 0 ? { "APT::Sandbox::User": "root" } : {}),
    };
    const lines = Object.entries(settings).map(([key, value]) => `${key} "${value}";\n`);
    writeFileSync(this.#config, lines.join(""));
  }

  /** @returns {string | undefined} what is wrong with a part of the lists, if the rest can be used */
  update() {
    try {
      this.#apt("apt-get", ["update", "-qq", "-oAPT::Update::Error-Mode=any"], "the package lists");
      return undefined;
    } catch (error) {
      // A mirror that is being brought up to date lacks one list and has the others.
      this.#apt("apt-get", ["update", "-qq"], "the package lists", this.#folder, true);
      const lists = readdirSync(join(this.#folder, "lists"));
      if (!lists.some((name) => name.includes("Packages"))) throw error;
      return error instanceof AptError ? error.message : String(error);
    }
  }

  /**
   * @param {string} name of a package
   * @param {readonly string[]} patterns of names
   * @returns {string[]} for each pattern the package it depends on, by way of others at most twice
   */
  dependencies(name, patterns) {
    let names = [name];
    const seen = new Set();
    for (let depth = 0; depth < 2; depth++) {
      const text = this.#apt("apt-cache", ["depends", ...names], `package ${name}`);
      names = [...text.matchAll(/^[ |]+(?:Pre)?Depends: ([\w.+-]+)$/gm)].map(
        (match) => match[1] ?? "",
      );
      for (const found of names) seen.add(found);
    }
    return patterns.map((pattern) => {
      const found = [...seen].find((candidate) => new RegExp(pattern).test(candidate));
      if (found === undefined) throw new AptError(`package ${name} depends on no ${pattern}`);
      return found;
    });
  }

  /** @param {string} name @returns the version that `download` gets */
  version(name) {
    const text = this.#apt("apt-cache", ["policy", name], `package ${name}`);
    const found = /^ +Candidate: (\S+)$/m.exec(text)?.[1];
    if (found === undefined || found === "(none)") {
      throw new AptError(`the sources have no package ${name}`);
    }
    return found;
  }

  /** @param {string} name @returns the package's file */
  download(name) {
    const packages = join(this.#folder, "packages");
    const before = new Set(readdirSync(packages));
    this.#apt("apt-get", ["download", "-qq", name], `package ${name}`, packages);
    const file = readdirSync(packages).find((entry) => !before.has(entry));
    if (file === undefined) throw new AptError(`apt says it downloaded ${name}, but did not`);
    return join(packages, file);
  }

  /**
   * Downloads packages with everything that they depend on.
   * @param {readonly string[]} names or apt's patterns
   * @returns {string[]} the packages' files
   */
  downloadAll(names) {
    const words = ["install", "-qq", "-y", "--download-only", "--no-install-recommends", ...names];
    this.#apt("apt-get", words, "the packages");
    const archives = join(this.#folder, "cache", "archives");
    const files = readdirSync(archives).filter((name) => name.endsWith(".deb"));
    return files.sort().map((name) => join(archives, name));
  }

  /** @type {(program: string, words: string[], what: string, cwd?: string, lenient?: boolean) => string} */
  #apt(program, words, what, cwd = this.#folder, lenient = false) {
    const result = spawnSync(program, ["-c", this.#config, ...words], { cwd, encoding: "utf8" });
    if (result.error !== undefined) {
      throw new AptError(`${program} could not be started; fetching needs a Debian with apt`);
    }
    if (result.status === 0 || lenient) return result.stdout;
    const said = result.stderr.split("\n").find((line) => line.startsWith("E:")) ?? "";
    throw new AptError(`apt could not get ${what}; is there a network? It says: ${said}`);
  }
}

/** @param {string} file @param {string} folder unpacks a package's files into a folder */
export function unpackPackage(file, folder) {
  const result = spawnSync("dpkg-deb", ["-x", file, folder], { encoding: "utf8" });
  if (result.error !== undefined) throw new AptError("dpkg-deb could not be started");
  if (result.status !== 0) throw new AptError(`dpkg-deb: ${result.stderr.trim()}`);
}

/** Sources of this machine in both of apt's formats. @returns {Source[]} */
function machineSources() {
  const names = existsSync(SOURCE_FOLDER) ? readdirSync(SOURCE_FOLDER).sort() : [];
  const files = [SOURCES, ...names.map((name) => join(SOURCE_FOLDER, name))];
  return files.filter(existsSync).flatMap((file) => {
    const text = readFileSync(file, "utf8");
    if (file.endsWith(".sources")) return stanzas(text);
    return file.endsWith(".list") ? lines(text) : [];
  });
}

/** @param {string} text @returns {Source[]} */
export function lines(text) {
  return text.split("\n").flatMap((line) => {
    const match = /^\s*deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s*([^#]*)/.exec(line);
    if (match === null) return [];
    const [, options = "", uris = "", suite = "", components = ""] = match;
    const signedBy = /signed-by=(\S+)/i.exec(options)?.[1] ?? "";
    return [{ uris, suites: [suite], components: words(components), signedBy }];
  });
}

/** @param {string} text @returns {Source[]} */
export function stanzas(text) {
  const kept = text.split("\n").filter((line) => !line.startsWith("#"));
  return kept
    .join("\n")
    .split(/\n\s*\n/)
    .flatMap((stanza) => {
      const field = (/** @type {string} */ name) =>
        new RegExp(`^${name}:([^\\n]*(?:\\n[ \\t][^\\n]*)*)`, "im").exec(stanza)?.[1]?.trim() ?? "";
      if (!words(field("Types")).includes("deb") || field("Enabled") === "no") return [];
      return [
        {
          uris: field("URIs"),
          suites: words(field("Suites")),
          components: words(field("Components")),
          signedBy: field("Signed-By"),
        },
      ];
    });
}

/**
 * The machine's sources of its own release, for another release and architecture.
 * @param {readonly Source[]} sources
 * @param {string} architecture
 * @param {string} release
 * @param {string} own code name of the machine's release
 */
export function sourcesOf(sources, architecture, release, own = ownRelease()) {
  // No "-updates": it carries no kernels. Releases that are never finished have no security updates of their own.
  const pattern = new RegExp(ROLLING.includes(release) ? `^${own}$` : `^${own}(-security)?$`);
  const text = sources.flatMap(({ uris, suites, components, signedBy }) => {
    const wanted = suites.filter((suite) => pattern.test(suite));
    if (wanted.length === 0 || !components.includes("main")) return [];
    return [
      "Types: deb",
      `URIs: ${uris}`,
      `Suites: ${wanted.map((suite) => suite.replace(own, release)).join(" ")}`,
      "Components: main",
      `Architectures: ${architecture}`,
      ...(signedBy === "" ? [] : [`Signed-By: ${signedBy}`]),
      "",
    ];
  });
  if (text.length === 0) {
    throw new AptError(
      "this machine's apt has no sources of a Debian release; fetching needs a Debian with apt",
    );
  }
  return text.join("\n");
}

function ownRelease() {
  const file = "/etc/os-release";
  const text = existsSync(file) ? readFileSync(file, "utf8") : "";
  const name = /^ID=debian$/m.test(text) ? /^VERSION_CODENAME=(\w+)$/m.exec(text)?.[1] : undefined;
  if (name === undefined) {
    throw new AptError("this machine is no Debian release; fetching needs a Debian with apt");
  }
  return name;
}

/** @param {string} text */
function words(text) {
  return text.split(/\s+/).filter((word) => word !== "");
}
