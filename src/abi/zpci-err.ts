/**
 * The zPCI error interface in every shape that was posted, proposed or merged: the data that crosses, and one
 * row per dialect saying how. Offsets count in the data part, behind the 8-byte feature header. Structures
 * are in the host CPU's byte order; bit fields as a big-endian compiler lays them out. Names are those of
 * the postings. Source: vfio-uapi.md 2.4; review threads of 13 and 14 April 2026 for the proposals.
 */
import { bits, bytes, type Layout, layout, s32, u8, u16, u32, u64 } from "./layout.ts";

const POSTED = "linux-s390 list postings (vfio-uapi.md 2.4)";

/** Word e of the CCDF as bit fields of the word at `offset`. */
const wordE = (offset: number) => ({
  ett: bits(offset, 0, 3),
  mvn: bits(offset, 4, 15),
  dmaas: bits(offset, 16, 23),
  reserved2: bits(offset, 24, 29),
  q: bits(offset, 30, 30),
  rw: bits(offset, 31, 31),
});

const rest14 = {
  reserved1: u32(4),
  fh: u32(8),
  fid: u32(12),
  ...wordE(16), // a hole of 4 bytes follows
  faddr: u64(24),
  reserved3: u32(32),
  reserved4: u16(36),
  pec: u16(38),
  reserved5: bytes(40, 28),
};

const feature = "vfio_device_feature_zpci_err";

export const ZpciErr = {
  /** `vfio_device_zpci_err_region` in v1; a hole of 2 bytes follows `pec`. */
  v1: layout(`${feature} v1..v3`, 8, "host", POSTED, { pec: u16(0), pendingErrors: s32(4) }),
  v4: layout(`${feature} v4..v8`, 4, "host", POSTED, {
    pec: u16(0),
    pendingErrors: u8(2),
    pad: u8(3),
  }),
  v9: layout(`${feature} v9..v13`, 4, "host", POSTED, {
    version: u8(0),
    pendingErrors: u8(1),
    pec: u16(2),
  }),
  pecOnly: layout(`${feature} pec-only`, 2, "host", POSTED, { pec: u16(0) }),
  v14: layout(`${feature} v14`, 72, "host", POSTED, { flags: u32(0), ...rest14 }),
  v15: layout(`${feature} v15..v18`, 72, "host", POSTED, { featureFlags: u32(0), ...rest14 }),
  v19: layout(`${feature} v19`, 64, "host", POSTED, {
    featureFlags: u32(0),
    reserved1: u32(4),
    fh: u32(8),
    fid: u32(12),
    faddr: u64(16),
    ...wordE(24),
    reserved3: u32(28),
    reserved4: u16(32),
    pec: u16(34),
    reserved5: bytes(36, 28),
  }),
  /** The data part alone: the address of a buffer that takes a whole CCDF. */
  merged: layout(`${feature} v20`, 8, "host", "Linux 7.3 include/uapi/linux/vfio.h (2.1)", {
    data: u64(0),
  }),
  none: layout(`${feature} none`, 0, "host", "Linux 7.2: no such feature (3.13)", {}),
} as const;

/**
 * What a GET of an empty queue gives. `previous`: the record before, again; `garbage`: success with bytes that
 * nobody wrote; `zero`: success, PEC 0 and nothing pending; the others are errno values.
 */
export type EmptyRule = "previous" | "garbage" | "zero" | "ENOMSG" | "ENOENT" | "ENOTTY";

/** One dialect. Offsets are bytes in the data, -1 = the dialect does not tell. */
export interface ErrorDialect {
  readonly abi: string;
  readonly carrier: "region" | "feature" | "none" | "signal" | "eeh";
  /** Feature number, or subtype of the device region. */
  readonly number: number;
  /** Bytes handed out by value; the 8 of the merged form are an address that the caller passes in. */
  readonly size: number;
  readonly byPointer: boolean;
  readonly layout: Layout;
  readonly pec: number;
  readonly pending: number;
  readonly pendingBytes: number;
  readonly version: number;
  readonly fh: number;
  readonly fid: number;
  readonly wordE: number;
  readonly faddr: number;
  readonly empty: EmptyRule;
  /** Events that the kernel of this posting keeps per function. */
  readonly ringSlots: number;
  /** Version of the ZPCI_BASE capability beside it. */
  readonly baseVersion: 2 | 3;
}

/** Subtype of v1's device region; its type is the vendor bit with IBM's id. */
export const VFIO_REGION_TYPE_PCI_VENDOR_IBM = 0x80001014;
export const VFIO_REGION_SUBTYPE_IBM_ZPCI_ERROR = 2;

type Shape = Omit<ErrorDialect, "abi" | "carrier" | "number" | "empty" | "ringSlots">;

function shape(table: Layout, at: Partial<Shape> & { readonly pec: number }): Shape {
  return {
    layout: table,
    size: table.size,
    byPointer: false,
    pending: -1,
    pendingBytes: 0,
    version: -1,
    fh: -1,
    fid: -1,
    wordE: -1,
    faddr: -1,
    baseVersion: 2,
    ...at,
  };
}

const shape1 = shape(ZpciErr.v1, { pec: 0, pending: 4, pendingBytes: 4 });
const shape4 = shape(ZpciErr.v4, { pec: 0, pending: 2, pendingBytes: 1 });
const shape9 = shape(ZpciErr.v9, { pec: 2, pending: 1, pendingBytes: 1, version: 0 });
const shapePec = shape(ZpciErr.pecOnly, { pec: 0 });
const whole14 = { pec: 38, fh: 8, fid: 12, wordE: 16, faddr: 24 };
const shape14 = shape(ZpciErr.v14, whole14);
const shape15 = shape(ZpciErr.v15, whole14);
const shape19 = shape(ZpciErr.v19, { pec: 34, fh: 8, fid: 12, wordE: 24, faddr: 16 });
const shape20 = shape(ZpciErr.merged, { pec: -1, byPointer: true, baseVersion: 3 });
const shapeNone = shape(ZpciErr.none, { pec: -1 });

function row(
  abi: string,
  form: Shape,
  number: number,
  empty: EmptyRule,
  ringSlots = 4,
): ErrorDialect {
  const carrier = number === 0 ? "none" : form === shape1 && abi === "v1" ? "region" : "feature";
  return { ...form, abi, carrier, number, empty, ringSlots };
}

/** Every dialect, in the order of its posting. */
export const errorDialects: readonly ErrorDialect[] = [
  row("v1", shape1, VFIO_REGION_SUBTYPE_IBM_ZPCI_ERROR, "previous", 16),
  row("v2", shape1, 11, "garbage", 16),
  row("v3", shape1, 11, "garbage", 16),
  row("v4", shape4, 11, "garbage"),
  row("v5", shape4, 11, "garbage"),
  row("v6", shape4, 11, "garbage"),
  row("v7", shape4, 12, "garbage"),
  row("v8", shape4, 12, "garbage"),
  row("v9", shape9, 12, "garbage"),
  row("v10", shape9, 12, "garbage"),
  row("v11", shape9, 12, "garbage"),
  row("v12", shape9, 12, "zero"),
  row("v13", shape9, 13, "zero"),
  row("v13-enomsg", shape9, 13, "ENOMSG"),
  row("v13-enoent", shape9, 13, "ENOENT"),
  row("pec-only", shapePec, 13, "ENOENT"),
  row("v14", shape14, 13, "ENOMSG"),
  row("v15", shape15, 13, "ENOMSG"),
  row("v16", shape15, 13, "ENOMSG"),
  row("v17", shape15, 13, "ENOMSG"),
  row("v18", shape15, 13, "ENOMSG"),
  row("v19", shape19, 13, "ENOMSG"),
  row("v20", shape20, 13, "ENOMSG"),
  row("merged", shape20, 13, "ENOMSG"),
  row("none", shapeNone, 0, "ENOTTY"),
];

/** Hosts that only say that something broke: generic vfio-pci's ERR eventfd, and a frozen EEH PE. */
const bare = shape(ZpciErr.none, { pec: -1 });
/** An eventfd counts without end. */
const SIGNALS_MAX = 0x4000_0000;
const aerDialect: ErrorDialect = {
  ...bare,
  abi: "aer",
  carrier: "signal",
  number: 0,
  empty: "ENOMSG",
  ringSlots: SIGNALS_MAX,
};
/** A PE is frozen or it is not: one event. */
const eehDialect: ErrorDialect = {
  ...bare,
  abi: "eeh",
  carrier: "eeh",
  number: 0,
  empty: "ENOMSG",
  ringSlots: 1,
};

/** Every way in which a host may tell of errors. */
export const hostDialects: readonly ErrorDialect[] = [...errorDialects, aerDialect, eehDialect];

/** What a host's interface may be called: the dialect, and the shapes that it had. */
export const hostInterfaces: Readonly<Record<"zpci" | "eeh" | "aer", readonly string[]>> = {
  zpci: errorDialects.map((row) => row.abi),
  eeh: ["merged", "2014-v6", "2014-u32"],
  aer: ["merged"],
};

/** The row of that name; `aer` and `eeh` are names too. */
export function errorDialect(abi: string): ErrorDialect | undefined {
  return hostDialects.find((dialect) => dialect.abi === abi);
}
