/** The first root file system of a Linux fixture: busybox, kernel modules and our scripts, as a cpio archive. */
import { readFileSync } from "node:fs";
import { characterDevice, cpioArchive, directory, file, symbolicLink } from "./cpio.mjs";

/** Programs that `init.sh` calls before busybox has made its own links. */
const early = ["sh", "mount"];

/**
 * @param {object} parts
 * @param {string} parts.busybox path of the program
 * @param {readonly { name: string, data: Uint8Array }[]} parts.modules in the order to load them
 * @param {string} parts.init path of the first program
 * @param {readonly { name: string, path: string }[]} parts.programs what the command line's run= may name
 * @param {readonly { name: string, path: string }[]} [parts.files] more of them, in the root
 */
export function initramfs({ busybox, modules, init, programs, files = [] }) {
  const order = modules.map(({ name }) => `${name}\n`).join("");
  return cpioArchive([
    ...["bin", "dev", "lib", "lib/modules", "mnt", "proc", "run", "sys", "tmp"].map((name) =>
      directory(name),
    ),
    characterDevice("dev/console", 5, 1),
    characterDevice("dev/null", 1, 3, 0o666),
    file("bin/busybox", readFileSync(busybox), 0o755),
    ...early.map((name) => symbolicLink(`bin/${name}`, "busybox")),
    ...programs.map(({ name, path }) => file(`bin/${name}`, readFileSync(path), 0o755)),
    file("init", readFileSync(init), 0o755),
    ...files.map(({ name, path }) => file(name, readFileSync(path))),
    file("lib/modules/order", new TextEncoder().encode(order)),
    ...modules.map(({ name, data }) => file(`lib/modules/${name}`, data)),
  ]);
}

/**
 * Further drivers that a guest may load, as an archive of its own: the kernel unpacks it over the first root file system
 * when it follows that one. A file for each driver names its modules in the order to load them.
 * @param {readonly { name: string, modules: readonly { name: string, data: Uint8Array }[] }[]} drivers
 */
export function driverArchive(drivers) {
  const modules = new Map(
    drivers.flatMap((driver) => driver.modules.map(({ name, data }) => [name, data])),
  );
  return cpioArchive([
    directory("lib/drivers"),
    ...[...modules].map(([name, data]) => file(`lib/drivers/${name}`, data)),
    ...drivers.map(({ name, modules: order }) =>
      file(
        `lib/drivers/${name}`,
        new TextEncoder().encode(order.map((module) => `${module.name}\n`).join("")),
      ),
    ),
  ]);
}
