/**
 * What each instruction, command or device access meets in each function state: the one table that all
 * handlers read. Source: zpci-guest.md 4.3 (QEMU 10.2.2), with the changes listed in `differences`.
 *
 * A cell is `GO` (the instruction goes on with its own checks) or the answer: a condition code, `cc1(status)`, a
 * CLP or SCLP response code, a FIB `fc` value, `REFUSED`, or `OPERAND`.
 */
import { ClpResponse } from "../../abi/clp.ts";
import { FC_ENABLED, FC_ERROR, FC_LS_BLOCKED } from "../../abi/fib.ts";
import { LoadStoreStatus, ModifyStatus } from "../../abi/pci-insn.ts";
import { SclpCode } from "../../abi/sclp.ts";
import type { FunctionState } from "../../shm/blocks.ts";
import { CC3, cc1, GO, OPERAND } from "../outcome.ts";

export const REFUSED = -1;

/** Columns: RESERVED, STANDBY, DISABLED, ENABLED, BLOCKED, ERROR, PERMANENT_ERROR. */
export type StateRow = readonly [number, number, number, number, number, number, number];

const blocked = cc1(LoadStoreStatus.blocked);
const recovery = cc1(ModifyStatus.errorRecovery);
const sequence = cc1(ModifyStatus.sequence);
const BAD_FH = ClpResponse.invalidHandle;
const BAD_OP = ClpResponse.handleNotValidForOperation;
const NO_ACTION = SclpCode.noActionRequired;
const IN_RESERVED = SclpCode.adapterReserved;
const DONE = SclpCode.normal;
const CONFIGURED = 0x80000000;
const fcError = FC_ENABLED | FC_ERROR | FC_LS_BLOCKED;
const fcBlocked = FC_ENABLED | FC_ERROR;
const permanent = cc1(ModifyStatus.permanentError);

export const stateTable = {
  //                 RESERVED      STANDBY    DISABLED    ENABLED     BLOCKED     ERROR       PERMANENT
  loadStore: /*    */ [CC3, CC3, CC3, GO, GO, blocked, blocked],
  rpcit: /*        */ [CC3, CC3, CC3, GO, GO, recovery, CC3],
  interrupts: /*   */ [CC3, CC3, CC3, GO, GO, GO, CC3], //                     MPCIFC 2, 3
  registerIoat: /* */ [CC3, CC3, CC3, GO, GO, recovery, CC3], //               MPCIFC 4, 6
  deregisterIoat: /**/ [CC3, CC3, CC3, GO, GO, GO, CC3], //                   MPCIFC 5
  resetError: /*   */ [CC3, CC3, CC3, sequence, GO, GO, CC3], //               MPCIFC 7
  resetBlock: /*   */ [CC3, CC3, CC3, sequence, sequence, GO, CC3], //         MPCIFC 9
  setMeasurement: /**/ [CC3, CC3, CC3, GO, GO, GO, CC3], //                    MPCIFC 10
  otherOperation: [CC3, CC3, CC3, OPERAND, OPERAND, OPERAND, CC3], // MPCIFC, any other operation code
  /** STPCIFC: the FIB's `fc` without FC_DMAAS_REG; 0 = a FIB of zeros. */
  stpcifc: [CC3, CC3, 0, FC_ENABLED, fcBlocked, fcError, permanent],
  /** List PCI: the entry's configuration word, REFUSED = not listed. */
  list: [REFUSED, 0, CONFIGURED, CONFIGURED, CONFIGURED, CONFIGURED, CONFIGURED],
  query: [BAD_FH, GO, GO, GO, GO, GO, GO],
  enable: [BAD_OP, BAD_OP, GO, BAD_OP, BAD_OP, BAD_OP, BAD_OP],
  disable: [BAD_OP, BAD_OP, BAD_OP, GO, GO, GO, GO],
  dma: [REFUSED, REFUSED, REFUSED, GO, REFUSED, REFUSED, REFUSED],
  msi: [REFUSED, REFUSED, REFUSED, GO, REFUSED, REFUSED, REFUSED],
  configure: [IN_RESERVED, DONE, NO_ACTION, NO_ACTION, NO_ACTION, NO_ACTION, NO_ACTION],
  deconfigure: [IN_RESERVED, NO_ACTION, DONE, DONE, DONE, DONE, DONE],
} as const satisfies Record<string, StateRow>;

export function cellOf(row: StateRow, state: FunctionState): number {
  return row[state] ?? CC3;
}

/** Every deliberate difference from QEMU 10.2.2, with its reason. Read by documentation and tests. */
export const differences: readonly {
  readonly what: string;
  readonly qemu: string;
  readonly ours: string;
  readonly why: string;
}[] = [
  {
    what: "device DMA in BLOCKED",
    qemu: "translated",
    ours: "refused",
    why: "load/store unblocked means exactly that DMA stays blocked (zpci-guest.md 4.3)",
  },
  {
    what: "CLP enable in RESERVED and STANDBY",
    qemu: "0x0010",
    ours: "0x0102",
    why: "a function that is not configured cannot be enabled",
  },
  {
    what: "Query PCI function in RESERVED",
    qemu: "touches a missing device",
    ours: "0x0101",
    why: "there is nothing to describe",
  },
  {
    what: "MPCIFC 4 and 6 in ERROR",
    qemu: "cc 0",
    ours: "cc 1, status 40",
    why: "firmware's answer as inferred from Linux (zpci-guest.md 3.2)",
  },
  {
    what: "MPCIFC 9 and 7",
    qemu: "cc 0, state changed inside the machine only",
    ours: "cc 1 status 40, or cc 2 until the host has done it",
    why: "the host function would stay broken (design.md 5.1)",
  },
  {
    what: "CLP disable in ERROR and BLOCKED",
    qemu: "0x0010 at once, host reset result ignored",
    ours: "0x0108 until the host reset has ended, then 0x0010",
    why: "no vCPU waits for the host, and its answer counts (design.md 5.1)",
  },
  {
    what: "CLP enable after a permanent error",
    qemu: "0x0010",
    ours: "0x0106 until deconfigure",
    why: "a given-up function does not come back by itself (zpci-guest.md 4.3)",
  },
  {
    what: "SCLP deconfigure",
    qemu: "keeps the enable bit of the handle",
    ours: "clears it",
    why: "loads and stores must not work in STANDBY",
  },
  {
    what: "instance bits of the handle",
    qemu: "always 0",
    ours: "counted up by every CLP enable",
    why: "the guest can tell stale events from new ones (zpci-guest.md 4.1)",
  },
  {
    what: "BAR accesses of 3, 5, 6 or 7 bytes, or to an absent BAR",
    qemu: "accepted",
    ours: "operand exception",
    why: "no PCI transaction of that size exists (zpci-guest.md 1.5)",
  },
  {
    what: "designation types segment, region-second and region-first in MPCIFC 4",
    qemu: "operand exception",
    ours: "accepted",
    why: "the table walk serves them; the group still announces region-third only",
  },
  {
    what: "RPCIT over more than 256 pages",
    qemu: "walks every page of the range",
    ours: "drops every cached translation and looks at no entry; a malformed one is met by DMA",
    why: "an instruction takes bounded time, whatever range a guest names",
  },
  {
    what: "MPCIFC 4, 5, 6 and RPCIT of a function whose host maps pages",
    qemu: "map inside the instruction",
    ours: "cc 2 until the host has mapped, a batch of 64 entries at a time",
    why: "no vCPU waits for the host (design.md 5.1)",
  },
  {
    what: "MPCIFC 4 of a function whose host maps pages",
    qemu: "maps nothing, which only RPCIT does",
    ours: "maps the whole table",
    why: "the guest's tables are valid at once after a reset (zpci-guest.md 0.1, fact 4)",
  },
  {
    what: "MSI vector beyond noi",
    qemu: "sets the bit",
    ours: "dropped and counted",
    why: "the guest's bit vector ends there (zpci-guest.md 6)",
  },
];
