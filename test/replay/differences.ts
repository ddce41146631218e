/**
 * Where our machine answers otherwise than the recorded one on purpose. A line that differs in what an entry
 * takes, and in nothing else, is *listed*; anything else is *different*.
 */
import type { LogLine } from "./log.ts";

export interface ListedDifference {
  readonly name: string;
  readonly reason: string;
  /** Source of the number or of the decision. */
  readonly source: string;
  readonly takes: (line: LogLine, recorded: string, ours: string) => boolean;
}

const CSTS = 0x1cn;

export const listedDifferences: readonly ListedDifference[] = [
  {
    name: "group",
    reason: "the function is in another group than the recorded one's 0xff",
    source: "zpci-guest.md 2.4",
    takes: ({ kind, fields }, recorded, ours) =>
      kind === "CLP" && fields.get("cmd") === 3n && withoutHandle(recorded) === withoutHandle(ours),
  },
  {
    name: "handle-instance",
    reason: "each enable hands out a new instance of the handle, so a stale one cannot pass",
    source: "zpci-guest.md 4.1, 4.3",
    takes: ({ kind, fields }, recorded, ours) =>
      kind === "CLP" && fields.get("cmd") === 5n && withoutHandle(recorded) === withoutHandle(ours),
  },
  {
    name: "reset-over-disable",
    reason:
      "the host resets a function in error that the guest disables, so CSTS.RDY is 0 after it",
    source: "zpci-guest.md 9.4, design.md 5.1",
    takes: ({ kind, fields }, recorded, ours) =>
      kind === "PCILG" &&
      ((fields.get("req") ?? 0n) & 0xff_0000n) === 0n &&
      fields.get("off") === CSTS &&
      recorded === "cc0 st=0 data=1000000" &&
      ours === "cc0 st=0 data=0",
  },
];

function withoutHandle(answer: string): string {
  return answer.replace(/rfh=[0-9a-f]+ /, "");
}
