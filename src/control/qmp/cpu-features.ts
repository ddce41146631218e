/** QEMU's names of the facilities that a CPU model announces. Source: QEMU target/s390x/cpu_features_def.h.inc. */
import type { CpuModel } from "../../cpu/model.ts";

const featureByFacility: Readonly<Record<number, string>> = {
  0: "esan3",
  1: "zarch",
  3: "dateh",
  4: "idtes",
  5: "idter",
  6: "asnlxr",
  7: "stfle",
  8: "edat",
  9: "srs",
  10: "csske",
  13: "ipter",
  14: "nonqks",
  16: "etf2",
  18: "ldisp",
  19: "ldisphp",
  21: "eimm",
  22: "etf3",
  24: "etf2eh",
  25: "stckf",
  26: "parseh",
  27: "mvcos",
  28: "tods-base",
  30: "etf3eh",
  31: "ectg",
  32: "csst",
  33: "csst2",
  34: "ginste",
  35: "exrl",
  37: "fpe",
  40: "sprogp",
  41: "fpseh",
  45: "stfle45",
  49: "stfle49",
  51: "ltlbc",
  52: "iacc2",
  53: "stfle53",
  57: "msa5-base",
  58: "minste2",
  61: "minste3",
  69: "zpci",
  71: "aen",
  72: "ais",
  74: "sthyi",
  78: "edat2",
  129: "vx",
  130: "iep",
  134: "vxbeh",
  135: "vxeh",
  148: "vxeh2",
};

export function cpuFeatures(model: CpuModel): Record<string, boolean> {
  return Object.fromEntries(
    Object.entries(featureByFacility)
      .filter(([facility]) => model.has(Number(facility)))
      .map(([, name]) => [name, true]),
  );
}
