/** The instruction table: every instruction whose meaning is written as a body. */
import { arithmeticRows } from "./arithmetic.ts";
import { branchRows } from "./branch.ts";
import { compareRows } from "./compare.ts";
import { floatingRows } from "./floating.ts";
import { interlockedRows } from "./interlocked.ts";
import { loadStoreRows } from "./load-store.ts";
import { logicalRows } from "./logical.ts";
import { multiplyDivideRows } from "./multiply-divide.ts";
import { newerRows } from "./newer.ts";
import type { Row } from "./row.ts";
import { shiftRotateRows } from "./shift-rotate.ts";
import { storageRows } from "./storage.ts";
import { stringRows } from "./strings.ts";

export const instructionTable: readonly Row[] = [
  ...arithmeticRows,
  ...logicalRows,
  ...loadStoreRows,
  ...compareRows,
  ...shiftRotateRows,
  ...multiplyDivideRows,
  ...branchRows,
  ...storageRows,
  ...interlockedRows,
  ...stringRows,
  ...floatingRows,
  ...newerRows,
];

/**
 * The hot set: instructions whose bodies stand in the dispatch function, by their share of executed
 * instructions in kernel boots and in code that GCC makes (s390x-machine.md 4.3, 4.8).
 */
export const hotMnemonics: readonly string[] = (
  "LG STG AGR LGR SRLG MSGR LGHI SLLG BRC RISBG LA ALCGR AR AHI LR L CLGRJ ST AGHI BRCT LGFR RLL XR AG " +
  "CIJ ALG A SG CLGR BRCL LLC BCR BRCTG BRASL LHI ROSBG SR IC OGR LCGR SLBGR SLGR LLCR ALGFR SGR ALGR " +
  "XGR LLGCR NGR LLGFR NIHF CGIJ CLGIJ LH STC STH TMLL CLI TM MVC CLG LRVG LLGC LAY LLGH STMG LMG X " +
  "LLILF NILF LLIHL NR LCR OR CLRJ CRJ CGRJ CLIJ MVGHI MVHI MVI ASI AGSI LARL BRAS BASR BC LTGR LTR CR " +
  "CLR CGR C CL CG TMLH LLGF LGF LY STY N O OILF XILF IILF LLGHR LGHR LLHR LGRL SLL SRL SRA SRAG RLLG " +
  "XRK NGRK AGRK AGHIK AHIK LTG LT AFI RXSBG CHI CGHI CLFI NILL OILL LGFI AGFI BRXH LGB LGH LHY STCY " +
  "CLGFI MSR " +
  "ALCR LPGR MSG LRV LPR FLOGR CS CSG LDGR LGDR PFD LRL STRL CLGRL ALSI ALGSI CLFHSI AGF AGFR CLGFR ALFI SLFI " +
  "STRV XG OG TMHH LLIHH LLILH NILH IIHF ICY ALGF LLH LGFRL STHY LGBR LBR LHR ARK SRK SGRK SLLK SRLK MGHI " +
  "MSGFI CHSI CGHSI MVHHI MVIY CLIY TMY LLGTR LRVGR LRVR STGRL LLGFRL CGRL CRL LD STD LDR LNGR SLG SL AL CGF"
).split(" ");
