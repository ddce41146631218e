import { describe, expect, it } from "vitest";
import type { SimHostInterface } from "../../../../src/backend/sim/config.ts";
import { HostBlock } from "../../../../src/backend/sim/host-area.ts";
import { SimVfioDevice } from "../../../../src/backend/sim/index.ts";
import { SimHost } from "../../../support/sim-host.ts";

function hostWith(capabilities: SimHostInterface["capabilities"], abi = "v19"): SimHost {
  const older = capabilities === undefined ? {} : { capabilities };
  return new SimHost([{ fid: 2, host: { dialect: "zpci", abi, ...older } }]);
}

/** [id, version, bytes to the next] of the chain. */
function chain(sim: SimHost): number[][] {
  const device = new SimVfioDevice(sim.vm, 0, sim.config(), { byteOrder: "big" });
  const view = new DataView(new ArrayBuffer(512));
  view.setUint32(0, 512);
  expect(device.ioctl(0x3b6b, new Uint8Array(view.buffer))).toBe(0);
  const found: number[][] = [];
  for (let at = view.getUint32(16); at !== 0; at = view.getUint32(at + 4)) {
    const next = view.getUint32(at + 4);
    found.push([view.getUint16(at), view.getUint16(at + 2), next === 0 ? 0 : next - at]);
  }
  return found;
}

describe("versions of the zPCI capabilities (vfio-uapi.md 5)", () => {
  it("ZPCI_BASE takes 32 bytes in version 1, 40 in 2 and 3; ZPCI_GROUP 40, then 48", () => {
    expect(chain(hostWith({ base: 1, group: 1 })).slice(0, 2)).toEqual([
      [1, 1, 32],
      [2, 1, 40],
    ]);
    expect(chain(hostWith({ base: 2 })).slice(0, 2)).toEqual([
      [1, 2, 40],
      [2, 2, 48],
    ]);
    expect(chain(hostWith(undefined, "merged"))[0]).toEqual([1, 3, 40]);
  });

  it("are read with >=: what an older version lacks keeps its default", () => {
    const today = hostWith(undefined, "merged").function().facts;
    const oldest = hostWith({ base: 1, group: 1 }).function().facts;
    expect(oldest).toEqual({ ...today, ccdfErrLength: 0 });
  });

  it("a merged kernel with version 2 counts as one without the error interface, and nothing is written anywhere", () => {
    const sim = hostWith({ base: 2 }, "merged");
    sim.area().set(HostBlock.mediated, 1);
    sim.platform.raise(0, { type: "ccdf", pec: 7 });
    sim.run();
    const area = sim.area();
    // Whatever an earlier call left in the reader's buffer must not be taken for an address.
    sim.vm.bytes.fill(0x01, area.readerBytes, area.readerBytes + 256);
    const guest = Buffer.from(sim.vm.bytes.slice(sim.vm.map.ramOffset)).toString("hex");
    expect(sim.function().open()).toBe(-25);
    expect(area.get(HostBlock.queueHead)).toBe(area.get(HostBlock.queueTail));
    expect(Buffer.from(sim.vm.bytes.slice(sim.vm.map.ramOffset)).toString("hex")).toBe(guest);
    expect(area.get(HostBlock.getsLost)).toBe(0);
  });
});
