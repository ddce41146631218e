import fc from "fast-check";
import { beforeEach, describe, expect, it } from "vitest";
import { isNullifying } from "../../../src/cpu/dat.ts";
import { Cpu } from "../../../src/cpu/state.ts";
import { createMachine, DAT_ON, half, MASK64, type Machine, RAM_BYTES } from "./machine.ts";

const FETCH = 0;
const STORE = 1;
const INSTRUCTION = 2;

// Hand-built tables: region-first 0x20000, second 0x24000, third 0x28000, segment 0x2c000, page 0x30000.
const REGION_FIRST = 0x20000;
const REGION_SECOND = 0x24000;
const REGION_THIRD = 0x28000;
const SEGMENT = 0x2c000;
const PAGE = 0x30000;
const FRAME = 0x50000n;

// RFX 1, RSX 2, RTX 3, SX 4, PX 5, byte 0x678: each index named by its place in the address
// (SA22-7832 chapter 3: bits 0-10, 11-21, 22-32, 33-43, 44-51, 52-63).
const ADDRESS = (1n << 53n) | (2n << 42n) | (3n << 31n) | (4n << 20n) | (5n << 12n) | 0x678n;

let m: Machine;

/** Control register `n`. */
function cr(n: number, value: bigint): void {
  m.state.setCr(n, value);
}

function teid(): bigint {
  return m.state.u64(Cpu.teid);
}

/** The code recorded by a translation that must fail. */
function failing(address: bigint, kind: 0 | 1 | 2): number {
  m.state.setI32(Cpu.programCode, 0);
  expect(m.translate(address, kind)).toBe(-1);
  return m.state.i32(Cpu.programCode);
}

beforeEach(() => {
  m = createMachine();
  m.setU64(REGION_FIRST + 1 * 8, BigInt(REGION_SECOND) | 0xcn | 3n); // TT 11, TL 3
  m.setU64(REGION_SECOND + 2 * 8, BigInt(REGION_THIRD) | 0x8n | 3n); // TT 10
  m.setU64(REGION_THIRD + 3 * 8, BigInt(SEGMENT) | 0x4n | 3n); //       TT 01
  m.setU64(SEGMENT + 4 * 8, BigInt(PAGE)); //                           TT 00
  m.setU64(PAGE + 5 * 8, FRAME);
  cr(1, BigInt(REGION_FIRST) | 0xcn | 3n); // DT 11, TL 3
  m.setPsw(DAT_ON | MASK64, 0n);
});

describe("real addresses", () => {
  beforeEach(() => {
    m.setPsw(MASK64, 0n);
  });

  it("prefixing swaps the first 8 KiB with the prefix area, both ways", () => {
    m.state.setI32(Cpu.prefix, 0x4000);
    expect(m.translate(0x100n, FETCH)).toBe(0x4100);
    expect(m.translate(0x1fffn, FETCH)).toBe(0x5fff);
    expect(m.translate(0x2000n, FETCH)).toBe(0x2000);
    expect(m.translate(0x4100n, FETCH)).toBe(0x100);
    expect(m.translate(0x6000n, FETCH)).toBe(0x6000);
  });

  it("an address outside storage is an addressing exception, also above 4 GiB", () => {
    expect(failing(BigInt(RAM_BYTES), FETCH)).toBe(0x05);
    expect(failing(0x1_0000_0000n, STORE)).toBe(0x05);
    expect(failing(0xffff_ffff_ffff_ffffn, INSTRUCTION)).toBe(0x05);
    expect(m.state.i32(Cpu.nullify)).toBe(0);
  });
});

describe("table walk", () => {
  it("goes through five levels to the byte", () => {
    expect(m.translate(ADDRESS, FETCH)).toBe(0x50678);
  });

  it("starts at the level that the ASCE designates", () => {
    cr(1, BigInt(REGION_SECOND) | 0x8n | 3n);
    expect(m.translate(ADDRESS & ~(1n << 53n), FETCH)).toBe(0x50678);
    cr(1, BigInt(REGION_THIRD) | 0x4n | 3n);
    expect(m.translate(ADDRESS & 0x3ff_ffff_ffffn, FETCH)).toBe(0x50678);
    cr(1, BigInt(SEGMENT) | 3n);
    expect(m.translate(ADDRESS & 0x7fff_ffffn, FETCH)).toBe(0x50678);
  });

  it("an address beyond the reach of the highest table is an ASCE-type exception", () => {
    cr(1, BigInt(REGION_SECOND) | 0x8n | 3n);
    expect(failing(1n << 53n, FETCH)).toBe(0x38);
    cr(1, BigInt(REGION_THIRD) | 0x4n | 3n);
    expect(failing(1n << 42n, FETCH)).toBe(0x38);
    cr(1, BigInt(SEGMENT) | 3n);
    expect(failing(1n << 31n, FETCH)).toBe(0x38);
    expect(failing(1n << 32n, FETCH)).toBe(0x38);
  });

  it.each([
    ["region-first", REGION_FIRST + 8, 0x20n, 0x39],
    ["region-second", REGION_SECOND + 16, 0x20n, 0x3a],
    ["region-third", REGION_THIRD + 24, 0x20n, 0x3b],
    ["segment", SEGMENT + 32, 0x20n, 0x10],
    ["page", PAGE + 40, 0x400n, 0x11],
  ])(
    "an invalid %s entry gives its own code, nullifies and names the page",
    (_, entry, bit, code) => {
      m.setU64(entry, m.u64(entry) | bit);
      expect(failing(ADDRESS, FETCH)).toBe(code);
      expect(m.state.i32(Cpu.nullify)).toBe(1);
      // TEID: bits 0-51 the page, bit 52 fetch (53 store), bits 62-63 the space (00 primary)
      expect(teid()).toBe((ADDRESS & ~0xfffn) | 0x800n);
      expect(failing(ADDRESS, STORE)).toBe(code);
      expect(teid()).toBe((ADDRESS & ~0xfffn) | 0x400n);
    },
  );

  it.each([
    ["region-first", REGION_FIRST + 8, 0x8n],
    ["region-second", REGION_SECOND + 16, 0x4n],
    ["region-third", REGION_THIRD + 24, 0x8n],
    ["segment", SEGMENT + 32, 0x4n],
  ])("a %s entry of another type is a translation specification exception", (_, entry, bits) => {
    m.setU64(entry, m.u64(entry) ^ bits);
    expect(failing(ADDRESS, FETCH)).toBe(0x12);
    expect(m.state.i32(Cpu.nullify)).toBe(0);
  });

  it("bit 52 of a page-table entry must be zero", () => {
    m.setU64(PAGE + 40, FRAME | 0x800n);
    expect(failing(ADDRESS, FETCH)).toBe(0x12);
  });

  it("table length and offset are checked in quarters of a table", () => {
    const far = ADDRESS | (0x600n << 20n); // SX 0x604: fourth quarter
    m.setU64(REGION_THIRD + 24, BigInt(SEGMENT) | 0x4n | 2n);
    expect(failing(far, FETCH)).toBe(0x10);
    m.setU64(REGION_THIRD + 24, BigInt(SEGMENT) | 0x4n | 3n | 0x40n); // TF 1: first quarter absent
    expect(failing(ADDRESS, FETCH)).toBe(0x10);
    cr(1, BigInt(REGION_FIRST) | 0xcn); // TL 0
    expect(failing(0x200n << 53n, FETCH)).toBe(0x39);
  });

  it("a table outside storage is an addressing exception at every level", () => {
    for (const entry of [REGION_FIRST + 8, REGION_SECOND + 16, REGION_THIRD + 24, SEGMENT + 32]) {
      const good = m.u64(entry);
      m.setU64(entry, good | 0xffff_f000_0000_0000n);
      expect(failing(ADDRESS, FETCH)).toBe(0x05);
      m.setU64(entry, good);
    }
    cr(1, 0xffff_ffff_ffff_f00fn);
    expect(failing(ADDRESS, FETCH)).toBe(0x05);
  });

  it("a page frame is a real address: prefixing applies to it", () => {
    m.state.setI32(Cpu.prefix, 0x50000);
    expect(m.translate(ADDRESS, FETCH)).toBe(0x678);
  });

  it("a real-space designation needs no tables", () => {
    cr(1, 0x20n);
    expect(m.translate(0x12345n, FETCH)).toBe(0x12345);
  });
});

describe("protection", () => {
  it("a protected page or segment refuses stores and sets TEID bit 61", () => {
    for (const entry of [PAGE + 40, SEGMENT + 32]) {
      const good = m.u64(entry);
      m.setU64(entry, good | 0x200n);
      expect(failing(ADDRESS, STORE)).toBe(0x04);
      expect(m.state.i32(Cpu.nullify)).toBe(0);
      expect(teid()).toBe((ADDRESS & ~0xfffn) | 0x404n);
      expect(m.translate(ADDRESS, FETCH)).toBe(0x50678);
      expect(m.dat.writable).toBe(0);
      m.setU64(entry, good);
    }
  });

  it("low-address protection covers bytes 0-511 and 4096-4607 and sets TEID bit 56", () => {
    m.setPsw(MASK64, 0n);
    cr(0, 0x10000000n);
    for (const address of [0n, 511n, 4096n, 4607n]) {
      expect(failing(address, STORE)).toBe(0x04);
      expect(teid()).toBe((address & ~0xfffn) | 0x480n);
      expect(m.translate(address, FETCH)).toBe(Number(address));
    }
    for (const address of [512n, 4095n, 4608n]) {
      expect(m.translate(address, STORE)).toBe(Number(address));
      expect(m.dat.writable).toBe(2);
    }
    expect(m.translate(8192n, STORE)).toBe(8192);
    expect(m.dat.writable).toBe(1);
  });

  it("low-address protection does not reach into a private space", () => {
    cr(0, 0x10000000n);
    cr(1, 0x20n);
    expect(failing(0x10n, STORE)).toBe(0x04);
    cr(1, 0x120n); // real space, private
    expect(m.translate(0x10n, STORE)).toBe(0x10);
  });

  it("a common segment must not appear in a private space", () => {
    m.setU64(SEGMENT + 32, BigInt(PAGE) | 0x10n);
    expect(m.translate(ADDRESS, FETCH)).toBe(0x50678);
    cr(1, BigInt(REGION_FIRST) | 0x10fn);
    expect(failing(ADDRESS, FETCH)).toBe(0x12);
  });

  it("a nonzero access key must match for stores, and for fetches where fetch protection is on", () => {
    m.setPsw(MASK64 | (3n << 52n), 0n); // key 3
    m.keys.set(0x8000, 0x50);
    expect(m.translate(0x8000n, FETCH)).toBe(0x8000);
    expect(failing(0x8000n, STORE)).toBe(0x04);
    expect(teid()).toBe(0x8000n | 0x408n);
    m.keys.set(0x8000, 0x58);
    expect(failing(0x8000n, FETCH)).toBe(0x04);
    m.keys.set(0x8000, 0x38);
    expect(m.translate(0x8000n, STORE)).toBe(0x8000);
  });

  it("fetch-protection override opens bytes 0-2047 to fetches, storage-protection override key 9", () => {
    m.setPsw(MASK64 | (3n << 52n), 0n);
    m.keys.set(0, 0x58);
    expect(failing(0x100n, FETCH)).toBe(0x04);
    cr(0, 0x02000000n); // bit 38
    expect(m.translate(2047n, FETCH)).toBe(2047);
    expect(failing(2048n, FETCH)).toBe(0x04);
    expect(failing(0x100n, STORE)).toBe(0x04);
    m.keys.set(0x8000, 0x98);
    expect(failing(0x8000n, STORE)).toBe(0x04);
    cr(0, 0x01000000n); // bit 39
    expect(m.translate(0x8000n, STORE)).toBe(0x8000);
    expect(failing(0x100n, FETCH)).toBe(0x04);
  });

  it("the first store through a page sets the change bit, so a fetched page is not yet writable", () => {
    m.setPsw(MASK64, 0n);
    expect(m.translate(0x9000n, FETCH)).toBe(0x9000);
    expect(m.dat.writable).toBe(0);
    expect(m.keys.get(0x9000)).toBe(0x04);
    expect(m.translate(0x9000n, STORE)).toBe(0x9000);
    expect(m.keys.get(0x9000)).toBe(0x06);
    expect(m.translate(0x9000n, FETCH)).toBe(0x9000);
    expect(m.dat.writable).toBe(1);
  });
});

describe("1 MiB segments", () => {
  const large = 0x0010_0400n; // frame 1 MiB, format control

  it("are not known unless EDAT is announced", () => {
    m.setU64(SEGMENT + 32, large);
    cr(0, 0x00800000n);
    expect(m.translate(ADDRESS, FETCH)).not.toBe(0x105678);
  });

  it("bring protection by region entries with them", () => {
    const edat = createMachine({ edat1: true });
    edat.setU64(REGION_THIRD, BigInt(SEGMENT) | 0x207n); // protected, TT 01, TL 3
    edat.setU64(SEGMENT + 32, BigInt(PAGE));
    edat.setU64(PAGE + 40, FRAME);
    edat.state.setCr(1, BigInt(REGION_THIRD) | 0x7n);
    edat.setPsw(DAT_ON | MASK64, 0n);
    expect(edat.translate(0x405678n, STORE)).toBe(0x50678);
    edat.state.setCr(0, 0x00800000n);
    expect(edat.translate(0x405678n, STORE)).toBe(-1);
    expect(edat.state.i32(Cpu.programCode)).toBe(0x04);
    expect(edat.translate(0x405678n, FETCH)).toBe(0x50678);
  });

  it("map 1 MiB when EDAT is announced and enabled", () => {
    const edat = createMachine({ edat1: true });
    edat.setU64(SEGMENT + 32, large);
    edat.state.setCr(1, BigInt(SEGMENT) | 3n);
    edat.state.setCr(0, 0x00800000n);
    edat.setPsw(DAT_ON | MASK64, 0n);
    expect(edat.translate(0x405678n, FETCH)).toBe(0x105678);
  });
});

describe("what else enhanced DAT and instruction-execution protection bring", () => {
  const machine = (entry: bigint, cr0: bigint) => {
    const edat = createMachine({ edat1: true });
    edat.setU64(SEGMENT + 32, entry);
    edat.state.setCr(1, BigInt(SEGMENT) | 3n);
    edat.state.setCr(0, cr0);
    edat.setPsw(DAT_ON | MASK64, 0n);
    return edat;
  };

  it("access-control bits of the entry take the place of the storage key's", () => {
    // AV, access control 5, fetch protection; the frame's own key is 0.
    const edat = machine(0x0010_0400n | 0x15800n, 0x00800000n);
    const keyed = (key: bigint): number => {
      edat.setPsw(DAT_ON | MASK64 | (key << 52n), 0n);
      return edat.translate(0x405678n, FETCH);
    };
    expect([keyed(0n), keyed(5n), keyed(6n)]).toEqual([0x105678, 0x105678, -1]);
  });

  it("no instruction comes from a page or a frame that forbids it, while CR0 says so", () => {
    const large = machine(0x0010_0400n | 0x100n, 0x0090_0000n);
    expect(large.translate(0x405678n, FETCH)).toBe(0x105678);
    expect(large.translate(0x405678n, INSTRUCTION)).toBe(-1);
    expect(large.state.i32(Cpu.programCode)).toBe(0x04);
    expect(large.state.u64(Cpu.teid) & 0xffn).toBe(0x84n);
    large.state.setCr(0, 0x0080_0000n);
    expect(large.translate(0x405678n, INSTRUCTION)).toBe(0x105678);
    const page = machine(BigInt(PAGE), 0x0010_0000n);
    page.setU64(PAGE + 40, FRAME | 0x100n);
    expect(page.translate(0x405678n, INSTRUCTION)).toBe(-1);
    expect(page.translate(0x405678n, STORE)).toBe(0x50678);
  });

  it("a region-third-table entry may designate 2 GiB", () => {
    const edat = machine(0n, 0x0080_0000n);
    edat.setU64(REGION_THIRD + 8, 0x404n); // frame 0, format control, TT 01
    edat.state.setCr(1, BigInt(REGION_THIRD) | 0x7n);
    expect(edat.translate(0x8012_3456n, STORE)).toBe(0x12_3456);
  });
});

describe("address spaces", () => {
  beforeEach(() => {
    // Segment tables at 0x40000 (secondary) and 0x42000 (home) with their own page for address 0.
    m.setU64(0x40000, 0x44000n);
    m.setU64(0x44000, 0x60000n);
    m.setU64(0x42000, 0x46000n);
    m.setU64(0x46000, 0x70000n);
    cr(7, 0x40000n);
    cr(13, 0x42000n);
    m.setU64(SEGMENT, 0x20n); // primary: segment 0 invalid
    cr(1, BigInt(SEGMENT));
  });

  it("PSW bits 16-17 choose CR7 or CR13; instructions of the secondary mode come from primary", () => {
    m.setPsw(DAT_ON | MASK64 | (2n << 46n), 0n);
    expect(m.translate(0x123n, FETCH)).toBe(0x60123);
    expect(failing(0x123n, INSTRUCTION)).toBe(0x10);
    m.setPsw(DAT_ON | MASK64 | (3n << 46n), 0n);
    expect(m.translate(0x123n, STORE)).toBe(0x70123);
    expect(m.translate(0x123n, INSTRUCTION)).toBe(0x70123);
  });

  it("TEID bits 62-63 say which space failed", () => {
    m.setPsw(DAT_ON | MASK64 | (2n << 46n), 0n);
    expect(failing(0x5000_0000n, FETCH)).toBe(0x10);
    expect(teid() & 3n).toBe(2n);
    m.setPsw(DAT_ON | MASK64 | (3n << 46n), 0n);
    expect(failing(0x5000_0000n, FETCH)).toBe(0x10);
    expect(teid() & 3n).toBe(3n);
  });

  it("an AR with ALET 0 is primary, 1 is secondary; others are refused and name the AR", () => {
    m.setPsw(DAT_ON | MASK64 | (1n << 46n), 0n);
    m.dat.secondAccessRegister = 5;
    m.state.setI32(Cpu.ar + 20, 1);
    expect(m.translate(0x123n, FETCH)).toBe(0x60123);
    expect(m.dat.cacheable).toBe(0);
    m.state.setI32(Cpu.ar + 20, 0);
    expect(failing(0x123n, FETCH)).toBe(0x10);
    expect(m.state.i32(Cpu.excAccessId)).toBe(5);
    // The dispatchable unit's control table is at 0: entry 2 of its list, at 0 too, is made invalid.
    m.ram.setU32(0x20, 0x80000000);
    m.state.setI32(Cpu.ar + 20, 2);
    expect(failing(0x123n, FETCH)).toBe(0x29);
    expect(m.state.i32(Cpu.excAccessId)).toBe(5);
    m.state.setI32(Cpu.ar + 20, 0x02000000);
    expect(failing(0x123n, FETCH)).toBe(0x28);
  });

  it("tags are equal for equal spaces and keys and differ otherwise", () => {
    const tag = (mask: bigint): number => {
      m.setPsw(mask, 0n);
      return m.dat.dataTag;
    };
    const primary = tag(DAT_ON | MASK64);
    const home = DAT_ON | MASK64 | (3n << 46n);
    const tags = [
      primary,
      tag(DAT_ON | MASK64 | (2n << 46n)),
      tag(home),
      tag(MASK64),
      tag(DAT_ON | MASK64 | (4n << 52n)),
    ];
    expect(new Set(tags).size).toBe(5);
    expect(Math.min(...tags)).toBeGreaterThan(0);
    cr(13, m.state.cr(1));
    expect(tag(home)).toBe(primary);
    expect(m.dat.instructionTag).toBe(primary);
  });

  it("a tag that comes to mean another space has been purged; the other current tag keeps its meaning", () => {
    m.setPsw(DAT_ON | MASK64 | (2n << 46n), 0n); // data from CR7, instructions from CR1
    const owner = new Map<number, string>();
    const before = m.counts.purge;
    let purges = before;
    for (let n = 0n; n < 300n; n++) {
      cr(7, n << 13n);
      if (n % 3n === 0n) cr(1, (n << 13n) | 0x1000n);
      const current = [
        [m.dat.dataTag, `data ${m.state.cr(7)}`],
        [m.dat.instructionTag, `data ${m.state.cr(1)}`],
      ] as const;
      if (m.counts.purge !== purges) owner.clear();
      purges = m.counts.purge;
      for (const [tag, meaning] of current) {
        expect(tag).toBeLessThan(4096);
        expect(owner.get(tag) ?? meaning).toBe(meaning);
        owner.set(tag, meaning);
      }
      expect(current[0][0]).not.toBe(current[1][0]);
    }
    expect(m.counts.purge).toBeGreaterThan(before);
  });

  it("a purge leaves the current tags as they are", () => {
    m.setPsw(DAT_ON | MASK64, 0n);
    const tag = m.dat.dataTag;
    m.dat.purge();
    cr(13, 0x7000n);
    m.setPsw(DAT_ON | MASK64 | (3n << 46n), 0n);
    expect(m.dat.dataTag).not.toBe(tag);
    m.setPsw(DAT_ON | MASK64, 0n);
    expect(m.dat.dataTag).toBe(tag);
  });
});

it("the nullifying exceptions are those of the translation tables and access lists", () => {
  const nullifying = Array.from({ length: 0x41 }, (_, code) => code).filter(isNullifying);
  // SA22-7832 figure 6-2: segment, page, ALET to extended authority, ASCE type, region first to third
  expect(nullifying).toEqual([
    0x10, 0x11, 0x28, 0x29, 0x2a, 0x2b, 0x2c, 0x2d, 0x38, 0x39, 0x3a, 0x3b,
  ]);
});

it("no PSW, control registers, tables or address make a translation throw or leave storage", () => {
  const u64 = fc.bigInt({ min: 0n, max: 0xffff_ffff_ffff_ffffn });
  // Addresses of table entries that are often inside storage, so that walks go deep.
  const entry = fc.oneof(
    u64,
    fc
      .tuple(fc.integer({ min: 0, max: RAM_BYTES / 4096 }), fc.integer({ min: 0, max: 0xfff }))
      .map(([page, low]) => (BigInt(page) << 12n) | BigInt(low)),
  );
  const hostile = createMachine({ edat1: true });
  fc.assert(
    fc.property(
      u64,
      fc.array(entry, { minLength: 5, maxLength: 5 }),
      fc.array(fc.tuple(fc.integer({ min: 0, max: RAM_BYTES / 8 - 1 }), entry), { maxLength: 30 }),
      fc.oneof(u64, fc.bigInt({ min: 0n, max: 0xffffn })),
      fc.integer({ min: 0, max: 2 }),
      fc.integer({ min: 0, max: RAM_BYTES / 8192 - 1 }),
      (
        mask,
        [cr0 = 0n, cr1 = 0n, cr7 = 0n, cr13 = 0n, alet = 0n],
        entries,
        address,
        kind,
        prefix,
      ) => {
        hostile.setPsw(mask, 0n);
        hostile.state.setCr(0, cr0);
        hostile.state.setCr(1, cr1);
        hostile.state.setCr(7, cr7);
        hostile.state.setCr(13, cr13);
        const register = Number(address & 15n);
        hostile.dat.firstAccessRegister = register;
        hostile.dat.secondAccessRegister = register;
        hostile.state.setI32(Cpu.ar + register * 4, half(alet));
        hostile.state.setI32(Cpu.prefix, prefix * 8192);
        for (const [index, value] of entries) hostile.setU64(index * 8, value);
        hostile.state.setI32(Cpu.programCode, 0);
        const absolute = hostile.translate(address, kind as 0 | 1 | 2);
        if (absolute === -1) {
          expect(hostile.state.i32(Cpu.programCode)).toBeGreaterThan(0);
        } else {
          expect(hostile.ram.contains(absolute, 1)).toBe(true);
          expect(absolute % 4096).toBe(Number(address & 0xfffn));
          expect(hostile.state.i32(Cpu.programCode)).toBe(0);
        }
        expect(hostile.dat.dataTag).toBeGreaterThan(0);
      },
    ),
    { numRuns: 2000 },
  );
});
