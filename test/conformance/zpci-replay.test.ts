/**
 * Every zPCI instruction that a genuine 6.1 guest issued (data/zpci-6.1-nvme.log.gz: boot, recovery from PEC
 * 0x003a, a logged 0x002a, permanent failure 0x003b) is answered by our machine as recorded, but for the
 * written list of differences; and the player tells other answers apart.
 */
import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { listedDifferences } from "../replay/differences.ts";
import { parseLog, readLog } from "../replay/log.ts";
import { replayLog } from "../replay/replay.ts";

const file = new URL("data/zpci-6.1-nvme.log.gz", import.meta.url).pathname;
const text = gunzipSync(readFileSync(file)).toString();

describe("the recorded instructions of Linux 6.1", () => {
  it("get the recorded answers, all but five that are listed", () => {
    expect(replayLog(readLog(file))).toEqual({
      instructions: 2749,
      same: 2744,
      listed: 5,
      different: 0,
      byReason: { group: 1, "handle-instance": 3, "reset-over-disable": 1 },
    });
  });

  it("need every entry of the list, and each has a reason and a source", () => {
    const { byReason } = replayLog(readLog(file));
    expect(Object.keys(byReason).sort()).toEqual(listedDifferences.map(({ name }) => name).sort());
    for (const { reason, source } of listedDifferences) {
      expect(reason.length).toBeGreaterThan(20);
      expect(source).toMatch(/zpci-guest\.md \d/);
    }
  });

  it.each([
    ["cc1 st=12 data=80020000", "cc0 st=0 data=0"],
    ["rsp=0010 rfh=00800001 cc=0", "rsp=0010 rfh=00800002 cc=0"],
    ["len=1000 -> cc3 st=0", "len=1000 -> cc0 st=0"],
    ["SEI nt2 event=1", "SEI nt2 event=5"],
  ])("differ from a log that says '%s' otherwise", (recorded, changed) => {
    expect(text).toContain(recorded);
    const { different, first } = replayLog(parseLog(text.replace(recorded, changed), "changed"));
    expect(different).toBe(1);
    expect(first?.line).toBe(text.slice(0, text.indexOf(recorded)).split("\n").length);
  });
});

describe("a log that is none", () => {
  it.each([
    ["", "x holds no line of a log"],
    ["hello", "x line 1: expected seconds and an instruction, such as '12.5 STCRW -> cc0'"],
    [
      "1.0 SIC mode=1 isc=2 r=0\n2.0 PCILQ req=0",
      "x line 2: 'PCILQ' is unknown (did you mean 'PCILG'?)",
    ],
    ["1.0 RPCIT fh=zz start=0 len=0", "x line 1: RPCIT lacks a readable 'fh='"],
  ])("%j is refused in one sentence", (log, message) => {
    expect(() => parseLog(log, "x")).toThrow(message);
  });

  it("is refused by its name when it cannot be read or is a damaged archive", () => {
    expect(() => readLog("missing.log")).toThrow("missing.log cannot be read");
  });
});
