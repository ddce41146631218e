/**
 * The prefix area (lowcore): fixed storage locations at real 0-8191, where the CPU and the operating
 * system hand each other PSWs, interruption parameters and register images. Sources: z/Architecture
 * Principles of Operation (SA22-7832), "Assigned Storage Locations"; Linux 7.3
 * arch/s390/include/asm/lowcore.h (s390x-machine.md 5.7, zpci-guest.md 7.7).
 */
import { bytes, layout, u8, u16, u32, u64 } from "./layout.ts";

export const Lowcore = layout(
  "lowcore",
  8192,
  "big",
  "Linux 7.3 arch/s390/include/asm/lowcore.h; SA22-7832 assigned storage locations",
  {
    iplParameterPointer: u32(0x014),
    externalParameter: u32(0x080), //   service signal: SCCB address | event-pending bit
    externalCpuAddress: u16(0x084), //  sender of an emergency signal or external call
    externalCode: u16(0x086),
    svcIlc: u16(0x088), //              length of the SVC (or EXECUTE) in bytes, bits 13-14
    svcCode: u16(0x08a),
    programIlc: u16(0x08c),
    programCode: u16(0x08e),
    dataExceptionCode: u32(0x090), //   DXC in the rightmost byte
    monitorClass: u16(0x094),
    perCode: u8(0x096),
    perAtmid: u8(0x097),
    perAddress: u64(0x098),
    exceptionAccessId: u8(0x0a0),
    perAccessId: u8(0x0a1),
    operandAccessId: u8(0x0a2),
    architectureMode: u8(0x0a3), //     1 = z/Architecture; stored with a machine check or status
    translationExceptionId: u64(0x0a8),
    monitorCode: u64(0x0b0),
    subchannelWord: u32(0x0b8),
    ioParameter: u32(0x0bc),
    ioIdentificationWord: u32(0x0c0), //bit 0 adapter interruption, bits 2-4 ISC
    facilityList: u32(0x0c8), //        STFL
    machineCheckCode: u64(0x0e8),
    externalDamageCode: u32(0x0f4),
    failingStorageAddress: u64(0x0f8),
    breakingEventAddress: u64(0x110),
    restartOldPsw: bytes(0x120, 16),
    externalOldPsw: bytes(0x130, 16),
    svcOldPsw: bytes(0x140, 16),
    programOldPsw: bytes(0x150, 16),
    machineCheckOldPsw: bytes(0x160, 16),
    ioOldPsw: bytes(0x170, 16),
    restartNewPsw: bytes(0x1a0, 16),
    externalNewPsw: bytes(0x1b0, 16),
    svcNewPsw: bytes(0x1c0, 16),
    programNewPsw: bytes(0x1d0, 16),
    machineCheckNewPsw: bytes(0x1e0, 16),
    ioNewPsw: bytes(0x1f0, 16),
    mcesaDesignation: u64(0x11b0), //   machine-check extended save area: address | length code
    externalParameter64: u64(0x11b8),
    // Register save areas of a machine check and of store status
    fprSaveArea: bytes(0x1200, 128),
    grSaveArea: bytes(0x1280, 128),
    pswSaveArea: bytes(0x1300, 16), //  store status only
    prefixSaveArea: u32(0x1318),
    fpcSaveArea: u32(0x131c),
    todProgrammableSaveArea: u32(0x1324),
    cpuTimerSaveArea: u64(0x1328),
    clockComparatorSaveArea: u64(0x1330), // bits 0-55, shifted right by eight
    breakingEventSaveArea: u64(0x1338), //  facility 193 only
    arSaveArea: bytes(0x1340, 64),
    crSaveArea: bytes(0x1380, 128),
  },
);

/** Program-interruption codes (SA22-7832, "Program Interruption Codes"). */
export const ProgramCode = {
  operation: 0x01,
  privilegedOperation: 0x02,
  execute: 0x03,
  protection: 0x04,
  addressing: 0x05,
  specification: 0x06,
  data: 0x07,
  decimalOverflow: 0x0a,
  decimalDivide: 0x0b,
  fixedPointOverflow: 0x08,
  fixedPointDivide: 0x09,
  segmentTranslation: 0x10,
  pageTranslation: 0x11,
  translationSpecification: 0x12,
  specialOperation: 0x13,
  operand: 0x15,
  vectorProcessing: 0x1b,
  spaceSwitchEvent: 0x1c,
  aletSpecification: 0x28,
  alenTranslation: 0x29,
  asceType: 0x38,
  regionFirstTranslation: 0x39,
  regionSecondTranslation: 0x3a,
  regionThirdTranslation: 0x3b,
  aleSequence: 0x2a,
  asteValidity: 0x2b,
  asteSequence: 0x2c,
  extendedAuthority: 0x2d,
  monitorEvent: 0x40,
  /** Alone, or with another code: 0x80 | code. */
  perEvent: 0x80,
} as const;

/** External-interruption codes at lowcore 0x86 (SA22-7832; s390x-machine.md 5.3). */
export const ExternalCode = {
  clockComparator: 0x1004,
  cpuTimer: 0x1005,
  emergencySignal: 0x1201,
  externalCall: 0x1202,
  serviceSignal: 0x2401,
} as const;

/**
 * MCIC of a channel-report machine check: CP and every validity bit an OS asks for (WP MS PM IA VR FP GR CR
 * ST AR PR FC CT CC). zpci-guest.md 7.7: Linux 6.12 and later stop the machine when VR is missing.
 */
export const MCIC_CHANNEL_REPORT_HIGH = 0x00400f5d;
export const MCIC_CHANNEL_REPORT_LOW = 0x40330000;
/** MCIC bit 36, guarded-storage registers valid; claimed when CR2 enables them. */
export const MCIC_GS_LOW = 0x08000000;
