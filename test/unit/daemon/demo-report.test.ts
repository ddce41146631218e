import { describe, expect, it } from "vitest";
import {
  type FunctionOutcome,
  functionTable,
  latencyText,
  timelineHeader,
  timelineLine,
} from "../../../src/daemon/demo-report.ts";
import type { Books } from "../../../src/machine/books.ts";

const quiet: Books = {
  errorsRaised: 0,
  droppedByHost: 0,
  staleIgnored: 0,
  read: 0,
  injected: 0,
  fetchedByGuest: 0,
  notDelivered: {
    hostQueueFull: 0,
    staleHandle: 0,
    fmbCode: 0,
    superseded: 0,
    policy: 0,
    unverifiable: 0,
    vmStopped: 0,
  },
  recoveries: 0,
  hostResets: 0,
  workerRestarts: 0,
};

describe("the timeline", () => {
  it("has its columns under the header: time, function, who, what", () => {
    expect([
      timelineHeader,
      timelineLine({
        seq: 0,
        timeUs: 300_123.4,
        actor: "platform",
        kind: "error-raised",
        fid: 1,
        correlation: 1,
        detail: { pec: "0x003a", disposition: "stored" },
      }),
      timelineLine({
        seq: 1,
        timeUs: 1_200_000,
        actor: "recovery",
        kind: "state",
        fid: 0x80000001,
        detail: { from: "operational", to: "draining", event: "error-signalled" },
      }),
      timelineLine({ seq: 2, timeUs: 0, actor: "guest", kind: "machine-check", detail: {} }),
      timelineLine({
        seq: 3,
        timeUs: 1,
        actor: "guest",
        kind: "console",
        detail: { text: "zrecover: 3 functions" },
      }),
    ]).toEqual([
      "        time  function    who       what",
      "  300.123 ms  0x00000001  platform  error-raised     pec 0x003a disposition stored",
      " 1200.000 ms  0x80000001  recovery  state            from operational to draining event error-signalled",
      "    0.000 ms  vm          guest     machine-check",
      "    0.001 ms  vm          guest     | zrecover: 3 functions",
    ]);
  });
});

describe("the table of functions", () => {
  const rows: FunctionOutcome[] = [
    {
      fid: 1,
      state: "operational",
      expected: "operational",
      books: {
        ...quiet,
        errorsRaised: 2,
        read: 1,
        injected: 1,
        fetchedByGuest: 1,
        notDelivered: { ...quiet.notDelivered, staleHandle: 1 },
        recoveries: 1,
      },
      dmaChecked: 1234,
      dmaCorrupt: 0,
    },
    {
      fid: 2,
      state: "failed",
      expected: "operational",
      books: {
        ...quiet,
        errorsRaised: 13,
        read: 10,
        injected: 9,
        fetchedByGuest: 9,
        notDelivered: { ...quiet.notDelivered, hostQueueFull: 2, policy: 1, vmStopped: 1 },
        hostResets: 3,
      },
      dmaChecked: 0,
      dmaCorrupt: 7,
    },
  ];

  it("shows the books of each function in aligned columns, losses by reason", () => {
    expect(functionTable(rows).split("\n")).toEqual([
      "function    state        expected     raised  read  injected  fetched  not delivered                           recoveries  resets  DMA checked  corrupt",
      "0x00000001  operational  operational  2       1     1         1        1 staleHandle                           1           0       1234         0",
      "0x00000002  failed       operational  13      10    9         9        2 hostQueueFull, 1 policy, 1 vmStopped  0           3       0            7",
    ]);
  });

  it("shows a dash where nothing was lost, and only the header without functions", () => {
    const [row] = rows;
    const fine = { ...(row as FunctionOutcome), books: quiet };
    expect(functionTable([fine]).split("\n")[1]).toMatch(/ 0 {8}- {14}0 /);
    expect(functionTable([])).toBe(
      "function  state  expected  raised  read  injected  fetched  not delivered  recoveries  resets  DMA checked  corrupt",
    );
  });
});

describe("the latencies", () => {
  it("are one line each with percentiles and the number of measurements", () => {
    const text = latencyText({
      doorbellToInject: { count: 12, p50: 12.34, p99: 1234.5 },
      injectToFetch: { count: 1, p50: 5, p99: 5 },
      errorToRecovered: { count: 0, p50: null, p99: null },
    });
    expect(text.split("\n")).toEqual([
      "doorbell to inject   p50       12.3 us   p99     1234.5 us   n 12",
      "inject to fetch      p50        5.0 us   p99        5.0 us   n 1",
      "error to recovered   nothing measured",
    ]);
  });
});
