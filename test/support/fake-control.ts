/** A machine that only says what it is told to: for those who supervise machines. */
import { simFunctionConfig } from "../../src/backend/sim/index.ts";
import type { RunState, VmControl, VmEvent } from "../../src/machine/vm-control.ts";
import type { VmSpec } from "../../src/machine/vm-spec.ts";
import { loadPolicy, type Policy } from "../../src/recovery/index.ts";

export function fakeSpec(name: string, functions = 0): VmSpec {
  return {
    name,
    ramBytes: 1024 ** 2,
    cpuModel: "zmend",
    functions: Array.from({ length: functions }, (_, index) =>
      simFunctionConfig({ fid: index + 1 }, index),
    ),
    policy: loadPolicy("mediated"),
    epochMs: 0,
  };
}

export class FakeControl implements Partial<VmControl> {
  spec: VmSpec;
  readonly calls: string[] = [];
  readonly #listeners = new Set<(event: VmEvent) => unknown>();
  #state: RunState = "prelaunch";
  /** The guest switches off when it is asked to. */
  obeys = true;

  constructor(spec: VmSpec) {
    this.spec = spec;
  }

  get control(): VmControl {
    return this as unknown as VmControl;
  }

  get name(): string {
    return this.spec.name;
  }

  runState(): RunState {
    return this.#state;
  }

  failure(): Error | undefined {
    return undefined;
  }

  functions(): [] {
    return [];
  }

  timeUs(): number {
    return 0;
  }

  enter(to: RunState, reason = "test"): void {
    const from = this.#state;
    this.#state = to;
    this.emit({ type: "run-state", from, to, reason });
  }

  emit(event: VmEvent): void {
    for (const listener of [...this.#listeners]) listener(event);
  }

  async start(): Promise<void> {
    this.calls.push("start");
    this.enter("running");
  }

  async resume(): Promise<void> {
    this.calls.push("resume");
    this.enter("running");
  }

  async setPolicy(policy: Policy): Promise<void> {
    this.calls.push(`policy ${policy.name}`);
    this.spec = { ...this.spec, policies: this.spec.functions.map(() => policy) };
  }

  powerdown(): void {
    this.calls.push("powerdown");
    if (this.obeys) this.enter("shutdown", "guest-shutdown");
  }

  async stop(): Promise<void> {
    this.calls.push("stop");
    if (this.#state !== "shutdown") this.enter("shutdown", "operator");
  }

  on(listener: (event: VmEvent) => unknown): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}
