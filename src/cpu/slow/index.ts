/** Instructions written in TypeScript by opcode key: rare, long or interruptible ones. */
import { Cpu } from "../state.ts";
import { bfpRows } from "./bfp.ts";
import { bfpControlRows } from "./bfp-control.ts";
import { cuse } from "./compare-until-substring.ts";
import type { SlowContext, SlowInstruction } from "./context.ts";
import * as decimal from "./decimal.ts";
import { extendedTranslationRows } from "./extended-translation.ts";
import { plo } from "./locked-operation.ts";
import * as long from "./long-operands.ts";
import * as page from "./move-page.ts";
import { packedRows } from "./packed.ts";
import { parsingRows } from "./parsing.ts";
import * as unicode from "./unicode.ts";
import { vectorFloatRows } from "./vector-float.ts";
import { vectorIntegerRows } from "./vector-integer.ts";
import { vectorStringRows } from "./vector-string.ts";
import { vectorSupportRows } from "./vector-support.ts";

export { SlowContext, type SlowInstruction, type SlowParts } from "./context.ts";

function supervisorCall(c: SlowContext): void {
  c.interrupts.deliverSupervisorCall(c.state.i32(Cpu.instructionHigh) >>> 16);
}

const rows: readonly (readonly [number, string, SlowInstruction])[] = [
  [0x0a, "SVC", supervisorCall],
  [0x0e, "MVCL", long.mvcl],
  [0x0f, "CLCL", long.clcl],
  [0xa8, "MVCLE", long.mvcle],
  [0xa9, "CLCLE", long.clcle],
  [0x4f, "CVB", decimal.cvb],
  [0xe306, "CVBY", decimal.cvb],
  [0xe30e, "CVBG", decimal.cvbg],
  [0x4e, "CVD", decimal.cvd],
  [0xe326, "CVDY", decimal.cvd],
  [0xe32e, "CVDG", decimal.cvdg],
  [0xb254, "MVPG", page.mvpg],
  [0xef, "LMD", page.lmd],
  [0xb257, "CUSE", cuse],
  [0xb2a5, "TRE", page.tre],
  [0xb2a7, "CU12", unicode.cu12],
  [0xb2a6, "CU21", unicode.cu21],
  [0xb9b0, "CU14", unicode.cu14],
  [0xb9b1, "CU24", unicode.cu24],
  [0xb9b2, "CU41", unicode.cu41],
  [0xb9b3, "CU42", unicode.cu42],
  [0xf1, "MVO", decimal.mvo],
  [0xf2, "PACK", decimal.pack],
  [0xf3, "UNPK", decimal.unpk],
  [0xee, "PLO", plo],
  ...parsingRows,
  ...packedRows,
  ...extendedTranslationRows,
  ...bfpRows,
  ...bfpControlRows,
  ...vectorSupportRows,
  ...vectorIntegerRows,
  ...vectorStringRows,
  ...vectorFloatRows,
];

export const slowInstructions: ReadonlyMap<number, SlowInstruction> = new Map(
  rows.map(([key, , body]) => [key, body]),
);

export const slowMnemonics: ReadonlyMap<number, string> = new Map(
  rows.map(([key, mnemonic]) => [key, mnemonic]),
);
