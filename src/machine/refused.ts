/** What a VM says when it cannot do something in the state it is in. */
import { ZmendError } from "../base/errors.ts";

export function refused(vm: string, what: string, why: string): ZmendError {
  return new ZmendError("STATE_REFUSED", `VM ${vm} cannot ${what}: ${why}.`);
}
