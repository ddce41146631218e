import { spawnSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import * as zmend from "../../src/index.ts";

/** What users may rely on: a name that leaves one of these lists breaks them. */
const promised = {
  zmend: [
    ..."abi recovery ZmendError errorCatalogue zmendVersion VirtualClock HostClock monotonicNowUs".split(
      " ",
    ),
    ..."planMemory createVmMemory attachVmMemory platformTraceRing recoveryTraceRing TraceWriter".split(
      " ",
    ),
    ..."ChannelReport FloatingInterrupts FunctionBlock VmBlock FunctionState RecoveryCommand".split(
      " ",
    ),
    ..."stateWord stateOf generationOf loadWord storeWord".split(" "),
    ..."SimPlatform SimHostFunction simFunctionConfig prepareHostArea HOST_AREA_BYTES".split(" "),
    ..."HOST_PENDING DMA_REFUSED ENOMSG EAGAIN EIO ENODEV ENOTTY EINVAL EBUSY EFAULT ENOENT".split(
      " ",
    ),
  ],
  "zmend/abi": [
    ..."layout u8 u16 u32 s32 u64 bits bitsOf bytes decode encode encodeInto readField writeField".split(
      " ",
    ),
    ..."allLayouts CcdfErr CcdfAvail Pec AvailabilityPec Fib Lowcore Sccb ClpHeader ClpListEntry".split(
      " ",
    ),
    ..."VfioDeviceInfo VfioDeviceFeature ZpciErrorFeature ZpciErr ZpciBaseV3 inOrder".split(" "),
  ],
  "zmend/recovery": [
    ..."table transition compileTable compiledTable states events effects policySteps State Event".split(
      " ",
    ),
    ..."Effect PolicyStep loadPolicy parsePolicy compilePolicy policyNames policySchema".split(" "),
    ..."RecoveryUnit runRecoveryLoop repairAfterDeath diagram testMatrix".split(" "),
  ],
} as const;

describe("the package's exports", () => {
  it.each(Object.entries(promised))(
    "%s offers every promised name, and nothing by default",
    (specifier, names) => {
      const script = `console.log(JSON.stringify(Object.keys(await import(${JSON.stringify(specifier)}))))`;
      // A package may import itself by name: this goes through "exports" of package.json to the compiled code.
      const result = spawnSync(process.execPath, ["--input-type=module", "-e", script], {
        encoding: "utf8",
      });
      expect(result.stderr).toBe("");
      const exported = JSON.parse(result.stdout) as string[];
      expect(names.filter((name) => !exported.includes(name))).toEqual([]);
      expect(exported).not.toContain("default");
    },
  );

  it("refuse what is not listed: there are no deep imports", () => {
    const script = 'await import("zmend/src/shm/ring.js")';
    const result = spawnSync(process.execPath, ["--input-type=module", "-e", script], {
      encoding: "utf8",
    });
    expect(result.stderr).toContain("ERR_PACKAGE_PATH_NOT_EXPORTED");
  });
});

describe("a program that uses the package", () => {
  it("reads a CCDF by its table", () => {
    const bytes = zmend.abi.encode(zmend.abi.CcdfErr, { fid: 7, pec: zmend.abi.Pec.SERVAC });
    expect(zmend.abi.decode(zmend.abi.CcdfErr, new DataView(bytes.buffer))).toMatchObject({
      fid: 7,
      pec: 0x3a,
    });
  });

  it("lets the recovery machine bring an error of a simulated function to its guest", () => {
    const config = zmend.simFunctionConfig({
      fid: 7,
      faults: [{ when: { atUs: 100 }, action: { type: "ccdf", pec: zmend.abi.Pec.SERVAC } }],
    });
    const plan = { vcpuCount: 1, functionCount: 1, ramBytes: 1 << 20, vcpuBytes: 4096 };
    const vm = zmend.createVmMemory(
      zmend.planMemory({ ...plan, hostBytes: zmend.HOST_AREA_BYTES }),
    );
    const clock = new zmend.VirtualClock();
    const word = (name: keyof typeof zmend.FunctionBlock): number =>
      (vm.map.functionBlocks[0] ?? 0) / 4 + zmend.FunctionBlock[name];
    zmend.prepareHostArea(vm, 0, config);
    zmend.storeWord(vm.words, word("stateWord"), zmend.stateWord(1, zmend.FunctionState.ENABLED));
    const noDma = { transfer: () => zmend.DMA_REFUSED, faultAddress: 0n, msi: () => {} };
    const platform = new zmend.SimPlatform(
      vm,
      [config],
      clock,
      () => noDma,
      new zmend.TraceWriter(vm, zmend.platformTraceRing(vm.map), clock),
    );
    const floating = new zmend.FloatingInterrupts(vm);
    const channelReport = new zmend.ChannelReport(vm, floating);
    channelReport.reset();
    const unit = new zmend.recovery.RecoveryUnit({
      vm,
      index: 0,
      host: new zmend.SimHostFunction(vm, 0, config),
      policy: zmend.recovery.loadPolicy("mediated"),
      clock,
      trace: new zmend.TraceWriter(vm, zmend.recoveryTraceRing(vm.map, 0), clock),
      channelReport,
      floating,
    });

    unit.step();
    expect(zmend.recovery.states[unit.state]).toBe("operational");
    clock.advanceTo(100);
    while (platform.step());
    for (let n = 0; n < 10; n++) unit.step();

    expect(zmend.recovery.states[unit.state]).toBe("awaiting-guest");
    expect(zmend.stateOf(zmend.loadWord(vm.words, word("stateWord")))).toBe(
      zmend.FunctionState.ERROR,
    );
    expect(zmend.loadWord(vm.words, word("injected"))).toBe(1);
    const pending = vm.map.vmBlock / 4 + zmend.VmBlock.machineCheckPending;
    expect(zmend.loadWord(vm.words, pending)).toBe(1);
  });
});
