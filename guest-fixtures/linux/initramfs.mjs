/** The first root file system of a Linux fixture: busybox, kernel modules and `init.sh`, as a cpio archive. */
import { readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { characterDevice, cpioArchive, directory, file, symbolicLink } from "./cpio.mjs";

/** Programs that `init.sh` calls before busybox has made its own links. */
const early = ["sh", "mount"];

/**
 * @param {object} parts
 * @param {string} parts.busybox path of the program
 * @param {string} parts.moduleFolder folder that the modules' names count from
 * @param {readonly string[]} parts.modules in the order to load them
 * @param {string} parts.init path of the script
 */
export function initramfs({ busybox, moduleFolder, modules, init }) {
  const order = modules.map((name) => `${basename(name)}\n`).join("");
  return cpioArchive([
    ...["bin", "dev", "lib", "lib/modules", "mnt", "proc", "sys", "tmp"].map((name) =>
      directory(name),
    ),
    characterDevice("dev/console", 5, 1),
    characterDevice("dev/null", 1, 3, 0o666),
    file("bin/busybox", readFileSync(busybox), 0o755),
    ...early.map((name) => symbolicLink(`bin/${name}`, "busybox")),
    file("init", readFileSync(init), 0o755),
    file("lib/modules/order", new TextEncoder().encode(order)),
    ...modules.map((name) =>
      file(`lib/modules/${basename(name)}`, readFileSync(join(moduleFolder, name))),
    ),
  ]);
}
