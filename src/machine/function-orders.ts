/**
 * What operators ask of single functions while a VM runs: errors and faults for the simulated hardware, which travel as orders to
 * the platform's thread; commands and policies for their recovery workers. Functions are named by FID. Main thread.
 */
import type { FaultAction, SimFunctionConfig } from "../backend/sim/index.ts";
import { ZmendError } from "../base/errors.ts";
import { hex } from "../base/hex.ts";
import type { Policy } from "../recovery/index.ts";
import { RecoveryCommand } from "../shm/blocks.ts";
import type { ControllerParts } from "./controller-parts.ts";
import type { InjectRequest, OperatorCommand } from "./vm-control.ts";
import { functionIndices } from "./vm-spec.ts";

const operatorCommands: Readonly<Record<OperatorCommand, number>> = {
  reset: RecoveryCommand.reset,
  quarantine: RecoveryCommand.quarantine,
  release: RecoveryCommand.release,
  unplug: RecoveryCommand.unplug,
  "stop-vm": RecoveryCommand.stopVm,
};

export class FunctionOrders {
  readonly #parts: ControllerParts;

  constructor(parts: ControllerParts) {
    this.#parts = parts;
  }

  /** @throws ZmendError NOT_FOUND when no function has the FID */
  indexOf(fid: number): number {
    const { spec } = this.#parts.machine;
    const indices = functionIndices(spec);
    const fidAt = (n: number): number => (spec.functions[n] as SimFunctionConfig).fid;
    const index = indices.find((n) => fidAt(n) === fid);
    if (index !== undefined) return index;
    const known = indices.map((n) => hex(fidAt(n), 8)).join(", ");
    throw new ZmendError(
      "NOT_FOUND",
      `VM ${spec.name} has no function ${hex(fid, 8)}; ${known === "" ? "it has none" : `it has ${known}`}.`,
      { fid },
    );
  }

  inject(fid: number, request: InjectRequest): void {
    const { pec, faddr = 0, count = 1, everyMs, stale = false } = request;
    if (everyMs !== undefined) {
      const everyUs = Math.max(1, Math.round(everyMs * 1000));
      return this.raise(fid, [{ type: "storm", pec, faddr, stale, count, everyUs }]);
    }
    const action: FaultAction = { type: "ccdf", pec, faddr, stale };
    this.raise(fid, new Array<FaultAction>(count).fill(action));
  }

  /** Faults of any kind, as a fault plan has them. */
  raise(fid: number, actions: readonly FaultAction[]): void {
    const index = this.indexOf(fid);
    const { machine, states } = this.#parts;
    states.requireStarted("take an error");
    machine.order({ kind: "raise", index, actions }).catch((error) => states.fail(error));
  }

  command(fid: number, command: OperatorCommand): void {
    this.#parts.commands.post(this.indexOf(fid), operatorCommands[command]);
  }

  async setPolicy(policy: Policy, fid?: number): Promise<void> {
    const { machine } = this.#parts;
    const indices = fid === undefined ? functionIndices(machine.spec) : [this.indexOf(fid)];
    await Promise.all(indices.map((index) => machine.setPolicy(index, policy)));
  }

  async faults(fid: number): Promise<readonly object[]> {
    const index = this.indexOf(fid);
    const armed = (await this.#parts.machine.order({ kind: "armed", index })) as {
      readonly pci: readonly object[];
      readonly nvme: readonly object[];
    };
    return [
      ...armed.pci.map((rule) => ({ layer: "pci", ...rule })),
      ...armed.nvme.map((rule) => ({ layer: "nvme", ...rule })),
    ];
  }

  /** @returns how many rules with the trigger `command: NAME` fired */
  async fire(name: string): Promise<number> {
    return (await this.#parts.machine.order({ kind: "fire", name })) as number;
  }

  /** Arms faults of an NVMe controller: all, or none when one is malformed. @returns the problems */
  async armNvmeFaults(fid: number, rules: unknown): Promise<readonly string[]> {
    const index = this.indexOf(fid);
    const { machine } = this.#parts;
    return (await machine.order({ kind: "arm-nvme", index, rules })) as readonly string[];
  }
}
