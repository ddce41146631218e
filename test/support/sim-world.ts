/** The recovery rig over the simulated Linux host: kernel, platform, worker and guest as objects on one thread. */
import type { SimHostInterface } from "../../src/backend/sim/config.ts";
import { RecoveryRig } from "./recovery-rig.ts";
import { SimHost } from "./sim-host.ts";

export interface World {
  readonly rig: RecoveryRig;
  /** Errors stored under one queue lock. */
  raise(...pecs: number[]): void;
  /** The host does what is due at this time. */
  turn(): boolean;
}

export interface SimWorld extends World {
  readonly sim: SimHost;
}

export function simWorld(
  clearError: boolean,
  hook?: (step: number) => void,
  host: SimHostInterface = { dialect: "zpci", abi: "merged" },
): SimWorld {
  const sim = new SimHost([{ fid: 0x123, clearError, host }]);
  const clock = { us: 0, nowUs: () => clock.us };
  const regions = sim.regions();
  let raised = 0;
  const rig = new RecoveryRig({
    vm: sim.vm,
    host: sim.function(0, hook),
    clock,
    // The id register of the test function reads as ones while the function is in error.
    answers: () => regions.load(0, 0, 4) === 0 && regions.valueLow !== -1,
  });
  return {
    sim,
    rig,
    raise: (...pecs) => {
      // The rig's guest tells events apart by their failing address.
      const ccdfs = pecs.map((pec) => ({ pec, faddr: raised++ % 31 }));
      sim.platform.raise(0, { type: "burst", ccdfs });
      sim.runTo(clock.us);
    },
    turn: () => {
      sim.clock.advanceTo(clock.us);
      return sim.platform.step();
    },
  };
}
