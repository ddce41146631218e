/**
 * A function's way in and out of the machine: SCLP configure and deconfigure I/O adapter, machine reset.
 * Source: zpci-guest.md 4.2, 4.3, 8.3.
 */
import { RequestKind } from "../../abi/records.ts";
import { SclpCode } from "../../abi/sclp.ts";
import { FunctionBlock, FunctionState, stateOf } from "../../shm/blocks.ts";
import type { ZpciFunction } from "./function.ts";
import { cellOf, stateTable } from "./state-table.ts";

/** The recovery worker changes the state word at most a few times in a row. */
const STATE_TRIES = 16;

/** STANDBY -> DISABLED. Returns the SCLP response code. */
export function configureFunction(target: ZpciFunction): number {
  for (let attempt = 0; attempt < STATE_TRIES; attempt++) {
    const seen = target.stateWord();
    const code = cellOf(stateTable.configure, stateOf(seen));
    if (code !== SclpCode.normal) return code;
    if (!target.changeState(seen, FunctionState.DISABLED)) continue;
    target.post(RequestKind.guestConfigure, 0);
    return SclpCode.normal;
  }
  return SclpCode.noActionRequired;
}

/** Any configured state -> STANDBY; a permanent error is forgotten. Returns the SCLP response code. */
export function deconfigureFunction(target: ZpciFunction): number {
  for (let attempt = 0; attempt < STATE_TRIES; attempt++) {
    const seen = target.stateWord();
    const state = stateOf(seen);
    const code = cellOf(stateTable.deconfigure, state);
    if (code !== SclpCode.normal) return code;
    if (target.endGeneration(seen, FunctionState.STANDBY)) {
      target.set(FunctionBlock.permanent, 0);
      target.post(RequestKind.guestDeconfigure, state);
      return SclpCode.normal;
    }
  }
  return SclpCode.noActionRequired;
}

/** Machine reset: every configured function is disabled and begins a new generation. */
export function resetFunction(target: ZpciFunction): void {
  for (let attempt = 0; attempt < STATE_TRIES; attempt++) {
    const seen = target.stateWord();
    const state = stateOf(seen);
    if (state === FunctionState.RESERVED || state === FunctionState.STANDBY) {
      target.dropRegistrations();
      return;
    }
    if (target.endGeneration(seen, FunctionState.DISABLED)) return;
  }
}
