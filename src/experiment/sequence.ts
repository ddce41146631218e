/**
 * The zPCI instructions of one recovery as the model guest issues them, from STCRW to the STCRW that finds nothing
 * more: `zmend experiment sequence`. The machine around the guest is a trial's: real devices, real recovery machine.
 */
import { constant } from "../base/distribution.ts";
import type { Instruction, KernelName } from "../guest-model/index.ts";
import { loadPolicy } from "../recovery/index.ts";
import type { Scenario } from "./scenario.ts";
import { modelWorld } from "./trial/trial.ts";

const AT_US = 1_000_000;
/** Longer than any recovery: the slowest driver gives up after a minute. */
const HORIZON_US = 300_000_000;

export interface SequenceRequest {
  readonly kernel: KernelName;
  readonly driver: string;
  readonly pec: number;
  /** The host can clear the error in place. */
  readonly clearError?: boolean;
}

export function recoverySequence(request: SequenceRequest): Instruction[] {
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
        stale: 0,
        lostSignal: 0,
      },
    ],
    host: {
      resetUs: constant(100_000),
      refused: 0,
      failed: 0,
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
    guest: { label: "", kind: "model", kernel: request.kernel, driver: request.driver },
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
  world.start(0);
  while (!ended && world.turn()) {
    // until the guest has nothing more to read
  }
  return list;
}
