/**
 * Guest absolute storage. Addresses are plain numbers (guest RAM ends below 4 GiB). Multi-byte
 * accessors are big-endian, as the guest sees its storage. Implemented by `src/shm/guest-ram.ts`.
 *
 * `contains` must be asked first for addresses that a guest or device chose: the accessors assert.
 */
export interface GuestMemory {
  readonly sizeBytes: number;
  contains(address: number, length: number): boolean;
  u8(address: number): number;
  u16(address: number): number;
  u32(address: number): number;
  /**
   * All of storage as 32-bit words in the host's byte order, for walks of tables: indices are small whole numbers to
   * the engine, which addresses above 2 GiB are not, and sums of those are several times slower. Nothing lies beyond.
   */
  readonly storage: Int32Array;
  setU8(address: number, value: number): void;
  setU16(address: number, value: number): void;
  setU32(address: number, value: number): void;
  /** Copies guest storage into `target`. */
  read(address: number, target: Uint8Array): void;
  /** Copies `source` into guest storage. */
  write(address: number, source: Uint8Array): void;
  fill(address: number, length: number, value: number): void;
  /** Atomic OR of one byte; returns the byte as it was before. */
  orByte(address: number, mask: number): number;
}
