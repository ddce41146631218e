/** The control instructions by opcode key (key forms: `src/cpu/seam.ts`). One row per instruction. */

import {
  FACILITY_CLOCK_STEERING,
  FACILITY_EDAT1,
  FACILITY_EDAT2,
  FACILITY_EXTRACT_TIME,
  FACILITY_PROGRAM_PARAMETER,
  FACILITY_REFERENCE_BITS,
} from "../model.ts";
import type { SystemInstruction } from "../seam.ts";
import * as clock from "./clock.ts";
import { crdte } from "./compare-entry.ts";
import { type SystemContext, withFacility } from "./context.ts";
import * as control from "./control.ts";
import * as frames from "./frames.ts";
import * as keys from "./keys.ts";
import * as machine from "./machine.ts";
import * as move from "./move.ts";
import * as translation from "./translation.ts";

export { type RemoteCpu, SystemContext, type SystemParts } from "./context.ts";

const rows: readonly (readonly [number, string, SystemInstruction<SystemContext>])[] = [
  [0x80, "SSM", control.ssm],
  [0x82, "LPSW", control.lpsw],
  [0xb2b2, "LPSWE", control.lpswe],
  [0xac, "STNSM", control.stnsm],
  [0xad, "STOSM", control.stosm],
  [0xb7, "LCTL", control.lctl],
  [0xeb2f, "LCTLG", control.lctlg],
  [0xb6, "STCTL", control.stctl],
  [0xeb25, "STCTG", control.stctg],
  [0xb20a, "SPKA", control.spka],
  [0xb20b, "IPK", control.ipk],
  [0xb98d, "EPSW", control.epsw],
  [0xb219, "SAC", control.setAddressSpace],
  [0xb279, "SACF", control.setAddressSpace],
  [0xb224, "IAC", control.iac],
  [0xb226, "EPAR", control.epar],
  [0xb227, "ESAR", control.esar],
  [0xb210, "SPX", control.spx],
  [0xb211, "STPX", control.stpx],
  [0xb212, "STAP", control.stap],
  [0xb202, "STIDP", control.stidp],
  [0xaf, "MC", control.mc],
  [0xb205, "STCK", clock.stck],
  [0xb27c, "STCKF", clock.stckf],
  [0xb278, "STCKE", clock.stcke],
  [0xb204, "SCK", clock.sck],
  [0x0107, "SCKPF", clock.sckpf],
  [0xb206, "SCKC", clock.sckc],
  [0xb207, "STCKC", clock.stckc],
  [0xb208, "SPT", clock.spt],
  [0xb209, "STPT", clock.stpt],
  [0x0104, "PTFF", withFacility(FACILITY_CLOCK_STEERING, clock.ptff)],
  [0xc81, "ECTG", withFacility(FACILITY_EXTRACT_TIME, clock.ectg)],
  [0xb280, "LPP", withFacility(FACILITY_PROGRAM_PARAMETER, control.lpp)],
  [0xb221, "IPTE", translation.ipte],
  [0xb98e, "IDTE", translation.idte],
  [0xb98f, "CRDTE", withFacility(FACILITY_EDAT2, crdte)],
  [0xb250, "CSP", translation.csp],
  [0xb98a, "CSPG", translation.cspg],
  [0xb20d, "PTLB", translation.ptlb],
  [0xb248, "PALB", translation.palb],
  [0xb1, "LRA", translation.lra],
  [0xe313, "LRAY", translation.lra],
  [0xe303, "LRAG", translation.lrag],
  [0xb24b, "LURA", translation.lura],
  [0xb905, "LURAG", translation.lurag],
  [0xb246, "STURA", translation.stura],
  [0xb925, "STURG", translation.sturg],
  [0xe501, "TPROT", translation.tprot],
  [0xb9af, "PFMF", withFacility(FACILITY_EDAT1, frames.pfmf)],
  [0xb229, "ISKE", keys.iske],
  [0xb223, "IVSK", keys.ivsk],
  [0xb22b, "SSKE", keys.sske],
  [0xb22a, "RRBE", keys.rrbe],
  [0xb9ae, "RRBM", withFacility(FACILITY_REFERENCE_BITS, keys.rrbm)],
  [0xb22c, "TB", translation.tb],
  [0xb24c, "TAR", translation.tar],
  [0xc80, "MVCOS", move.mvcos],
  [0xda, "MVCP", move.mvcp],
  [0xdb, "MVCS", move.mvcs],
  [0xd9, "MVCK", move.mvck],
  [0xe50e, "MVCSK", move.mvcsk],
  [0xe50f, "MVCDK", move.mvcdk],
  [0xb2b1, "STFL", machine.stfl],
  [0xb2b0, "STFLE", machine.stfle],
  [0xb27d, "STSI", machine.stsi],
  [0xeb4c, "ECAG", machine.ecag],
  [0xae, "SIGP", machine.sigp],
  [0x83, "DIAG", machine.diag],
];

export const systemInstructions: ReadonlyMap<number, SystemInstruction<SystemContext>> = new Map(
  rows.map(([key, , body]) => [key, body]),
);

/** Mnemonics of the same keys, for traces. */
export const systemMnemonics: ReadonlyMap<number, string> = new Map(
  rows.map(([key, mnemonic]) => [key, mnemonic]),
);
