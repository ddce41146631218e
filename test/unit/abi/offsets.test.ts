import { describe, expect, it } from "vitest";
import type { Field, Layout } from "../../../src/abi/index.ts";
import * as abi from "../../../src/abi/index.ts";

/**
 * Where the manuals and headers put each field, typed in from the fact sheets (section in the first column),
 * never taken from the tables. `[offset, size]`; a bit field is `[offset, size, first bit, last bit]`.
 */
type Place = readonly [number, number] | readonly [number, number, number, number];

interface Sheet {
  readonly section: string;
  readonly table: Layout;
  readonly size: number;
  readonly fields: Readonly<Record<string, Place>>;
}

function orderOf(name: string): string {
  if (name.startsWith("nvme")) return "little";
  return /vfio|zpci_err v/.test(name) ? "host" : "big";
}

const sheets: readonly Sheet[] = [
  {
    section: "vfio-uapi 2.2, zpci-guest 7.1: error CCDF",
    table: abi.CcdfErr,
    size: 32,
    fields: {
      reserved1: [0, 4],
      fh: [4, 4],
      fid: [8, 4],
      ett: [12, 4, 0, 3], // 0xf0000000
      mvn: [12, 4, 4, 15], // 0x0fff0000
      dmaas: [12, 4, 16, 23], // 0x0000ff00
      reserved2: [12, 4, 24, 29], // 0x000000fc
      q: [12, 4, 30, 30], // 0x00000002
      rw: [12, 4, 31, 31], // 0x00000001
      faddr: [16, 8],
      reserved3: [24, 4],
      reserved4: [28, 2],
      pec: [30, 2],
    },
  },
  {
    section: "vfio-uapi 2.2, zpci-guest 7.1: availability CCDF",
    table: abi.CcdfAvail,
    size: 32,
    fields: { fh: [4, 4], fid: [8, 4], pec: [30, 2] },
  },
  {
    section: "zpci-guest 2.1: CLP header",
    table: abi.ClpHeader,
    size: 16,
    fields: { length: [0, 2], code: [2, 2], format: [4, 4], reserved: [8, 8] },
  },
  {
    section: "zpci-guest 2.2: list request",
    table: abi.ClpListRequest,
    size: 32,
    fields: { resumeToken: [16, 8] },
  },
  {
    section: "zpci-guest 2.2: list response",
    table: abi.ClpListResponse,
    size: 32,
    fields: {
      resumeToken: [16, 8],
      mdd: [24, 4],
      maxFunctions: [28, 2],
      flags: [30, 1],
      entrySize: [31, 1],
    },
  },
  {
    section: "zpci-guest 2.2: list entry",
    table: abi.ClpListEntry,
    size: 16,
    fields: { deviceId: [0, 2], vendorId: [2, 2], config: [4, 4], fid: [8, 4], fh: [12, 4] },
  },
  {
    section: "zpci-guest 2.3: query function request",
    table: abi.ClpQueryFunctionRequest,
    size: 32,
    fields: { fh: [16, 4] },
  },
  {
    section: "zpci-guest 2.3: query function response (first 192 bytes)",
    table: abi.ClpQueryFunctionResponse,
    size: 192,
    fields: {
      vfn: [16, 2],
      flags: [18, 1],
      pfgid: [19, 1],
      fid: [20, 4],
      barSize: [24, 6],
      pchid: [30, 2],
      bar: [32, 24],
      pfip: [56, 4],
      fidparm: [60, 1],
      port: [61, 1],
      fmbLength: [62, 1],
      pft: [63, 1],
      sdma: [64, 8],
      edma: [72, 8],
      rid: [80, 2],
      tid: [86, 2],
      uid: [124, 4],
      utilityString: [128, 64],
    },
  },
  {
    section: "zpci-guest 2.4: query group request",
    table: abi.ClpQueryGroupRequest,
    size: 32,
    fields: { pfgid: [19, 1] },
  },
  {
    section: "zpci-guest 2.4: query group response",
    table: abi.ClpQueryGroupResponse,
    size: 64,
    fields: {
      noi: [16, 2, 4, 15],
      version: [18, 1],
      fr: [19, 1],
      maxstbl: [20, 2, 3, 15],
      mui: [22, 2],
      dtsm: [24, 1],
      maxfaal: [26, 2],
      dnoi: [28, 2, 4, 15],
      maxcpu: [30, 2],
      dasm: [32, 8],
      msia: [40, 8],
    },
  },
  {
    section: "zpci-guest 2.5: set function request",
    table: abi.ClpSetFunctionRequest,
    size: 32,
    fields: { fh: [16, 4], oc: [22, 1], ndas: [23, 1], gisa: [28, 4] },
  },
  {
    section: "zpci-guest 2.5: set function response",
    table: abi.ClpSetFunctionResponse,
    size: 32,
    fields: { fh: [16, 4] },
  },
  {
    section: "zpci-guest 3.1: FIB format 0",
    table: abi.Fib,
    size: 80,
    fields: {
      format: [0, 1],
      fc: [8, 1],
      pba: [16, 8],
      pal: [24, 8],
      iota: [32, 8],
      isc: [40, 4, 1, 3],
      noi: [40, 4, 4, 15],
      aibvo: [40, 4, 18, 23],
      sum: [40, 4, 24, 24],
      aisbo: [40, 4, 26, 31],
      aibv: [48, 8],
      aisb: [56, 8],
      fmb: [64, 8],
      gd: [76, 4],
    },
  },
  {
    section: "zpci-guest 11: FMB format 0",
    table: abi.Fmb,
    size: 64,
    fields: {
      format: [0, 1],
      indicators: [0, 4, 8, 31],
      samples: [4, 4],
      lastUpdate: [8, 8],
      loads: [16, 8],
      stores: [24, 8],
      storeBlocks: [32, 8],
      refreshes: [40, 8],
      dmaRead: [48, 8],
      dmaWritten: [56, 8],
    },
  },
  {
    section: "zpci-guest 7.6: CHSC request",
    table: abi.ChscRequest,
    size: 16,
    fields: { length: [0, 2], command: [2, 2], selectionMask: [8, 8] },
  },
  {
    section: "zpci-guest 7.6: CHSC response head (area offset 16)",
    table: abi.ChscResponse,
    size: 8,
    fields: { length: [16 - 16, 2], code: [18 - 16, 2] },
  },
  {
    section: "zpci-guest 7.6: store event information (area offset 16, length 4080)",
    table: abi.ChscSeiResponse,
    size: 4080,
    fields: {
      length: [16 - 16, 2],
      code: [18 - 16, 2],
      notificationType: [23 - 16, 1],
      flags: [24 - 16, 1],
      contentCode: [27 - 16, 1],
      ccdf: [80 - 16, 8],
    },
  },
  {
    section: "s390x-machine 5.7, zpci-guest 7.7: lowcore",
    table: abi.Lowcore,
    size: 8192,
    fields: {
      iplParameterPointer: [0x014, 4],
      externalParameter: [0x080, 4],
      externalCpuAddress: [0x084, 2],
      externalCode: [0x086, 2],
      svcIlc: [0x088, 2],
      svcCode: [0x08a, 2],
      programIlc: [0x08c, 2],
      programCode: [0x08e, 2],
      dataExceptionCode: [0x090, 4],
      monitorClass: [0x094, 2],
      perCode: [0x096, 1],
      perAtmid: [0x097, 1],
      perAddress: [0x098, 8],
      exceptionAccessId: [0x0a0, 1],
      perAccessId: [0x0a1, 1],
      operandAccessId: [0x0a2, 1],
      architectureMode: [0x0a3, 1],
      translationExceptionId: [0x0a8, 8],
      monitorCode: [0x0b0, 8],
      subchannelWord: [0x0b8, 4],
      ioParameter: [0x0bc, 4],
      ioIdentificationWord: [0x0c0, 4],
      facilityList: [0x0c8, 4],
      machineCheckCode: [0x0e8, 8],
      externalDamageCode: [0x0f4, 4],
      failingStorageAddress: [0x0f8, 8],
      breakingEventAddress: [0x110, 8],
      restartOldPsw: [0x120, 16],
      externalOldPsw: [0x130, 16],
      svcOldPsw: [0x140, 16],
      programOldPsw: [0x150, 16],
      machineCheckOldPsw: [0x160, 16],
      ioOldPsw: [0x170, 16],
      restartNewPsw: [0x1a0, 16],
      externalNewPsw: [0x1b0, 16],
      svcNewPsw: [0x1c0, 16],
      programNewPsw: [0x1d0, 16],
      machineCheckNewPsw: [0x1e0, 16],
      ioNewPsw: [0x1f0, 16],
      mcesaDesignation: [0x11b0, 8],
      externalParameter64: [0x11b8, 8],
      fprSaveArea: [0x1200, 16 * 8],
      grSaveArea: [0x1280, 16 * 8],
      pswSaveArea: [0x1300, 16],
      prefixSaveArea: [0x1318, 4],
      fpcSaveArea: [0x131c, 4],
      todProgrammableSaveArea: [0x1324, 4],
      cpuTimerSaveArea: [0x1328, 8],
      clockComparatorSaveArea: [0x1330, 8],
      breakingEventSaveArea: [0x1338, 8],
      arSaveArea: [0x1340, 16 * 4],
      crSaveArea: [0x1380, 16 * 8],
    },
  },
  {
    section: "s390x-machine 6, zpci-guest 8.3: SCCB header",
    table: abi.Sccb,
    size: 8,
    fields: { length: [0, 2], functionCode: [2, 1], controlMask: [3, 3], responseCode: [6, 2] },
  },
  {
    section: "s390x-machine 6: SCP information",
    table: abi.ScpInfo,
    size: 128, // CPU offset without facility 140
    fields: {
      rnmax: [8, 2],
      rnsize: [10, 1],
      cpuCount: [16, 2],
      cpuOffset: [18, 2],
      loadparm: [24, 8],
      facilities: [48, 8],
      rnmax2: [104, 8],
      highestCpu: [120, 2],
    },
  },
  {
    section: "s390x-machine 6: CPU information (entries from 0x18 on)",
    table: abi.CpuInfo,
    size: 0x18,
    fields: {
      configured: [8, 2],
      offsetConfigured: [10, 2],
      standby: [12, 2],
      offsetStandby: [14, 2],
    },
  },
  {
    section: "s390x-machine 6: write event mask",
    table: abi.EventMaskSccb,
    size: 12,
    fields: { maskLength: [10, 2] },
  },
  {
    section: "zpci-guest 9.5: event buffer header (SCCB offset 8)",
    table: abi.EventHeader,
    size: 6,
    fields: { length: [8 - 8, 2], type: [10 - 8, 1], flags: [11 - 8, 1] },
  },
  {
    section: "zpci-guest 9.5: recovery report (SCCB offset 8, up to the text at 40)",
    table: abi.ReportEvent,
    size: 40 - 8,
    fields: {
      action: [14 - 8, 1],
      adapterType: [15 - 8, 1],
      fh: [16 - 8, 4],
      fid: [20 - 8, 4],
      timestamp: [24 - 8, 8],
      id: [32 - 8, 8],
    },
  },
  {
    section: "zpci-guest 8.3: configure I/O adapter",
    table: abi.AdapterSccb,
    size: 16,
    fields: { adapterType: [8, 1], adapterId: [12, 4] },
  },
  {
    section: "vfio-uapi 1.4: device feature",
    table: abi.VfioDeviceFeature,
    size: 8,
    fields: { argsz: [0, 4], flags: [4, 4] },
  },
  {
    section: "vfio-uapi 1.5: device info",
    table: abi.VfioDeviceInfo,
    size: 24,
    fields: {
      argsz: [0, 4],
      flags: [4, 4],
      numRegions: [8, 4],
      numIrqs: [12, 4],
      capOffset: [16, 4],
      pad: [20, 4],
    },
  },
  {
    section: "vfio-uapi 1.5: capability header",
    table: abi.VfioInfoCapHeader,
    size: 8,
    fields: { id: [0, 2], version: [2, 2], next: [4, 4] },
  },
  {
    section: "vfio-uapi 1.6: region info",
    table: abi.VfioRegionInfo,
    size: 32,
    fields: {
      argsz: [0, 4],
      flags: [4, 4],
      index: [8, 4],
      capOffset: [12, 4],
      size: [16, 8],
      offset: [24, 8],
    },
  },
  {
    section: "vfio-uapi 1.7: IRQ info",
    table: abi.VfioIrqInfo,
    size: 16,
    fields: { argsz: [0, 4], flags: [4, 4], index: [8, 4], count: [12, 4] },
  },
  {
    section: "vfio-uapi 1.7: IRQ set",
    table: abi.VfioIrqSet,
    size: 20,
    fields: { argsz: [0, 4], flags: [4, 4], index: [8, 4], start: [12, 4], count: [16, 4] },
  },
  {
    section: "vfio-uapi 2.1: merged error feature with its header",
    table: abi.ZpciErrorFeature,
    size: 16,
    fields: { argsz: [0, 4], flags: [4, 4], data: [8, 8] },
  },
  {
    section: "vfio-uapi 2.4: posted v1 to v3",
    table: abi.ZpciErr.v1,
    size: 8,
    fields: { pec: [0, 2], pendingErrors: [4, 4] },
  },
  {
    section: "vfio-uapi 2.4: posted v4 to v8",
    table: abi.ZpciErr.v4,
    size: 4,
    fields: { pec: [0, 2], pendingErrors: [2, 1], pad: [3, 1] },
  },
  {
    section: "vfio-uapi 2.4: posted v9 to v13",
    table: abi.ZpciErr.v9,
    size: 4,
    fields: { version: [0, 1], pendingErrors: [1, 1], pec: [2, 2] },
  },
  {
    section: "vfio-uapi 2.4: posted v14",
    table: abi.ZpciErr.v14,
    size: 72,
    fields: {
      flags: [0, 4],
      reserved1: [4, 4],
      fh: [8, 4],
      fid: [12, 4],
      ett: [16, 4, 0, 3],
      mvn: [16, 4, 4, 15],
      dmaas: [16, 4, 16, 23],
      reserved2: [16, 4, 24, 29],
      q: [16, 4, 30, 30],
      rw: [16, 4, 31, 31],
      faddr: [24, 8],
      reserved3: [32, 4],
      reserved4: [36, 2],
      pec: [38, 2],
      reserved5: [40, 28],
    },
  },
  {
    section: "vfio-uapi 2.4: posted v15 to v18",
    table: abi.ZpciErr.v15,
    size: 72,
    fields: {
      featureFlags: [0, 4],
      reserved1: [4, 4],
      fh: [8, 4],
      fid: [12, 4],
      ett: [16, 4, 0, 3],
      mvn: [16, 4, 4, 15],
      dmaas: [16, 4, 16, 23],
      reserved2: [16, 4, 24, 29],
      q: [16, 4, 30, 30],
      rw: [16, 4, 31, 31],
      faddr: [24, 8],
      reserved3: [32, 4],
      reserved4: [36, 2],
      pec: [38, 2],
      reserved5: [40, 28],
    },
  },
  {
    section: "vfio-uapi 2.4: v20, data part",
    table: abi.ZpciErr.merged,
    size: 8,
    fields: { data: [0, 8] },
  },
  {
    section: "vfio-uapi 2.4: proposal of the PEC alone",
    table: abi.ZpciErr.pecOnly,
    size: 2,
    fields: { pec: [0, 2] },
  },
  {
    section: "vfio-uapi 3.13: no feature, no data",
    table: abi.ZpciErr.none,
    size: 0,
    fields: {},
  },
  {
    section: "vfio-uapi 1.9: capability MIGRATION",
    table: abi.VfioIommuType1InfoMigration,
    size: 32,
    fields: { flags: [8, 4], pgsizeBitmap: [16, 8], maxDirtyBitmapSize: [24, 8] },
  },
  {
    section: "vfio-uapi 1.9: capability IOVA_RANGE with one range",
    table: abi.VfioIommuType1InfoIovaRange,
    size: 32,
    fields: { nrIovas: [8, 4], reserved: [12, 4], start: [16, 8], end: [24, 8] },
  },
  {
    section: "vfio-uapi 1.9: capability DMA_AVAIL",
    table: abi.VfioIommuType1InfoDmaAvail,
    size: 12,
    fields: { avail: [8, 4] },
  },
  {
    section: "vfio-uapi 5.6: entry head of 2020",
    table: abi.ZpciRegionHdr2020,
    size: 8,
    fields: { id: [0, 2], version: [2, 2], next: [4, 4] },
  },
  {
    section: "vfio-uapi 5.6: base entry of 2020",
    table: abi.ZpciRegionBase2020,
    size: 32,
    fields: {
      startDma: [8, 8],
      endDma: [16, 8],
      pchid: [24, 2],
      vfn: [26, 2],
      fmbLength: [28, 2],
      pft: [30, 1],
      gid: [31, 1],
    },
  },
  {
    section: "vfio-uapi 5.6: group entry of 2020",
    table: abi.ZpciRegionGroup2020,
    size: 40,
    fields: {
      dasm: [8, 8],
      msiAddr: [16, 8],
      flags: [24, 8],
      mui: [32, 2],
      noi: [34, 2],
      maxstbl: [36, 2],
      version: [38, 1],
    },
  },
  {
    section: "vfio-uapi 5.6: util entry of 2020",
    table: abi.ZpciRegionUtil2020,
    size: 12,
    fields: { size: [8, 4] },
  },
  {
    section: "vfio-uapi 5.6: pfip entry of 2020",
    table: abi.ZpciRegionPfip2020,
    size: 12,
    fields: { size: [8, 4] },
  },
  {
    section: "vfio-uapi 1.6: region capability 2, type",
    table: abi.VfioRegionInfoCapType,
    size: 16,
    fields: { type: [8, 4], subtype: [12, 4] },
  },
  {
    section: "NVMe 1.4, Figure 105: command",
    table: abi.NvmeSqe,
    size: 64,
    fields: {
      opcode: [0, 1],
      flags: [1, 1],
      cid: [2, 2],
      nsid: [4, 4],
      mptr: [16, 8],
      prp1: [24, 8],
      prp2: [32, 8],
      cdw10: [40, 4],
      cdw11: [44, 4],
      cdw12: [48, 4],
      cdw13: [52, 4],
      cdw14: [56, 4],
      cdw15: [60, 4],
    },
  },
  {
    section: "NVMe 1.4, Figure 120: completion",
    table: abi.NvmeCqe,
    size: 16,
    fields: {
      dw0: [0, 4],
      sqHead: [8, 2],
      sqid: [10, 2],
      cid: [12, 2],
      status: [14, 2],
    },
  },
  {
    section: "NVMe 1.4, Figure 247: Identify Controller",
    table: abi.NvmeIdentifyController,
    size: 4096,
    fields: {
      vid: [0, 2],
      ssvid: [2, 2],
      sn: [4, 20],
      mn: [24, 40],
      fr: [64, 8],
      rab: [72, 1],
      ieee: [73, 3],
      cmic: [76, 1],
      mdts: [77, 1],
      cntlid: [78, 2],
      ver: [80, 4],
      rtd3r: [84, 4],
      rtd3e: [88, 4],
      oaes: [92, 4],
      ctratt: [96, 4],
      cntrltype: [111, 1],
      oacs: [256, 2],
      acl: [258, 1],
      aerl: [259, 1],
      frmw: [260, 1],
      lpa: [261, 1],
      elpe: [262, 1],
      npss: [263, 1],
      wctemp: [266, 2],
      cctemp: [268, 2],
      tnvmcap: [280, 16],
      kas: [320, 2],
      sqes: [512, 1],
      cqes: [513, 1],
      maxcmd: [514, 2],
      nn: [516, 4],
      oncs: [520, 2],
      fuses: [522, 2],
      fna: [524, 1],
      vwc: [525, 1],
      awun: [526, 2],
      awupf: [528, 2],
      nwpc: [531, 1],
      sgls: [536, 4],
      subnqn: [768, 256],
      psd0MaxPower: [2048, 2],
      psd0EntryLatency: [2052, 4],
      psd0ExitLatency: [2056, 4],
    },
  },
  {
    section: "NVMe 1.4, Figure 245: Identify Namespace",
    table: abi.NvmeIdentifyNamespace,
    size: 4096,
    fields: {
      nsze: [0, 8],
      ncap: [8, 8],
      nuse: [16, 8],
      nsfeat: [24, 1],
      nlbaf: [25, 1],
      flbas: [26, 1],
      dlfeat: [33, 1],
      nsattr: [99, 1],
      nguid: [104, 16],
      eui64: [120, 8],
      lbaf0: [128, 4],
      lbaf1: [132, 4],
    },
  },
  {
    section: "NVMe 1.4: Error Information entry",
    table: abi.NvmeErrorEntry,
    size: 64,
    fields: {
      errorCount: [0, 8],
      sqid: [8, 2],
      cid: [10, 2],
      status: [12, 2],
      parameterLocation: [14, 2],
      lba: [16, 8],
      nsid: [24, 4],
    },
  },
  {
    section: "NVMe 1.4: SMART / Health log",
    table: abi.NvmeSmartLog,
    size: 512,
    fields: {
      criticalWarning: [0, 1],
      temperature: [1, 2],
      availableSpare: [3, 1],
      spareThreshold: [4, 1],
      percentageUsed: [5, 1],
      dataUnitsRead: [32, 8],
      dataUnitsWritten: [48, 8],
      hostReads: [64, 8],
      hostWrites: [80, 8],
      busyMinutes: [96, 8],
      powerCycles: [112, 8],
      powerOnHours: [128, 8],
      unsafeShutdowns: [144, 8],
      mediaErrors: [160, 8],
      errorLogEntries: [176, 8],
      temperatureSensor1: [200, 2],
    },
  },
  {
    section: "NVMe 1.4: Firmware Slot log",
    table: abi.NvmeFirmwareLog,
    size: 512,
    fields: {
      activeSlot: [0, 1],
      slot1: [8, 8],
    },
  },
  {
    section: "NVMe 1.4: Dataset Management range",
    table: abi.NvmeDsmRange,
    size: 16,
    fields: {
      attributes: [0, 4],
      blocks: [4, 4],
      slba: [8, 8],
    },
  },
  {
    section: "vfio-uapi 1.9: DMA map",
    table: abi.VfioIommuType1DmaMap,
    size: 32,
    fields: { argsz: [0, 4], flags: [4, 4], vaddr: [8, 8], iova: [16, 8], size: [24, 8] },
  },
  {
    section: "vfio-uapi 1.9: DMA unmap",
    table: abi.VfioIommuType1DmaUnmap,
    size: 24,
    fields: { argsz: [0, 4], flags: [4, 4], iova: [8, 8], size: [16, 8] },
  },
  {
    section: "vfio-uapi 1.9: IOMMU info",
    table: abi.VfioIommuType1Info,
    size: 24,
    fields: {
      argsz: [0, 4],
      flags: [4, 4],
      iovaPgsizes: [8, 8],
      capOffset: [16, 4],
      pad: [20, 4],
    },
  },
  {
    section: "vfio-uapi 6.1: EEH operation",
    table: abi.VfioEehPeOp,
    size: 40,
    fields: {
      argsz: [0, 4],
      flags: [4, 4],
      op: [8, 4],
      errType: [16, 4],
      errFunc: [20, 4],
      errAddr: [24, 8],
      errMask: [32, 8],
    },
  },
  {
    section: "vfio-uapi 6.2: SET_OPTION of 2014",
    table: abi.EehSetOption2014,
    size: 8,
    fields: { argsz: [0, 4], option: [4, 4] },
  },
  {
    section: "vfio-uapi 6.2: GET_ADDR of 2014",
    table: abi.EehGetAddr2014,
    size: 12,
    fields: { argsz: [0, 4], option: [4, 4], info: [8, 4] },
  },
  {
    section: "vfio-uapi 5.6: region of 6 Sep 2019",
    table: abi.ZpciRegion2019,
    size: 50,
    fields: {
      dasm: [0, 8],
      startDma: [8, 8],
      endDma: [16, 8],
      msiAddr: [24, 8],
      flags: [32, 8],
      pchid: [40, 2],
      mui: [42, 2],
      noi: [44, 2],
      maxstbl: [46, 2],
      version: [48, 1],
      gid: [49, 1],
    },
  },
  {
    section: "vfio-uapi 5.6: region of 23 May 2019",
    table: abi.ZpciRegion2019V3,
    size: 112,
    fields: {
      dasm: [0, 8],
      startDma: [8, 8],
      endDma: [16, 8],
      msiAddr: [24, 8],
      flags: [32, 8],
      pchid: [40, 2],
      mui: [42, 2],
      noi: [44, 2],
      gid: [46, 1],
      version: [47, 1],
      utilStr: [48, 64],
    },
  },
  {
    section: "vfio-uapi 5.6: start of the region of 2020",
    table: abi.ZpciRegion2020,
    size: 8,
    fields: { argsz: [0, 4], offset: [4, 4] },
  },
  {
    section: "vfio-uapi 2.4: posted v19",
    table: abi.ZpciErr.v19,
    size: 64,
    fields: {
      featureFlags: [0, 4],
      reserved1: [4, 4],
      fh: [8, 4],
      fid: [12, 4],
      faddr: [16, 8],
      ett: [24, 4, 0, 3],
      mvn: [24, 4, 4, 15],
      dmaas: [24, 4, 16, 23],
      reserved2: [24, 4, 24, 29],
      q: [24, 4, 30, 30],
      rw: [24, 4, 31, 31],
      reserved3: [28, 4],
      reserved4: [32, 2],
      pec: [34, 2],
      reserved5: [36, 28],
    },
  },
  {
    section: "vfio-uapi 5.2: base v1",
    table: abi.ZpciBaseV1,
    size: 32,
    fields: {
      startDma: [8, 8],
      endDma: [16, 8],
      pchid: [24, 2],
      vfn: [26, 2],
      fmbLength: [28, 2],
      pft: [30, 1],
      gid: [31, 1],
    },
  },
  {
    section: "vfio-uapi 5.2: base v2",
    table: abi.ZpciBaseV2,
    size: 40,
    fields: {
      startDma: [8, 8],
      endDma: [16, 8],
      pchid: [24, 2],
      vfn: [26, 2],
      fmbLength: [28, 2],
      pft: [30, 1],
      gid: [31, 1],
      fh: [32, 4],
    },
  },
  {
    section: "vfio-uapi 5.2: base v3",
    table: abi.ZpciBaseV3,
    size: 40,
    fields: {
      startDma: [8, 8],
      endDma: [16, 8],
      pchid: [24, 2],
      vfn: [26, 2],
      fmbLength: [28, 2],
      pft: [30, 1],
      gid: [31, 1],
      fh: [32, 4],
      ccdfErrLength: [36, 4],
    },
  },
  {
    section: "vfio-uapi 5.3, 5.6: group v1",
    table: abi.ZpciGroupV1,
    size: 40,
    fields: {
      dasm: [8, 8],
      msiAddr: [16, 8],
      flags: [24, 8],
      mui: [32, 2],
      noi: [34, 2],
      maxstbl: [36, 2],
      version: [38, 1],
    },
  },
  {
    section: "vfio-uapi 5.3: group v2",
    table: abi.ZpciGroupV2,
    size: 48,
    fields: {
      dasm: [8, 8],
      msiAddr: [16, 8],
      flags: [24, 8],
      mui: [32, 2],
      noi: [34, 2],
      maxstbl: [36, 2],
      version: [38, 1],
      imaxstbl: [40, 2],
    },
  },
  {
    section: "vfio-uapi 5.4: utility string",
    table: abi.ZpciUtil,
    size: 12 + 64,
    fields: { size: [8, 4], utilStr: [12, 64] },
  },
  {
    section: "vfio-uapi 5.4: path segments",
    table: abi.ZpciPfip,
    size: 16,
    fields: { size: [8, 4], pfip: [12, 4] },
  },
];

function placeOf(field: Field): Place {
  if (field.kind !== "bits") return [field.offset, field.size];
  return [field.offset, field.size, field.first, field.last];
}

describe("tables against the fact sheets", () => {
  it.each(sheets.map((sheet) => [sheet.section, sheet] as const))(
    "%s: size and every field stand as written",
    (_, { table, size, fields }) => {
      const actual = Object.fromEntries(
        Object.entries(table.fields).map(([name, field]) => [name, placeOf(field)]),
      );
      expect(actual).toEqual(fields);
      expect(table.size).toBe(size);
    },
  );

  it("no table is left out", () => {
    const covered = new Set(sheets.map((sheet) => sheet.table.name));
    expect(abi.allLayouts.filter((table) => !covered.has(table.name))).toEqual([]);
  });

  it("architected data are big-endian, VFIO structures follow the host's order, NVMe is little-endian", () => {
    const wrong = abi.allLayouts.filter((table) => table.byteOrder !== orderOf(table.name));
    expect(wrong.map((table) => table.name)).toEqual([]);
  });
});

describe("whole structures, byte for byte", () => {
  const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

  it("an error CCDF is the example of zpci-guest 7.1", () => {
    const ccdf = abi.encode(abi.CcdfErr, { fh: 0x80020000, pec: abi.Pec.SERVAC });
    expect(hexOf(ccdf)).toBe(
      [
        "00000000",
        "80020000",
        "00000000",
        "00000000",
        "0000000000000000",
        "00000000",
        "0000003a",
      ].join(""),
    );
  });

  it("word e of a CCDF composes from the masks of vfio-uapi 2.2", () => {
    const word = (values: Parameters<typeof abi.encode<typeof abi.CcdfErr.fields>>[1]): number =>
      new DataView(abi.encode(abi.CcdfErr, values).buffer).getUint32(12);
    expect(word({ ett: 0xf })).toBe(0xf0000000);
    expect(word({ mvn: 0xfff })).toBe(0x0fff0000);
    expect(word({ dmaas: 0xff })).toBe(0x0000ff00);
    expect(word({ reserved2: 0x3f })).toBe(0x000000fc);
    expect(word({ q: 1 })).toBe(0x00000002);
    expect(word({ rw: 1 })).toBe(0x00000001);
  });

  it("the FIB's interruption word composes from the shifts of zpci-guest 3.1", () => {
    const fib = abi.encode(abi.Fib, { isc: 5, noi: 0xabc, aibvo: 0x2a, sum: 1, aisbo: 0x15 });
    expect(new DataView(fib.buffer).getUint32(40)).toBe(
      ((5 << 28) | (0xabc << 16) | (0x2a << 8) | (1 << 7) | 0x15) >>> 0,
    );
  });
});

describe("codes against the fact sheets", () => {
  it("event codes are those of zpci-guest 7.2 and 7.3", () => {
    expect(abi.Pec).toEqual({
      INVALAS: 0x01,
      OORANGE: 0x02,
      INVALTF: 0x03,
      TPROTE: 0x04,
      APROTE: 0x05,
      KEYE: 0x06,
      INVALTE: 0x07,
      INVALTL: 0x08,
      TT: 0x09,
      INVALMS: 0x0a,
      SERR: 0x0b,
      NOMSI: 0x10,
      INVALBV: 0x11,
      AIBV: 0x12,
      AIRERR: 0x13,
      FMBA: 0x2a,
      FMBUP: 0x2b,
      FMBPRO: 0x2c,
      CCONF: 0x30,
      SERVAC: 0x3a,
      PERMERR: 0x3b,
      RECOVERY_FAILED: 0x40,
    });
    expect(abi.AvailabilityPec).toEqual({
      TO_CONFIGURED: 0x0301,
      RESERVED_TO_STANDBY: 0x0302,
      MANY_CHANGED: 0x0306,
      STANDBY_TO_RESERVED: 0x0308,
      DECONFIGURE_REQUEST: 0x0303,
      CONFIGURED_TO_STBRES: 0x0304,
    });
  });

  it("0x2a to 0x2c are measurement codes, 0x3b and 0x40 permanent, no other code is either", () => {
    const all = Array.from({ length: 0x10000 }, (_, pec) => pec);
    expect(all.filter(abi.isFmbCode)).toEqual([0x2a, 0x2b, 0x2c]);
    expect(all.filter(abi.isPermanentCode)).toEqual([0x3b, 0x40]);
  });

  it("CLP commands and response codes are those of zpci-guest 2.1", () => {
    expect(abi.ClpCommand).toEqual({
      listPci: 2,
      queryFunction: 3,
      queryGroup: 4,
      setFunction: 5,
    });
    expect(abi.ClpResponse).toEqual({
      ok: 0x0010,
      unknownCommand: 0x0020,
      badFormat: 0x0040,
      badLength: 0x0050,
      blockTooSmall: 0x0060,
      reservedNotZero: 0x0070,
      invalidHandle: 0x0101,
      handleNotValidForOperation: 0x0102,
      invalidDmaSpace: 0x0103,
      insufficientResources: 0x0104,
      alreadyInState: 0x0105,
      permanentError: 0x0106,
      recoveryPending: 0x0107,
      busy: 0x0108,
      badResumeToken: 0x010a,
      unknownGroup: 0x010b,
    });
    expect([abi.CLP_REQUEST_BYTES, abi.CLP_BLOCK_BYTES_MAX]).toEqual([32, 8192]);
  });

  it("the machine check of a channel report is 0x00400f5d40330000, with guarded storage …48330000", () => {
    expect(abi.MCIC_CHANNEL_REPORT_HIGH).toBe(0x00400f5d);
    expect(abi.MCIC_CHANNEL_REPORT_LOW).toBe(0x40330000);
    expect((abi.MCIC_CHANNEL_REPORT_LOW | abi.MCIC_GS_LOW) >>> 0).toBe(0x48330000);
  });

  it("a PCI event's CRW is 0x0b000000, CHSC codes are those of zpci-guest 7.6", () => {
    expect(abi.CRW_CSS_EVENT).toBe(0x0b000000);
    expect(abi.ChscCommand.storeEventInformation).toBe(0x000e);
    expect(abi.ChscCode).toEqual({
      ok: 0x0001,
      badRequest: 0x0003,
      unknownCommand: 0x0004,
      noEvent: 0x0005,
    });
    expect(abi.CHSC_SEI_NT2_BYTE).toBe(2 ** (61 - 56)); // 1 << 61, in the first byte of eight
    expect(abi.CHSC_SEI_MORE).toBe(0x80);
  });

  it("handle fields are those of zpci-guest 4.1, function controls those of 3.1", () => {
    expect([abi.FH_ENABLE, abi.FH_INSTANCE_MASK, abi.FH_SHM_VFIO, abi.FH_INDEX_MASK]).toEqual([
      0x80000000, 0x7f000000, 0x00010000, 0x0000ffff,
    ]);
    expect([abi.FC_ENABLED, abi.FC_ERROR, abi.FC_LS_BLOCKED, abi.FC_DMAAS_REG]).toEqual([
      0x80, 0x40, 0x20, 0x10,
    ]);
  });

  it("MPCIFC operations are those of zpci-guest 3.2", () => {
    expect(abi.ModifyOperation).toEqual({
      registerInterrupts: 2,
      deregisterInterrupts: 3,
      registerIoat: 4,
      deregisterIoat: 5,
      reregisterIoat: 6,
      resetError: 7,
      resetBlock: 9,
      setMeasurement: 10,
    });
  });

  it("instruction opcodes are those of s390x-machine 7", () => {
    expect(abi.PciOpcode).toEqual({
      CLP: 0xb9a0,
      PCISTG: 0xb9d0,
      PCILG: 0xb9d2,
      RPCIT: 0xb9d3,
      MPCIFC: 0xe3d0,
      STPCIFC: 0xe3d4,
      PCISTB: 0xebd0,
      SIC: 0xebd1,
    });
  });

  it("status codes are those of zpci-guest 1.4", () => {
    expect(abi.LoadStoreStatus).toEqual({
      notEnabled: 4,
      functionInError: 8,
      blocked: 12,
      insufficientResources: 16,
      invalidSpace: 20,
    });
    expect(abi.ModifyStatus).toEqual({
      resourceNotAvailable: 4,
      permanentError: 8,
      insufficientResources: 16,
      sequence: 24,
      dmaSpaceInvalid: 28,
      frameInvalid: 32,
      errorRecovery: 40,
    });
  });

  it("event types count from the left: VT220 (0x1a) is bit 26 of the first mask word", () => {
    expect(abi.eventBit(0x1a)).toBe(2 ** (32 - 26));
    expect(abi.eventBit(abi.EventType.report)).toBe(2 ** (32 - 24));
    expect(abi.eventBit(1)).toBe(0x80000000);
  });

  it("EBCDIC text becomes ASCII, what has no counterpart a blank", () => {
    const ascii = (codes: readonly number[]): string =>
      String.fromCharCode(...codes.map(abi.ebcdicToAscii));
    expect(ascii([0xc8, 0x85, 0x93, 0x93, 0x96, 0x40, 0xf4, 0xf2, 0x4b])).toBe("Hello 42.");
    expect(ascii([0x15, 0x25, 0x00, 0xff])).toBe("\n\n  ");
  });
});
