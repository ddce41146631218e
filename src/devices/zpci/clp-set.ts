/**
 * CLP Set PCI function: enable and disable. Source: zpci-guest.md 2.5; answers while the host has work to
 * do: design.md 5.1. A disable in error asks the recovery worker for a host reset (`resetPhase`) and says
 * "busy" until it has ended; nobody waits here.
 */
import { ClpResponse, ClpSetFunctionRequest, ClpSetFunctionResponse } from "../../abi/clp.ts";
import { FH_ENABLE, FH_INSTANCE_MASK, FH_INSTANCE_STEP } from "../../abi/pci-insn.ts";
import { RequestKind, TraceKind } from "../../abi/records.ts";
import {
  FunctionBlock,
  FunctionState,
  generationOf,
  PHASE_DONE,
  PHASE_FAILED,
  PHASE_IDLE,
  PHASE_REQUESTED,
  PHASE_RUNNING,
  stateOf,
} from "../../shm/blocks.ts";
import { GO } from "../outcome.ts";
import type { ClpBlocks } from "./clp.ts";
import type { FunctionTable, ZpciFunction } from "./function.ts";
import { cellOf, stateTable } from "./state-table.ts";

const OC_ENABLE = 0;
const OC_DISABLE = 1;
/** The recovery worker changes the state word at most a few times in a row. */
const STATE_TRIES = 8;

const request = ClpSetFunctionRequest.fields;

export function setFunction(functions: FunctionTable, blocks: ClpBlocks): number {
  const { view } = blocks;
  const fh = view.getUint32(request.fh.offset);
  const operation = view.getUint8(request.oc.offset);
  const target = functions.byHandle(fh);
  if (target === undefined) return ClpResponse.invalidHandle;
  const askedBefore = target.phaseBusy(FunctionBlock.resetPhase);
  let code: number = ClpResponse.handleNotValidForOperation;
  if (operation === OC_ENABLE)
    code = enableFunction(target, fh, view.getUint8(request.ndas.offset));
  else if (operation === OC_DISABLE) code = disableFunction(target, fh);
  else return code;
  const done = code === ClpResponse.ok;
  if (done) view.setUint32(blocks.at + ClpSetFunctionResponse.fields.fh.offset, target.handle());
  // A guest that polls "busy" leaves one line in the timeline, not a hundred.
  if (code !== ClpResponse.busy || !askedBefore) trace(target, operation, code);
  return code;
}

/** @param ndas DMA spaces asked for @returns response code; the new handle stands in the function */
export function enableFunction(target: ZpciFunction, fh: number, ndas: number): number {
  if (ndas === 0) return ClpResponse.invalidDmaSpace;
  if (ndas > 1) return ClpResponse.insufficientResources;
  if ((fh & FH_ENABLE) !== 0) return ClpResponse.handleNotValidForOperation;
  const seen = target.stateWord();
  const cell = cellOf(stateTable.enable, stateOf(seen));
  if (cell !== GO) return cell;
  if (target.get(FunctionBlock.permanent) !== 0) return ClpResponse.permanentError;
  if (target.phaseBusy(FunctionBlock.resetPhase) || !target.canPost()) return ClpResponse.busy;
  const instance = (fh + FH_INSTANCE_STEP) & FH_INSTANCE_MASK;
  const next = (fh & ~FH_INSTANCE_MASK) | instance | FH_ENABLE;
  // The handle first: an event that follows the state change is shown with the new handle.
  target.set(FunctionBlock.guestHandle, next);
  // What a forced unplug may have left behind.
  target.dropRegistrations();
  if (!target.changeState(seen, FunctionState.ENABLED)) {
    target.set(FunctionBlock.guestHandle, fh);
    return ClpResponse.busy;
  }
  target.post(RequestKind.guestEnable, next);
  return ClpResponse.ok;
}

/** @returns response code */
export function disableFunction(target: ZpciFunction, fh: number): number {
  if ((fh & FH_ENABLE) === 0) return ClpResponse.handleNotValidForOperation;
  for (let attempt = 0; attempt < STATE_TRIES; attempt++) {
    const seen = target.stateWord();
    const cell = cellOf(stateTable.disable, stateOf(seen));
    if (cell !== GO) return cell;
    if (target.phaseBusy(FunctionBlock.resetPhase) || !target.canPost()) return ClpResponse.busy;
    const ended = takeEndedReset(target, seen);
    if (ended === PHASE_RUNNING) return ClpResponse.busy;
    const state = stateOf(seen);
    const inError = state === FunctionState.ERROR || state === FunctionState.BLOCKED;
    if (ended === PHASE_IDLE && inError) return requestReset(target, seen);
    if (finishDisable(target, seen, ended)) return ClpResponse.ok;
    // The state moved under us. After an ended host reset that is one more error: reset once more.
  }
  return ClpResponse.busy;
}

/**
 * PHASE_DONE or PHASE_FAILED of a reset asked for in this generation, else PHASE_IDLE; PHASE_RUNNING when
 * the worker began another reset just now.
 */
function takeEndedReset(target: ZpciFunction, seen: number): number {
  const phase = target.get(FunctionBlock.resetPhase);
  if (phase !== PHASE_DONE && phase !== PHASE_FAILED) return PHASE_IDLE;
  if (!target.swap(FunctionBlock.resetPhase, phase, PHASE_IDLE)) return PHASE_RUNNING;
  return target.get(FunctionBlock.resetGeneration) === generationOf(seen) ? phase : PHASE_IDLE;
}

function requestReset(target: ZpciFunction, seen: number): number {
  target.set(FunctionBlock.resetGeneration, generationOf(seen));
  if (target.swap(FunctionBlock.resetPhase, PHASE_IDLE, PHASE_REQUESTED)) {
    target.post(RequestKind.guestDisable, stateOf(seen));
  }
  return ClpResponse.busy;
}

/** The generation ends here; false if the state word changed meanwhile. */
function finishDisable(target: ZpciFunction, seen: number, ended: number): boolean {
  const state = stateOf(seen);
  const givenUp = ended === PHASE_FAILED || state === FunctionState.PERMANENT_ERROR;
  if (!target.endGeneration(seen, FunctionState.DISABLED)) return false;
  if (givenUp) target.set(FunctionBlock.permanent, 1);
  target.post(RequestKind.guestDisable, state);
  return true;
}

function trace(target: ZpciFunction, operation: number, code: number): void {
  target.trace.write(
    TraceKind.guestClp,
    target.index,
    target.generation(),
    0,
    operation,
    code,
    target.handle(),
    0,
  );
}
