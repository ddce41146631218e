/** The host's interface against rows of `vfio/*.json`: numbers, routing, and every shape of the error feature. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import * as vfio from "../../src/abi/vfio.ts";
import * as iommu from "../../src/abi/vfio-iommu.ts";
import * as eeh from "../../src/backend/sim/eeh.ts";
import { ErrorState, Hardware, HostBlock } from "../../src/backend/sim/host-area.ts";
import { SimVfioDevice } from "../../src/backend/sim/index.ts";
import { decodeAbi, findAbi } from "../../src/daemon/abi.ts";
import * as port from "../../src/ports/host-function.ts";
import { instant, SimHost } from "../support/sim-host.ts";

interface Row {
  readonly source: string;
  readonly input: { readonly abi: string; readonly feature: number; readonly argsz: number };
  readonly expect: {
    /** Data part of the answer, or what stands at the address that was passed. */
    readonly data?: string;
    readonly ccdf?: string;
    /** Data of the empty answer, an errno, or "garbage". */
    readonly empty: string | number;
    readonly fields?: Readonly<Record<string, number | string>>;
  };
}

const file = JSON.parse(
  readFileSync(new URL("vfio/zpci-error-get.json", import.meta.url), "utf8"),
) as { readonly event: string; readonly rows: readonly Row[] };

const GET = 0x10000;

describe.each(file.rows)("$input.abi: $source", ({ input, expect: expected }) => {
  const host = { dialect: "zpci" as const, abi: input.abi };
  const sim = new SimHost([{ fid: 2, host, timing: instant, changeHandle: false }]);
  const device = new SimVfioDevice(sim.vm, 0, sim.config(), { byteOrder: "big" });
  device.errors.start();
  const address = sim.slot();
  const get = (): { rc: number; data: string } => {
    const buffer = new Uint8Array(input.argsz);
    const view = new DataView(buffer.buffer);
    view.setUint32(0, input.argsz);
    view.setUint32(4, GET | input.feature);
    if (input.argsz === 16) view.setBigUint64(8, BigInt(address));
    const rc = device.ioctl(0x3b75, buffer);
    return { rc, data: Buffer.from(buffer.subarray(8)).toString("hex") };
  };

  it("hands the oldest event out, then says that none is left", () => {
    const second = `${file.event.slice(0, -4)}0009`;
    const ccdfs = [{ ccdf: file.event }, { ccdf: second }];
    sim.platform.raise(0, { type: "burst", ccdfs });
    sim.run();
    if (expected.data !== undefined) expect(get()).toEqual({ rc: 0, data: expected.data });
    if (expected.ccdf !== undefined) {
      expect(get().rc).toBe(0);
      expect(sim.bytesAt(address)).toBe(expected.ccdf);
    }
    if (expected.fields !== undefined) expect(get().rc).toBe(0);
    const { rc, data } = get();
    if (typeof expected.empty === "number") expect(rc).toBe(expected.empty);
    else {
      expect(rc).toBe(0);
      if (expected.empty !== "garbage") expect(data).toBe(expected.empty);
    }
  });

  // A row that names no fields has nothing to decode.
  const { fields } = expected;
  if (fields === undefined) return;
  it("decodes as zmend abi says", () => {
    const name = expected.ccdf === undefined ? "vfio_device_feature_zpci_err" : "zpci_ccdf_err";
    const bytes = Buffer.from(expected.ccdf ?? expected.data ?? "", "hex");
    expect(decodeAbi(findAbi(name, input.abi), bytes)).toEqual(fields);
  });
});

function rowsOf<T>(name: string): readonly T[] {
  const text = readFileSync(new URL(`vfio/${name}.json`, import.meta.url), "utf8");
  return (JSON.parse(text) as { readonly rows: readonly T[] }).rows;
}

interface Numbers {
  readonly source: string;
  readonly group: string;
  readonly expect: Readonly<Record<string, number | string>>;
}

it.each(rowsOf<Numbers>("numbers"))("numbers: $group ($source)", ({ expect: numbers }) => {
  const ours: Readonly<Record<string, unknown>> = { ...port, ...vfio, ...iommu, ...eeh };
  const values = Object.keys(numbers).map((name) => [name, ours[name]]);
  const typed = Object.entries(numbers).map(([name, value]) => [name, Number(value)]);
  expect(values).toEqual(typed);
});

interface Routed {
  readonly source: string;
  readonly input: { readonly pec: string };
  readonly expect: {
    readonly stored: boolean;
    readonly signals: number;
    readonly hardware: string;
    readonly errorState: string;
  };
}

it.each(rowsOf<Routed>("routing"))(
  "routing: PEC $input.pec ($source)",
  ({ input, expect: expected }) => {
    const sim = new SimHost([{ fid: 2, timing: instant }]);
    const host = sim.open();
    sim.platform.raise(0, { type: "ccdf", pec: Number(input.pec) });
    sim.run();
    const area = sim.area();
    const hardware = {
      normal: Hardware.NORMAL,
      error: Hardware.ERROR,
      permanent: Hardware.PERMANENT,
    };
    const states = {
      normal: ErrorState.normal,
      frozen: ErrorState.frozen,
      perm_failure: ErrorState.permFailure,
    };
    expect(hardware).toHaveProperty(expected.hardware, area.get(HostBlock.hardware));
    expect(states).toHaveProperty(expected.errorState, area.get(HostBlock.errorState));
    expect(host.takeSignals()).toBe(expected.signals);
    expect(host.getError(sim.slot())).toBe(expected.stored ? 0 : -port.ENOMSG);
    if (!expected.stored) return;
    expect(sim.bytesAt(sim.slot()).slice(-4)).toBe(input.pec.slice(2));
  },
);
