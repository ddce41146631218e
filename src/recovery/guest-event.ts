/**
 * What a guest's request record means to the machine. A record may be older than the last error, so it is
 * judged by the function's words as they are now: a proof of life from before the error proves nothing.
 */
import { RequestKind } from "../abi/records.ts";
import { FunctionState } from "../shm/blocks.ts";
import { CHOICES_MAX, choicesOf, Event } from "./vocabulary.ts";

const Block = choicesOf("guestResetBlock");
const Clear = choicesOf("guestResetError");
const Disable = choicesOf("guestDisable");
const Enable = choicesOf("guestEnable");
const Deconfigure = choicesOf("guestDeconfigure");
const Report = choicesOf("guestReport");

/** Not a thing the machine has to know now. */
export const NO_EVENT = -1;

function event(number: number, choice: number): number {
  return number * CHOICES_MAX + choice;
}

/**
 * @param kind `RequestKind` @param state the function's state as the guest sees it now
 * @param hostBroken the host function has failed since its last reset
 * @returns event * CHOICES_MAX + choice, or NO_EVENT
 */
export function guestEvent(
  kind: number,
  b0: number,
  state: FunctionState,
  hostBroken: boolean,
  verifyResetError: boolean,
): number {
  const enabled = state === FunctionState.ENABLED;
  const healthy = enabled && !hostBroken;
  const off = state < FunctionState.ENABLED;
  switch (kind) {
    case RequestKind.guestFetched:
      return event(Event.guestFetched, 0);
    case RequestKind.guestResetBlock:
      return state === FunctionState.BLOCKED
        ? event(Event.guestResetBlock, Block.accepted)
        : NO_EVENT;
    case RequestKind.guestResetError:
      if (!healthy) return NO_EVENT;
      return event(Event.guestResetError, verifyResetError ? Clear.verify : Clear.accepted);
    case RequestKind.guestDisable:
      // In error it is a request, which the phase word carries.
      if (!off && !enabled) return NO_EVENT;
      return event(Event.guestDisable, off && hostBroken ? Disable.orphan : Disable.done);
    case RequestKind.guestEnable:
      if (!enabled) return NO_EVENT;
      return event(Event.guestEnable, hostBroken ? Enable.orphan : Enable.done);
    case RequestKind.guestDeconfigure:
      return event(
        Event.guestDeconfigure,
        off && hostBroken ? Deconfigure.orphan : Deconfigure.done,
      );
    case RequestKind.guestConfigure:
      return event(Event.guestConfigure, 0);
    case RequestKind.guestRegisterIoat:
      return healthy ? event(Event.guestRegisterIoat, 0) : NO_EVENT;
    case RequestKind.guestProof:
      return healthy ? event(Event.guestProof, 0) : NO_EVENT;
    case RequestKind.guestReport:
      if (b0 === 0) return event(Event.guestReport, Report.failure);
      return event(Event.guestReport, healthy ? Report.success : Report.stale);
    default:
      return NO_EVENT;
  }
}
