/** What the machines of an experiment are made of: names, images, digests. Loads no machine. */
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { ZmendError } from "../../base/errors.ts";
import { suggestion } from "../../base/nearest.ts";
import type { BootSource } from "../../machine/boot.ts";
import { readFixture } from "../../machine/fixtures.ts";
import { linuxFixtureNames, readLinuxFixture } from "../../machine/linux-fixture.ts";

/** The fixture that recovers functions; others have no driver or break things on purpose. */
export const OWN_FIXTURE = "zrecover";
/** `guest-fixtures/linux/recovery.sh` writes, reads back and compares files on every disk. */
export const COMMAND_LINE = "console=ttysclp0 quiet run=recovery";
/** A shell on the console, and nothing else to do. */
export const IDLE_COMMAND_LINE = "console=ttysclp0";

/** What may stand as `machine:` beside a snapshot file's path. */
function machineNames(): string[] {
  return [OWN_FIXTURE, ...linuxFixtureNames()];
}

/** A snapshot file is named by a path or by its ending. */
export function isFile(name: string): boolean {
  return name.includes("/") || name.endsWith(".snap");
}

export function sha256(...parts: readonly (Uint8Array | string)[]): string {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest("hex");
}

/**
 * What the machine is made of, as a digest for the plan.
 * @throws ZmendError EXPERIMENT_INVALID for an unknown name, FIXTURE_MISSING naming the command that fetches a kernel
 */
export function machineDigest(name: string, folder: string): string {
  if (isFile(name)) {
    const path = resolve(folder, name);
    if (existsSync(path)) return sha256(readFileSync(path));
    throw new ZmendError(
      "EXPERIMENT_INVALID",
      `Snapshot ${name} does not exist; name a file that savevm wrote, or one of ${machineNames().join(", ")}.`,
    );
  }
  if (!machineNames().includes(name)) {
    throw new ZmendError(
      "EXPERIMENT_INVALID",
      `Machine '${name}' is unknown${suggestion(name, machineNames())}; name one of ${machineNames().join(", ")}, or a snapshot file (.snap).`,
    );
  }
  return sourceDigest(sourceOf(name));
}

export function sourceDigest({ image, linux }: BootSource): string {
  return sha256(image, linux?.initrd?.bytes ?? "");
}

export function sourceOf(name: string, commandLine = COMMAND_LINE): BootSource {
  if (name === OWN_FIXTURE) return readFixture(name);
  const { kernel, initrd, drivers } = readLinuxFixture(name);
  // An idle machine is asked to bind other drivers too.
  if (commandLine !== IDLE_COMMAND_LINE || drivers === undefined) {
    return { ...kernel, linux: { initrd, commandLine } };
  }
  const bytes = Buffer.concat([initrd.bytes, drivers]);
  return { ...kernel, linux: { initrd: { ...initrd, bytes }, commandLine } };
}
