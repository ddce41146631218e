/** What the guest sees of a channel subsystem that has no subchannels and reports PCI events. */
import type { InterceptHandler } from "../../ports/guest-cpu.ts";
import type { GuestMemory } from "../../ports/guest-memory.ts";
import type { ChannelReport } from "../../shm/channel-report.ts";
import type { FloatingInterrupts } from "../../shm/floating.ts";
import type { VmMemory } from "../../shm/vm-memory.ts";
import { CC3, UNCHANGED } from "../outcome.ts";
import type { FunctionTable } from "../zpci/function.ts";
import {
  ChannelControl,
  StoreChannelReportWord,
  SubchannelInstruction,
  TestPendingInterruption,
} from "./channel.ts";
import { ChannelSubsystemCall } from "./chsc.ts";
import { EventQueue } from "./events.ts";

/** Bits of GR1 that must be zero. Source: z/Architecture Principles of Operation, chapter 14. */
const RCHP_RESERVED = 0xff00ff00 | 0;
const SCHM_RESERVED = 0x0ffffffc;

export interface ChannelSubsystem {
  readonly events: EventQueue;
  readonly handlers: readonly (readonly [number, InterceptHandler])[];
  /** Machine reset, after the functions' generations were ended. */
  reset(): void;
}

export function createChannelSubsystem(
  vm: VmMemory,
  ram: GuestMemory,
  functions: FunctionTable,
  report: ChannelReport,
  floating: FloatingInterrupts,
): ChannelSubsystem {
  const events = new EventQueue(vm, functions, report);
  const withOperand = new SubchannelInstruction(true);
  const withoutOperand = new SubchannelInstruction(false);
  return {
    events,
    handlers: [
      [0xb230, withoutOperand], // CSCH
      [0xb231, withoutOperand], // HSCH
      [0xb232, withOperand], //    MSCH
      [0xb233, withOperand], //    SSCH
      [0xb234, withOperand], //    STSCH
      [0xb235, withOperand], //    TSCH
      [0xb236, new TestPendingInterruption(floating, ram)],
      [0xb237, new ChannelControl(UNCHANGED, 0)], //             SAL
      [0xb238, withoutOperand], // RSCH
      [0xb239, new StoreChannelReportWord(report)],
      [0xb23b, new ChannelControl(CC3, RCHP_RESERVED)], //       RCHP
      [0xb23c, new ChannelControl(UNCHANGED, SCHM_RESERVED)], // SCHM
      [0xb25f, new ChannelSubsystemCall(events)],
      [0xb276, withoutOperand], // XSCH
    ],
    reset(): void {
      events.clear();
      report.reset();
    },
  };
}
