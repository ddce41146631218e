/**
 * Debian's kernels as `npm run fixtures` caches them: `.cache/NAME` with kernel, first root file system and
 * `fixture.json`. Names come from `guest-fixtures/linux/kernels.json`.
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { ZmendError } from "../base/errors.ts";
import { packageRoot } from "../base/version.ts";

const kernelsSchema = z.object({ kernels: z.array(z.object({ name: z.string() })) });
const fixtureSchema = z.object({
  files: z.array(z.object({ file: z.string(), sha256: z.string() })),
});

const DRIVERS = "drivers.cpio";

export interface LinuxFixture {
  readonly kernel: { readonly image: Uint8Array; readonly file: string };
  readonly initrd: { readonly bytes: Uint8Array; readonly file: string };
  /** Archive of further drivers, to follow the initrd; fixtures that were fetched by an older zmend have none. */
  readonly drivers?: Uint8Array;
}

export function linuxFixtureNames(root: URL = packageRoot): string[] {
  const text = readFileSync(new URL("guest-fixtures/linux/kernels.json", root), "utf8");
  return kernelsSchema.parse(JSON.parse(text)).kernels.map(({ name }) => name);
}

/** @throws ZmendError FIXTURE_MISSING naming the command that fetches the kernel */
export function readLinuxFixture(name: string, root: URL = packageRoot): LinuxFixture {
  const folder = new URL(`.cache/${name}/`, root);
  const remedy = `fetch it with: npm run fixtures -- ${name}`;
  let text: string;
  try {
    text = readFileSync(new URL("fixture.json", folder), "utf8");
  } catch (error) {
    throw new ZmendError(
      "FIXTURE_MISSING",
      `The kernel ${name} is not cached; ${remedy}`,
      { name },
      { cause: error },
    );
  }
  try {
    const { files } = fixtureSchema.parse(JSON.parse(text));
    const read = (file: string): Uint8Array => {
      const bytes = readFileSync(new URL(file, folder));
      const sum = createHash("sha256").update(bytes).digest("hex");
      if (files.find((entry) => entry.file === file)?.sha256 !== sum) throw new Error(file);
      return bytes;
    };
    const shown = (file: string): string => fileURLToPath(new URL(file, folder));
    return {
      kernel: { image: read("kernel"), file: shown("kernel") },
      initrd: { bytes: read("initramfs.cpio"), file: shown("initramfs.cpio") },
      ...(files.some(({ file }) => file === DRIVERS) ? { drivers: read(DRIVERS) } : {}),
    };
  } catch (error) {
    throw new ZmendError(
      "FIXTURE_INVALID",
      `The cached kernel ${name} is damaged; remove .cache/${name}, then ${remedy}`,
      { name },
      { cause: error },
    );
  }
}
