/**
 * CPU models: which facilities a guest is told about, and how the machine names itself. A row announces
 * only what this CPU carries out, all of it, whatever the machine of that name has: the list of all instructions
 * with their facilities is `test/conformance/data/instructions.txt`, and a test holds the models against it. No model has
 * decimal floating point (42), the enhanced monitor (36), transactions (50, 73), message security (17, 76, 77), or
 * packed decimal in vector registers (134). Sources: s390x-machine.md 3.4 (facility decisions), 5.1 (STSI), design.md
 * 5.1; machine types: Linux arch/s390/kernel/processor.c.
 */

/** Facilities by number (SA22-7832, "Facility Indications"). */
const LEVEL_SET = [0, 1, 2, 3, 7, 18, 21, 25, 27, 32, 33, 34, 35];
/** Frames of 1 MiB. */
const EDAT1 = 8;
/** SET STORAGE KEY that leaves keys that are alike alone. */
const CONDITIONAL_KEY = 10;
/** TRTE, TRTRE. */
const PARSING = 26;
/** PTFF, here its queries. */
const CLOCK_STEERING = 28;
const EXTRACT_TIME = 31;
const PROGRAM_PARAMETER = 40;
/** RRBM. */
const REFERENCE_BITS = 66;
/** Frames of 2 GiB, CRDTE. */
const EDAT2 = 78;
const NO_EXECUTE = 130;
/** Moves between registers, signs, rounding mode of decimal floating point. */
const FLOATING_POINT_SUPPORT = 41;
/** Rounding methods, unsigned conversions, control of inexact results. */
const FLOATING_POINT_EXTENSION = 37;
const Z196_GROUP = 45;
/** Extended-translation facilities 2 and 3 with their enhancements. */
const EXTENDED_TRANSLATION = [16, 22, 24, 30];
const Z10_GROUPS = [
  ...EXTENDED_TRANSLATION,
  EDAT1,
  CONDITIONAL_KEY,
  PARSING,
  CLOCK_STEERING,
  EXTRACT_TIME,
  PROGRAM_PARAMETER,
  FLOATING_POINT_SUPPORT,
];
const Z196_GROUPS = [...Z10_GROUPS, FLOATING_POINT_EXTENSION, Z196_GROUP, REFERENCE_BITS];
/** zEC12's load and trap group, z13's load/store on condition 2, miscellaneous extensions 2 (z14) and 3 (z15). */
/** Vector registers and their instructions. */
const VECTOR = 129;
const Z13_GROUPS = [...Z196_GROUPS, 49, 53, EDAT2, VECTOR];
/** Short and extended elements, minimum and maximum, and some more. */
const VECTOR_ENHANCEMENTS = 135;
const Z14_GROUPS = [...Z13_GROUPS, 58, NO_EXECUTE, VECTOR_ENHANCEMENTS];
const Z15_GROUPS = [...Z14_GROUPS, 61];
/** zPCI, adapter event notification, adapter interruption suppression. */
const PCI = [69, 71, 72];

interface ModelRow {
  readonly machineType: number;
  readonly description: string;
  readonly facilities: readonly number[];
}

const everything = [...LEVEL_SET, Z196_GROUP, ...PCI];

export const cpuModels = {
  zmend: { machineType: 0x8561, description: "default", facilities: everything },
  z10: {
    machineType: 0x2097,
    description: "level set, EDAT1, extended translation, parsing, no PCI",
    facilities: [...LEVEL_SET, ...Z10_GROUPS],
  },
  z196: {
    machineType: 0x2817,
    description: "z10 and the facility-45 group, no PCI",
    facilities: [...LEVEL_SET, ...Z196_GROUPS],
  },
  z13: {
    machineType: 0x2964,
    description: "z196, PCI, vectors, EDAT2, facilities 49 and 53",
    facilities: [...everything, ...Z13_GROUPS],
  },
  z14: {
    machineType: 0x3906,
    description: "z13, vector enhancements, instruction-execution protection, facility 58",
    facilities: [...everything, ...Z14_GROUPS],
  },
  max: {
    machineType: 0x8561,
    description: "z14 and facility 61: all that is implemented",
    facilities: [...everything, ...Z15_GROUPS],
  },
} as const satisfies Record<string, ModelRow>;

export type CpuModelName = keyof typeof cpuModels;

export function isCpuModelName(name: string): name is CpuModelName {
  return Object.hasOwn(cpuModels, name);
}

export const FACILITY_EDAT1 = EDAT1;
export const FACILITY_CONDITIONAL_KEY = CONDITIONAL_KEY;
export const FACILITY_CLOCK_STEERING = CLOCK_STEERING;
export const FACILITY_EXTRACT_TIME = EXTRACT_TIME;
export const FACILITY_PROGRAM_PARAMETER = PROGRAM_PARAMETER;
export const FACILITY_REFERENCE_BITS = REFERENCE_BITS;
export const FACILITY_EDAT2 = EDAT2;
export const FACILITY_NO_EXECUTE = NO_EXECUTE;
export const FACILITY_SENSE_RUNNING = 9;
export const FACILITY_VECTOR = VECTOR;

export interface ModelOptions {
  /** Overrides the row: announce or hide facilities 69, 71 and 72. */
  readonly zpci?: boolean;
  /** Shown by STSI 2.2.2 and 3.2.2. */
  readonly guestName?: string;
  /** 16 bytes shown by STSI 3.2.2. */
  readonly uuid?: Uint8Array;
  readonly cpuCount?: number;
}

export class CpuModel {
  readonly name: CpuModelName;
  readonly machineType: number;
  readonly guestName: string;
  readonly uuid: Uint8Array;
  readonly cpuCount: number;
  /** The facility list as STFLE stores it; whole doublewords. */
  readonly facilityBytes: Uint8Array;

  constructor(name: CpuModelName = "zmend", options: ModelOptions = {}) {
    const row = cpuModels[name];
    this.name = name;
    this.machineType = row.machineType;
    this.guestName = options.guestName ?? "zmend";
    this.uuid = options.uuid ?? new Uint8Array(16);
    this.cpuCount = options.cpuCount ?? 1;
    const announced = new Set<number>(row.facilities);
    for (const facility of PCI) {
      if (options.zpci === true) announced.add(facility);
      if (options.zpci === false) announced.delete(facility);
    }
    const doublewords = Math.floor(Math.max(...announced) / 64) + 1;
    this.facilityBytes = new Uint8Array(doublewords * 8);
    for (const facility of announced) {
      const index = facility >>> 3;
      this.facilityBytes[index] = (this.facilityBytes[index] ?? 0) | (0x80 >>> (facility & 7));
    }
  }

  has(facility: number): boolean {
    return ((this.facilityBytes[facility >>> 3] ?? 0) & (0x80 >>> (facility & 7))) !== 0;
  }

  /**
   * STORE SYSTEM INFORMATION, functions 1-3: the 4 KiB block, or undefined where the answer is cc 3.
   * Names are EBCDIC, blank padded. Offsets: Linux arch/s390/include/asm/sysinfo.h.
   */
  systemInformation(level: number, selector1: number, selector2: number): Uint8Array | undefined {
    const block = new Uint8Array(4096);
    const view = new DataView(block.buffer);
    const key = (level << 16) | (selector1 << 8) | selector2;
    switch (key) {
      case 0x010101: // basic machine configuration
        ebcdicInto(block, 32, 16, "ZMEND");
        ebcdicInto(block, 48, 4, this.machineType.toString(16).toUpperCase());
        ebcdicInto(block, 64, 16, "ZMEND");
        ebcdicInto(block, 80, 16, "0000000000000000");
        ebcdicInto(block, 96, 4, "0000");
        return block;
      case 0x010201: // basic machine CPU
      case 0x020201: // logical partition CPU: CPU id 0, CPU address 0
        ebcdicInto(block, 80, 16, "0000000000000000");
        ebcdicInto(block, 96, 4, "0000");
        return block;
      case 0x010202: // basic machine CPUs
        view.setUint32(32, 0x443afc29);
        view.setUint16(36, this.cpuCount);
        view.setUint16(38, this.cpuCount);
        return block;
      case 0x020202: // logical partition CPUs
        view.setUint8(35, 0x80); // dedicated
        view.setUint16(36, this.cpuCount);
        view.setUint16(38, this.cpuCount);
        ebcdicInto(block, 44, 8, this.guestName);
        view.setUint32(52, 1000);
        view.setUint16(72, this.cpuCount);
        return block;
      case 0x030202: // virtual machine CPUs: one description, of ourselves
        view.setUint8(31, 1);
        view.setUint16(36, this.cpuCount);
        view.setUint16(38, this.cpuCount);
        ebcdicInto(block, 44, 8, this.guestName);
        view.setUint32(52, 1000);
        ebcdicInto(block, 56, 16, "KVM/Linux");
        view.setUint8(75, 2); // the extended name is UTF-8
        block.set(this.uuid.subarray(0, 16), 80);
        block.set(new TextEncoder().encode(this.guestName).subarray(0, 255), 2048);
        return block;
      default:
        return undefined;
    }
  }
}

function ebcdicInto(block: Uint8Array, offset: number, length: number, text: string): void {
  for (let i = 0; i < length; i++) block[offset + i] = ebcdic(text.charCodeAt(i));
}

/** Letters, digits and the few signs that names use, in EBCDIC code page 500; all else is a blank. */
function ebcdic(code: number): number {
  if (code >= 0x30 && code <= 0x39) return 0xf0 + code - 0x30;
  const lower = code | 0x20;
  const base = (code & 0x20) === 0 ? 0xc1 : 0x81;
  if (lower >= 0x61 && lower <= 0x69) return base + lower - 0x61;
  if (lower >= 0x6a && lower <= 0x72) return base + 0x10 + lower - 0x6a;
  if (lower >= 0x73 && lower <= 0x7a) return base + 0x21 + lower - 0x73;
  if (code === 0x2f) return 0x61;
  if (code === 0x2d) return 0x60;
  if (code === 0x2e) return 0x4b;
  if (code === 0x5f) return 0x6d;
  return 0x40;
}
