/**
 * Plays a log on our machine: same operands in, recorded handles mapped to ours, answers compared. CLP disable
 * and enable are asked again while they are busy, as the guest's driver does (zpci-guest.md 2.6).
 */
import { FunctionState } from "../../src/shm/blocks.ts";
import { issueInstruction, type Mnemonic } from "../support/device-instructions.ts";
import { listedDifferences } from "./differences.ts";
import type { LogLine } from "./log.ts";
import { BLOCK, ReplayMachine } from "./machine.ts";

export interface Difference {
  readonly line: number;
  readonly text: string;
  readonly recorded: string;
  readonly ours: string;
}

export interface ReplayResult {
  readonly instructions: number;
  readonly same: number;
  readonly listed: number;
  readonly different: number;
  /** Lines by entry of the list of differences. */
  readonly byReason: Readonly<Record<string, number>>;
  readonly first?: Difference;
}

const HANDLE_INDEX = 0xffff;
const CLP_BUSY = 0x0108;
const CLP_SET = 5;
/** Linux gives up after 100 tries of 20 ms (zpci-guest.md 2.6). */
const CLP_TRIES_MAX = 100;
const CLP_RETRY_US = 20_000;
const SEI_REQUEST = 0x0010000e;
const SEI_NT2 = 0xa0000000;
/** Kinds that are no instructions. */
const events = new Set(["FIB", "INJECT", "EVENT", "MCHK"]);

/** Recorded handles by the order in which they appear, so that a log of any machine finds our functions. */
class Handles {
  readonly #indices = new Map<number, number>();

  constructor(lines: readonly LogLine[]) {
    for (const line of lines) this.#learn(line);
  }

  get count(): number {
    return Math.max(1, this.#indices.size);
  }

  index(handle: number): number {
    return this.#indices.get(handle & HANDLE_INDEX) ?? 0;
  }

  #learn({ kind, fields }: LogLine): void {
    const request = fields.get("req") ?? fields.get("fh");
    const byHandle = kind === "CLP" && [3n, 5n].includes(fields.get("cmd") ?? 0n);
    const handle = byHandle
      ? (fields.get("w16") ?? 0n)
      : kind === "INJECT"
        ? (request ?? 0n)
        : request === undefined
          ? undefined
          : request >> 32n;
    if (handle === undefined) return;
    const key = Number(handle) & HANDLE_INDEX;
    if (!this.#indices.has(key)) this.#indices.set(key, this.#indices.size);
  }
}

class Replay {
  readonly #machine: ReplayMachine;
  readonly #handles: Handles;

  constructor(machine: ReplayMachine, handles: Handles) {
    this.#machine = machine;
    this.#handles = handles;
  }

  /** Our answer in the recorder's words; "" for lines that are no instructions. */
  play(line: LogLine): string {
    const machine = this.#machine;
    const { ram } = machine;
    switch (line.kind) {
      case "STCRW":
        return this.#issue("stcrw", 0n, 0n, 0n);
      case "CHSC":
        ram.fill(BLOCK, 4096, 0);
        ram.setU32(BLOCK, SEI_REQUEST);
        ram.setU32(BLOCK + 8, SEI_NT2);
        this.#issue("chsc", BigInt(BLOCK), 0n, 0n);
        return `SEI nt2 event=${ram.u16(BLOCK + 18)}`;
      case "SIC": {
        const isc = this.#field(line, "isc") << 27n;
        this.#issue("sic", this.#field(line, "mode"), isc, 0n);
        return `r=${machine.cpu.programCode}`;
      }
      case "FIB":
        this.#fib(line);
        return "";
      case "MPCIFC":
        return this.#issue("mpcifc", this.#request(line), 0n, 0n);
      case "PCILG": {
        const answer = this.#issue("pcilg", 0n, this.#request(line), this.#field(line, "off"));
        const data = machine.cpu.cc === 0 ? machine.cpu.gr(2).toString(16) : "";
        return data === "" ? answer : `${answer} data=${data}`;
      }
      case "PCISTG": {
        const [data, offset] = [this.#field(line, "data"), this.#field(line, "off")];
        return this.#issue("pcistg", data, this.#request(line), offset);
      }
      case "PCISTB":
        return this.#issue("pcistb", this.#request(line), 0n, this.#field(line, "off"));
      case "RPCIT": {
        const handle = BigInt(this.#handleOf(this.#field(line, "fh") >> 32n)) << 32n;
        return this.#issue("rpcit", handle, this.#field(line, "start"), this.#field(line, "len"));
      }
      case "CLP":
        return this.#clp(line);
      case "INJECT":
        this.#inject(line);
        return "";
      default:
        return "";
    }
  }

  #field(line: LogLine, name: string): bigint {
    return line.fields.get(name) ?? 0n;
  }

  #handleOf(recorded: bigint): number {
    return this.#machine.handle(this.#handles.index(Number(recorded)));
  }

  #request(line: LogLine): bigint {
    const recorded = this.#field(line, "req");
    return (BigInt(this.#handleOf(recorded >> 32n)) << 32n) | (recorded & 0xffff_ffffn);
  }

  /** @returns condition code and status; a program interruption by its code */
  #issue(name: Mnemonic, r1: bigint, r2: bigint, r3: bigint): string {
    const { cpu, devices } = this.#machine;
    issueInstruction(devices.intercepts, cpu, name, r1, r2, r3, BigInt(BLOCK));
    this.#machine.settle();
    if (cpu.programCode !== 0) return `program ${cpu.programCode.toString(16).padStart(4, "0")}`;
    if (name === "stcrw" || name === "chsc") return `cc${cpu.cc}`;
    // The status stands in the register of the request, which loads and stores and RPCIT have as R2.
    const register = name === "mpcifc" || name === "rpcit" ? 2 : 4;
    return `cc${cpu.cc} st=${cpu.cc === 1 ? cpu.status(register) : 0}`;
  }

  #fib(line: LogLine): void {
    const { ram, vm } = this.#machine;
    ram.fill(BLOCK, 80, 0);
    const view = new DataView(vm.buffer, vm.map.ramOffset + BLOCK, 80);
    view.setBigUint64(16, this.#field(line, "pba"));
    view.setBigUint64(24, this.#field(line, "pal"));
    view.setBigUint64(32, this.#field(line, "iota"));
    view.setUint32(40, Number(this.#field(line, "data")));
    view.setBigUint64(48, this.#field(line, "aibv"));
    view.setBigUint64(56, this.#field(line, "aisb"));
    view.setBigUint64(64, this.#field(line, "fmb"));
    if (this.#field(line, "iota") !== 0n) this.#machine.buildTables(this.#field(line, "iota"));
  }

  #clp(line: LogLine): string {
    const { ram, cpu } = this.#machine;
    const command = Number(this.#field(line, "cmd"));
    const byHandle = command === 3 || command === CLP_SET;
    const word = this.#field(line, "w16");
    for (let attempt = 1; ; attempt++) {
      ram.fill(BLOCK, 8192, 0);
      ram.setU16(BLOCK, Number(this.#field(line, "reqlen")));
      ram.setU16(BLOCK + 2, command);
      ram.setU32(BLOCK + 16, byHandle ? this.#handleOf(word) : this.#group(command, word));
      if (command === CLP_SET) {
        ram.setU8(BLOCK + 22, Number(this.#field(line, "oc")));
        ram.setU8(BLOCK + 23, Number(this.#field(line, "ndas")));
      }
      ram.setU16(BLOCK + 32, Number(this.#field(line, "rsplen_in")));
      const { devices } = this.#machine;
      issueInstruction(devices.intercepts, cpu, "clp", 0n, BigInt(BLOCK), 0n, 0n);
      this.#machine.settle();
      const code = ram.u16(BLOCK + 34);
      if (code !== CLP_BUSY || attempt === CLP_TRIES_MAX) {
        const first = ram
          .u32(BLOCK + 48)
          .toString(16)
          .padStart(8, "0");
        return `rsp=${code.toString(16).padStart(4, "0")} rfh=${first} cc=${cpu.cc}`;
      }
      this.#machine.passTo(this.#machine.clock.nowUs() + CLP_RETRY_US);
    }
  }

  /** Query group is asked for the group that our functions are in. */
  #group(command: number, word: bigint): number {
    if (command !== 4) return Number(word);
    return this.#machine.devices.zpci.all[0]?.facts.gid ?? 0;
  }

  #inject(line: LogLine): void {
    const index = this.#handles.index(Number(this.#field(line, "fh")));
    const pec = Number(this.#field(line, "pec"));
    const broken = this.#field(line, "newstate") >= BigInt(FunctionState.ERROR);
    if (broken) this.#machine.raise(index, pec, Number(this.#field(line, "faddr")));
    else this.#machine.reportOnly(index, pec);
    this.#machine.settle();
  }
}

function comparable(line: LogLine): string {
  if (line.kind === "CHSC") return line.text.replace(/^CHSC /, "");
  if (line.kind === "SIC") return /\br=\d+/.exec(line.text)?.[0] ?? "";
  // Data counts where the load succeeded.
  if (line.kind === "PCILG" && !line.answer.startsWith("cc0")) {
    return line.answer.replace(/ data=.*$/, "");
  }
  return line.answer;
}

/** Plays every line; never throws for what a log says. */
export function replayLog(lines: readonly LogLine[]): ReplayResult {
  const handles = new Handles(lines);
  const machine = new ReplayMachine(handles.count);
  const replay = new Replay(machine, handles);
  const byReason: Record<string, number> = {};
  let [instructions, same, listed, different] = [0, 0, 0, 0];
  let first: Difference | undefined;
  const originUs = lines[0]?.timeUs ?? 0;
  for (const line of lines) {
    machine.passTo(line.timeUs - originUs);
    const ours = replay.play(line);
    if (events.has(line.kind)) continue;
    instructions += 1;
    const recorded = comparable(line);
    if (ours === recorded) {
      same += 1;
      continue;
    }
    const entry = listedDifferences.find(({ takes }) => takes(line, recorded, ours));
    if (entry !== undefined) {
      listed += 1;
      byReason[entry.name] = (byReason[entry.name] ?? 0) + 1;
      continue;
    }
    different += 1;
    first ??= { line: line.number, text: line.text, recorded, ours };
  }
  return {
    instructions,
    same,
    listed,
    different,
    byReason,
    ...(first === undefined ? {} : { first }),
  };
}
