/**
 * Access-register translation: from an ALET through the dispatchable unit's or the primary space's access list to
 * an ASN-second-table entry, and to the address-space-control element in it. Nothing is cached (there is no
 * access-list lookaside buffer), so the instructions that purge one have nothing to do. All tables are at real
 * addresses. Source: SA22-7832 chapter 5, "Access-Register Translation".
 */
import { ProgramCode } from "../abi/lowcore.ts";
import type { GuestRam } from "../shm/guest-ram.ts";
import { Cpu, type CpuState } from "./state.ts";

const {
  addressing: ADDRESSING,
  aletSpecification: ALET_SPECIFICATION,
  alenTranslation: ALEN_TRANSLATION,
  aleSequence: ALE_SEQUENCE,
  asteValidity: ASTE_VALIDITY,
  asteSequence: ASTE_SEQUENCE,
  extendedAuthority: EXTENDED_AUTHORITY,
} = ProgramCode;

/** ALET: bits 0-6 zeros, bit 7 the primary list, bits 8-15 sequence number, bits 16-31 entry number. */
const ALET_RESERVED = 0xfe000000;
const ALET_PRIMARY_LIST = 0x01000000;
const SEQUENCE_BYTE = 0x00ff0000;
/** Origins of the DUCT (CR2) and of the primary ASTE (CR5): bits 33-57. */
const ORIGIN_64 = 0x7fffffc0;
/** Offset of the access-list designation in both. */
const DESIGNATION = 16;
/** Access-list designation: origin in bits 1-24, length in units of eight entries, less one, in 25-31. */
const LIST_ORIGIN = 0x7fffff80;
const LIST_LENGTH = 0x7f;
const ALE_BYTES = 16;
/** ALE word 0: invalid, fetch only, private. */
const ALE_INVALID = 0x80000000;
const ALE_FETCH_ONLY = 0x02000000;
const ALE_PRIVATE = 0x01000000;
const ALE_ASTE = 8;
const ALE_ASTE_SEQUENCE = 12;
const ASTE_BYTES = 64;
const ASTE_INVALID = 0x80000000;
const ASTE_AUTHORITY_ORIGIN = 0x7ffffffc;
const ASTE_ASCE = 8;
const ASTE_SEQUENCE_NUMBER = 20;

export class AccessLists {
  /** Result of `translate`. */
  asceHigh = 0;
  asceLow = 0;
  fetchOnly = false;

  readonly #state: CpuState;
  readonly #ram: GuestRam;
  readonly #toAbsolute: (real: number) => number;

  constructor(state: CpuState, ram: GuestRam, toAbsolute: (real: number) => number) {
    this.#state = state;
    this.#ram = ram;
    this.#toAbsolute = toAbsolute;
  }

  /**
   * Translates an ALET other than 0 and 1.
   * @param authority extended-authorization index to be checked against the entry
   * @returns 0, or the program-interruption code
   */
  translate(alet: number, authority: number): number {
    if ((alet & ALET_RESERVED) !== 0) return ALET_SPECIFICATION;
    const register = (alet & ALET_PRIMARY_LIST) !== 0 ? 5 : 2;
    const origin = this.#state.low(Cpu.cr + register * 8) & ORIGIN_64;
    const designation = this.#word(origin + DESIGNATION);
    if (designation < 0) return ADDRESSING;
    const number = alet & 0xffff;
    if (number >>> 3 > (designation & LIST_LENGTH)) return ALEN_TRANSLATION;
    const ale = (designation & LIST_ORIGIN) + number * ALE_BYTES;
    const head = this.#word(ale);
    if (head < 0) return ADDRESSING;
    if ((head & ALE_INVALID) !== 0) return ALEN_TRANSLATION;
    if (((head ^ alet) & SEQUENCE_BYTE) !== 0) return ALE_SEQUENCE;
    const aste = this.#word(ale + ALE_ASTE) & ORIGIN_64;
    if (!this.#ram.contains(this.#toAbsolute(aste), ASTE_BYTES)) return ADDRESSING;
    const table = this.#word(aste);
    if ((table & ASTE_INVALID) !== 0) return ASTE_VALIDITY;
    if (this.#word(aste + ASTE_SEQUENCE_NUMBER) !== this.#word(ale + ALE_ASTE_SEQUENCE)) {
      return ASTE_SEQUENCE;
    }
    if ((head & ALE_PRIVATE) !== 0 && (head & 0xffff) !== authority) {
      const refused = this.#unauthorized(aste, table, authority);
      if (refused !== 0) return refused;
    }
    this.asceHigh = this.#word(aste + ASTE_ASCE) | 0;
    this.asceLow = this.#word(aste + ASTE_ASCE + 4) | 0;
    this.fetchOnly = (head & ALE_FETCH_ONLY) !== 0;
    return 0;
  }

  /** The secondary bit of the authority table's entry: two bits for each index, four indexes in a byte. */
  #unauthorized(aste: number, table: number, authority: number): number {
    const length = (this.#word(aste + 4) >>> 4) & 0xfff;
    if (authority >>> 4 > length) return EXTENDED_AUTHORITY;
    const absolute = this.#toAbsolute((table & ASTE_AUTHORITY_ORIGIN) + (authority >>> 2));
    if (!this.#ram.contains(absolute, 1)) return ADDRESSING;
    const secondary = 0x40 >>> ((authority & 3) * 2);
    return (this.#ram.u8(absolute) & secondary) !== 0 ? 0 : EXTENDED_AUTHORITY;
  }

  /** The word at a real address, or -1 where there is no storage. */
  #word(real: number): number {
    const absolute = this.#toAbsolute(real);
    return this.#ram.contains(absolute, 4) ? this.#ram.u32(absolute) : -1;
  }
}
