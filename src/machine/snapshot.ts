/**
 * Snapshots: a whole machine in a file, from which it goes on bit by bit. Everything of a VM stands in its shared
 * memory but for what the platform's objects keep (faults that fired, blocks of disks in memory). So a file is:
 * a head {format, layout, what the machine is, its time, the platform's state} and the pages of shared memory
 * that are not all zeros, without the caches of the vCPUs. Each part is compressed and carries a CRC-32; a last,
 * empty part shows that nothing is missing. Main thread, while every thread of the VM stands.
 *
 * A file is written beside its name and renamed when it is complete, so that a failure costs nothing.
 */
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { type FileHandle, open, readFile, realpath, rename, rm, stat } from "node:fs/promises";
import { promisify } from "node:util";
import { crc32, deflateRaw, inflateRaw, inflateRawSync } from "node:zlib";
import { pack, unpack } from "msgpackr";
import { diskProblem, HOST_LAYOUT, type PlatformFunctionState } from "../backend/sim/index.ts";
import { ZmendError } from "../base/errors.ts";
import { hex } from "../base/hex.ts";
import { zmendVersion } from "../base/version.ts";
import { Cpu, VCPU_STATE_BYTES } from "../cpu/index.ts";
// Past the index: threads that run trials would load the parsers of policy files too.
import { Scratch } from "../recovery/words.ts";
import { FunctionBlock, VmBlock } from "../shm/blocks.ts";
import type { MemoryMap } from "../shm/memory-map.ts";
import type { VmMemory } from "../shm/vm-memory.ts";
import { forEachUsedPage, PAGE_BYTES } from "./clear-storage.ts";
import { functionIndices, mapOf, type VmSpec } from "./vm-spec.ts";

const MAGIC = "zmendsnp";
const FORMAT = 1;
/** Magic, format, then per part: pages, compressed bytes, CRC-32 of what follows. */
const PREFIX_BYTES = MAGIC.length + 4;
const PART_BYTES = 12;
/** Pages of one part: 1 MiB. */
const PART_PAGES = 256;
/** Parts that are compressed at the same time: as many as the thread pool of Node has threads. */
const PARALLEL = 4;
/** With the disks that live in memory. */
const HEAD_BYTES_MAX = 2 ** 31;
/** Fast rather than small: a guest stands meanwhile. */
const LEVEL = 1;

const deflate = promisify(deflateRaw) as (
  data: Uint8Array,
  options: { readonly level: number },
) => Promise<Buffer>;
const inflate = promisify(inflateRaw) as (
  data: Uint8Array,
  options: { readonly maxOutputLength: number },
) => Promise<Buffer>;

/** What stands in a snapshot beside the pages. */
export interface SnapshotHead {
  /** The program that wrote it, for messages. */
  readonly writtenBy: string;
  /** Names and places of all words in shared memory: another layout cannot be read. */
  readonly layout: string;
  readonly spec: VmSpec;
  /** The VM's time, microseconds; fractions in deterministic runs. */
  readonly timeUs: number;
  /** Microseconds of it that the vCPUs had stood. */
  readonly frozenUs: number;
  /** The VM was paused by its operator. */
  readonly paused: boolean;
  /** Deterministic runs: how each of the guest's CPUs stood between its slices. */
  readonly cpus: readonly ("going" | "waiting" | "resting")[];
  readonly platform: readonly (PlatformFunctionState | undefined)[];
}

interface Part {
  readonly pages: number;
  readonly body: Uint8Array;
}

/** Changes with every word that is added or moved, and with the sizes that a machine was planned with. */
function layoutOf(map: MemoryMap): string {
  const words = { VmBlock, FunctionBlock, Scratch, Cpu, HOST_LAYOUT, map };
  return createHash("sha256").update(JSON.stringify(words)).digest("hex");
}

// Writing -----------------------------------------------------------------------------------------------

/** Calls `found` with the byte offset of each page that a snapshot keeps. */
function forEachKeptPage(vm: VmMemory, found: (offset: number) => void): void {
  const { map } = vm;
  const firstArea = map.vcpuAreas[0] ?? map.storageKeys;
  forEachUsedPage(vm, 0, firstArea, found);
  for (const area of map.vcpuAreas) forEachUsedPage(vm, area, VCPU_STATE_BYTES, found);
  forEachUsedPage(vm, map.storageKeys, map.ramOffset + map.ramBytes - map.storageKeys, found);
}

/** @throws ZmendError ENVIRONMENT when the file cannot be written; nothing is left of it then */
export async function writeSnapshot(
  file: string,
  vm: VmMemory,
  head: Omit<SnapshotHead, "writtenBy" | "layout">,
): Promise<void> {
  const whole: SnapshotHead = {
    writtenBy: `zmend ${zmendVersion()}`,
    layout: layoutOf(vm.map),
    ...head,
  };
  const target = await targetOf(file);
  const partial = `${target}.part`;
  try {
    const out = await open(partial, "w", 0o600);
    try {
      await writeParts(out, vm, whole);
      await out.sync();
    } finally {
      await out.close();
    }
    await rename(partial, target);
  } catch (cause) {
    await rm(partial, { force: true });
    const why = (cause as NodeJS.ErrnoException).code ?? (cause as Error).message;
    throw new ZmendError(
      "ENVIRONMENT",
      `Snapshot ${file} cannot be written (${why}); name a file in a writable directory with room.`,
      { file },
      { cause },
    );
  }
}

/**
 * The file that `file` names or leads to.
 * @throws ZmendError USAGE for a device, a folder or anything else that a snapshot must not take the place of
 */
async function targetOf(file: string): Promise<string> {
  let target: string;
  try {
    target = await realpath(file);
  } catch {
    return file; // it is to be made
  }
  if ((await stat(target)).isFile()) return target;
  throw new ZmendError(
    "USAGE",
    `${file} is no file that a snapshot could replace; name another one.`,
    {
      file,
    },
  );
}

async function writeParts(out: FileHandle, vm: VmMemory, head: SnapshotHead): Promise<void> {
  const prefix = Buffer.alloc(PREFIX_BYTES);
  prefix.write(MAGIC, "latin1");
  prefix.writeUInt32LE(FORMAT, MAGIC.length);
  await out.write(prefix);
  await writePart(out, { pages: 0, body: await deflate(pack(head), { level: LEVEL }) });
  const pages: number[] = [];
  forEachKeptPage(vm, (offset) => pages.push(offset / PAGE_BYTES));
  const under: Promise<Part>[] = [];
  for (let at = 0; at < pages.length; at += PART_PAGES) {
    under.push(pagePart(vm, pages.slice(at, at + PART_PAGES)));
    if (under.length >= PARALLEL) await writePart(out, (await under.shift()) as Part);
  }
  for (const part of under) await writePart(out, await part);
  await writePart(out, { pages: 0, body: new Uint8Array(0) });
}

/** Page numbers, then the pages, compressed. */
async function pagePart(vm: VmMemory, pages: readonly number[]): Promise<Part> {
  const plain = Buffer.alloc(pages.length * (4 + PAGE_BYTES));
  for (const [n, page] of pages.entries()) {
    plain.writeUInt32LE(page, n * 4);
    const from = page * PAGE_BYTES;
    plain.set(vm.bytes.subarray(from, from + PAGE_BYTES), pages.length * 4 + n * PAGE_BYTES);
  }
  return { pages: pages.length, body: await deflate(plain, { level: LEVEL }) };
}

async function writePart(out: FileHandle, { pages, body }: Part): Promise<void> {
  const head = Buffer.alloc(PART_BYTES);
  head.writeUInt32LE(pages, 0);
  head.writeUInt32LE(body.length, 4);
  head.writeUInt32LE(crc32(body, pages), 8);
  await out.write(head);
  if (body.length > 0) await out.write(body);
}

// Reading -----------------------------------------------------------------------------------------------

/** A snapshot that was read and checked. */
export class Snapshot {
  readonly file: string;
  readonly head: SnapshotHead;
  readonly #parts: readonly Part[];
  #plain: readonly Buffer[] | undefined;

  constructor(file: string, head: SnapshotHead, parts: readonly Part[]) {
    this.file = file;
    this.head = head;
    this.#parts = parts;
  }

  /** Fills the fresh memory of a VM, several parts at a time. */
  async fill(vm: VmMemory): Promise<void> {
    const queue = [...this.#parts];
    const work = async (): Promise<void> => {
      for (let part = queue.pop(); part !== undefined; part = queue.pop()) {
        const plain = await inflate(part.body, { maxOutputLength: plainBytes(part) });
        this.#place(vm, part, plain);
      }
    };
    await Promise.all(Array.from({ length: PARALLEL }, work));
  }

  /** The same on this thread: for machines that run on one. */
  fillNow(vm: VmMemory): void {
    for (const part of this.#parts) {
      const plain = inflateRawSync(part.body, { maxOutputLength: plainBytes(part) });
      this.#place(vm, part, plain);
    }
  }

  /**
   * The same again and again into one memory, which other machines have used since: what they left is cleared. The
   * pages are kept as they are, so that only the first time costs their decompression.
   */
  refill(vm: VmMemory): void {
    this.#plain ??= this.#parts.map((part) =>
      inflateRawSync(part.body, { maxOutputLength: plainBytes(part) }),
    );
    const kept = new Uint8Array(Math.ceil(vm.map.totalBytes / PAGE_BYTES));
    for (const [index, part] of this.#parts.entries()) {
      this.#place(vm, part, this.#plain[index] as Buffer, kept);
    }
    forEachUsedPage(vm, 0, vm.map.totalBytes, (offset, bytes) => {
      if (kept[offset / PAGE_BYTES] === 0) vm.bytes.fill(0, offset, offset + bytes);
    });
  }

  #place(vm: VmMemory, part: Part, plain: Buffer, kept?: Uint8Array): void {
    if (plain.length !== plainBytes(part)) throw this.broken("a part has another size");
    for (let n = 0; n < part.pages; n++) {
      const to = plain.readUInt32LE(n * 4) * PAGE_BYTES;
      if (to + PAGE_BYTES > vm.map.totalBytes) throw this.broken("a page has no place");
      const from = part.pages * 4 + n * PAGE_BYTES;
      vm.bytes.set(plain.subarray(from, from + PAGE_BYTES), to);
      if (kept !== undefined) kept[to / PAGE_BYTES] = 1;
    }
  }

  broken(why: string): ZmendError {
    return broken(this.file, why);
  }

  /**
   * Whether the machine that was saved is the one that is to go on.
   * @throws ZmendError SNAPSHOT_INVALID naming the first thing that differs
   */
  requireMachine(spec: VmSpec): void {
    for (const [what, of] of machineFacts) {
      const saved = of(this.head.spec);
      const wanted = of(spec);
      if (saved === wanted) continue;
      throw this.#ofAnother(`${what} was ${saved}, is ${wanted}`);
    }
    this.#requireFunctions(spec);
    for (const index of functionIndices(spec)) this.#requireDisks(spec, index);
  }

  #requireFunctions(spec: VmSpec): void {
    for (const index of functionIndices(spec)) {
      const wanted = withoutFaults(spec.functions[index]);
      const what = firstDifference(withoutFaults(this.head.spec.functions[index]), wanted);
      if (what === undefined) continue;
      throw this.#ofAnother(`of function ${hex(spec.functions[index]?.fid ?? 0, 8)}, ${what}`);
    }
  }

  #ofAnother(how: string): ZmendError {
    return new ZmendError(
      "SNAPSHOT_INVALID",
      `Snapshot ${this.file} is of another machine: ${how}; start the machine as it was.`,
      { file: this.file },
    );
  }

  /** Content of images is no part of a snapshot: they have to be what they were. */
  #requireDisks(spec: VmSpec, index: number): void {
    const { fid = 0, nvme } = spec.functions[index] ?? {};
    const saved = this.head.platform[index]?.nvme?.namespaces ?? [];
    const stores = saved.map(({ store }) => store);
    const problem = diskProblem(nvme?.namespaces ?? [], stores);
    if (problem === undefined) return;
    throw new ZmendError(
      "SNAPSHOT_INVALID",
      `Snapshot ${this.file} needs the disks of function ${hex(fid, 8)} as they were when it was taken (${problem}); put the image back that was copied then (cp -p keeps its time).`,
      { file: this.file },
    );
  }
}

/** What makes a machine this one and no other; the rest (name, policy, faults) may differ. */
const machineFacts: readonly (readonly [string, (spec: VmSpec) => string])[] = [
  ["its memory", (spec) => `${spec.ramBytes / 1024 ** 2} MiB`],
  ["the number of its CPUs", (spec) => `${spec.vcpus ?? 1}`],
  ["its CPU model", (spec) => spec.cpuModel],
  ["the number of its functions", (spec) => `${functionIndices(spec).length}`],
  ["the places of its functions", (spec) => functionIndices(spec).join(", ")],
  ["recovery.workers", (spec) => spec.recoveryWorkers ?? "own"],
  ["room for its functions", (spec) => `${mapOf(spec).functionCount}`],
];

function withoutFaults(config: VmSpec["functions"][number] | undefined): object {
  if (config === undefined) return {};
  const { faults: _, nvme, ...rest } = config;
  return { ...rest, nvme: nvme === undefined ? undefined : { ...nvme, faults: [] } };
}

/** In words, the first member in which two plain values differ: `host.clearError was true, is false`. */
function firstDifference(was: unknown, is: unknown, path = ""): string | undefined {
  const isPlain = (value: unknown): value is Record<string, unknown> =>
    typeof value === "object" && value !== null;
  if (!isPlain(was) || !isPlain(is)) {
    const [before, now] = [JSON.stringify(was) ?? "nothing", JSON.stringify(is) ?? "nothing"];
    return before === now ? undefined : `${path} was ${before}, is ${now}`;
  }
  for (const key of new Set([...Object.keys(was), ...Object.keys(is)])) {
    const found = firstDifference(was[key], is[key], path === "" ? key : `${path}.${key}`);
    if (found !== undefined) return found;
  }
  return undefined;
}

function plainBytes(part: Part): number {
  return part.pages * (4 + PAGE_BYTES);
}

/** @throws ZmendError SNAPSHOT_INVALID: no snapshot, another version's, cut off or changed */
export async function readSnapshot(file: string): Promise<Snapshot> {
  let bytes: Buffer;
  try {
    bytes = await readFile(file);
  } catch (cause) {
    const missing = (cause as NodeJS.ErrnoException).code === "ENOENT";
    throw new ZmendError(
      "SNAPSHOT_INVALID",
      `Snapshot ${file} ${missing ? "does not exist" : "cannot be read"}; name a file that savevm wrote.`,
      { file },
      { cause },
    );
  }
  if (bytes.length < PREFIX_BYTES || bytes.toString("latin1", 0, MAGIC.length) !== MAGIC) {
    throw new ZmendError(
      "SNAPSHOT_INVALID",
      `${file} is no snapshot of zmend; name a file that savevm wrote.`,
      { file },
    );
  }
  const format = bytes.readUInt32LE(MAGIC.length);
  if (format !== FORMAT) {
    throw new ZmendError(
      "SNAPSHOT_INVALID",
      `Snapshot ${file} has format ${format}, this zmend reads format ${FORMAT}; restore it with the zmend that wrote it.`,
      { file },
    );
  }
  const [first, ...parts] = partsOf(bytes, file);
  return new Snapshot(file, headOf(first, file), parts);
}

function partsOf(bytes: Buffer, file: string): Part[] {
  const parts: Part[] = [];
  for (let at = PREFIX_BYTES; ; ) {
    if (at + PART_BYTES > bytes.length) throw broken(file, "its end is missing");
    const pages = bytes.readUInt32LE(at);
    const length = bytes.readUInt32LE(at + 4);
    const sum = bytes.readUInt32LE(at + 8);
    at += PART_BYTES;
    if (at + length > bytes.length) throw broken(file, "its end is missing");
    const body = bytes.subarray(at, at + length);
    if (pages > PART_PAGES || crc32(body, pages) !== sum) {
      throw broken(file, `a checksum is wrong before byte ${at + length}`);
    }
    if (pages === 0 && length === 0) return parts;
    parts.push({ pages, body });
    at += length;
  }
}

function headOf(part: Part | undefined, file: string): SnapshotHead {
  if (part === undefined || part.pages !== 0) throw broken(file, "it has no head");
  let head: Partial<SnapshotHead>;
  try {
    head = unpack(
      inflateRawSync(part.body, { maxOutputLength: HEAD_BYTES_MAX }),
    ) as Partial<SnapshotHead>;
  } catch {
    throw broken(file, "its head cannot be read");
  }
  const { writtenBy = "another program", layout, spec } = head;
  if (spec === undefined || layout !== layoutOf(mapOf(spec))) {
    throw new ZmendError(
      "SNAPSHOT_INVALID",
      `Snapshot ${file} was written by ${writtenBy}, whose machines are laid out otherwise than those of zmend ${zmendVersion()}; restore it with the zmend that wrote it.`,
      { file },
    );
  }
  return head as SnapshotHead;
}

function broken(file: string, why: string): ZmendError {
  return new ZmendError("SNAPSHOT_INVALID", `Snapshot ${file} is broken: ${why}; take another.`, {
    file,
  });
}
