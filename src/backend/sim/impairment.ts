/**
 * What is wrong with a function's link while no event says so: loads that give ones, DMA that does not pass, a link that
 * is down. Each for a time, or until the function is reset. Thread: platform only; the vCPU's side reads the bits.
 */
import { Pec } from "../../abi/ccdf.ts";
import { compareExchange } from "../../shm/atomics.ts";
import { Hardware, type HostArea, HostBlock, Impaired } from "./host-area.ts";

export type ImpairmentKind = "allOnes" | "blockedDma" | "linkDown";

interface Kind {
  readonly bit: number;
  /** Offset in `impairedUntil`. */
  readonly until: number;
}

const kinds: Readonly<Record<ImpairmentKind, Kind>> = {
  allOnes: { bit: Impaired.ONES, until: 0 },
  blockedDma: { bit: Impaired.DMA, until: 2 },
  linkDown: { bit: Impaired.LINK, until: 4 },
};

export class Impairment {
  readonly #area: HostArea;

  constructor(area: HostArea) {
    this.#area = area;
  }

  /**
   * @param forUs undefined = until the function is reset; a link that never comes back is a permanent error
   * @returns the PEC of the event that says so at once, or 0
   */
  begin(name: ImpairmentKind, forUs: number | undefined, nowUs: number): number {
    const area = this.#area;
    const kind = kinds[name];
    if (name === "linkDown") {
      const at = area.host + HostBlock.hardware;
      for (const from of [Hardware.NORMAL, Hardware.BLOCKED]) {
        compareExchange(area.words, at, from, Hardware.ERROR);
      }
      if (forUs === undefined) return Pec.PERMERR;
    }
    area.set(HostBlock.impaired, area.get(HostBlock.impaired) | kind.bit);
    const until = forUs === undefined ? 0 : Math.max(1, nowUs + forUs);
    area.setTime(HostBlock.impairedUntil + kind.until, until);
    return 0;
  }

  /** Ends what is over. @returns the PEC of the event that a link tells when it is up again, or 0 */
  step(nowUs: number): number {
    const area = this.#area;
    if (area.get(HostBlock.impaired) === 0) return 0;
    let event = 0;
    for (const { bit, until } of Object.values(kinds)) {
      const end = area.time(HostBlock.impairedUntil + until);
      if (end === 0 || nowUs < end) continue;
      area.setTime(HostBlock.impairedUntil + until, 0);
      area.set(HostBlock.impaired, area.get(HostBlock.impaired) & ~bit);
      if (bit === Impaired.LINK) event = Pec.SERVAC;
    }
    return event;
  }

  nextEventUs(): number {
    if (this.#area.get(HostBlock.impaired) === 0) return Number.POSITIVE_INFINITY;
    let next = Number.POSITIVE_INFINITY;
    for (const { until } of Object.values(kinds)) {
      next = Math.min(next, this.#area.time(HostBlock.impairedUntil + until) || next);
    }
    return next;
  }
}
