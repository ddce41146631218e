/** What the journal's writer asks of a file system: a border, so that tests can have a disk that fills up. */
import { open, readFile, unlink } from "node:fs/promises";
import { makeFolders } from "../../base/make-folder.ts";
import { fileBytes, listSegments, type SegmentFile } from "./segments.ts";

export interface JournalFile {
  /** Writes all of `bytes` at `position`, or throws. */
  write(bytes: Uint8Array, position: number): Promise<void>;
  truncate(length: number): Promise<void>;
  sync(): Promise<void>;
  close(): Promise<void>;
}

export interface JournalDisk {
  prepare(directory: string): Promise<void>;
  list(directory: string): SegmentFile[];
  size(file: string): number;
  read(file: string): Promise<Uint8Array>;
  create(file: string): Promise<JournalFile>;
  reopen(file: string): Promise<JournalFile>;
  remove(file: string): Promise<void>;
}

async function opened(file: string, flags: string): Promise<JournalFile> {
  const handle = await open(file, flags, 0o600);
  return {
    async write(bytes, position) {
      let done = 0;
      while (done < bytes.length) {
        const { bytesWritten } = await handle.write(
          bytes,
          done,
          bytes.length - done,
          position + done,
        );
        done += bytesWritten;
      }
    },
    truncate: (length) => handle.truncate(length),
    sync: () => handle.datasync(),
    close: () => handle.close(),
  };
}

export const realDisk: JournalDisk = {
  async prepare(directory) {
    makeFolders(directory, 0o700);
  },
  list: listSegments,
  size: fileBytes,
  read: (file) => readFile(file),
  create: (file) => opened(file, "wx"),
  reopen: (file) => opened(file, "r+"),
  remove: (file) => unlink(file),
};
