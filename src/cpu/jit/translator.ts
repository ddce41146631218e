/**
 * One vCPU's generated code: regions of hot blocks, made when the interpreter reports an instruction as hot, put into
 * its function table, and taken out when their bytes have changed. When a page loses its decoded entries to
 * another page its regions stay, and are put in again when the page is hot again.
 *
 * A region is a handler like any row: the entry of a head keeps its operands, and its handler number leads to the
 * region's function instead of the row's. So the interpreter's loop knows nothing of regions but how to go on.
 *
 * Bounds, because a guest chooses its code: bytes of one function (region-code.ts), regions and bytes that live at
 * one time, how often a page's code may change and how often everything is given up before that is the end of it.
 */
import { at } from "../../base/bits.ts";
import { monotonicNowUs } from "../../base/clock.ts";
import type { VmMemory } from "../../shm/vm-memory.ts";
import { Core, Entry, PAGE_BYTES, RegionStats } from "../core-layout.ts";
import type { DecodeCache } from "../interpreter/decode-cache.ts";
import { FIRST_ROW_HANDLER, HANDLER_DECODE } from "../interpreter/dispatch.ts";
import {
  FIRST_REGION_HANDLER,
  HANDLER_SLOW,
  REGION_SLOTS,
  regionImports,
} from "../interpreter/module.ts";
import { REGION_BYTES_MAX, regionModule } from "./region-code.ts";
import { planRegion, type RegionPlan } from "./region-plan.ts";

/**
 * How often taken branches reach an instruction before it is translated. A region costs some milliseconds of
 * processor time (writing it, and V8's two compilers), and in a kernel's boot the 218 blocks that run 100,000 times
 * are 96 % of all instructions (performance.md 2.5).
 */
export const HEAT_AFTER = 20_000;

const REGIONS_MAX = 2000;
const BYTES_MAX = 24 << 20;
const REGIONS_PER_PAGE_MAX = 12;
const REMAKES_PER_PAGE_MAX = 2;
const CHANGES_PER_PAGE_MAX = 32;
const CLEARANCES_MAX = 16;

/** A way into a region that stands in the interpreter's table. */
interface Head {
  readonly entry: number;
  readonly slot: number;
  readonly original: number;
}

interface Region {
  readonly id: number;
  readonly page: number;
  readonly plan: RegionPlan;
  /** The blocks that can be entered, by their offset in the page: index in the plan. */
  readonly blocks: ReadonlyMap<number, number>;
  readonly instance: WebAssembly.Instance;
  readonly heads: Head[];
  readonly bytes: number;
}

export interface TranslatorParts {
  readonly vm: VmMemory;
  readonly vcpu: number;
  readonly cache: DecodeCache;
  readonly has: (facility: number) => boolean;
  /** Translate also what was never executed: then everything that can be runs as generated code. */
  readonly everything: boolean;
  /** Exports of the interpreter's instance. */
  readonly core: Readonly<Record<string, unknown>>;
}

export class Translator {
  readonly #parts: TranslatorParts;
  readonly #area: number;
  readonly #table: WebAssembly.Table;
  readonly #imports: WebAssembly.Imports;
  readonly #free: number[] = [];
  readonly #regions = new Map<number, Region>();
  readonly #ofPage = new Map<number, readonly Region[]>();
  /** By page: how often its code has changed, and how often its regions were made anew. */
  readonly #changes = new Map<number, number>();
  readonly #remakes = new Map<number, number>();
  #nextId = 1;
  #bytes = 0;
  #clearances = 0;

  constructor(parts: TranslatorParts) {
    this.#parts = parts;
    this.#area = at(parts.vm.map.vcpuAreas, parts.vcpu);
    this.#table = parts.core["table"] as WebAssembly.Table;
    for (let slot = REGION_SLOTS - 1; slot >= 0; slot--) this.#free.push(slot);
    const names = [...Object.keys(regionImports), "original"];
    this.#imports = {
      vm: { memory: parts.vm.memory, area: this.#area },
      core: Object.fromEntries(names.map((name) => [name, parts.core[name]])),
      jit: { stale: (id: number) => this.#stale(id) },
    };
    parts.cache.evicted = (page) => {
      for (const region of this.#ofPage.get(page) ?? []) this.#uninstall(region);
    };
  }

  /** The instruction of `entry` is worth translating, with what can be reached from it in its page. */
  hot(entry: number): void {
    if (this.#clearances >= CLEARANCES_MAX || this.#rowHandler(entry) === 0) return;
    const absolute = this.#parts.cache.absoluteOf(entry);
    const offset = absolute % PAGE_BYTES;
    const page = absolute - offset;
    const entries = entry - offset * (Entry.size / 2);
    const there = this.#ofPage.get(page) ?? [];
    const region = there.find(({ blocks }) => blocks.has(offset));
    if (region !== undefined) {
      // It has this block, but not as a way in, or its entries have gone to another page meanwhile.
      this.#install(region, region.blocks.get(offset) ?? 0, entries);
      for (const index of region.plan.heads) this.#install(region, index, entries);
      return;
    }
    if ((this.#changes.get(page) ?? 0) >= CHANGES_PER_PAGE_MAX) return;
    if (there.length >= REGIONS_PER_PAGE_MAX) {
      // Made when little of the page had been executed; now more is known of it.
      const remakes = this.#remakes.get(page) ?? 0;
      if (remakes >= REMAKES_PER_PAGE_MAX) return;
      this.#remakes.set(page, remakes + 1);
      for (const { id } of there) this.#drop(id);
    }
    this.#translate(page, offset, entries);
  }

  #translate(page: number, offset: number, entries: number): void {
    const { vm, has, everything } = this.#parts;
    const start = monotonicNowUs();
    const host = vm.map.ramOffset + page;
    const bytes = vm.bytes.slice(host, host + PAGE_BYTES);
    const executed = (at: number): boolean =>
      vm.view.getUint16(entries + at * (Entry.size / 2) + Entry.handler, true) !== HANDLER_DECODE;
    const plan = planRegion(bytes, offset, has, everything ? () => true : executed);
    if (plan === undefined || plan.heads.length === 0) return;
    if (this.#full(plan.heads.length)) this.#clear();
    const id = this.#nextId++;
    const module = regionModule(plan, bytes, host, id);
    if (module.functionBytes > REGION_BYTES_MAX) return;
    const instance = new WebAssembly.Instance(new WebAssembly.Module(module.bytes), this.#imports);
    const blocks = new Map(module.blocks.map((index) => [plan.blocks[index]?.offset ?? 0, index]));
    const size = module.bytes.length;
    const region: Region = { id, page, plan, blocks, instance, heads: [], bytes: size };
    this.#regions.set(id, region);
    this.#ofPage.set(page, [...(this.#ofPage.get(page) ?? []), region]);
    for (const index of plan.heads) this.#install(region, index, entries);
    this.#bytes += size;
    this.#count(RegionStats.regions, 1);
    this.#count(RegionStats.blocks, plan.blocks.length);
    this.#count(RegionStats.bytes, size);
    this.#count(RegionStats.compileUs, monotonicNowUs() - start);
    const largest = this.#area + Core.regionStats + RegionStats.largest;
    const functionBytes = Math.max(vm.view.getInt32(largest, true), module.functionBytes);
    vm.view.setInt32(largest, functionBytes, true);
  }

  /** Makes a block of a region what the interpreter runs at its address. */
  #install(region: Region, index: number, entries: number): void {
    const block = region.plan.blocks[index];
    const first = block?.instructions[0];
    if (block === undefined || first === undefined || !region.blocks.has(block.offset)) return;
    const entry = entries + block.offset * (Entry.size / 2);
    if (this.#rowHandler(entry) !== first.handler) return;
    const slot = this.#free.pop();
    if (slot === undefined) return;
    this.#table.set(FIRST_REGION_HANDLER + slot, region.instance.exports[`b${index}`]);
    this.#parts.vm.view.setUint16(entry + Entry.handler, FIRST_REGION_HANDLER + slot, true);
    region.heads.push({ entry, slot, original: first.handler });
  }

  /** Handler number of the row that an entry stands for; 0 when it has none or is a region's already. */
  #rowHandler(entry: number): number {
    const { view } = this.#parts.vm;
    if (view.getUint16(entry + Entry.handler, true) === HANDLER_DECODE) {
      this.#parts.cache.decode(entry);
    }
    const handler = view.getUint16(entry + Entry.handler, true);
    return handler >= FIRST_ROW_HANDLER && handler < HANDLER_SLOW ? handler : 0;
  }

  #full(heads: number): boolean {
    const regions = this.#regions.size >= REGIONS_MAX;
    return regions || this.#bytes >= BYTES_MAX || this.#free.length < heads;
  }

  #clear(): void {
    this.#clearances++;
    for (const id of [...this.#regions.keys()]) this.#drop(id);
  }

  /** A region has found bytes that are not what it was made from. */
  #stale(id: number): void {
    const region = this.#regions.get(id);
    if (region === undefined) return;
    this.#changes.set(region.page, (this.#changes.get(region.page) ?? 0) + 1);
    this.#drop(id);
  }

  /** The function itself lives on while it runs. */
  #drop(id: number): void {
    const region = this.#regions.get(id);
    if (region === undefined) return;
    this.#uninstall(region);
    this.#regions.delete(id);
    const rest = (this.#ofPage.get(region.page) ?? []).filter((other) => other !== region);
    if (rest.length > 0) this.#ofPage.set(region.page, rest);
    else this.#ofPage.delete(region.page);
    this.#bytes -= region.bytes;
    this.#count(RegionStats.dropped, 1);
  }

  #uninstall(region: Region): void {
    const { view } = this.#parts.vm;
    for (const { entry, slot, original } of region.heads) {
      const handler = FIRST_REGION_HANDLER + slot;
      if (view.getUint16(entry + Entry.handler, true) === handler) {
        view.setUint16(entry + Entry.handler, original, true);
      }
      this.#table.set(handler, null);
      this.#free.push(slot);
    }
    region.heads.length = 0;
  }

  #count(stat: number, by: number): void {
    const word = this.#area + Core.regionStats + stat;
    const { view } = this.#parts.vm;
    view.setInt32(word, (view.getInt32(word, true) + Math.round(by)) | 0, true);
  }
}
