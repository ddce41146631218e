/** Read SCP information and read CPU information. Source: s390x-machine.md 6. */
import { loadparmBytes } from "../../abi/ebcdic.ts";
import { encodeInto } from "../../abi/layout.ts";
import {
  CPU_ENTRY_BYTES,
  CpuInfo,
  SCP_FACILITY_CPU_INFO,
  SCP_FACILITY_PCI_RECONFIGURE,
  SclpCode,
  ScpInfo,
} from "../../abi/sclp.ts";

const MIB = 1024 ** 2;

/** What the guest is told about the machine. */
export interface SclpFacts {
  readonly ramBytes: number;
  readonly cpuCount: number;
  /** Up to eight characters (abi/ebcdic.ts); blank without it. */
  readonly loadparm?: string;
  /** Announce the line-mode console (event type 0x02) beside the VT220 one. Text is accepted anyway. */
  readonly lineMode?: boolean;
}

/** @param length of the SCCB; returns the response code */
export function readScpInfo(view: DataView, length: number, facts: SclpFacts): number {
  if (length < ScpInfo.size + facts.cpuCount * CPU_ENTRY_BYTES) return SclpCode.insufficientLength;
  const increments = Math.floor(facts.ramBytes / MIB);
  encodeInto(ScpInfo, view, 0, {
    rnmax: increments,
    rnsize: 1,
    cpuCount: facts.cpuCount,
    cpuOffset: ScpInfo.size,
    loadparm: loadparmBytes(facts.loadparm ?? ""),
    facilities: SCP_FACILITY_CPU_INFO | SCP_FACILITY_PCI_RECONFIGURE,
    rnmax2: BigInt(increments),
    highestCpu: facts.cpuCount - 1,
  });
  writeCpus(view, ScpInfo.size, facts.cpuCount);
  return SclpCode.normalRead;
}

export function readCpuInfo(view: DataView, length: number, facts: SclpFacts): number {
  if (length < CpuInfo.size + facts.cpuCount * CPU_ENTRY_BYTES) return SclpCode.insufficientLength;
  encodeInto(CpuInfo, view, 0, {
    configured: facts.cpuCount,
    offsetConfigured: CpuInfo.size,
    standby: 0,
    offsetStandby: CpuInfo.size + facts.cpuCount * CPU_ENTRY_BYTES,
  });
  writeCpus(view, CpuInfo.size, facts.cpuCount);
  return SclpCode.normalRead;
}

function writeCpus(view: DataView, at: number, count: number): void {
  for (let cpu = 0; cpu < count; cpu++) {
    const entry = at + cpu * CPU_ENTRY_BYTES;
    for (let n = 0; n < CPU_ENTRY_BYTES; n++) view.setUint8(entry + n, 0);
    view.setUint8(entry, cpu);
  }
}
