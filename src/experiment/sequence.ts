/**
 * One recovery, step by step: the zPCI instructions as the model guest issues them, from STCRW to the STCRW that finds
 * nothing more, and the states that the recovery machine goes through meanwhile: `zmend experiment sequence`. The machine
 * around the guest is a trial's: real devices, real recovery machine.
 */
import { constant } from "../base/distribution.ts";
import { hex } from "../base/hex.ts";
import type { Instruction, KernelName } from "../guest-model/index.ts";
import { Ledger } from "../machine/ledger.ts";
import type { LedgerEntry } from "../machine/ledger-entry.ts";
import { loadPolicy } from "../recovery/index.ts";
import type { Scenario } from "./scenario.ts";
import { modelWorld } from "./trial/trial.ts";

const AT_US = 1_000_000;
/** Longer than any recovery: the slowest driver gives up after a minute. */
const HORIZON_US = 300_000_000;

/** What happens to the function. */
export interface SequenceCase {
  /** The model's name of it; nvme by default. */
  readonly driver?: string;
  readonly pec: number;
  /** A second event at the same moment. */
  readonly andPec?: number;
  /** The host can clear the error in place. */
  readonly clearError?: boolean;
  /** The host's resets end with EIO. */
  readonly resetFails?: boolean;
}

export interface SequenceRequest extends SequenceCase {
  readonly kernel: KernelName;
}

/** A step of the recovery machine from one state to another. */
export interface StateStep {
  readonly from: string;
  readonly to: string;
  readonly event: string;
  /** Which kind of the event it was, where there are several. */
  readonly choice?: string;
}

export interface RecoverySequence {
  readonly instructions: readonly Instruction[];
  /** From the error on, as long as anything happens. */
  readonly states: readonly StateStep[];
}

/** The guest has nothing more to say of an event so long after its last instruction. */
export const QUIET_US = 2e6;

export function recoverySequence(request: SequenceRequest): RecoverySequence {
  const events = { stale: 0, lostSignal: 0 };
  const scenario: Scenario = {
    name: "one error",
    horizonUs: HORIZON_US,
    guests: 1,
    functionsPerGuest: 1,
    sources: [
      {
        arrivals: { kind: "trace", atUs: [AT_US] },
        scope: "function",
        share: 1,
        spreadUs: constant(0),
        pecs: [{ pec: request.pec, weight: 1 }],
        ...events,
      },
      ...(request.andPec === undefined
        ? []
        : [
            {
              arrivals: { kind: "trace" as const, atUs: [AT_US] },
              scope: "function" as const,
              share: 1,
              spreadUs: constant(0),
              pecs: [{ pec: request.andPec, weight: 1 }],
              ...events,
            },
          ]),
    ],
    host: {
      resetUs: constant(100_000),
      refused: 0,
      failed: request.resetFails === true ? 1 : 0,
      hangs: 0,
      broken: 0,
      clearError: request.clearError ?? false,
      clearUs: constant(1_000),
    },
    operator: {},
  };
  const list: Instruction[] = [];
  let ended = false;
  const { world } = modelWorld({
    scenario,
    policy: loadPolicy("mediated"),
    guest: { label: "", kind: "model", kernel: request.kernel, driver: request.driver ?? "nvme" },
    seed: 0,
    repetition: 0,
    scenarioNumber: 0,
    deadlineUs: HORIZON_US,
    record: (instruction) => {
      if (ended) return;
      if (list.length > 0 || instruction.name === "STCRW") list.push(instruction);
      ended = instruction.name === "STCRW" && instruction.cc === 1;
    },
  });
  const ledger = new Ledger(world.vm);
  world.start(0);
  let untilUs = HORIZON_US;
  while (world.clock.nowUs() < untilUs && world.turn()) {
    if (ended && untilUs === HORIZON_US) untilUs = world.clock.nowUs() + QUIET_US;
  }
  // A turn goes straight to what is due next, which may be a deadline long after the guest has come to rest.
  const entries = ledger.drain().filter(({ timeUs }) => timeUs <= untilUs);
  return { instructions: list, states: statesOf(entries) };
}

export function statesOf(entries: readonly LedgerEntry[]): StateStep[] {
  return entries
    .filter(({ kind }) => kind === "state")
    .map(({ detail: { from, to, event }, choice }) => ({
      from: String(from),
      to: String(to),
      event: String(event),
      ...(choice === undefined ? {} : { choice }),
    }));
}

/** One line of text per step. */
export function stateLine({ from, to, event, choice }: StateStep): string {
  return `${from} -> ${to} on ${event}${choice === undefined ? "" : ` (${choice})`}`;
}

/** One line of text per instruction: what the guest wants and what it is answered. */
export function sequenceLine(instruction: Instruction): string {
  const { name, operation, space, offset, length, pec, response, cc, status } = instruction;
  const words: string[] = [name];
  if (operation !== undefined) words.push(String(operation));
  if (offset !== undefined) {
    words.push(`${space === 15 ? "config" : `bar${space}`} 0x${offset.toString(16)}/${length}`);
  }
  if (pec !== undefined) words.push(`pec ${hex(pec, 4)}`);
  if (response !== undefined) words.push(`-> ${hex(response, 4)}`);
  else if (cc !== undefined) words.push(`-> cc ${cc}${status ? `, status ${status}` : ""}`);
  return words.join(" ");
}
