/**
 * The VM's devices by their names: functions and the zpci devices that give them their identifiers, their QOM
 * paths, and what stands in a function's configuration space. Hot-plug follows QEMU: a zpci device added before
 * its target waits for it; a PCI device without one gets one. Source: qmp.md 6 and 9.
 */
import { NVME_BAR_SIZE_LOG2 } from "../../abi/nvme.ts";
import { TestFunction } from "../../abi/test-function.ts";
import type { FunctionStatus, VmControl } from "../../machine/vm-control.ts";
import { functionIdOf, functionIndices } from "../../machine/vm-spec.ts";
import { load } from "../../shm/atomics.ts";
import { FunctionBlock } from "../../shm/blocks.ts";
import type { Identity } from "./device-catalogue.ts";
import { deviceNotFound, QmpError } from "./errors.ts";

export interface ZpciDevice extends Identity {
  /** Undefined for one that was made because its function had none. */
  readonly id: string | undefined;
  /** Id of the PCI device. */
  readonly target: string;
}

const PERIPHERAL = "/machine/peripheral";
const ANONYMOUS = "/machine/peripheral-anon";

export class Devices {
  readonly #control: VmControl | undefined;
  readonly #zpci: ZpciDevice[];
  readonly #leaving = new Set<string>();
  /** Ids of functions that their guest kept when it was asked. */
  readonly #kept = new Set<string>();
  /** Ids of functions that are gone, for what is still told of them. */
  readonly #gone = new Map<number, string>();

  constructor(control: VmControl | undefined, zpci: readonly ZpciDevice[]) {
    this.#control = control;
    this.#zpci = [...zpci];
  }

  functions(): readonly FunctionStatus[] {
    return this.#control?.functions() ?? [];
  }

  /** Every zpci device: those that were named, those that still wait, and one for each function without. */
  zpci(): ZpciDevice[] {
    const made = this.functions()
      .filter(({ id }) => !this.#zpci.some(({ target }) => target === id))
      .map(({ id, fid, uid }) => ({ id: undefined, target: id, fid, uid }));
    return [...this.#zpci, ...made];
  }

  idOf(fid: number): string {
    const spec = this.#control?.spec;
    if (spec !== undefined) {
      const index = functionIndices(spec).find((at) => spec.functions[at]?.fid === fid);
      if (index !== undefined) return functionIdOf(spec, index);
    }
    return this.#gone.get(fid) ?? `fn-${fid.toString(16).padStart(8, "0")}`;
  }

  /** By id, by QOM path, or by the id of its zpci device. @throws QmpError DeviceNotFound */
  function(name: string): FunctionStatus {
    const id = name.startsWith(`${PERIPHERAL}/`) ? name.slice(PERIPHERAL.length + 1) : name;
    const target = this.#zpci.find((entry) => entry.id === id)?.target ?? id;
    const found = this.functions().find((entry) => entry.id === target);
    if (found === undefined) throw deviceNotFound(name);
    return found;
  }

  path(zpci: ZpciDevice): string {
    if (zpci.id !== undefined) return `${PERIPHERAL}/${zpci.id}`;
    const anonymous = this.zpci().filter(({ id }) => id === undefined);
    const index = anonymous.findIndex(({ target }) => target === zpci.target);
    return `${ANONYMOUS}/device[${index}]`;
  }

  has(id: string): boolean {
    return (
      this.functions().some((entry) => entry.id === id) ||
      this.#zpci.some((entry) => entry.id === id)
    );
  }

  /** Adds a zpci device that waits for its target. @throws QmpError */
  expect(id: string | undefined, target: string, uid: number, fid: number | undefined): void {
    if (this.functions().some((entry) => entry.id === target)) {
      throw new QmpError(`target '${target}' is plugged already, with identifiers of its own`);
    }
    if (this.#zpci.some((entry) => entry.target === target)) {
      throw new QmpError(`target '${target}' has a zpci device already`);
    }
    const taken = this.zpci();
    if (uid !== 0 && taken.some((entry) => entry.uid === uid)) {
      throw new QmpError(`uid ${uid} already in use`);
    }
    if (fid !== undefined && taken.some((entry) => entry.fid === fid)) {
      throw new QmpError(`fid 0x${fid.toString(16)} already in use`);
    }
    this.#zpci.push({ id, target, ...this.#free(uid === 0 ? undefined : uid, fid) });
  }

  /** The identifiers for a PCI device that is about to be plugged. */
  identityFor(target: string): Identity {
    const { fid, uid } = this.#zpci.find((entry) => entry.target === target) ?? this.#free();
    return { fid, uid };
  }

  #free(uid?: number, fid?: number): Identity {
    const taken = this.zpci();
    let freeUid = uid ?? 1;
    let freeFid = fid ?? 1;
    while (uid === undefined && taken.some((entry) => entry.uid === freeUid)) freeUid += 1;
    while (fid === undefined && taken.some((entry) => entry.fid === freeFid)) freeFid += 1;
    return { uid: freeUid, fid: freeFid };
  }

  /** Takes back a zpci device whose target never came. @returns false when there is no such one */
  forgetWaiting(name: string): boolean {
    const index = this.#zpci.findIndex(
      (entry) =>
        (entry.id === name || `${PERIPHERAL}/${entry.id}` === name) &&
        !this.functions().some(({ id }) => id === entry.target),
    );
    if (index < 0) return false;
    this.#zpci.splice(index, 1);
    return true;
  }

  /**
   * @returns whether the guest has refused before
   * @throws QmpError when the device is on its way out already
   */
  startLeaving(id: string): "first" | "refused-before" {
    if (this.#leaving.has(id)) {
      throw new QmpError(`Device ${id} is already in the process of unplug`);
    }
    this.#leaving.add(id);
    return this.#kept.has(id) ? "refused-before" : "first";
  }

  /** The request came to nothing. */
  stayed(id: string): void {
    this.#leaving.delete(id);
  }

  /** The guest has refused. */
  kept(id: string): void {
    this.stayed(id);
    this.#kept.add(id);
  }

  /** The function is gone. @returns the zpci device that goes with it */
  left(id: string, fid: number): ZpciDevice | undefined {
    this.#leaving.delete(id);
    this.#kept.delete(id);
    this.#gone.set(fid, id);
    const index = this.#zpci.findIndex((entry) => entry.target === id);
    return index < 0 ? undefined : this.#zpci.splice(index, 1)[0];
  }
}

/** What a PCI function says of itself. */
export interface PciFacts {
  readonly vendor: number;
  readonly device: number;
  readonly classCode: number;
  readonly subsystemVendor: number;
  readonly subsystem: number;
  readonly barBytes: number;
  /** Undefined while the guest has not enabled the function or given the BAR no address. */
  readonly barAddress: bigint | undefined;
}

/** From the configuration header as the guest last saw it. */
export function pciFacts(control: VmControl, status: FunctionStatus): PciFacts {
  const block = control.vm.map.functionBlocks[status.index];
  const { words } = control.vm;
  const word = (offset: number): number =>
    block === undefined
      ? 0
      : byteSwap(load(words, block / 4 + FunctionBlock.configHeader + offset / 4));
  const low = word(0x10) & ~0xf;
  const address = (BigInt(word(0x14)) << 32n) | BigInt(low >>> 0);
  const enabled = status.guestState === "enabled" || status.guestState === "blocked";
  return {
    vendor: word(0) & 0xffff,
    device: word(0) >>> 16,
    classCode: word(8) >>> 16,
    subsystemVendor: word(0x2c) & 0xffff,
    subsystem: word(0x2c) >>> 16,
    barBytes: 2 ** (status.device === "nvme" ? NVME_BAR_SIZE_LOG2 : TestFunction.barSizeLog2),
    barAddress: enabled && address !== 0n ? address : undefined,
  };
}

/** The header's words hold PCI's little-endian registers with their first byte on top. */
function byteSwap(word: number): number {
  const halves = ((word >>> 8) & 0x00ff00ff) | ((word & 0x00ff00ff) << 8);
  return ((halves >>> 16) | (halves << 16)) >>> 0;
}

/** Names of PCI classes as `info pci` prints them. */
export const pciClassNames: Readonly<Record<number, string>> = {
  264: "NVMe controller",
  512: "Ethernet controller",
};
