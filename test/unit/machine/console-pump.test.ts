import { beforeEach, describe, expect, it } from "vitest";
import { ConsolePump } from "../../../src/machine/console-pump.ts";
import { HOLD_NOBODY, HOLD_VCPUS, orderHold } from "../../../src/machine/hold.ts";
import { COMMAND_STOP, VCPU_POWER_OFF } from "../../../src/machine/loops.ts";
import { forgetThreads } from "../../../src/machine/restore.ts";
import { store } from "../../../src/shm/atomics.ts";
import { VmBlock } from "../../../src/shm/blocks.ts";
import { ConsoleOutput } from "../../../src/shm/console-output.ts";
import { planMemory } from "../../../src/shm/memory-map.ts";
import { createVmMemory, type VmMemory } from "../../../src/shm/vm-memory.ts";

let vm: VmMemory;
let guest: ConsoleOutput;
beforeEach(() => {
  vm = createVmMemory(
    planMemory({
      vcpuCount: 1,
      functionCount: 0,
      ramBytes: 1024 ** 2,
      vcpuBytes: 4096,
      hostBytes: 0,
    }),
  );
  guest = new ConsoleOutput(vm);
});

function says(...texts: string[]): void {
  for (const [n, text] of texts.entries()) {
    guest.write(Buffer.from(text), n, () => {
      throw new Error("full");
    });
  }
}

/** A sink whose promises are settled by hand. */
class SlowSink {
  readonly heard: string[] = [];
  readonly #settle: ((error?: Error) => void)[] = [];

  readonly take = (bytes: Uint8Array): Promise<void> => {
    this.heard.push(Buffer.from(bytes).toString());
    return new Promise((resolve) => this.#settle.push(() => resolve()));
  };

  async finish(): Promise<void> {
    this.#settle.shift()?.();
    await new Promise((resolve) => setImmediate(resolve));
  }
}

describe("console pump", () => {
  it("hands everything on to who takes it at once, in order and with its time", () => {
    const heard: [string, number][] = [];
    const pump = new ConsolePump(vm, (bytes, timeUs) => {
      heard.push([Buffer.from(bytes).toString(), timeUs]);
    });
    says("one", "two", "three");
    pump.look();
    expect(heard).toEqual([
      ["one", 0],
      ["two", 1],
      ["three", 2],
    ]);
  });

  it("leaves text in the ring while its sink is busy, and goes on by itself afterwards", async () => {
    const sink = new SlowSink();
    const pump = new ConsolePump(vm, sink.take);
    says("one", "two", "three");
    pump.look();
    pump.look();
    expect(sink.heard).toEqual(["one"]);
    await sink.finish();
    expect(sink.heard).toEqual(["one", "two"]);
    await sink.finish();
    expect(sink.heard).toEqual(["one", "two", "three"]);
  });

  it.each([
    ["stand", () => orderHold(vm, HOLD_VCPUS)],
    ["end", () => store(vm.words, vm.map.vmBlock / 4 + VmBlock.command, COMMAND_STOP)],
    [
      "end no more",
      () => store(vm.words, vm.map.vmBlock / 4 + VmBlock.vcpuStopped, VCPU_POWER_OFF),
    ],
  ])("makes room for vCPUs that shall %s, however busy the sink is", (_, order) => {
    const sink = new SlowSink();
    const pump = new ConsolePump(vm, sink.take);
    says("one", "two", "three");
    pump.look();
    order();
    pump.look();
    expect(sink.heard).toEqual(["one", "two", "three"]);
    expect(guest.take()).toBeUndefined();
  });

  it("knows of no text that a snapshot says is under way, whatever it says", () => {
    says("one");
    store(vm.words, vm.map.vmBlock / 4 + VmBlock.consoleOutput, 0x7fff_ffff);
    forgetThreads(vm, 0);
    const heard: unknown[] = [];
    const pump = new ConsolePump(vm, (bytes) => heard.push(bytes));
    pump.look();
    expect(heard).toEqual([]);
    says("two");
    pump.look();
    expect(heard).toEqual([Uint8Array.from(Buffer.from("two"))]);
  });

  it("lets the guest wait again when it goes on", () => {
    const sink = new SlowSink();
    const pump = new ConsolePump(vm, sink.take);
    orderHold(vm, HOLD_VCPUS);
    says("one", "two");
    pump.look();
    orderHold(vm, HOLD_NOBODY);
    says("three");
    pump.look();
    expect(sink.heard).toEqual(["one", "two"]);
  });
});
