/** Issues device instructions on a CPU double: R1 = 2, R2 (or R3) = 4, as opcode and registers of a real one. */
import { PciOpcode } from "../../src/abi/pci-insn.ts";
import type { InterceptTable } from "../../src/ports/guest-cpu.ts";
import type { GuestCpuDouble } from "./guest-cpu-double.ts";

export const opcodes = {
  clp: PciOpcode.CLP,
  pcistg: PciOpcode.PCISTG,
  pcilg: PciOpcode.PCILG,
  rpcit: PciOpcode.RPCIT,
  mpcifc: PciOpcode.MPCIFC,
  stpcifc: PciOpcode.STPCIFC,
  pcistb: PciOpcode.PCISTB,
  sic: PciOpcode.SIC,
  stsch: 0xb234,
  tpi: 0xb236,
  stcrw: 0xb239,
  chsc: 0xb25f,
  servc: 0xb220,
} as const;
export type Mnemonic = keyof typeof opcodes;
export const mnemonics = Object.keys(opcodes) as Mnemonic[];

/** Whether the format names its registers in the last byte (RRE, S) instead of the second. */
export function registersLast(key: number): boolean {
  return key >>> 8 === 0xb9 || key >>> 8 === 0xb2;
}

/** Executes with the registers as they are. */
export function runInstruction(
  intercepts: InterceptTable,
  cpu: GuestCpuDouble,
  name: Mnemonic,
): void {
  const key = opcodes[name];
  const high = registersLast(key)
    ? (key << 16) | 0x24
    : ((key >>> 8) << 24) | (2 << 20) | (4 << 16);
  intercepts.get(key)?.execute(cpu, high | 0, (key & 0xff) << 16);
}

/** Executes with R1 = `r1` in register 2, R2 or R3 in 4 and 5, and the operand at `address`. */
export function issueInstruction(
  intercepts: InterceptTable,
  cpu: GuestCpuDouble,
  name: Mnemonic,
  r1: bigint,
  r2: bigint,
  r3: bigint,
  address: bigint,
): void {
  cpu.begin();
  cpu.setRegister(2, r1);
  cpu.setRegister(4, r2);
  cpu.setRegister(5, r3);
  cpu.operandAddress = address;
  runInstruction(intercepts, cpu, name);
}
