import { describe, expect, it } from "vitest";
import { type Carried, Load, type LoopEnd, runRecoveryLoop } from "../../../src/recovery/loop.ts";
import { WorkerKilled } from "../../../src/recovery/words.ts";
import { store } from "../../../src/shm/atomics.ts";
import { FunctionBlock, RecoveryCommand, VmBlock, WORK_COMMAND } from "../../../src/shm/blocks.ts";
import { RecoveryRig } from "../../support/recovery-rig.ts";

describe("a recovery worker's life", () => {
  it("ends when the VM is told to stop", () => {
    const rig = new RecoveryRig();
    store(rig.vm.words, rig.vm.map.vmBlock / 4 + VmBlock.command, 1);
    expect(runRecoveryLoop(rig.unit())).toBe("vm-stopped");
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
    expect(runRecoveryLoop(unit)).toBe("detached");
  });

  it("dies of the kill word, with the step in the error", () => {
    const rig = new RecoveryRig();
    const unit = rig.unit();
    rig.raise();
    rig.set(FunctionBlock.killAtStep, 5);
    expect(() => runRecoveryLoop(unit)).toThrow(WorkerKilled);
    expect(rig.get(FunctionBlock.drainStep)).toBe(5);
  });

  it("stops by policy: the VM's command is 2 and the loop ends", () => {
    const rig = new RecoveryRig();
    const policy = { ...rig.options().policy, onError: 4 }; // stop-vm
    const unit = rig.unit({ policy });
    unit.step();
    rig.raise();
    expect(runRecoveryLoop(unit)).toBe("vm-stopped");
    expect(rig.vmWord(VmBlock.command)).toBe(2);
  });
});

/** A carried function that does as it is told and counts its passes. */
class Told implements Carried {
  passes = 0;
  bell = false;
  answer: number | LoopEnd = 60_000;

  rung(): boolean {
    return this.bell;
  }

  pass(): number | LoopEnd {
    this.passes += 1;
    this.bell = false;
    return this.answer;
  }
}

describe("what a recovery thread carries", () => {
  const three = (): readonly [Load<Told>, readonly [Told, Told, Told], Told[]] => {
    const load = new Load<Told>();
    const all = [new Told(), new Told(), new Told()] as const;
    for (const one of all) load.add(one);
    return [load, all, []];
  };

  it("is passed once at first, then when it is rung or due", () => {
    const [load, all] = three();
    const never = (): void => expect.unreachable();
    load.pass(never);
    all[1].bell = true;
    expect(load.rung()).toBe(true);
    all[1].answer = 0; // at once again
    load.pass(never);
    load.pass(never);
    expect(all.map(({ passes }) => passes)).toEqual([1, 3, 1]);
    expect(load.rung()).toBe(false);
  });

  it("is waited for until the first of it is due, never longer than a second", () => {
    const [load, all] = three();
    expect(load.pass(() => {})).toBeLessThanOrEqual(1000);
    all[2].bell = true;
    all[2].answer = 5;
    expect(load.pass(() => {})).toBeLessThanOrEqual(5);
  });

  it("leaves when it has ended, and the others stay", () => {
    const [load, all, left] = three();
    all[1].answer = "detached";
    const ends: LoopEnd[] = [];
    const ended = (one: Told, end: LoopEnd): void => {
      left.push(one);
      ends.push(end);
    };
    load.pass(ended);
    expect([left, ends, load.size]).toEqual([[all[1]], ["detached"], 2]);
    for (const one of all) one.bell = true;
    load.pass(ended);
    expect(all.map(({ passes }) => passes)).toEqual([2, 1, 2]);
    expect(load.find((one) => one === all[1])).toBeUndefined();
  });
});
