/**
 * One VM of the daemon over all its lives: builds its machine, starts and stops it, and starts it again when it
 * ended by itself and its restart rule says so. What controls or watches a machine (QMP, journal, metrics) is
 * attached to each life of it.
 */
import { monotonicNowUs } from "../../base/clock.ts";
import { ZmendError } from "../../base/errors.ts";
import type { RestartRule } from "../../config/daemon-config.ts";
import type { RunState, VmControl, VmEvent } from "../../machine/vm-control.ts";
import { policyOf, type VmSpec } from "../../machine/vm-spec.ts";
import type { Policy } from "../../recovery/index.ts";

/** What the daemon's config says of a VM, ready to build. */
export interface VmPlan {
  readonly name: string;
  readonly spec: VmSpec;
  /** Of every function of the config, plugged or not, for `plug`. */
  readonly functions: readonly PlannedFunction[];
  readonly autostart: boolean;
  readonly startOrder: number;
  readonly startDelayMs: number;
  readonly restart: RestartRule;
  /** Builds the machine and loads what it runs; `spec` is the plan's, with the policies now in force. */
  readonly build: (spec: VmSpec) => Promise<VmControl>;
  /** The same from a snapshot. @throws ZmendError when the file is none, or of another machine */
  readonly restore: (spec: VmSpec, file: string) => Promise<VmControl>;
}

export interface PlannedFunction {
  readonly id: string;
  readonly fid: number;
  readonly config: VmSpec["functions"][number];
}

/** Something that belongs to one life of a machine and is closed before the next. */
export type Attachment = (control: VmControl) => Promise<() => Promise<void> | void>;

/** Facts about a VM that are not the machine's own: for logs and the journal. */
export type VmNotice =
  | { readonly type: "restart"; readonly attempt: number; readonly cause: RunState }
  | { readonly type: "stays-down"; readonly cause: RunState; readonly why: string }
  | { readonly type: "start-failed"; readonly error: Error };

const endedStates: readonly RunState[] = [
  "io-error",
  "guest-panicked",
  "internal-error",
  "shutdown",
];

/** Console text kept for those who come later: some screens. */
const CONSOLE_KEPT_BYTES = 64 * 1024;

/** Ends that a rule answers with a restart. */
const causesOf: Readonly<Record<RestartRule["when"], readonly RunState[]>> = {
  never: [],
  "on-crash": ["internal-error"],
  "on-failure": ["internal-error", "guest-panicked", "io-error"],
  always: endedStates,
};

export function hasEnded(state: RunState): boolean {
  return endedStates.includes(state);
}

export class ManagedVm {
  readonly plan: VmPlan;
  readonly #attachments: readonly Attachment[];
  readonly #listeners = new Set<(event: VmEvent) => void>();
  readonly #notices = new Set<(notice: VmNotice) => void>();
  #control: VmControl;
  #spec: VmSpec;
  #detach: (() => Promise<void> | void)[] = [];
  #unsubscribe: () => void = () => {};
  /** Operations on a VM follow one another. */
  #queue: Promise<unknown> = Promise.resolve();
  #wantedDown = false;
  /** Times of restarts within the rule's window, microseconds. */
  #restarts: number[] = [];
  #restartCount = 0;
  #timer: NodeJS.Timeout | undefined;
  /** Ends the wait for a guest that was asked to switch off. */
  #endWait = (): void => {};
  #console: Uint8Array[] = [];
  #consoleBytes = 0;

  private constructor(plan: VmPlan, attachments: readonly Attachment[], control: VmControl) {
    this.plan = plan;
    this.#attachments = attachments;
    this.#control = control;
    this.#spec = plan.spec;
  }

  /** Builds the first life. @throws ZmendError for an image or memory that cannot be had */
  static async create(plan: VmPlan, attachments: readonly Attachment[]): Promise<ManagedVm> {
    const vm = new ManagedVm(plan, attachments, await plan.build(plan.spec));
    await vm.#attach();
    return vm;
  }

  get name(): string {
    return this.plan.name;
  }

  /** The machine of the present life. */
  get control(): VmControl {
    return this.#control;
  }

  get restarts(): number {
    return this.#restartCount;
  }

  /** An operator or the daemon's end wants it down: however it ends then is no failure. */
  get wantedDown(): boolean {
    return this.#wantedDown;
  }

  /** A restart is due. */
  get restartPending(): boolean {
    return this.#timer !== undefined;
  }

  /** Events of this life and all that follow, until the returned function is called. */
  on(listener: (event: VmEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  onNotice(listener: (notice: VmNotice) => void): () => void {
    this.#notices.add(listener);
    return () => this.#notices.delete(listener);
  }

  /** The last console text, oldest first. */
  consoleTail(): Uint8Array {
    return Buffer.concat(this.#console);
  }

  /** Starts a VM that is down, or lets a paused one go on. @throws ZmendError STATE_REFUSED if it runs */
  start(options: { readonly paused?: boolean } = {}): Promise<void> {
    return this.#exclusive(async () => {
      this.#cancelRestart();
      this.#wantedDown = false;
      const state = this.#control.runState();
      if (state === "paused") return this.#control.resume();
      if (hasEnded(state)) await this.#rebuild();
      else if (state !== "prelaunch") {
        throw new ZmendError("STATE_REFUSED", `VM ${this.name} is ${state} already.`);
      }
      await this.#launch(options);
    });
  }

  /**
   * Asks the guest to switch off, and ends the VM after `timeoutMs` if it has not.
   * @returns whether the guest ended by itself
   */
  stop(timeoutMs: number): Promise<boolean> {
    return this.#exclusive(async () => {
      this.#wantedDown = true;
      this.#cancelRestart();
      const state = this.#control.runState();
      const asked = state === "running" && timeoutMs > 0;
      if (asked) {
        this.#control.powerdown();
        await this.#ended(timeoutMs);
      }
      const byItself = asked && this.#control.runState() !== "running";
      await this.#control.stop();
      return byItself;
    });
  }

  /** System reset; a VM that a policy or its guest stopped runs again after it. @throws ZmendError STATE_REFUSED */
  reset(): Promise<void> {
    return this.#exclusive(async () => {
      if (this.#control.runState() === "prelaunch") {
        throw new ZmendError("STATE_REFUSED", `VM ${this.name} is prelaunch; start it instead.`);
      }
      this.#cancelRestart();
      await this.#control.reset();
      this.#wantedDown = false;
    });
  }

  /** Of one function or of all, for this life and those that follow. */
  setPolicy(policy: Policy, fid?: number): Promise<void> {
    return this.#exclusive(async () => {
      await this.#control.setPolicy(policy, fid);
    });
  }

  /** The plan with the policies that are in force, whoever has set them. */
  #specNow(): VmSpec {
    const { spec } = this.#control;
    const policies = this.#spec.functions.map(({ fid }, index) => {
      const at = spec.functions.findIndex((config) => config.fid === fid);
      return at < 0 ? this.#spec.policies?.[index] : policyOf(spec, at);
    });
    this.#spec = { ...this.#spec, policies };
    return this.#spec;
  }

  pause(): Promise<void> {
    return this.#exclusive(() => this.#control.pause());
  }

  save(file: string): Promise<void> {
    return this.#exclusive(() => this.#control.save(file));
  }

  /** Puts a machine as it was saved in place of the present one. */
  restore(file: string): Promise<void> {
    return this.#exclusive(async () => {
      // What cannot be read must not cost the machine that runs.
      const next = await this.plan.restore(this.#specNow(), file);
      this.#cancelRestart();
      this.#wantedDown = true;
      await this.#control.stop();
      await this.#replace(next);
      this.#wantedDown = false;
      await this.#launch({});
    });
  }

  /** Stops the VM at once and lets go of everything. */
  async close(): Promise<void> {
    this.#wantedDown = true;
    this.#endWait();
    this.#cancelRestart();
    await this.#exclusive(async () => {
      await this.#control.stop();
      await this.#release();
    });
  }

  async #launch(options: { readonly paused?: boolean }): Promise<void> {
    await this.#control.start(options);
    const failure = this.#control.failure();
    if (failure !== undefined) throw failure;
  }

  #exclusive<T>(operation: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(operation);
    this.#queue = result.catch(() => {});
    return result;
  }

  async #rebuild(): Promise<void> {
    const next = await this.plan.build(this.#specNow());
    await this.#control.stop();
    await this.#replace(next);
  }

  async #replace(next: VmControl): Promise<void> {
    await this.#release();
    this.#control = next;
    await this.#attach();
  }

  async #attach(): Promise<void> {
    this.#unsubscribe = this.#control.on((event) => this.#heard(event));
    for (const attachment of this.#attachments) {
      this.#detach.push(await attachment(this.#control));
    }
  }

  async #release(): Promise<void> {
    this.#unsubscribe();
    for (const detach of this.#detach.splice(0).reverse()) await detach();
  }

  #heard(event: VmEvent): void {
    if (event.type === "console") this.#keep(event.bytes);
    for (const listener of this.#listeners) listener(event);
    if (event.type !== "run-state" || !hasEnded(event.to) || this.#wantedDown) return;
    // QMP `quit` is an operator's word too.
    if (event.reason !== "operator") this.#endedByItself(event.to);
  }

  #keep(bytes: Uint8Array): void {
    this.#console.push(bytes);
    this.#consoleBytes += bytes.length;
    while (this.#consoleBytes > CONSOLE_KEPT_BYTES) {
      this.#consoleBytes -= this.#console.shift()?.length ?? 0;
    }
  }

  #endedByItself(cause: RunState): void {
    const { when, times, withinMs, delayMs } = this.plan.restart;
    if (this.#timer !== undefined) return;
    if (!causesOf[when].includes(cause)) {
      this.#tell({ type: "stays-down", cause, why: `restart.when is ${when}` });
      return;
    }
    const nowUs = monotonicNowUs();
    this.#restarts = this.#restarts.filter((timeUs) => nowUs - timeUs < withinMs * 1000);
    if (this.#restarts.length >= times) {
      this.#tell({
        type: "stays-down",
        cause,
        why: `${times} restarts within ${withinMs} ms are used up`,
      });
      return;
    }
    this.#restarts.push(nowUs);
    this.#timer = setTimeout(() => void this.#restart(cause), delayMs);
  }

  async #restart(cause: RunState): Promise<void> {
    this.#timer = undefined;
    try {
      await this.#exclusive(async () => {
        if (this.#wantedDown) return;
        this.#restartCount++;
        this.#tell({ type: "restart", attempt: this.#restartCount, cause });
        await this.#rebuild();
        await this.#launch({});
      });
    } catch (error) {
      this.#tell({ type: "start-failed", error: error as Error });
    }
  }

  #cancelRestart(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #tell(notice: VmNotice): void {
    for (const listener of this.#notices) listener(notice);
  }

  /** Resolves when the machine has ended, after `timeoutMs` at the latest. */
  #ended(timeoutMs: number): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        off();
        resolve();
      };
      const timer = setTimeout(done, timeoutMs);
      this.#endWait = done;
      const off = this.#control.on((event) => {
        if (event.type === "run-state" && hasEnded(event.to)) done();
      });
      if (hasEnded(this.#control.runState())) done();
    });
  }
}
