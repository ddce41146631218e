/** Data exceptions of binary floating point, and the facility that decides about rounding modes. */
import { ProgramCode } from "../../abi/lowcore.ts";
import { Cpu } from "../state.ts";
import type { SlowContext } from "./context.ts";

export const FACILITY_FLOATING_POINT_EXTENSION = 37;
const AFP_CONTROL = 0x40000; // CR0 bit 45 in the low half
const DXC_BFP_INSTRUCTION = 2;

export function dataException(c: SlowContext, dxc: number): void {
  c.state.setI32(Cpu.dxc, dxc);
  c.program(ProgramCode.data);
}

/** Without the AFP-register control there is no binary floating point. */
export function afpOff(c: SlowContext): boolean {
  if ((c.state.low(Cpu.cr) & AFP_CONTROL) !== 0) return false;
  dataException(c, DXC_BFP_INSTRUCTION);
  return true;
}
