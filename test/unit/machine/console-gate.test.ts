import { beforeEach, describe, expect, it } from "vitest";
import { CONSOLE_UNTAKEN_MAX_BYTES } from "../../../src/base/limits.ts";
import { ConsoleGate } from "../../../src/machine/console-gate.ts";
import { COMMAND_RUN, COMMAND_STOP } from "../../../src/machine/loops.ts";
import { load, store } from "../../../src/shm/atomics.ts";
import { VmBlock } from "../../../src/shm/blocks.ts";
import { planMemory } from "../../../src/shm/memory-map.ts";
import { createVmMemory, type VmMemory } from "../../../src/shm/vm-memory.ts";

const MIB = 1024 ** 2;

let vm: VmMemory;
let base: number;
beforeEach(() => {
  vm = createVmMemory(
    planMemory({ vcpuCount: 1, functionCount: 0, ramBytes: MIB, vcpuBytes: 4096, hostBytes: 0 }),
  );
  base = vm.map.vmBlock / 4;
});

const untaken = (): number => load(vm.words, base + VmBlock.consoleUntaken);

describe("console gate", () => {
  it("comes back to nothing when everything sent was taken", () => {
    const gate = new ConsoleGate(vm);
    for (const bytes of [0, 1, 4000]) gate.sent(bytes);
    for (const bytes of [4000, 0, 1]) gate.taken(bytes);
    expect(untaken()).toBe(0);
  });

  it("makes a flood stop below the limit and one message, of whatever length the messages are", () => {
    for (const bytes of [0, 1, 4096]) {
      store(vm.words, base + VmBlock.consoleUntaken, 0);
      const gate = new ConsoleGate(vm);
      let messages = 0;
      // A vCPU that has to wait leaves the gate when the VM is told to stop: here it is, before the last message.
      while (untaken() <= CONSOLE_UNTAKEN_MAX_BYTES) {
        store(vm.words, base + VmBlock.command, COMMAND_STOP);
        gate.sent(bytes);
        messages += 1;
      }
      expect(messages * bytes).toBeLessThanOrEqual(CONSOLE_UNTAKEN_MAX_BYTES + bytes);
      expect(messages).toBeLessThanOrEqual(CONSOLE_UNTAKEN_MAX_BYTES / 256 + 1);
    }
  });

  it("lets the vCPU go on as soon as the main thread has taken enough", () => {
    const gate = new ConsoleGate(vm);
    store(vm.words, base + VmBlock.command, COMMAND_STOP);
    gate.sent(CONSOLE_UNTAKEN_MAX_BYTES);
    expect(untaken()).toBeGreaterThan(CONSOLE_UNTAKEN_MAX_BYTES);
    store(vm.words, base + VmBlock.command, COMMAND_RUN);
    gate.taken(CONSOLE_UNTAKEN_MAX_BYTES);
    gate.sent(1); // returns: a gate that stayed closed would hang here
    expect(untaken()).toBeLessThanOrEqual(CONSOLE_UNTAKEN_MAX_BYTES);
  });
});
