/** The status as people read it. */
import { describe, expect, it } from "vitest";
import { duration, red, type StatusReport, statusText } from "../../../src/daemon/status-table.ts";

const books = {
  notDelivered: { hostQueueFull: 2, staleHandle: 0 },
  errorsRaised: 6,
  fetchedByGuest: 4,
};
const report: StatusReport = {
  daemon: {
    pid: 7,
    version: "1.2.3",
    uptimeUs: 61e6,
    stateDir: "/s",
    metrics: "http://127.0.0.1:1",
    page: "",
    residentBytes: 64 * 1024 ** 2,
    journal: { lost: 0 },
  },
  vms: [
    {
      name: "a",
      state: "running",
      timeUs: 3.7e9,
      instructions: 1234567,
      memoryBytes: 16 * 1024 ** 2,
      functions: 2,
      troubled: 1,
      restarts: 0,
      restartPending: false,
      qmp: "/s/qmp/a.sock",
    },
  ],
  functions: ["operational", "failed"].map((state, index) => ({
    vm: "a",
    id: `a-${index}`,
    fid: `0x0000000${index}`,
    uid: 1,
    device: "test",
    state,
    guestState: "enabled",
    guestHandle: "0x80010000",
    policy: "mediated",
    injected: 4,
    open: 0,
    recoveries: 1,
    hostResets: 0,
    workerRestarts: 0,
    ...books,
  })),
};

describe("the status", () => {
  it("is a table of VMs and one of functions", () => {
    expect(statusText(report).split("\n")).toEqual([
      "zmend 1.2.3, pid 7, up 1 m 1 s, 64 MiB resident, state in /s",
      "metrics http://127.0.0.1:1   page off",
      "",
      "vm  state    up       memory  functions              instructions  restarts",
      "a   running  1 h 1 m  16 MiB  2 (1 not operational)  1,234,567     0",
      "",
      "vm  fid         id   state        guest sees  policy    raised  fetched  not delivered    recoveries  resets",
      "a   0x00000000  a-0  operational  enabled     mediated  6       4        2 hostQueueFull  1           0",
      "a   0x00000001  a-1  failed       enabled     mediated  6       4        2 hostQueueFull  1           0",
    ]);
  });

  it("shows what is not well in red", () => {
    const daemon = { ...report.daemon, journal: { lost: 3, problem: "ENOSPC" }, reloadError: "no" };
    const lines = statusText({ ...report, daemon }, red).split("\n");
    expect(lines).toContain(red("JOURNAL: 3 records lost: ENOSPC"));
    expect(lines).toContain(red("RELOAD REFUSED, the old config stays: no"));
    const [operational = "", failed = ""] = statusText(report).split("\n").slice(-2);
    expect(lines).toContain(operational);
    expect(lines).toContain(red(failed));
  });

  it.each([
    [0, "0 s"],
    [59.9e6, "59 s"],
    [60e6, "1 m 0 s"],
    [3_661e6, "1 h 1 m"],
    [90_000e6, "1 d 1 h"],
  ])("shows %d us as %s", (us, text) => {
    expect(duration(us)).toBe(text);
  });
});
