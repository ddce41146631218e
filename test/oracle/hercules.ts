/**
 * Runs an image under Hercules and returns guest storage after its disabled wait: the judge of packed decimal and
 * others that QEMU lacks. Hercules runs a script at its start, which tries to save storage again and again: that is
 * refused until the CPU has stopped. (Its operator facility could wait for the message of the disabled wait, but misses
 * messages on a busy machine.)
 */
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { dumpBytesOf, type Image } from "./harness.ts";
import { RAM_BYTES } from "./layout.ts";
import type { Dump, Failure, Peer } from "./run.ts";

export const HERCULES = "hercules";

/** The version line, or undefined when the program is not installed. */
export function herculesVersion(): string | undefined {
  const result = spawnSync(HERCULES, ["-v", "-d", "-f", "/nonexistent"], { encoding: "utf8" });
  if (result.error !== undefined) return undefined;
  return /Hercules version \S+/i.exec(result.stdout + result.stderr)?.[0] ?? HERCULES;
}

const configuration = `ARCHMODE z/Arch
MAINSIZE ${RAM_BYTES >> 20}
NUMCPU 1
CPUMODEL 2097
PANRATE SLOW
0009 3215-C
`;

/** Of the disabled wait; messages of other threads may stand between the two lines. */
const DISABLED_WAIT = /HHCCP011I[\s\S]*?PSW=\w{8} \w{8} (\w{16})/;
const SAVED = "HHCPN170I";

async function runUnderHercules(image: Image, timeoutMs: number): Promise<Dump | Failure> {
  const folder = mkdtempSync(join(tmpdir(), "zmend-oracle-"));
  const file = (name: string): string => join(folder, name);
  writeFileSync(file("image"), image.bytes);
  writeFileSync(file("configuration"), configuration);
  const last = (dumpBytesOf(image) - 1).toString(16);
  const start = [
    `loadcore ${file("image")} 0`,
    `psw am=64 ia=${image.entry.toString(16)}`,
    "start",
  ];
  for (let ms = 0; ms < timeoutMs; ms += 1000) {
    start.push("pause 1", `savecore ${file("memory")} 0 ${last}`);
  }
  writeFileSync(file("start"), `${start.join("\n")}\nquit\n`);
  const child = spawn(HERCULES, ["-d", "-f", file("configuration")], {
    env: { ...process.env, HERCULES_RC: file("start") },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  child.stdout.on("data", (chunk: Buffer) => {
    output += chunk.toString("latin1");
    if (output.includes(SAVED) && DISABLED_WAIT.test(output)) child.kill("SIGKILL");
  });
  child.stderr.resume();
  const timer = setTimeout(() => child.kill("SIGKILL"), timeoutMs);
  await new Promise<void>((resolve) => child.once("close", () => resolve()));
  clearTimeout(timer);
  try {
    if (!existsSync(file("memory"))) {
      return { failure: `no dump within ${timeoutMs} ms: ${output.slice(-200).trim()}` };
    }
    const address = DISABLED_WAIT.exec(output)?.[1] ?? "";
    if (!/^0+$/.test(address)) return { failure: `disabled wait at 0x${address}` };
    return { memory: new Uint8Array(readFileSync(file("memory"))) };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

export function herculesPeer(timeoutMs: number): Peer {
  return { name: HERCULES, run: (image) => runUnderHercules(image, timeoutMs) };
}
