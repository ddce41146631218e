import { describe, expect, it } from "vitest";
import { runRecoveryLoop } from "../../../src/recovery/loop.ts";
import { WorkerKilled } from "../../../src/recovery/words.ts";
import { store } from "../../../src/shm/atomics.ts";
import { FunctionBlock, RecoveryCommand, VmBlock, WORK_COMMAND } from "../../../src/shm/blocks.ts";
import { RecoveryRig } from "../../support/recovery-rig.ts";

describe("a recovery worker's life", () => {
  it("ends when the VM is told to stop", () => {
    const rig = new RecoveryRig();
    store(rig.vm.words, rig.vm.map.vmBlock / 4 + VmBlock.command, 1);
    expect(runRecoveryLoop(rig.unit(), rig.clock)).toBe("vm-stopped");
  });

  it("ends with the function", () => {
    const rig = new RecoveryRig();
    const unit = rig.unit();
    unit.step();
    for (let n = 0; n < 2; n++) {
      rig.set(FunctionBlock.recoveryCommand, RecoveryCommand.unplug);
      rig.ring(WORK_COMMAND);
      if (n === 0) unit.step();
    }
    expect(runRecoveryLoop(unit, rig.clock)).toBe("detached");
  });

  it("ends at once over a host without the error feature", () => {
    const rig = new RecoveryRig();
    const old = Object.create(rig.host, { open: { value: () => -25 } }) as typeof rig.host; // -ENOTTY
    expect(runRecoveryLoop(rig.unit({ host: old }), rig.clock)).toBe("unsupported");
  });

  it("dies of the kill word, with the step in the error", () => {
    const rig = new RecoveryRig();
    const unit = rig.unit();
    rig.raise();
    rig.set(FunctionBlock.killAtStep, 5);
    expect(() => runRecoveryLoop(unit, rig.clock)).toThrow(WorkerKilled);
    expect(rig.get(FunctionBlock.drainStep)).toBe(5);
  });

  it("stops by policy: the VM's command is 2 and the loop ends", () => {
    const rig = new RecoveryRig();
    const policy = { ...rig.options().policy, onError: 4 }; // stop-vm
    const unit = rig.unit({ policy });
    unit.step();
    rig.raise();
    expect(runRecoveryLoop(unit, rig.clock)).toBe("vm-stopped");
    expect(rig.vmWord(VmBlock.command)).toBe(2);
  });
});
