/**
 * The zPCI instructions of a guest as lines that two machines can be compared by: what the guest wants and which
 * answer it gets, without addresses and handles. Records a machine of this process (deterministic runs), and reads
 * a recorded log.
 */
import { vi } from "vitest";
import { ClpCommand, ClpResponse } from "../../src/abi/clp.ts";
import { StoreChannelReportWord } from "../../src/devices/css/channel.ts";
import { ChannelSubsystemCall } from "../../src/devices/css/chsc.ts";
import { r1Rxy, r2Rre } from "../../src/devices/operands.ts";
import { CallLogicalProcessor } from "../../src/devices/zpci/clp.ts";
import { LoadStore } from "../../src/devices/zpci/load-store.ts";
import { ModifyFunctionControls } from "../../src/devices/zpci/mpcifc.ts";
import type { GuestCpu, InterceptHandler } from "../../src/ports/guest-cpu.ts";
import type { LogLine } from "../replay/log.ts";

/** BAR 0 of an NVMe controller: doorbells depend on the guest's other work. */
const DOORBELLS = 0x1000;
const MSIX_TABLE = 0x2000;
const CONFIG = 15;

function access(kind: string, request: number, offset: number, answer: string): string[] {
  const space = (request >>> 16) & 15;
  if (space !== CONFIG && offset >= DOORBELLS && offset < MSIX_TABLE) return [];
  const place = space === CONFIG ? "config" : `bar ${space}`;
  return [`${kind} ${place} ${offset.toString(16)}/${request & 15} -> ${answer}`];
}

/** `cc` or `cc/status`. */
function answerOf(cc: number, status: number): string {
  return cc === 1 ? `cc 1/${status}` : `cc ${cc}`;
}

/** Lines of a recorded log; interruption control and mappings, which follow other I/O, are left out. */
export function recordedSequence(lines: readonly LogLine[]): string[] {
  return lines.flatMap(({ kind, fields, answer, text }) => {
    const request = Number((fields.get("req") ?? 0n) & 0xffffffffn);
    const [, cc = "0", status = "0"] = /cc=?(\d)(?: st=(\d+))?/.exec(answer) ?? [];
    const said = answerOf(Number(cc), Number(status));
    if (kind === "PCILG" || kind === "PCISTG") {
      return access(kind, request, Number(fields.get("off") ?? 0n), said);
    }
    if (kind === "MPCIFC") return [`MPCIFC ${request & 0xff} -> ${said}`];
    if (kind === "CLP" && fields.get("cmd") === BigInt(ClpCommand.setFunction)) {
      const code = /rsp=([0-9a-f]+)/.exec(text)?.[1] ?? "";
      return [`CLP set ${Number(fields.get("oc") ?? 0n)} -> ${code}`];
    }
    if (kind === "STCRW") return [`STCRW -> cc ${cc}`];
    return kind === "CHSC" ? ["CHSC"] : [];
  });
}

/** Records what the devices of this process execute until `stop`. */
export class SequenceRecorder {
  readonly lines: string[] = [];
  readonly #stops: (() => void)[] = [];

  constructor() {
    this.#watch(LoadStore.prototype, (cpu, high) => {
      const pair = r2Rre(high);
      const kind = ((high >>> 16) & 0xff) === 0xd0 ? "PCISTG" : "PCILG";
      const request = cpu.grLow(pair);
      const offset = cpu.grLow(pair + 1);
      return (cc) => access(kind, request, offset, answerOf(cc, (cpu.grLow(pair) >>> 24) & 0xff));
    });
    this.#watch(ModifyFunctionControls.prototype, (cpu, high) => {
      const r1 = r1Rxy(high);
      const operation = cpu.grLow(r1) & 0xff;
      return (cc) => [`MPCIFC ${operation} -> ${answerOf(cc, (cpu.grLow(r1) >>> 24) & 0xff)}`];
    });
    this.#watch(CallLogicalProcessor.prototype, (cpu, high) => {
      const block = new Uint8Array(64);
      cpu.formRegisterAddress(r2Rre(high));
      cpu.fetch(block, block.length);
      const command = new DataView(block.buffer).getUint16(2);
      if (command !== ClpCommand.setFunction) return () => [];
      const address = [cpu.addressHigh, cpu.addressLow] as const;
      return () => {
        [cpu.addressHigh, cpu.addressLow] = address;
        cpu.fetch(block, block.length);
        const code = new DataView(block.buffer).getUint16(32 + 2);
        return [`CLP set ${block[22]} -> ${code.toString(16).padStart(4, "0")}`];
      };
    });
    this.#watch(StoreChannelReportWord.prototype, () => (cc) => [`STCRW -> cc ${cc}`]);
    this.#watch(ChannelSubsystemCall.prototype, () => () => ["CHSC"]);
  }

  stop(): void {
    for (const stop of this.#stops) stop();
  }

  /** `begin` looks at the operands; what it returns makes the lines when the condition code is known. */
  #watch(
    prototype: InterceptHandler,
    begin: (cpu: GuestCpu, high: number) => (cc: number) => string[],
  ): void {
    const original = prototype.execute;
    const { lines } = this;
    const spy = vi.spyOn(prototype, "execute").mockImplementation(function (
      this: InterceptHandler,
      cpu,
      high,
      low,
    ): void {
      const end = begin(cpu, high);
      const seen = watchCc(cpu);
      original.call(this, cpu, high, low);
      lines.push(...end(seen()));
    });
    this.#stops.push(() => spy.mockRestore());
  }
}

/** @returns what tells the condition code that was set meanwhile */
function watchCc(cpu: GuestCpu): () => number {
  let last = 0;
  const spy = vi.spyOn(cpu, "setCc");
  return () => {
    last = spy.mock.lastCall?.[0] ?? last;
    spy.mockRestore();
    return last;
  };
}

/** Repetitions of a poll count once: how often a guest looks is a matter of time. */
export function withoutPolls(lines: readonly string[]): string[] {
  const again = `CLP set 1 -> ${ClpResponse.busy.toString(16).padStart(4, "0")}`;
  return lines.filter(
    (line, index) =>
      !(line === lines[index - 1] && (line.startsWith("PCILG bar 0 1c/4") || line === again)),
  );
}

const POLLS = [
  "CLP disable -> 0x0108",
  "CLP enable -> 0x0108",
  "MPCIFC 9 -> cc 2",
  "MPCIFC 7 -> cc 2",
  "PCILG bar0 0x1c/4 -> cc 0",
];

/** In the words of `zmend experiment sequence`: asking again counts once. How often a guest looks is a matter of time. */
export function pollsOnce(lines: readonly string[]): string[] {
  return lines.filter((line, index) => !(line === lines[index - 1] && POLLS.includes(line)));
}
