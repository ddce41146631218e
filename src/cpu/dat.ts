/**
 * Hot file on a TLB miss: no allocation, exception or BigInt.
 *
 * Dynamic address translation: logical or real address to absolute address, with prefixing, low-address
 * protection, DAT protection and key-controlled protection. Owns no TLB: the CPU core caches what it
 * gets here under `dataTag` and `instructionTag`. Addresses travel as two signed 32-bit halves. Nothing a guest can set up
 * makes it throw: every table entry is read after `GuestRam.contains`.
 *
 * Sources: SA22-7832 chapter 3 (translation tables, protection), s390x-machine.md 5.6. Table addresses
 * are taken as absolute (the manual leaves real or absolute open).
 */
import { ProgramCode } from "../abi/lowcore.ts";
import { at } from "../base/bits.ts";
import type { GuestRam } from "../shm/guest-ram.ts";
import { AccessLists } from "./access-lists.ts";
import { Core } from "./core-layout.ts";
import { type AccessKind, FETCH, INSTRUCTION, STORE, type Translator } from "./seam.ts";
import { Cpu, type CpuState, PswBit } from "./state.ts";
import {
  KEY_CHANGE,
  KEY_FETCH_PROTECTION,
  KEY_REFERENCE,
  type StorageKeys,
} from "./storage-keys.ts";

/** Address spaces, numbered as PSW bits 16-17; REAL is DAT off. */
export const SPACE_PRIMARY = 0;
export const SPACE_AR = 1;
export const SPACE_SECONDARY = 2;
export const SPACE_HOME = 3;
export const SPACE_REAL = 4;

/** Control registers that hold the ASCE of spaces 0-3 (AR mode: of ALET 0). */
const ASCE_REGISTER = [1, 1, 7, 13];

/** CR0 bits 32-63 (low half). */
const CR0_LOW_ADDRESS_PROTECTION = 0x10000000; //   bit 35
const CR0_FETCH_OVERRIDE = 0x02000000; //           bit 38
const CR0_STORAGE_OVERRIDE = 0x01000000; //         bit 39
const CR0_EDAT = 0x00800000; //                     bit 40
const CR0_NO_EXECUTE = 0x00100000; //               bit 43
/** CR0 bits that change what a cached translation may do. */
export const CR0_TRANSLATION_BITS =
  CR0_LOW_ADDRESS_PROTECTION |
  CR0_FETCH_OVERRIDE |
  CR0_STORAGE_OVERRIDE |
  CR0_EDAT |
  CR0_NO_EXECUTE;

const ASCE_PRIVATE = 0x100; //    bit 55
const ASCE_REAL = 0x20; //        bit 58
const ENTRY_INVALID = 0x20; //    region and segment entries, bit 58
const ENTRY_PROTECT = 0x200; //   bit 54
/** Bit 53 of a segment- or region-third-table entry: the entry designates the frame itself. */
const FORMAT_CONTROL = 0x400;
/** Bit 47 of such an entry: bits 48-52 take the place of the storage key's. */
const ACCESS_VALID = 0x10000;
const ACCESS_BITS = 0xf800;
/** Bit 55 of an entry that designates a frame: no instructions from there. */
const NO_EXECUTE = 0x100;
const SEGMENT_COMMON = 0x10; //   bit 59
const PAGE_ZERO = 0x800; //       bit 52
const PAGE_INVALID = 0x400; //    bit 53

const {
  protection: PROTECTION,
  addressing: ADDRESSING,
  segmentTranslation: SEGMENT_TRANSLATION,
  pageTranslation: PAGE_TRANSLATION,
  translationSpecification: TRANSLATION_SPECIFICATION,
  aletSpecification: ALET_SPECIFICATION,
  extendedAuthority: EXTENDED_AUTHORITY,
  asceType: ASCE_TYPE,
  regionThirdTranslation: REGION_THIRD_TRANSLATION,
} = ProgramCode;

/** Translation-exception identification, bits 52-63. */
const TEID_FETCH = 0x800;
const TEID_STORE = 0x400;
const TEID_LOW_ADDRESS = 0x80;
const TEID_KEY = 0x08;
const TEID_DAT = 0x04;
/** Bits 56 and 61: instruction-execution protection. */
const TEID_NO_EXECUTE = 0x84;

const TWO_32 = 0x1_0000_0000;
const TAGS_MAX = 64;
/** Flags beside the access key in #tagKey. */
const TAG_REAL = 0x10;
const TAG_AR = 0x20;

export interface DatFeatures {
  /** Facility 8 announced: CR0 bit 40 enables 1 MiB frames and region protection. */
  readonly edat1: boolean;
  /** Facility 78 announced: frames of 2 GiB as well. */
  readonly edat2: boolean;
  /** Facility 130 announced: CR0 bit 43 enables instruction-execution protection. */
  readonly noExecute: boolean;
}

export class Dat implements Translator {
  writable: 0 | 1 | 2 = 0;
  cacheable: 0 | 1 = 1;
  /** The AR that a storage operand's access names in AR mode (AR 0 counts as ALET 0). */
  accessRegister = 0;
  /** Those of the instruction in progress, for accesses whose caller does not say which operand it is. */
  firstAccessRegister = 0;
  secondAccessRegister = 0;
  /** PER: a store went into the range of CR10 and CR11 since `watchStores(true)`. */
  alteration = false;
  #watchesStores = false;
  readonly accessLists: AccessLists;
  // Result of #findAsce
  #asceHigh = 0;
  #asceLow = 0;
  #fetchOnly = false;
  /** Translation-exception identification of the last failure. */
  teidHigh = 0;
  teidLow = 0;

  readonly #state: CpuState;
  readonly #ram: GuestRam;
  readonly #keys: StorageKeys;
  readonly #features: DatFeatures;
  readonly #purge: () => void;
  // Tag t stands for slot t - 1.
  readonly #tagUsed = new Uint8Array(TAGS_MAX);
  readonly #tagHigh = new Int32Array(TAGS_MAX);
  readonly #tagLow = new Int32Array(TAGS_MAX);
  readonly #tagKey = new Int32Array(TAGS_MAX);
  #dataSlot = 0;
  #instructionSlot = 0;
  // Result of #resolve besides its return value
  #entryLow = 0;
  /** Access-control and fetch-protection bits of the table entry instead of the storage key, or -1. */
  #entryKey = -1;
  #entryOrigin = 0;
  #entryInvalid = false;
  /** False while TPROT probes: reference and change bits stay as they are. */
  #recordUse = true;

  /** @param purge the core's TLB purge; called when tags are to be reused or `purge()` is asked for */
  constructor(
    state: CpuState,
    ram: GuestRam,
    keys: StorageKeys,
    features: DatFeatures,
    purge: () => void,
  ) {
    this.#state = state;
    this.#ram = ram;
    this.#keys = keys;
    this.#features = features;
    this.#purge = purge;
    this.accessLists = new AccessLists(state, ram, (real) => this.realToAbsolute(real));
  }

  /** Forgets every cached translation of this CPU. Tags keep their meaning. */
  purge(): void {
    this.#purge();
  }

  /**
   * Translates one logical address under the current PSW.
   * @returns the absolute address of the byte, or -1 with the exception recorded in the CPU state
   */
  translate(high: number, low: number, kind: AccessKind): number {
    this.chooseAccessRegister(kind);
    return this.translateIn(high, low, kind, this.currentSpace(kind), this.pswKey());
  }

  /** What is stored is the first operand; what is fetched is the second one unless the instruction said so. */
  chooseAccessRegister(kind: AccessKind): void {
    const first = kind === STORE || this.#state.i32(Core.fetchesFirst) !== 0;
    this.accessRegister = first ? this.firstAccessRegister : this.secondAccessRegister;
  }

  /**
   * PER storage alteration: from now on every store has to be announced by `stores`, and no page is writable for
   * the TLB; or no longer.
   */
  watchStores(on: boolean): void {
    if (on === this.#watchesStores) return;
    this.#watchesStores = on;
    if (on) this.#purge();
  }

  /** A store of `bytes` at a logical address is about to happen. */
  stores(high: number, low: number, bytes: number): void {
    if (!this.#watchesStores) return;
    const address = (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
    if (this.inPerRange(address, BigInt(bytes))) this.alteration = true;
  }

  /** Whether bytes lie in the range that CR10 and CR11 give, which may wrap around. */
  inPerRange(address: bigint, bytes: bigint): boolean {
    const start = this.#state.cr(10);
    const end = this.#state.cr(11);
    const last = address + bytes - 1n;
    if (start <= end) return last >= start && address <= end;
    return address <= end || last >= start;
  }

  /** As `translate`, in a space and with an access key of the caller's choice. */
  translateIn(high: number, low: number, kind: AccessKind, space: number, key: number): number {
    const absolute = this.resolve(high, low, kind, space, key);
    if (absolute >= 0) return absolute;
    this.record(-absolute, space);
    return -1;
  }

  /**
   * As `translateIn`, recording nothing.
   * @returns the absolute address, or minus the program-interruption code
   */
  resolve(high: number, low: number, kind: AccessKind, space: number, key: number): number {
    this.writable = 0;
    // What an AR designates may change without notice to the TLB.
    this.cacheable = space === SPACE_AR ? 0 : 1;
    let asceHigh = 0;
    let asceLow = 0;
    if (space !== SPACE_REAL) {
      const failed = this.#findAsce(space);
      if (failed !== 0) return -failed;
      asceHigh = this.#asceHigh;
      asceLow = this.#asceLow;
    }
    const store = kind === STORE;
    this.teidHigh = high;
    this.teidLow = (low & ~0xfff) | (store ? TEID_STORE : TEID_FETCH) | (space & 3);
    const control = this.#state.low(Cpu.cr);
    const privateSpace = (asceLow & ASCE_PRIVATE) !== 0;
    const lowPage =
      (control & CR0_LOW_ADDRESS_PROTECTION) !== 0 &&
      !privateSpace &&
      high === 0 &&
      (low & ~0x1fff) === 0;
    if (lowPage && store && (low & 0xfff) < 512) {
      this.teidLow |= TEID_LOW_ADDRESS;
      return -PROTECTION;
    }
    let real: number;
    let protect = false;
    if (space === SPACE_REAL) {
      real = (high >>> 0) * TWO_32 + (low >>> 0);
    } else {
      real = this.#walk(high, low, asceHigh, asceLow);
      if (real < 0) return real;
      protect = (this.#entryLow & ENTRY_PROTECT) !== 0 || this.#fetchOnly;
      if (store && protect) {
        this.teidLow |= TEID_DAT;
        return -PROTECTION;
      }
      if (kind === INSTRUCTION && (this.#entryLow & NO_EXECUTE) !== 0) {
        this.teidLow |= TEID_NO_EXECUTE;
        return -PROTECTION;
      }
    }
    const absolute = this.realToAbsolute(real);
    if (!this.#ram.contains(absolute - (absolute % 4096), 4096)) return -ADDRESSING;
    const storageKey = this.#keys.get(absolute);
    let mayStore = !protect;
    if (key !== 0) {
      const ofEntry = space !== SPACE_REAL && this.#entryKey >= 0;
      const access = ofEntry ? this.#entryKey : storageKey;
      const matches =
        access >>> 4 === key || ((control & CR0_STORAGE_OVERRIDE) !== 0 && access >>> 4 === 9);
      const mayFetch =
        matches ||
        (access & KEY_FETCH_PROTECTION) === 0 ||
        ((control & CR0_FETCH_OVERRIDE) !== 0 && !privateSpace && high === 0 && low >>> 0 < 2048);
      if (store ? !matches : !mayFetch) {
        this.teidLow |= TEID_KEY;
        return -PROTECTION;
      }
      mayStore = mayStore && matches;
    }
    if (this.#recordUse) {
      this.#keys.touch(absolute, store ? KEY_REFERENCE | KEY_CHANGE : KEY_REFERENCE);
    }
    // A page whose change bit is still zero stays read-only in the TLB, so the first store comes here.
    if (mayStore && !this.#watchesStores && (store || (storageKey & KEY_CHANGE) !== 0))
      this.writable = lowPage ? 2 : 1;
    return absolute;
  }

  /** As `resolve`, leaving reference and change bits alone: TPROT. */
  probe(high: number, low: number, kind: AccessKind, space: number, key: number): number {
    this.#recordUse = false;
    const result = this.resolve(high, low, kind, space, key);
    this.#recordUse = true;
    return result;
  }

  /**
   * Translation of LRA: through the tables even with DAT off, no prefixing, no storage access.
   * @returns the real address, or minus the program-interruption code; `entryOrigin` tells where the last
   * table entry stood
   */
  loadReal(high: number, low: number, space: number): number {
    const failed = this.#findAsce(space);
    if (failed !== 0) return -failed;
    return this.#walk(high, low, this.#asceHigh, this.#asceLow);
  }

  /** Real (or absolute) address of the last table entry looked at. */
  get entryOrigin(): number {
    return this.#entryOrigin;
  }

  /** Whether the last walk ended at an entry whose invalid bit is one (not at a table's length). */
  get entryInvalid(): boolean {
    return this.#entryInvalid;
  }

  /** Prefixing is its own inverse: real to absolute, absolute to real. */
  realToAbsolute(address: number): number {
    const prefix = this.#state.i32(Cpu.prefix);
    if (address < 8192) return address + prefix;
    if (address >= prefix && address < prefix + 8192) return address - prefix;
    return address;
  }

  /** Space of an access under the current PSW; instructions come from primary unless in home mode. */
  currentSpace(kind: number): number {
    const mask = this.#state.high(Cpu.pswMask);
    if ((mask & PswBit.datHigh) === 0) return SPACE_REAL;
    const space = (mask >>> 14) & 3;
    return kind === INSTRUCTION && space !== SPACE_HOME ? SPACE_PRIMARY : space;
  }

  pswKey(): number {
    return (this.#state.high(Cpu.pswMask) >>> 20) & 15;
  }

  get dataTag(): number {
    this.#dataSlot = this.#slotOf(this.currentSpace(FETCH));
    return this.#dataSlot + 1;
  }

  get instructionTag(): number {
    this.#instructionSlot = this.#slotOf(this.currentSpace(INSTRUCTION));
    return this.#instructionSlot + 1;
  }

  /** Slot that stands for {ASCE or real, access key}. */
  #slotOf(space: number): number {
    let high = 0;
    let low = 0;
    let key = this.pswKey();
    if (space === SPACE_REAL) {
      key |= TAG_REAL;
    } else {
      if (space === SPACE_AR) key |= TAG_AR;
      const asce = Cpu.cr + at(ASCE_REGISTER, space) * 8;
      high = this.#state.high(asce);
      low = this.#state.low(asce);
    }
    let free = -1;
    for (let slot = 0; slot < TAGS_MAX; slot++) {
      if (at(this.#tagUsed, slot) === 0) {
        if (free < 0) free = slot;
      } else if (
        at(this.#tagLow, slot) === low &&
        at(this.#tagHigh, slot) === high &&
        at(this.#tagKey, slot) === key
      ) {
        return slot;
      }
    }
    if (free < 0) free = this.#reclaim();
    this.#tagUsed[free] = 1;
    this.#tagHigh[free] = high;
    this.#tagLow[free] = low;
    this.#tagKey[free] = key;
    return free;
  }

  /**
   * Frees all slots but the two that the core is using: it reads one tag after the other, and the
   * first must not come to mean something else meanwhile.
   */
  #reclaim(): number {
    this.#purge();
    this.#tagUsed.fill(0);
    this.#tagUsed[this.#dataSlot] = 1;
    this.#tagUsed[this.#instructionSlot] = 1;
    return this.#tagUsed.indexOf(0);
  }

  /** Records the access exception `code` that the last failed resolution described. */
  record(code: number, space: number): void {
    const state = this.#state;
    state.setI32(Cpu.programCode, code);
    state.setI32(Cpu.nullify, isNullifying(code) ? 1 : 0);
    if (hasTeid(code)) {
      state.setHalves(Cpu.teid, this.teidHigh, this.teidLow);
      state.setI32(Cpu.excAccessId, space === SPACE_AR ? this.accessRegister : 0);
    } else if (code >= ALET_SPECIFICATION && code <= EXTENDED_AUTHORITY) {
      state.setI32(Cpu.excAccessId, this.accessRegister);
    }
  }

  /** Finds the space's ASCE. @returns 0, or the code of the exception that an access list leads to */
  #findAsce(space: number): number {
    let register = at(ASCE_REGISTER, space & 3);
    this.#fetchOnly = false;
    if (space === SPACE_AR && this.accessRegister !== 0) {
      const alet = this.#state.i32(Cpu.ar + this.accessRegister * 4);
      if (alet === 1) register = 7;
      else if (alet !== 0) return this.#throughAccessList(alet);
    }
    this.#asceHigh = this.#state.high(Cpu.cr + register * 8);
    this.#asceLow = this.#state.low(Cpu.cr + register * 8);
    return 0;
  }

  /** The extended-authorization index is in CR8 bits 32-47. */
  #throughAccessList(alet: number): number {
    const lists = this.accessLists;
    const failed = lists.translate(alet, this.#state.low(Cpu.cr + 8 * 8) >>> 16);
    if (failed !== 0) return failed;
    this.#asceHigh = lists.asceHigh;
    this.#asceLow = lists.asceLow;
    this.#fetchOnly = lists.fetchOnly;
    return 0;
  }

  /** Walks the tables; real address or minus code. Leaves the protection bits met in #entryLow. */
  #walk(high: number, low: number, asceHigh: number, asceLow: number): number {
    this.#entryLow = 0;
    this.#entryKey = -1;
    this.#entryInvalid = false;
    const offset = low & 0xfff;
    if ((asceLow & ASCE_REAL) !== 0) return (high >>> 0) * TWO_32 + (low >>> 0);
    const type = (asceLow >>> 2) & 3; // 3 region first, 2 region second, 1 region third, 0 segment
    if (beyondReach(high, low, type)) return -ASCE_TYPE;
    const { edat1, edat2, noExecute } = this.#features;
    const edat = edat1 && (this.#state.low(Cpu.cr) & CR0_EDAT) !== 0;
    const frameFlags =
      ENTRY_PROTECT |
      (noExecute && (this.#state.low(Cpu.cr) & CR0_NO_EXECUTE) !== 0 ? NO_EXECUTE : 0);
    let index = indexOf(high, low, type);
    if (index >>> 9 > (asceLow & 3)) return -translationCode(type);
    let origin = (asceHigh >>> 0) * TWO_32 + ((asceLow & ~0xfff) >>> 0);
    let protect = 0;
    for (let level = type; level >= 0; level--) {
      const address = origin + index * 8;
      this.#entryOrigin = address;
      if (!this.#ram.contains(address, 8)) return -ADDRESSING;
      const entryHigh = this.#ram.u32(address);
      const entryLow = this.#ram.u32(address + 4) | 0;
      if ((entryLow & ENTRY_INVALID) !== 0) {
        this.#entryInvalid = true;
        return -translationCode(level);
      }
      if (((entryLow >>> 2) & 3) !== level) return -TRANSLATION_SPECIFICATION;
      if (level > 0) {
        if (edat) protect |= entryLow & ENTRY_PROTECT;
        if (level === 1 && edat && edat2 && (entryLow & FORMAT_CONTROL) !== 0) {
          if (isCommonInPrivate(entryLow, asceLow)) return -TRANSLATION_SPECIFICATION;
          this.#frameEntry(protect | (entryLow & frameFlags), entryLow);
          return entryHigh * TWO_32 + ((entryLow & 0x80000000) >>> 0) + (low & 0x7fffffff);
        }
        index = indexOf(high, low, level - 1);
        const part = index >>> 9;
        if (part < ((entryLow >>> 6) & 3) || part > (entryLow & 3)) {
          return -translationCode(level - 1);
        }
        origin = entryHigh * TWO_32 + ((entryLow & ~0xfff) >>> 0);
        continue;
      }
      if (isCommonInPrivate(entryLow, asceLow)) return -TRANSLATION_SPECIFICATION;
      protect |= entryLow & ENTRY_PROTECT;
      if (edat && (entryLow & FORMAT_CONTROL) !== 0) {
        this.#frameEntry(protect | (entryLow & frameFlags), entryLow);
        return entryHigh * TWO_32 + ((entryLow & ~0xfffff) >>> 0) + (low & 0xfffff);
      }
      origin = entryHigh * TWO_32 + ((entryLow & ~0x7ff) >>> 0);
    }
    const address = origin + ((low >>> 12) & 0xff) * 8;
    this.#entryOrigin = address;
    if (!this.#ram.contains(address, 8)) return -ADDRESSING;
    const pageHigh = this.#ram.u32(address);
    const pageLow = this.#ram.u32(address + 4) | 0;
    if ((pageLow & PAGE_INVALID) !== 0) return -PAGE_TRANSLATION;
    if ((pageLow & PAGE_ZERO) !== 0) return -TRANSLATION_SPECIFICATION;
    this.#entryLow = protect | (pageLow & frameFlags);
    return pageHigh * TWO_32 + ((pageLow & ~0xfff) >>> 0) + offset;
  }

  /** The walk ends at a large frame. */
  #frameEntry(flags: number, entryLow: number): void {
    this.#entryLow = flags;
    if ((entryLow & ACCESS_VALID) !== 0) this.#entryKey = (entryLow & ACCESS_BITS) >>> 8;
  }
}

/** A common segment or region in a private space is not allowed. */
function isCommonInPrivate(entryLow: number, asceLow: number): boolean {
  return (entryLow & SEGMENT_COMMON) !== 0 && (asceLow & ASCE_PRIVATE) !== 0;
}

/** Whether the address has bits to the left of the index of the ASCE's highest table. */
function beyondReach(high: number, low: number, type: number): boolean {
  if (type === 3) return false;
  if (type === 2) return high >>> 21 !== 0;
  if (type === 1) return high >>> 10 !== 0;
  return high !== 0 || low < 0;
}

/** The 11-bit table index for a level: 3 RFX, 2 RSX, 1 RTX, 0 SX. */
function indexOf(high: number, low: number, level: number): number {
  if (level === 3) return high >>> 21;
  if (level === 2) return (high >>> 10) & 0x7ff;
  if (level === 1) return ((high & 0x3ff) << 1) | (low >>> 31);
  return (low >>> 20) & 0x7ff;
}

function translationCode(level: number): number {
  return level === 0 ? SEGMENT_TRANSLATION : REGION_THIRD_TRANSLATION + 1 - level;
}

/** Exceptions whose instruction is nullified: the old PSW designates it (SA22-7832, figure 6-2). */
export function isNullifying(code: number): boolean {
  return (
    code === SEGMENT_TRANSLATION ||
    code === PAGE_TRANSLATION ||
    (code >= ALET_SPECIFICATION && code <= EXTENDED_AUTHORITY) ||
    (code >= ASCE_TYPE && code <= REGION_THIRD_TRANSLATION)
  );
}

/** Exceptions that store a translation-exception identification and an access id. */
export function hasTeid(code: number): boolean {
  return (
    code === PROTECTION ||
    code === SEGMENT_TRANSLATION ||
    code === PAGE_TRANSLATION ||
    (code >= ASCE_TYPE && code <= REGION_THIRD_TRANSLATION)
  );
}
