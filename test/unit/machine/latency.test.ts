import { describe, expect, it } from "vitest";
import { LatencyMeter, percentiles } from "../../../src/machine/latency.ts";
import { LedgerDigest, type LedgerEntry, ledgerLine } from "../../../src/machine/ledger-entry.ts";

function entry(
  timeUs: number,
  kind: string,
  correlation: number,
  detail: LedgerEntry["detail"] = {},
): LedgerEntry {
  return { seq: 0, timeUs, actor: "recovery", kind, fid: 7, correlation, detail };
}

describe("percentiles", () => {
  it("are nearest-rank", () => {
    const values = Array.from({ length: 100 }, (_, index) => 100 - index);
    expect(percentiles(values)).toEqual({ count: 100, p50: 50, p99: 99 });
  });

  it("of nothing are null", () => {
    expect(percentiles([])).toEqual({ count: 0, p50: null, p99: null });
  });
});

describe("latency meter", () => {
  it("pairs raised and read events in the host queue's order and skips what the host dropped", () => {
    const meter = new LatencyMeter();
    meter.add(entry(100, "error-raised", 0, { disposition: "stored" }));
    meter.add(entry(110, "error-raised", 0, { disposition: "queue-full" }));
    meter.add(entry(120, "error-raised", 0, { disposition: "stored" }));
    meter.add(entry(130, "ccdf-read", 1));
    meter.add(entry(140, "injected", 1));
    meter.add(entry(150, "ccdf-read", 2));
    meter.add(entry(160, "injected", 2));
    meter.add(entry(200, "fetched", 1));
    meter.add(entry(250, "fetched", 2));
    meter.add(entry(1100, "recovered", 2));
    expect(meter.result()).toEqual({
      doorbellToInject: { count: 2, p50: 40, p99: 40 },
      injectToFetch: { count: 2, p50: 60, p99: 90 },
      errorToRecovered: { count: 1, p50: 1000, p99: 1000 },
    });
  });
});

describe("ledger", () => {
  it("has one canonical line per entry, whatever the order of construction", () => {
    const a = ledgerLine(entry(1.23456, "injected", 1, { pec: 58 }));
    expect(a).toBe(
      '{"seq":0,"timeUs":1.235,"actor":"recovery","kind":"injected","fid":7,"correlation":1,"detail":{"pec":58}}',
    );
  });

  it("digests lines with newlines between them", () => {
    const one = new LedgerDigest();
    one.add("ab");
    const two = new LedgerDigest();
    two.add("a");
    two.add("b");
    expect(one.hex()).not.toBe(two.hex());
    expect(one.hex()).toMatch(/^[0-9a-f]{64}$/);
  });
});
