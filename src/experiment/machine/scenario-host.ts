/**
 * A scenario's host behaviour in front of the simulated host of a machine trial: how long resets and clears take, which
 * are refused, fail or never end. Draws in the order of the model's host (`trial/host-model.ts`), so that both meet
 * the same host under the same seed. What it lets pass, the simulated host does in no time of its own.
 */
import { isPermanentCode } from "../../abi/ccdf.ts";
import type { Stream } from "../../base/distribution.ts";
import {
  EAGAIN,
  EINVAL,
  EIO,
  HOST_PENDING,
  type HostFacts,
  type HostFunction,
  type HostPinning,
} from "../../ports/host-function.ts";
import type { HostBehaviour } from "../scenario.ts";
import { Health } from "../trial/host-model.ts";

const NEVER = Number.POSITIVE_INFINITY;
const RESET = 1;

export class ScenarioHost implements HostFunction {
  readonly facts: HostFacts;
  readonly clearError: boolean;
  readonly pinning?: HostPinning;
  health: number = Health.good;
  /** When what is under way ends; Infinity = nothing is, or it never ends. */
  dueUs = NEVER;
  readonly #inner: HostFunction;
  readonly #behaviour: HostBehaviour;
  readonly #draws: Stream;
  readonly #now: () => number;
  /** 0 nothing, 1 a reset, 7 or 9 a clear. */
  #running = 0;
  /** The scenario's part is over, the simulated host has been asked. */
  #asked = false;

  /** @param draws keyed by whoever raises a failure */
  constructor(inner: HostFunction, behaviour: HostBehaviour, draws: Stream, now: () => number) {
    this.#inner = inner;
    this.facts = inner.facts;
    this.clearError = inner.clearError;
    if (inner.pinning !== undefined) this.pinning = inner.pinning;
    this.#behaviour = behaviour;
    this.#draws = draws;
    this.#now = now;
  }

  /** An error of the function has been raised, which is none with a handle of before. */
  fails(pec: number): void {
    if (isPermanentCode(pec)) this.health = Health.gone;
    else if (this.health === Health.good) {
      this.health = this.#draws.chance(this.#behaviour.broken) ? Health.gone : Health.failed;
    }
  }

  #begin(what: number, endsUs: number): void {
    this.#running = what;
    this.#asked = false;
    this.dueUs = endsUs;
  }

  startReset(): number {
    if (this.#draws.chance(this.#behaviour.refused)) return -EAGAIN;
    const hangs = this.#draws.chance(this.#behaviour.hangs);
    const took = Math.round(this.#draws.draw(this.#behaviour.resetUs));
    this.#begin(RESET, hangs ? NEVER : this.#now() + took);
    return 0;
  }

  pollReset(): number {
    if (this.#running !== RESET) return -EINVAL;
    if (!this.#asked) {
      if (!(this.dueUs <= this.#now())) return HOST_PENDING;
      if (this.health === Health.gone || this.#draws.chance(this.#behaviour.failed)) {
        return this.#ended(-EIO);
      }
      this.#asked = true;
      this.dueUs = NEVER;
      const started = this.#inner.startReset();
      if (started !== 0) return this.#ended(started);
    }
    const answer = this.#inner.pollReset();
    if (answer === HOST_PENDING) return answer;
    if (answer === 0) this.health = Health.good;
    return this.#ended(answer);
  }

  #ended(answer: number): number {
    this.#begin(0, NEVER);
    return answer;
  }

  startClear(operation: 7 | 9): number {
    const took = Math.round(this.#draws.draw(this.#behaviour.clearUs));
    this.#begin(operation, this.#now() + took);
    return 0;
  }

  pollClear(): number {
    const operation = this.#running;
    if (operation !== 7 && operation !== 9) return -EINVAL;
    if (!this.#asked) {
      if (!(this.dueUs <= this.#now())) return HOST_PENDING;
      if (this.health === Health.gone) return this.#ended(-EIO);
      this.#asked = true;
      this.dueUs = NEVER;
      const started = this.#inner.startClear(operation);
      if (started !== 0) return this.#ended(started);
    }
    const answer = this.#inner.pollClear();
    if (answer === HOST_PENDING) return answer;
    if (answer === 0 && operation === 7) this.health = Health.good;
    return this.#ended(answer);
  }

  // What the scenario leaves alone ------------------------------------------------------------------------

  handle(): number {
    return this.#inner.handle();
  }

  open(): number {
    return this.#inner.open();
  }

  close(): number {
    this.#begin(0, NEVER);
    return this.#inner.close();
  }

  getError(slot: number): number {
    return this.#inner.getError(slot);
  }

  completeInterruptedCall(slot: number): void {
    this.#inner.completeInterruptedCall?.(slot);
  }

  takeSignals(): number {
    return this.#inner.takeSignals();
  }

  takeRequests(): number {
    return this.#inner.takeRequests();
  }
}
