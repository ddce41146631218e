/**
 * The machines that an experiment can have as guests: our own fixture, Debian's kernels, or a snapshot file. Each is booted
 * once under virtual time up to the moment before the first error, when its drivers work with every function, and kept as
 * a snapshot in the user's cache, under a name that every input and the program's own code are part of.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { simFunctionConfig, workDone } from "../../backend/sim/index.ts";
import { monotonicNowUs } from "../../base/clock.ts";
import { ZmendError } from "../../base/errors.ts";
import { makeFolders } from "../../base/make-folder.ts";
import { suggestion } from "../../base/nearest.ts";
import { packageRoot, zmendVersion } from "../../base/version.ts";
import { boot } from "../../machine/boot.ts";
import { DeterministicVm } from "../../machine/deterministic-vm.ts";
import { linuxFixtureNames } from "../../machine/linux-fixture.ts";
import { VCPU_RUNNING } from "../../machine/loops.ts";
import { DETERMINISTIC_EPOCH_MS, type VmSpec } from "../../machine/vm-spec.ts";
import { loadPolicy } from "../../recovery/index.ts";
import type { Plan } from "../plan.ts";
import type { MachineFiles } from "../runner/pool-data.ts";
import {
  functionCounts,
  keyOf,
  machinesOf,
  openSnapshot,
  type PlannedMachine,
} from "./machines.ts";
import {
  COMMAND_LINE,
  IDLE_COMMAND_LINE,
  isFile,
  machineDigest,
  OWN_FIXTURE,
  sha256,
  sourceDigest,
  sourceOf,
} from "./sources.ts";

const MIB = 1024 * 1024;
const OWN_RAM_BYTES = 64 * MIB;
const LINUX_RAM_BYTES = 256 * MIB;
/** Beyond so many functions each one gets Linux some more memory. */
const LINUX_FUNCTIONS = 8;
const LINUX_FUNCTION_BYTES = 8 * MIB;
const DISK_BYTES = 16 * MIB;
/** Virtual time that a boot may take. */
const BOOT_MAX_US = 600e6;
/** Virtual time between "at work" and the snapshot. */
const SETTLE_US = 0.2e6;
/** Real time between looks at who may want the boot to end. */
const PAUSE_US = 50_000;

function specOf(name: string, functions: number): VmSpec {
  const own = name === OWN_FIXTURE;
  const more = Math.max(0, functions - LINUX_FUNCTIONS) * LINUX_FUNCTION_BYTES;
  return {
    name,
    ramBytes: own ? OWN_RAM_BYTES : LINUX_RAM_BYTES + more,
    cpuModel: "zmend",
    functions: Array.from({ length: functions }, (_, index) =>
      simFunctionConfig(
        {
          fid: index + 1,
          uid: index + 1,
          // The scenario's host takes its time by itself (scenario-host.ts).
          timing: { deviceLockUs: 0, stateLockUs: 0, resetUs: 0 },
          ...(own ? {} : { device: "nvme", nvme: { namespaces: [{ sizeBytes: DISK_BYTES }] } }),
        },
        index,
      ),
    ),
    policy: loadPolicy("mediated"),
    epochMs: DETERMINISTIC_EPOCH_MS,
  };
}

// The cache ---------------------------------------------------------------------------------------------------

/** XDG base directory for what can be made again. */
function cacheFolder(env: NodeJS.ProcessEnv = process.env): string {
  return join(env["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "zmend", "machines");
}

/** Folders whose code decides how a machine runs. */
const CODE = ["abi", "backend", "base", "cpu", "devices", "machine", "recovery", "shm"];
let code: string | undefined;

/** Digest of the program's own code: another program's machine may have run otherwise up to the snapshot. */
function codeDigest(): string {
  if (code !== undefined) return code;
  const root = fileURLToPath(
    new URL(import.meta.url.endsWith(".ts") ? "src/" : "dist/src/", packageRoot),
  );
  const files = CODE.flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true })
      .map((file) => join(root, folder, String(file)))
      .filter((file) => /\.(js|ts)$/.test(file) && !file.endsWith(".d.ts"))
      .sort(),
  );
  code = sha256(...files.map((file) => readFileSync(file)));
  return code;
}

function cachedFile(
  name: string,
  digest: string,
  functions: number,
  commandLine = COMMAND_LINE,
): string {
  const recipe = JSON.stringify({ digest, spec: specOf(name, functions), commandLine, SETTLE_US });
  const key = sha256(zmendVersion(), codeDigest(), recipe).slice(0, 24);
  return join(cacheFolder(), `${name}-${functions}-${key}.snap`);
}

// Booting -----------------------------------------------------------------------------------------------------

export interface PrepareOptions {
  readonly signal?: AbortSignal | undefined;
  /** Told before a machine is booted, which takes a while. */
  readonly booting?: ((name: string) => void) | undefined;
}

/**
 * Boots what the plan needs and the cache has not got. Before threads share the work.
 * @returns the snapshots' files; not all of them when `signal` ended it
 * @throws ZmendError when a machine is not the planned one or does not get to work
 */
export async function prepareMachines(
  plan: Plan,
  folder: string,
  options: PrepareOptions = {},
): Promise<MachineFiles> {
  const files: Record<string, string> = {};
  for (const machine of machinesOf(plan)) {
    const { label, machine: name } = machine;
    requireSame(machine, folder);
    for (const functions of functionCounts(plan)) {
      const given = isFile(name);
      const file = given ? resolve(folder, name) : cachedFile(name, machine.sha256, functions);
      files[keyOf(label, functions)] = file;
      // Said here, where it reaches the user with its status, and not by every thread.
      if (given) await openSnapshot(file, name, functions);
      if (given || existsSync(file)) continue;
      options.booting?.(name);
      await bootInto(file, name, functions, options.signal);
      if (options.signal?.aborted === true) return files;
    }
  }
  return files;
}

function requireSame({ machine, sha256: planned }: PlannedMachine, folder: string): void {
  if (machineDigest(machine, folder) === planned) return;
  throw new ZmendError(
    "EXPERIMENT_INVALID",
    `Machine ${machine} is not the one of the plan (sha256 ${planned.slice(0, 12)}…): its image is another one here; run the experiment anew.`,
    { machine },
  );
}

/** Of busybox's shell, in its older and newer form. */
const PROMPT = /[/~] # /;

/**
 * A Linux machine with one function, at its prompt: the snapshot's file.
 * @throws ZmendError as `prepareMachines`
 */
export async function prepareIdle(name: string, options: PrepareOptions = {}): Promise<string> {
  if (!linuxFixtureNames().includes(name)) {
    const names = linuxFixtureNames();
    throw new ZmendError(
      "USAGE",
      `Machine '${name}' has no instructions to record${suggestion(name, names)}; name one of ${names.join(", ")}.`,
    );
  }
  const digest = sourceDigest(sourceOf(name, IDLE_COMMAND_LINE));
  const file = cachedFile(name, digest, 1, IDLE_COMMAND_LINE);
  if (existsSync(file)) return file;
  options.booting?.(name);
  await bootInto(file, name, 1, options.signal, IDLE_COMMAND_LINE);
  return file;
}

async function bootInto(
  file: string,
  name: string,
  functions: number,
  signal: AbortSignal | undefined,
  commandLine = COMMAND_LINE,
): Promise<void> {
  let text = "";
  const decoder = new TextDecoder("latin1");
  const machine = new DeterministicVm(specOf(name, functions), (bytes) => {
    text += decoder.decode(bytes);
  });
  boot(machine.vm, sourceOf(name, commandLine));
  const indices = Array.from({ length: functions }, (_, index) => index);
  const idle = commandLine === IDLE_COMMAND_LINE;
  const works = (index: number): boolean =>
    (idle && PROMPT.test(text)) ||
    (workDone(machine.vm, index) > 0 &&
      (name === OWN_FIXTURE || text.includes(`fid=${hex8(index + 1)} at work`)));
  try {
    let readyUs = Number.POSITIVE_INFINITY;
    let pauseUs = monotonicNowUs() + PAUSE_US;
    while (machine.clock.nowUs() < readyUs + SETTLE_US || readyUs === Number.POSITIVE_INFINITY) {
      machine.step();
      const nowUs = machine.clock.nowUs();
      if (machine.stopped() !== VCPU_RUNNING || nowUs > BOOT_MAX_US) {
        throw new ZmendError(
          "FIXTURE_INVALID",
          `Machine ${name} did not get to work with ${functions} functions; its console ends with: ${text.trim().split("\n").slice(-1).join("").trim()}`,
          { console: text.slice(-4000) },
        );
      }
      if (readyUs === Number.POSITIVE_INFINITY && indices.every(works)) readyUs = nowUs;
      if (monotonicNowUs() < pauseUs) continue;
      await new Promise((resolve) => setImmediate(resolve));
      if (signal?.aborted === true) return;
      pauseUs = monotonicNowUs() + PAUSE_US;
    }
    makeFolders(cacheFolder(), 0o700);
    await machine.save(file);
  } finally {
    machine.close();
  }
}

function hex8(value: number): string {
  return value.toString(16).padStart(8, "0");
}
