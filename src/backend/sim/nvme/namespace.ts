/**
 * Where a namespace keeps its blocks: memory that exists only where it was written, or a raw file. Calls are
 * synchronous and answer 0 or an NVMe status; ranges were checked before. Thread: platform only.
 */
import {
  closeSync,
  fdatasyncSync,
  fstatSync,
  openSync,
  readSync,
  realpathSync,
  writeSync,
} from "node:fs";
import { NvmeStatus } from "../../../abi/nvme.ts";
import { ZmendError } from "../../../base/errors.ts";
import type { NvmeConfig, NvmeNamespaceConfig } from "./config.ts";

/**
 * What a snapshot keeps of a namespace: blocks in memory as they are; of an image its size and when it was last
 * written, because a guest that goes on with other blocks than it left would destroy its file system.
 */
export type BlockStoreState =
  | { readonly kind: "memory"; readonly chunks: readonly (readonly [number, Uint8Array])[] }
  | { readonly kind: "file"; readonly sizeBytes: number; readonly writtenNs: bigint };

export interface BlockStore {
  readonly sizeBytes: number;
  /** Deallocated blocks read as zeros. */
  readonly deallocates: boolean;
  read(offset: number, target: Uint8Array): number;
  write(offset: number, source: Uint8Array): number;
  zero(offset: number, length: number): number;
  deallocate(offset: number, length: number): number;
  flush(): number;
  close(): void;
  save(): BlockStoreState;
  /** @returns undefined, or why the blocks are not those that were saved */
  load(state: BlockStoreState): string | undefined;
}

export interface Namespace {
  readonly nsid: number;
  readonly blockShift: 9 | 12;
  readonly blocks: number;
  readonly store: BlockStore;
  readOnly: boolean;
}

const CHUNK = 65536;

export class MemoryStore implements BlockStore {
  readonly sizeBytes: number;
  readonly deallocates = true;
  readonly #chunks = new Map<number, Uint8Array>();

  constructor(sizeBytes: number) {
    this.sizeBytes = sizeBytes;
  }

  read(offset: number, target: Uint8Array): number {
    for (let done = 0; done < target.length; ) {
      const at = (offset + done) % CHUNK;
      const length = Math.min(CHUNK - at, target.length - done);
      const chunk = this.#chunks.get(Math.floor((offset + done) / CHUNK));
      const part = target.subarray(done, done + length);
      if (chunk === undefined) part.fill(0);
      else part.set(chunk.subarray(at, at + length));
      done += length;
    }
    return 0;
  }

  write(offset: number, source: Uint8Array): number {
    for (let done = 0; done < source.length; ) {
      const at = (offset + done) % CHUNK;
      const length = Math.min(CHUNK - at, source.length - done);
      const number = Math.floor((offset + done) / CHUNK);
      let chunk = this.#chunks.get(number);
      if (chunk === undefined) {
        chunk = new Uint8Array(CHUNK);
        this.#chunks.set(number, chunk);
      }
      chunk.set(source.subarray(done, done + length), at);
      done += length;
    }
    return 0;
  }

  zero(offset: number, length: number): number {
    const end = offset + length;
    const first = Math.floor(offset / CHUNK);
    const last = Math.floor((end - 1) / CHUNK);
    // As many steps as chunks exist, however long the range is.
    if (last - first > this.#chunks.size) {
      for (const number of [...this.#chunks.keys()]) this.#zeroChunk(number, offset, end);
    } else for (let number = first; number <= last; number++) this.#zeroChunk(number, offset, end);
    return 0;
  }

  #zeroChunk(number: number, offset: number, end: number): void {
    const from = Math.max(offset - number * CHUNK, 0);
    const to = Math.min(end - number * CHUNK, CHUNK);
    if (from >= to) return;
    if (from === 0 && to === CHUNK) this.#chunks.delete(number);
    else this.#chunks.get(number)?.fill(0, from, to);
  }

  deallocate(offset: number, length: number): number {
    return this.zero(offset, length);
  }

  flush(): number {
    return 0;
  }

  close(): void {
    this.#chunks.clear();
  }

  save(): BlockStoreState {
    return { kind: "memory", chunks: [...this.#chunks] };
  }

  load(state: BlockStoreState): string | undefined {
    if (state.kind !== "memory") return "the snapshot has an image in place of memory";
    this.#chunks.clear();
    // A copy: two machines may go on from one snapshot.
    for (const [number, chunk] of state.chunks) this.#chunks.set(number, Uint8Array.from(chunk));
    return undefined;
  }
}

/** Zeros for `zero`, in pieces. */
const zeros = new Uint8Array(1024 * 1024);

class FileStore implements BlockStore {
  readonly sizeBytes: number;
  /** A range of a file cannot be given back here: Deallocate leaves it as it is, as NVMe allows. */
  readonly deallocates = false;
  readonly #fd: number;

  constructor(fd: number, sizeBytes: number) {
    this.#fd = fd;
    this.sizeBytes = sizeBytes;
  }

  read(offset: number, target: Uint8Array): number {
    try {
      for (let done = 0; done < target.length; ) {
        const count = readSync(this.#fd, target, done, target.length - done, offset + done);
        if (count <= 0) return NvmeStatus.unrecoveredRead; // somebody cut the file
        done += count;
      }
      return 0;
    } catch {
      return NvmeStatus.unrecoveredRead;
    }
  }

  write(offset: number, source: Uint8Array): number {
    try {
      for (let done = 0; done < source.length; ) {
        const count = writeSync(this.#fd, source, done, source.length - done, offset + done);
        if (count <= 0) return NvmeStatus.writeFault;
        done += count;
      }
      return 0;
    } catch {
      return NvmeStatus.writeFault;
    }
  }

  zero(offset: number, length: number): number {
    for (let done = 0; done < length; ) {
      const part = zeros.subarray(0, Math.min(zeros.length, length - done));
      const status = this.write(offset + done, part);
      if (status !== 0) return status;
      done += part.length;
    }
    return 0;
  }

  deallocate(): number {
    return 0;
  }

  flush(): number {
    try {
      fdatasyncSync(this.#fd);
      return 0;
    } catch {
      return NvmeStatus.writeFault;
    }
  }

  save(): BlockStoreState {
    this.flush();
    return { kind: "file", sizeBytes: this.sizeBytes, writtenNs: this.#writtenNs() };
  }

  load(state: BlockStoreState): string | undefined {
    if (state.kind !== "file") return "the snapshot has memory in place of an image";
    if (state.sizeBytes !== this.sizeBytes) return "the image has another size";
    if (state.writtenNs !== this.#writtenNs()) return "the image has been written since";
    return undefined;
  }

  #writtenNs(): bigint {
    return fstatSync(this.#fd, { bigint: true }).mtimeNs;
  }

  close(): void {
    try {
      closeSync(this.#fd);
    } catch {
      // already closed: nothing is left to lose
    }
  }
}

/**
 * @throws ZmendError CONFIG_INVALID when a file cannot be opened, is no regular file, is empty or of odd size
 */
export function openNamespace(config: NvmeNamespaceConfig, nsid: number): Namespace {
  const blockShift = config.blockBytes === 4096 ? 12 : 9;
  const readOnly = config.readOnly === true;
  const store =
    config.file === undefined
      ? new MemoryStore(config.sizeBytes ?? 0)
      : openFile(config.file, readOnly, 2 ** blockShift);
  return { nsid, blockShift, blocks: store.sizeBytes / 2 ** blockShift, store, readOnly };
}

/** Disk images in use. An image that anybody writes has one user, or two would write over each other. */
export class DiskUses {
  /** By real path, whether it is written. */
  readonly #uses = new Map<string, boolean>();

  /**
   * Opens and closes the images of a controller: what is wrong is told before its VM is built.
   * @throws ZmendError CONFIG_INVALID naming the image
   */
  take(controller: Pick<NvmeConfig, "namespaces"> | undefined): void {
    for (const config of controller?.namespaces ?? []) {
      if (config.file === undefined) continue;
      openNamespace(config, 1).store.close();
      const file = realpathSync(config.file);
      const writes = config.readOnly !== true;
      const other = this.#uses.get(file);
      if (other === true || (other !== undefined && writes)) {
        throw new ZmendError(
          "CONFIG_INVALID",
          `disk image ${config.file} is used twice and written; give each namespace an image of its own`,
          { file },
        );
      }
      this.#uses.set(file, writes);
    }
  }
}

/** Every disk image of a VM's controllers. @throws ZmendError CONFIG_INVALID naming the image */
export function checkDisks(
  functions: readonly { readonly nvme?: Pick<NvmeConfig, "namespaces"> }[],
): void {
  const uses = new DiskUses();
  for (const { nvme } of functions) uses.take(nvme);
}

/**
 * What keeps a machine with these disks from going on where it was saved: an image that changed since.
 * @param saved the namespaces' states, as they were saved
 */
export function diskProblem(
  namespaces: readonly NvmeNamespaceConfig[],
  saved: readonly BlockStoreState[],
): string | undefined {
  for (const [index, config] of namespaces.entries()) {
    const state = saved[index];
    if (config.file === undefined || state === undefined) continue;
    const { store } = openNamespace(config, index + 1);
    const problem = store.load(state);
    store.close();
    if (problem !== undefined) return `${config.file}: ${problem}`;
  }
  return undefined;
}

function openFile(file: string, readOnly: boolean, blockBytes: number): FileStore {
  let fd: number;
  try {
    fd = openSync(file, readOnly ? "r" : "r+");
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code ?? "error";
    if (code === "ENOENT") {
      throw new ZmendError(
        "CONFIG_INVALID",
        `disk image ${file} does not exist; create it (truncate -s 64M FILE) or name another`,
        { file },
        { cause },
      );
    }
    const how = readOnly ? "read" : "read and written (a read-only namespace is only read)";
    throw new ZmendError(
      "CONFIG_INVALID",
      `disk image ${file} cannot be opened to be ${how}: ${code}`,
      { file },
      { cause },
    );
  }
  const stat = fstatSync(fd);
  if (!stat.isFile() || stat.size === 0 || stat.size % blockBytes !== 0) {
    closeSync(fd);
    throw new ZmendError(
      "CONFIG_INVALID",
      `disk image ${file} has ${stat.size} bytes, needed is a regular file of a multiple of ${blockBytes}`,
      { file, size: stat.size },
    );
  }
  return new FileStore(fd, stat.size);
}
