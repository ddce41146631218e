/**
 * NVM Express 1.4: registers, queue entries, data structures, opcodes, features and status codes that the
 * simulated controller speaks. All of it little-endian, as NVMe is. "Figure" names the tables of the NVM
 * Express Base Specification, revision 1.4 (June 10, 2019).
 */
import { bytes, layout, u8, u16, u32, u64 } from "./layout.ts";

/** Register offsets in BAR 0 (Figure 68). */
export const NvmeRegister = {
  cap: 0x00, //    u64 ro: Controller Capabilities
  vs: 0x08, //     u32 ro: Version
  intms: 0x0c, //  u32 rw1s: Interrupt Mask Set
  intmc: 0x10, //  u32 rw1c: Interrupt Mask Clear
  cc: 0x14, //     u32 rw: Controller Configuration
  csts: 0x1c, //   u32 ro: Controller Status
  nssr: 0x20, //   u32: NVM Subsystem Reset, not supported (CAP.NSSRS = 0)
  aqa: 0x24, //    u32 rw: Admin Queue Attributes
  asq: 0x28, //    u64 rw: Admin Submission Queue Base Address
  acq: 0x30, //    u64 rw: Admin Completion Queue Base Address
  cmbloc: 0x38, // u32 ro: 0, no controller memory buffer
  cmbsz: 0x3c, //  u32 ro: 0
  doorbells: 0x1000, // SQ y tail at 8y, CQ y head at 8y + 4 (CAP.DSTRD = 0)
} as const;

/** CC (Figure 78). */
export const CC_EN = 1;
export const CC_CSS_SHIFT = 4;
export const CC_MPS_SHIFT = 7;
export const CC_AMS_SHIFT = 11;
export const CC_SHN_SHIFT = 14;
export const CC_IOSQES_SHIFT = 16;
export const CC_IOCQES_SHIFT = 20;
/** Bits of CC that can be set: EN, CSS, MPS, AMS, SHN, IOSQES, IOCQES. */
export const CC_WRITABLE = 0x00fffff1;
/** CC.CSS: NVM command set alone, all supported I/O command sets, admin queue alone. */
export const CSS_NVM = 0;
export const CSS_ALL_IO = 6;
export const CSS_ADMIN_ONLY = 7;

/** CSTS (Figure 79). */
export const CSTS_RDY = 1;
export const CSTS_CFS = 2;
export const CSTS_SHST_MASK = 0x0c;
export const CSTS_SHST_COMPLETE = 0x08;

/** AQA (Figure 80): 12-bit zero's based sizes, submission low, completion from bit 16. */
export const AQA_WRITABLE = 0x0fff0fff;

/** What this controller's CAP says (Figure 69); the words are the recorded ones of `zpci-6.1-nvme.log.gz`. */
export const NVME_CAP_LOW = 0x0f0107ff; //  MQES 2047, CQR, TO 7.5 s
export const NVME_CAP_HIGH = 0x00400820; // CSS: NVM and "one or more I/O command sets", MPSMAX 64 KiB
export const NVME_VERSION = 0x00010400;
export const NVME_MQES = 2047;
export const NVME_MPS_MAX = 4;

/** Common command format (Figure 105). */
export const NvmeSqe = layout("nvme_sqe", 64, "little", "NVMe 1.4, Figure 105", {
  opcode: u8(0),
  /** Bits 0-1 FUSE, bits 6-7 PSDT. */
  flags: u8(1),
  cid: u16(2),
  nsid: u32(4),
  mptr: u64(16),
  prp1: u64(24),
  prp2: u64(32),
  cdw10: u32(40),
  cdw11: u32(44),
  cdw12: u32(48),
  cdw13: u32(52),
  cdw14: u32(56),
  cdw15: u32(60),
});

/** Completion queue entry (Figures 120-122): `status` holds the phase tag in bit 0. */
export const NvmeCqe = layout("nvme_cqe", 16, "little", "NVMe 1.4, Figure 120", {
  dw0: u32(0),
  sqHead: u16(8),
  sqid: u16(10),
  cid: u16(12),
  status: u16(14),
});

export const NvmeAdmin = {
  deleteSq: 0x00,
  createSq: 0x01,
  getLogPage: 0x02,
  deleteCq: 0x04,
  createCq: 0x05,
  identify: 0x06,
  abort: 0x08,
  setFeatures: 0x09,
  getFeatures: 0x0a,
  asyncEvent: 0x0c,
} as const; // Figure 139; all others are answered with Invalid Command Opcode

export const NvmeIo = {
  flush: 0x00,
  write: 0x01,
  read: 0x02,
  compare: 0x05,
  writeZeroes: 0x08,
  dsm: 0x09,
} as const; // Figure 346

/** Status code type << 8 | status code (Figures 125-131). */
export const NvmeStatus = {
  success: 0x000,
  invalidOpcode: 0x001,
  invalidField: 0x002,
  cidConflict: 0x003,
  dataTransferError: 0x004,
  internalError: 0x006,
  abortRequested: 0x007,
  abortedSqDeletion: 0x008,
  invalidNamespace: 0x00b,
  commandSequenceError: 0x00c,
  invalidPrpOffset: 0x013,
  namespaceWriteProtected: 0x020,
  lbaOutOfRange: 0x080,
  invalidCq: 0x100,
  invalidQueueId: 0x101,
  invalidQueueSize: 0x102,
  asyncEventLimit: 0x105,
  invalidVector: 0x108,
  invalidLogPage: 0x109,
  invalidQueueDeletion: 0x10c,
  featureNotSaveable: 0x10d,
  featureNotChangeable: 0x10e,
  featureNotNamespaceSpecific: 0x10f,
  writeFault: 0x280,
  unrecoveredRead: 0x281,
  compareFailure: 0x285,
} as const;
/** Do Not Retry, beside the 11 bits above. */
export const STATUS_DNR = 0x4000;

export const NvmeFeature = {
  arbitration: 0x01,
  powerManagement: 0x02,
  temperatureThreshold: 0x04,
  errorRecovery: 0x05,
  volatileWriteCache: 0x06,
  numberOfQueues: 0x07,
  interruptCoalescing: 0x08,
  interruptVector: 0x09,
  writeAtomicity: 0x0a,
  asyncEvents: 0x0b,
  ioCommandSets: 0x19, // NVMe TP 4056, as CC.CSS = 110b asks for
} as const; // Figure 271

/** CNS of Identify (Figure 244); 05h to 07h and 1Ch come with "all supported I/O command sets". */
export const NvmeCns = {
  namespace: 0x00,
  controller: 0x01,
  activeNamespaces: 0x02,
  descriptors: 0x03,
  ioNamespace: 0x05,
  ioController: 0x06,
  ioActiveNamespaces: 0x07,
  ioCommandSets: 0x1c,
} as const;

export const NvmeLog = {
  error: 0x01,
  smart: 0x02,
  firmware: 0x03,
  changedNamespaces: 0x04,
  commandEffects: 0x05,
} as const; // Figure 191

/** Asynchronous event types and informations (Figures 145-149). */
export const NvmeEvent = {
  error: 0,
  smart: 1,
  notice: 2,
} as const;
export const EVENT_INVALID_DOORBELL_REGISTER = 0x00;
export const EVENT_INVALID_DOORBELL_VALUE = 0x01;
export const EVENT_TEMPERATURE = 0x01;
export const EVENT_NAMESPACE_CHANGED = 0x00;

export const NSID_ALL = 0xffffffff;

export const NvmeIdentifyController = layout(
  "nvme_identify_controller",
  4096,
  "little",
  "NVMe 1.4, Figure 247",
  {
    vid: u16(0),
    ssvid: u16(2),
    sn: bytes(4, 20),
    mn: bytes(24, 40),
    fr: bytes(64, 8),
    rab: u8(72),
    ieee: bytes(73, 3),
    cmic: u8(76),
    mdts: u8(77),
    cntlid: u16(78),
    ver: u32(80),
    rtd3r: u32(84),
    rtd3e: u32(88),
    oaes: u32(92),
    ctratt: u32(96),
    cntrltype: u8(111),
    oacs: u16(256),
    acl: u8(258),
    aerl: u8(259),
    frmw: u8(260),
    lpa: u8(261),
    elpe: u8(262),
    npss: u8(263),
    wctemp: u16(266),
    cctemp: u16(268),
    tnvmcap: bytes(280, 16),
    kas: u16(320),
    sqes: u8(512),
    cqes: u8(513),
    maxcmd: u16(514),
    nn: u32(516),
    oncs: u16(520),
    fuses: u16(522),
    fna: u8(524),
    vwc: u8(525),
    awun: u16(526),
    awupf: u16(528),
    nwpc: u8(531),
    sgls: u32(536),
    subnqn: bytes(768, 256),
    psd0MaxPower: u16(2048),
    psd0EntryLatency: u32(2052),
    psd0ExitLatency: u32(2056),
  },
);

export const NvmeIdentifyNamespace = layout(
  "nvme_identify_namespace",
  4096,
  "little",
  "NVMe 1.4, Figure 245",
  {
    nsze: u64(0),
    ncap: u64(8),
    nuse: u64(16),
    nsfeat: u8(24),
    nlbaf: u8(25),
    flbas: u8(26),
    dlfeat: u8(33),
    nsattr: u8(99),
    nguid: bytes(104, 16),
    eui64: bytes(120, 8),
    lbaf0: u32(128),
    lbaf1: u32(132),
  },
);

/** Error Information log entry. */
export const NvmeErrorEntry = layout("nvme_error_entry", 64, "little", "NVMe 1.4, Figure 193", {
  errorCount: u64(0),
  sqid: u16(8),
  cid: u16(10),
  status: u16(12),
  parameterLocation: u16(14),
  lba: u64(16),
  nsid: u32(24),
});

/** 128-bit counters are given by their low halves. */
export const NvmeSmartLog = layout(
  "nvme_smart_log",
  512,
  "little",
  "NVMe 1.4, Figure 194",
  {
    criticalWarning: u8(0),
    temperature: u16(1),
    availableSpare: u8(3),
    spareThreshold: u8(4),
    percentageUsed: u8(5),
    dataUnitsRead: u64(32),
    dataUnitsWritten: u64(48),
    hostReads: u64(64),
    hostWrites: u64(80),
    busyMinutes: u64(96),
    powerCycles: u64(112),
    powerOnHours: u64(128),
    unsafeShutdowns: u64(144),
    mediaErrors: u64(160),
    errorLogEntries: u64(176),
    temperatureSensor1: u16(200),
  },
  { packed: true },
);

export const NvmeFirmwareLog = layout("nvme_firmware_log", 512, "little", "NVMe 1.4, Figure 195", {
  activeSlot: u8(0),
  slot1: bytes(8, 8),
});

/** One range of Dataset Management. */
export const NvmeDsmRange = layout("nvme_dsm_range", 16, "little", "NVMe 1.4, Figure 361", {
  attributes: u32(0),
  blocks: u32(4),
  slba: u64(8),
});
/** Dataset Management, command dword 11: deallocate. */
export const DSM_DEALLOCATE = 4;

/** Command dword 12 of Write: force unit access. */
export const RW_FUA = 0x40000000;

/** Zero's based sizes and limits that Identify and features report. */
export const NVME_MDTS = 7; //           2^7 pages of 4 KiB: 512 KiB
export const NVME_AERL = 3; //           four outstanding event requests
export const NVME_ELPE = 3; //           four error log entries
export const NVME_IO_QUEUES_MAX = 64;
export const NVME_MSIX_VECTORS = 65;
export const NVME_BAR_SIZE_LOG2 = 14;
export const NVME_MSIX_TABLE = 0x2000;
export const NVME_MSIX_PBA = 0x3000;
