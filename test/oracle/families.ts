/**
 * The families of sequences: which instructions a family draws from, and in which state it runs. Adding an
 * instruction is a row in `instructions.ts`; adding a family is a row here.
 */
import { emitRow } from "./emit-row.ts";
import {
  type Generator,
  PSW_24,
  PSW_31,
  PSW_DAT,
  PSW_PROBLEM,
  type Sequence,
  Generator as SequenceGenerator,
} from "./generator.ts";
import { type GroupName, insn } from "./instructions.ts";
import { External, Window } from "./layout.ts";
import { generatedRows } from "./rows.ts";
import { branchSteps } from "./steps-branch.ts";
import {
  externalSetup,
  interruptedSetup,
  keyStep,
  perStep,
  quietStep,
  signalStep,
  spaceMoveStep,
} from "./steps-control.ts";
import { decimalStep } from "./steps-decimal.ts";
import { fpcStep } from "./steps-fpc.ts";
import { atomicStep, divideStep, executeStep, multipleStep, trapStep } from "./steps-general.ts";
import { lockedStep, parsingStep } from "./steps-locked.ts";
import { extendedTranslationStep, stringStep, translationStep } from "./steps-string.ts";
import {
  faultStep,
  fetchFaultStep,
  fetchFrameStep,
  loadRealStep,
  modeStep,
  modifyStep,
  pswStep,
  spaceStep,
  tableStep,
} from "./steps-system.ts";
import {
  foldVectors,
  loadVectors,
  spreadNumbers,
  vectorFloatStep,
  vectorIntegerStep,
  vectorStringStep,
  vectorSupportStep,
} from "./steps-vector.ts";

/** CR0: enhanced DAT. */
const CR0_EDAT = 0x0080_0000n;
/** CR0: instruction-execution protection. */
const CR0_NO_EXECUTE = 0x0010_0000n;

/** CR0: vector instructions. */
const CR0_VECTOR = 0x0002_0000n;

export type Step = (g: Generator) => void;

export interface Family {
  readonly name: string;
  /** One line for `--list`. */
  readonly what: string;
  /** [weight, step] pairs. */
  readonly steps: readonly (readonly [number, Step])[];
  /** Sets addressing mode, DAT, problem state, … before pointers are placed. */
  readonly setup?: (g: Generator) => void;
  readonly length?: number;
  /** What a sequence begins and ends with. */
  readonly opening?: Step;
  readonly ending?: Step;
  /** Who is right, where it is not QEMU. */
  readonly judge?: "hercules";
  /** The model that announces the family's facilities, where it is not the default one. */
  readonly model?: "max";
  /** What becomes of external interruptions; one of `External`. */
  readonly external?: number;
}

function rows(...groups: readonly GroupName[]): Step {
  const choice = generatedRows(...groups);
  return (g) => emitRow(g, g.rng.pick(choice));
}

function rowsWithout(names: readonly string[], ...groups: readonly GroupName[]): Step {
  const choice = generatedRows(...groups).filter((row) => !names.includes(row.name));
  return (g) => emitRow(g, g.rng.pick(choice));
}

/** Room that `foldVectors` takes, and the longest step before it. */
const ENDING_BYTES = 600;

const arithmetic = rows("registers", "immediate", "distinct");
/** LOAD ADDRESS EXTENDED: QEMU mixes up secondary space and access-register mode. */
const loadsInSpaces = rowsWithout(
  ["lae", "laey"],
  "storageRx",
  "storageRxy",
  "relative",
  "storageImmediate",
);
const loads = rows("storageRx", "storageRxy", "relative", "storageImmediate");

/** What every sequence of the wider families mixes in. */
const general: readonly (readonly [number, Step])[] = [
  [4, arithmetic],
  [4, loads],
  [2, rows("shifts", "insert", "characters")],
  [1, rows("multiply", "conditional")],
  [1, multipleStep],
  [2, rows("ss")],
  [1, stringStep],
  [1, atomicStep],
  [1, executeStep],
];

function datSetup(g: Generator): void {
  g.pswMask |= PSW_DAT;
  g.window = g.rng.pick([0, Window.swapped]);
}

function smallMode(g: Generator): void {
  g.mode = g.chance(50) ? 31 : 24;
  g.smallModes = true;
  g.pswMask = g.mode === 31 ? PSW_31 : PSW_24;
}

/** All rounding modes, no traps; half of the numbers of one size, so that sums have many bits. */
function bfpSetup(g: Generator): void {
  g.fpc = g.below(4);
  g.newFpr = () => {
    const bits = g.word64();
    if (g.chance(50)) return bits;
    const [fractionBits, bias] = g.rng.pick([
      [52n, 1023],
      [55n, 127], // a short number in bits 0-31
      [48n, 16383], // the left half of an extended one
    ] as const);
    const sign = BigInt(g.below(2)) << 63n;
    const exponent = BigInt(bias - 30 + g.below(60)) << fractionBits;
    return sign | exponent | BigInt.asUintN(Number(fractionBits), bits);
  };
  g.fpr.forEach((_, n) => {
    g.fpr[n] = g.newFpr();
  });
}

export const families: readonly Family[] = [
  {
    name: "registers",
    what: "register-register loads, arithmetic, logic, compares, conversions",
    steps: [[1, rows("registers", "distinct")]],
  },
  {
    name: "immediate",
    what: "16- and 32-bit immediates",
    steps: [
      [4, rows("immediate")],
      [1, rows("registers")],
    ],
  },
  {
    name: "storage",
    what: "RX, RXY, SI, SIY, SIL and relative-long storage operands",
    steps: [[1, loads]],
  },
  {
    name: "shift",
    what: "single and double shifts, rotates",
    steps: [
      [4, rows("shifts", "distinct")],
      [1, rows("registers")],
    ],
  },
  {
    name: "multiply",
    what: "multiplication in all widths",
    steps: [
      [4, rows("multiply")],
      [1, rows("registers")],
    ],
  },
  {
    name: "divide",
    what: "division, with quotients that fit and that do not",
    steps: [
      [4, divideStep],
      [1, rows("registers")],
    ],
  },
  {
    name: "bits",
    what: "rotate-then-insert family, test under mask, characters under mask",
    steps: [
      [3, rows("insert")],
      [3, rows("characters")],
      [1, rows("registers", "immediate")],
    ],
  },
  {
    name: "branch",
    what: "branches on condition and count, compare and branch, linkage, loops",
    steps: [
      [4, branchSteps],
      [2, arithmetic],
      [1, loads],
    ],
  },
  {
    name: "conditional",
    what: "load and store on condition",
    steps: [
      [3, rows("conditional")],
      [1, arithmetic],
    ],
  },
  {
    name: "multiple",
    what: "load and store multiple, quadwords, access registers",
    steps: [
      [4, multipleStep],
      [1, rows("accessRegisters")],
      [1, arithmetic],
    ],
  },
  { name: "ss", what: "MVC, NC, OC, XC, CLC, TR, TRT and their kin", steps: [[1, rows("ss")]] },
  {
    name: "string",
    what: "interruptible and string instructions, checksum",
    steps: [
      [4, stringStep],
      [1, arithmetic],
    ],
    length: 8,
  },
  {
    name: "decimal",
    what: "packing, unpacking, conversion to decimal",
    steps: [
      [4, rows("decimalFormat")],
      [1, rows("ss")],
    ],
  },
  {
    name: "packed",
    what: "packed decimal arithmetic, editing, conversion to binary (judged by Hercules)",
    setup: (g) => {
      if (g.chance(20)) smallMode(g);
      g.pswMask |= BigInt(g.below(2)) << 42n; // decimal-overflow mask
    },
    steps: [[1, decimalStep]],
    judge: "hercules",
  },
  {
    name: "atomic",
    what: "compare and swap, interlocked updates, test and set",
    steps: [
      [4, atomicStep],
      [1, arithmetic],
    ],
  },
  {
    name: "execute",
    what: "EX and EXRL of all kinds of targets",
    steps: [
      [4, executeStep],
      [1, arithmetic],
    ],
  },
  {
    name: "mixed",
    what: "everything general together",
    steps: [...general, [2, branchSteps], [1, divideStep], [1, rows("decimalFormat", "fpMoves")]],
    length: 24,
  },
  {
    name: "small-modes",
    what: "24- and 31-bit addressing with junk in the ignored bits",
    setup: smallMode,
    steps: [...general, [2, branchSteps]],
  },
  {
    name: "modes",
    what: "changes of the addressing mode",
    setup: (g) => {
      g.smallModes = true;
      if (g.chance(50)) g.pswMask = g.chance(50) ? PSW_31 : PSW_24;
    },
    steps: [
      [4, modeStep],
      [2, branchSteps],
      [3, loads],
    ],
  },
  {
    name: "exceptions",
    what: "program interruptions: specification, operation, privileged, data, divide, addressing",
    setup: (g) => {
      g.wildness = 25;
      g.faulting = true;
      if (g.chance(30)) g.pswMask |= PSW_PROBLEM;
      if (g.chance(20)) smallMode(g);
    },
    steps: [
      [4, faultStep],
      [2, trapStep],
      [1, divideStep],
      [2, atomicStep],
      [1, multipleStep],
      [1, rows("multiply", "shifts", "relative", "fpMoves")],
      [1, executeStep],
      [1, stringStep],
    ],
  },
  {
    name: "psw",
    what: "PSW and program-mask instructions, LPSWE, SSM, STOSM, STNSM",
    setup: (g) => {
      g.smallModes = true;
    },
    steps: [
      [4, pswStep],
      [2, arithmetic],
      [1, branchSteps],
    ],
  },
  {
    name: "dat",
    what: "everything general with DAT on, page boundaries between unlike frames",
    setup: datSetup,
    steps: [...general, [2, branchSteps], [1, rows("decimalFormat")]],
  },
  {
    name: "dat-faults",
    what: "translation and protection exceptions of all kinds, at first and second page",
    setup: (g) => {
      g.pswMask |= PSW_DAT;
      g.faulting = true;
      g.window = g.rng.pick([
        Window.hole,
        Window.protectedPage,
        Window.noSegment,
        Window.protectedSegment,
        Window.badEntry,
      ]);
    },
    // Not load on condition: whether it faults when the condition is not met is unpredictable.
    steps: [
      [4, arithmetic],
      [6, loads],
      [2, rows("shifts", "characters")],
      [1, rows("multiply")],
      [2, multipleStep],
      [2, rows("ss", "decimalFormat")],
      [1, stringStep],
      [1, atomicStep],
      [1, executeStep],
      [2, branchSteps],
      [1, fetchFaultStep],
    ],
    length: 8,
  },
  {
    name: "tables",
    what: "page-table entries invalidated with IPTE, changed and used again",
    setup: (g) => {
      g.pswMask |= PSW_DAT;
      g.faulting = true;
      g.window = Window.swapped;
    },
    steps: [
      [2, tableStep],
      [4, loads],
      [2, multipleStep],
      [1, atomicStep],
      [1, arithmetic],
    ],
  },
  {
    name: "self-modifying",
    what: "stores into instructions that follow",
    steps: [
      [3, modifyStep],
      [2, arithmetic],
      [1, loads],
    ],
  },
  {
    name: "spaces",
    what: "secondary, home and access-register spaces, LRA, LURA, STURA",
    setup: (g) => {
      g.pswMask |= PSW_DAT;
      g.window = g.rng.pick([0, Window.swapped]);
      g.ar.forEach((_, n) => {
        g.ar[n] = g.below(2);
      });
    },
    steps: [
      [4, spaceStep],
      [3, loadsInSpaces],
      [1, rows("ss")],
      [1, multipleStep],
      [1, arithmetic],
    ],
  },
  {
    name: "space-moves",
    what: "MVCOS, MVCP, MVCS between unlike address spaces",
    setup: (g) => {
      g.pswMask |= PSW_DAT;
      g.window = g.rng.pick([0, Window.swapped]);
    },
    steps: [
      [4, spaceMoveStep],
      [2, loadsInSpaces],
      [1, arithmetic],
    ],
  },
  {
    name: "keys",
    what: "ISKE, SSKE, RRBE: reference and change bits of what sequences access",
    setup: (g) => {
      if (g.chance(40)) datSetup(g);
    },
    steps: [
      [6, keyStep],
      [1, arithmetic],
      [1, multipleStep],
    ],
  },
  {
    name: "signals",
    what: "SIGP to this CPU, external interruptions taken when the masks allow it",
    setup: externalSetup,
    steps: [
      [4, signalStep],
      [2, arithmetic],
      [2, loads],
      [1, stringStep],
      [1, branchSteps],
    ],
    external: External.logged,
  },
  {
    name: "large-frames",
    what: "enhanced DAT: frames of 1 MiB, protected ones too (judged by Hercules)",
    setup: (g) => {
      g.pswMask |= PSW_DAT;
      g.cr0 |= CR0_EDAT;
      g.faulting = true;
      g.window = g.rng.pick([Window.large, Window.large, Window.largeProtected]);
    },
    steps: [
      [2, arithmetic],
      [6, loadsInSpaces],
      [2, rows("ss")],
      [1, loadRealStep],
      [1, fetchFrameStep],
    ],
    judge: "hercules",
    model: "max",
  },
  {
    name: "no-execute",
    what: "instruction-execution protection: branches into pages that allow data accesses only",
    setup: (g) => {
      g.pswMask |= PSW_DAT;
      if (g.chance(70)) g.cr0 |= CR0_NO_EXECUTE;
      g.faulting = true;
      g.window = Window.noExecute;
    },
    steps: [
      [2, arithmetic],
      [5, loadsInSpaces],
      [2, rows("ss")],
      [2, fetchFrameStep],
    ],
    length: 8,
    model: "max",
  },
  {
    name: "per",
    what: "program-event recording: instruction fetching in a range",
    setup: (g) => {
      if (g.chance(30)) datSetup(g);
    },
    steps: [
      [4, perStep],
      [1, quietStep],
    ],
    length: 8,
  },
  {
    name: "interrupted",
    what: "everything general, with clock-comparator interruptions between any two instructions",
    setup: interruptedSetup,
    steps: [...general, [2, branchSteps], [1, divideStep], [1, rows("bfpLong", "fpMoves")]],
    length: 24,
    external: External.repeated,
  },
  {
    name: "fp-moves",
    what: "floating-point loads, stores, sign operations, FPC",
    steps: [
      [4, rows("fpMoves")],
      [1, arithmetic],
    ],
  },
  {
    name: "translation",
    what: "TRE, TRTR, Unicode conversions, MVPG",
    steps: [
      [4, translationStep],
      [1, rows("translationSs")],
      [1, arithmetic],
    ],
    length: 8,
  },
  {
    name: "extended-translation",
    what: "extended-translation facilities 2 and 3: TROO, CLCLU, MVCLU, PKA, UNPKA, TP, …",
    steps: [
      [4, extendedTranslationStep],
      [2, rows("extendedTranslationSs")],
      [1, arithmetic],
    ],
    length: 8,
    model: "max",
  },
  {
    name: "parsing",
    what: "TRTE and TRTRE (judged by Hercules)",
    steps: [
      [4, parsingStep],
      [1, arithmetic],
    ],
    length: 6,
    judge: "hercules",
    model: "max",
  },
  {
    name: "locked",
    what: "PERFORM LOCKED OPERATION, all functions (judged by Hercules)",
    steps: [
      [4, lockedStep],
      [1, arithmetic],
    ],
    length: 10,
    judge: "hercules",
  },
  {
    name: "high-word",
    what: "high-word facility",
    steps: [
      [4, rows("highWord")],
      [1, arithmetic],
    ],
  },
  {
    name: "newer",
    what: "load on condition 2 and miscellaneous extensions 1 to 3",
    steps: [
      [4, rows("newer")],
      [1, arithmetic],
    ],
    model: "max",
  },
  {
    name: "bfp",
    what: "binary floating point",
    setup: bfpSetup,
    steps: [
      [3, rows("bfpShort")],
      [3, rows("bfpLong")],
      [2, rows("bfpExtended")],
      [3, rows("bfpConvert")],
      [1, rows("fpMoves")],
    ],
  },
  {
    name: "bfp-extension",
    what: "floating-point extension: rounding methods, inexact suppression, FPC instructions",
    setup: (g) => {
      bfpSetup(g);
      g.roundings = true;
      g.fpc = g.rng.pick([0, 1, 2, 3, 7]) | (g.below(32) << 19);
    },
    steps: [
      [2, rows("bfpShort", "bfpLong")],
      [2, rows("bfpConvert")],
      [3, rows("bfpExtension")],
      [2, fpcStep],
    ],
    model: "max",
  },
  {
    name: "vector-integer",
    what: "vector integer instructions (facilities 129 and 135)",
    setup: vectorSetup,
    opening: loadVectors,
    steps: [
      [6, vectorIntegerStep],
      [1, vectorSupportStep],
    ],
    ending: foldVectors,
    model: "max",
  },
  {
    name: "vector-support",
    what: "vector loads, stores, packing, permuting, elements",
    setup: vectorSetup,
    opening: loadVectors,
    steps: [
      [6, vectorSupportStep],
      [1, arithmetic],
    ],
    ending: foldVectors,
    model: "max",
  },
  {
    name: "vector-string",
    what: "vector string searches",
    setup: vectorSetup,
    opening: loadVectors,
    steps: [
      [4, vectorStringStep],
      [1, vectorSupportStep],
    ],
    ending: foldVectors,
    model: "max",
  },
  {
    name: "vector-float",
    what: "vector floating point",
    setup: (g) => {
      bfpSetup(g);
      vectorSetup(g);
    },
    opening: spreadNumbers,
    steps: [
      [8, vectorFloatStep],
      [1, vectorIntegerStep],
    ],
    ending: foldVectors,
    model: "max",
  },
];

function vectorSetup(g: Generator): void {
  if (!g.chance(3)) g.cr0 |= CR0_VECTOR;
}

export function familyNamed(name: string): Family | undefined {
  return families.find((family) => family.name === name);
}

/** Sequence `index` of `family` under `seed`, as it runs in slot `slotIndex`. */
export function generateSequence(
  seed: number,
  family: Family,
  index: number,
  slotIndex: number,
  rounds = 1,
): Sequence {
  const mixed = (BigInt(seed) << 40n) ^ (BigInt(hash(family.name)) << 24n) ^ BigInt(index);
  const g = new SequenceGenerator(mixed, slotIndex);
  g.pswMask |= BigInt(g.below(4)) << 44n;
  family.setup?.(g);
  const cc = BigInt(g.below(4)) << 44n;
  g.pswMask = (g.pswMask & ~(3n << 44n)) | cc;
  g.placePointers();
  family.opening?.(g);
  const total = family.steps.reduce((sum, [weight]) => sum + weight, 0);
  const length = family.length ?? 14;
  for (
    let count = 0;
    count < length && g.hasRoom(family.ending === undefined ? 200 : ENDING_BYTES);
    count++
  ) {
    let draw = g.below(total);
    for (const [weight, step] of family.steps) {
      draw -= weight;
      if (draw < 0) {
        step(g);
        break;
      }
    }
    if (g.chance(25)) {
      const r1 = g.target();
      g.emit(insn("ipm", { r1 }));
      g.wrote(r1);
    }
  }
  family.ending?.(g);
  return g.finish(family.name, index, rounds);
}

function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) {
    value = Math.imul(value ^ text.charCodeAt(i), 0x01000193) >>> 0;
  }
  return value & 0xffff;
}
