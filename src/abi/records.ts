/**
 * Kinds of the 64-byte ring records (lanes: `src/shm/ring.ts`) and the meaning of their bodies. Body words
 * b0..b7 are 32-bit words read through `src/shm/atomics.ts`, except the CCDF, which is 32 opaque
 * big-endian bytes.
 */

/** CCDF ring (recovery worker -> CHSC store event information). Body: the CCDF; FH, FID filled on fetch. */
export const CcdfKind = { error: 1, availability: 2 } as const;

/**
 * Bits 8-15 of `Lane.kind` of a CCDF ring record (`kind | flag << 8`). A repeat tells the guest again about an error it was told of before,
 * or carries a code of zmend's own (0x003b when a policy gives up): CHSC hands it out as any other record,
 * but it counts neither as fetched nor as superseded.
 */
export const CcdfFlag = { repeat: 1 } as const;

/** Request ring (vCPU -> recovery worker): what the guest did to the function. */
export const RequestKind = {
  guestFetched: 1, //        b0 = PEC of the record CHSC handed out, b1 = its correlation
  guestResetBlock: 2, //     MPCIFC 9
  guestResetError: 3, //     MPCIFC 7
  guestDisable: 4, //        CLP set function, disable; b0 = FunctionState it was in. Sent when it asks for
  //                            the host reset (resetPhase REQUESTED) and when it is granted (DISABLED)
  guestEnable: 5, //         CLP set function, enable; b0 = new guest handle
  guestRegisterIoat: 6, //   MPCIFC 4 accepted
  guestProof: 7, //          first good PCILG after enable and register-IOAT
  guestReport: 8, //         SCLP event 0x18; b0 = 1 success, 0 failure
  guestDeconfigure: 9, //    SCLP deconfigure I/O adapter; b0 = FunctionState it was in
  guestConfigure: 10, //     SCLP configure I/O adapter
} as const;

/**
 * Trace rings (every thread -> main): the timeline and ledger. `functionIndex` -1 = the VM. b6/b7 of all: instructions
 * that the first vCPU has executed, low/high.
 */
export const TraceKind = {
  errorRaised: 1, //       platform: b0 = PEC, b1 = disposition (HostDisposition)
  ccdfRead: 2, //          worker: b0 = PEC, b1 = host FH, b2/b3 = faddr low/high, b4 = word e (ett to rw)
  injected: 3, //          worker: b0 = PEC, b1 = generation
  notDelivered: 4, //      any: b0 = PEC, b1 = NotDelivered reason
  stateChanged: 5, //      worker: b0 = old state, b1 = new state, b2 = event, b3 = choice (indices of the table)
  machineCheck: 6, //      vCPU: channel report taken
  guestFetched: 7, //      vCPU: b0 = PEC, b1 = FH shown
  guestClp: 8, //          vCPU: b0 = operation (0 enable, 1 disable), b1 = response code, b2 = new FH
  guestMpcifc: 9, //       vCPU: b0 = operation code, b1 = cc, b2 = status
  hostReset: 10, //        worker: b0 = result (0 or -errno), b1 = attempt, b2 = new host FH
  policyStep: 11, //       worker: b0 = step index of the policy table
  vmStopped: 12, //        b0 = reason (VmBlock.vcpuStopped values), b1/b2 detail
  dmaFault: 13, //         platform: b0 = PEC, b2/b3 = faddr
  workerRestarted: 14, //  supervisor: b0 = step it died at
  guestProof: 15, //       vCPU: first good load after recovery
  recovered: 16, //        worker: b0 = duration since the error was raised, microseconds
  notImplemented: 17, //   vCPU: b0/b1 = instruction, left-aligned, b2/b3 = its address low/high, b4 = opcode
} as const;

export const HostDisposition = {
  stored: 0,
  queueFull: 1,
  stale: 2,
  fmbCode: 3,
  notMediated: 4,
} as const;

/** Reasons of design.md 4, in the order of the JSON output. */
export const notDeliveredReasons = [
  "hostQueueFull",
  "staleHandle",
  "fmbCode",
  "superseded",
  "policy",
  "unverifiable",
  "vmStopped",
] as const;
export type NotDeliveredReason = (typeof notDeliveredReasons)[number];
