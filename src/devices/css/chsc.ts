/** CHSC. Source: zpci-guest.md 7.6; other commands: s390x-machine.md 5.4. */
import {
  CHSC_AREA_BYTES,
  CHSC_SEI_MORE,
  CHSC_SEI_NT2_BYTE,
  ChscCode,
  ChscCommand,
  ChscRequest,
  ChscSeiResponse,
} from "../../abi/chsc.ts";
import type { GuestCpu, InterceptHandler } from "../../ports/guest-cpu.ts";
import { r1Rre } from "../operands.ts";
import {
  CC0,
  conclude,
  FAULTED,
  OPERAND,
  PRIVILEGED_OPERATION,
  SPECIFICATION,
} from "../outcome.ts";
import type { EventQueue } from "./events.ts";

const REQUEST_BYTES = 16;
const REQUEST_BYTES_MAX = 4088;
const RESPONSE_BYTES_MIN = 8;
const NOTIFICATION_TYPE_PCI = 2;
const R = ChscSeiResponse.fields;

export class ChannelSubsystemCall implements InterceptHandler {
  readonly #events: EventQueue;
  readonly #area = new Uint8Array(CHSC_AREA_BYTES);
  readonly #view = new DataView(this.#area.buffer);

  constructor(events: EventQueue) {
    this.#events = events;
  }

  execute(cpu: GuestCpu, high: number): void {
    conclude(cpu, r1Rre(high), this.#run(cpu, r1Rre(high)));
  }

  #run(cpu: GuestCpu, r1: number): number {
    if (cpu.problemState()) return PRIVILEGED_OPERATION;
    cpu.formRegisterAddress(r1);
    if ((cpu.addressLow & 0xfff) !== 0) return SPECIFICATION;
    if (!cpu.fetch(this.#area, REQUEST_BYTES)) return FAULTED;
    const length = this.#view.getUint16(ChscRequest.fields.length.offset);
    if (length < REQUEST_BYTES || length > REQUEST_BYTES_MAX || length % 8 !== 0) return OPERAND;
    const command = this.#view.getUint16(ChscRequest.fields.command.offset);
    const selection = this.#area[ChscRequest.fields.selectionMask.offset] as number;
    // The area is 4 KiB aligned, so the response behind the request does not carry into bit 31 upwards.
    cpu.addressLow += length;
    this.#area.fill(0);
    switch (command) {
      case ChscCommand.storeEventInformation:
        return this.#storeEvent(cpu, length, selection);
      case ChscCommand.storeCharacteristics:
        return this.#answer(cpu, ChscCode.ok, CHSC_AREA_BYTES - length);
      default:
        return this.#answer(cpu, ChscCode.unknownCommand, RESPONSE_BYTES_MIN);
    }
  }

  /** Stores the first `length` bytes of the area as the response block. */
  #answer(cpu: GuestCpu, code: number, length: number): number {
    this.#view.setUint16(R.length.offset, length);
    this.#view.setUint16(R.code.offset, code);
    return cpu.store(this.#area, length) ? CC0 : FAULTED;
  }

  /** Notification type 0 has no events in this machine; type 2 is served when it is selected. */
  #storeEvent(cpu: GuestCpu, requestLength: number, selection: number): number {
    if (requestLength !== REQUEST_BYTES) {
      return this.#answer(cpu, ChscCode.badRequest, RESPONSE_BYTES_MIN);
    }
    if ((selection & CHSC_SEI_NT2_BYTE) === 0) {
      return this.#answer(cpu, ChscCode.noEvent, RESPONSE_BYTES_MIN);
    }
    const events = this.#events;
    const slot = events.next();
    if (slot < 0) return this.#answer(cpu, ChscCode.noEvent, RESPONSE_BYTES_MIN);
    this.#view.setUint8(R.notificationType.offset, NOTIFICATION_TYPE_PCI);
    this.#view.setUint8(R.flags.offset, events.more ? CHSC_SEI_MORE : 0);
    this.#view.setUint8(R.contentCode.offset, events.contentCode(slot));
    events.copyCcdf(slot, this.#area, this.#view, R.ccdf.offset);
    // Only when the guest has it is the record given back; an access exception leaves it in the ring.
    const outcome = this.#answer(cpu, ChscCode.ok, ChscSeiResponse.size);
    if (outcome === CC0) events.fetched(slot);
    return outcome;
  }
}
