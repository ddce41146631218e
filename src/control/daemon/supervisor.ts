/**
 * All VMs of a daemon: started in their order, stopped together, found by name. A VM that fails to start or dies
 * touches no other.
 */
import { ZmendError } from "../../base/errors.ts";
import { suggestion } from "../../base/nearest.ts";
import type { VmEvent } from "../../machine/vm-control.ts";
import { type Attachment, ManagedVm, type VmNotice, type VmPlan } from "./managed-vm.ts";

/** What an operator did, for log and journal. */
export interface Operation {
  readonly vm: string;
  readonly command: string;
  readonly fid?: number;
  readonly detail: Readonly<Record<string, string | number | boolean>>;
}

export interface SupervisorListener {
  readonly event?: (vm: string, event: VmEvent) => void;
  readonly notice?: (vm: string, notice: VmNotice) => void;
  readonly operation?: (operation: Operation) => void;
}

export class Supervisor {
  readonly #vms: ManagedVm[] = [];
  readonly #listeners = new Set<SupervisorListener>();
  #stopping = false;

  get vms(): readonly ManagedVm[] {
    return this.#vms;
  }

  get stopping(): boolean {
    return this.#stopping;
  }

  /** Builds a VM. @throws ZmendError for an image, socket or memory that cannot be had */
  async add(plan: VmPlan, attachments: readonly Attachment[]): Promise<void> {
    const vm = await ManagedVm.create(plan, attachments);
    vm.on((event) => {
      for (const listener of this.#listeners) listener.event?.(plan.name, event);
    });
    vm.onNotice((notice) => {
      for (const listener of this.#listeners) listener.notice?.(plan.name, notice);
    });
    this.#vms.push(vm);
  }

  listen(listener: SupervisorListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  operated(operation: Operation): void {
    for (const listener of this.#listeners) listener.operation?.(operation);
  }

  /** @throws ZmendError NOT_FOUND with the nearest name */
  find(name: string): ManagedVm {
    const vm = this.#vms.find((candidate) => candidate.name === name);
    if (vm !== undefined) return vm;
    const names = this.#vms.map((candidate) => candidate.name);
    throw new ZmendError(
      "NOT_FOUND",
      `VM '${name}' is unknown${suggestion(name, names)}; there are ${names.join(", ")}.`,
    );
  }

  /** Starts what starts with the daemon, by `startOrder`; those of one number together. */
  async startAll(): Promise<void> {
    const waiting = this.#vms.filter((vm) => vm.plan.autostart);
    const orders = [...new Set(waiting.map((vm) => vm.plan.startOrder))].sort((a, b) => a - b);
    for (const order of orders) {
      const group = waiting.filter((vm) => vm.plan.startOrder === order);
      await Promise.all(group.map((vm) => this.#startOne(vm)));
      if (this.#stopping) return;
    }
  }

  async #startOne(vm: ManagedVm): Promise<void> {
    const { startDelayMs } = vm.plan;
    if (startDelayMs > 0) await new Promise((resolve) => setTimeout(resolve, startDelayMs));
    if (this.#stopping) return;
    try {
      await vm.start();
    } catch (error) {
      for (const listener of this.#listeners) {
        listener.notice?.(vm.name, { type: "start-failed", error: error as Error });
      }
    }
  }

  /** Every guest is asked to switch off, and ended after `timeoutMs`; then everything is let go. */
  async stopAll(timeoutMs: number): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#vms.map((vm) => vm.stop(timeoutMs)));
    await this.close();
  }

  /** Ends all VMs at once. */
  async close(): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#vms.map((vm) => vm.close()));
  }
}
