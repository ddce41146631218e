/**
 * `zmend vm inject VM --scenario FILE` against a live daemon: the events that an experiment's trials meet, at their times, reach
 * the functions of a running VM, and its guest recovers. On our own guest; on Debian's kernel where it is cached.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import type { FunctionReport } from "../../src/control/daemon/status.ts";
import { loadExperiment } from "../../src/experiment/experiment-file.ts";
import { injectionsOf } from "../../src/experiment/injections.ts";
import { TrialRunner } from "../../src/experiment/trial/runner.ts";
import { readLinuxFixture } from "../../src/machine/linux-fixture.ts";
import { daemonConfig, TestDaemon } from "../support/daemon.ts";
import { linuxMissing } from "../support/linux-vm.ts";

let daemon: TestDaemon;
afterEach(() => daemon.remove());

/** Errors far enough apart for a guest to recover in between, however slow it is: the events of one do not overlap. */
const experiment = `version: 1
name: found
question: What was found in simulation?
seed: 5
repetitions: 1
metrics: [availability]
scenarios:
  - name: other
    hours: 1
    errors: [{ arrivals: { poisson: { perHour: 1 } } }]
  - name: found
    hours: 0.01
    functionsPerGuest: 2
    errors:
      - arrivals: { trace: { atSeconds: [1, 3, 5] } }
        pecs: { "0x003a": 1, "0x0001": 1 }
        share: 0.8
        stale: 0.3
guests: [{ kernel: "6.1", driver: nvme }]
policies: [mediated]
`;

interface Said {
  readonly atSeconds: number;
  readonly fid: string;
  readonly pec: string;
  readonly stale: boolean;
}

/** Plays the scenario; every event is raised when the command ends. */
async function play(vm: string): Promise<Said[]> {
  const file = join(daemon.folder, "found.yaml");
  writeFileSync(file, experiment);
  const words = ["vm", "inject", vm, "--scenario", file, "--of", "found", "--speed", "2", "--json"];
  const { stdout, stderr, status } = await daemon.zmend(...words);
  expect(`${status} ${stderr}`).toBe("0 ");
  return stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Said);
}

function planned(): Said[] {
  const plan = loadExperiment(join(daemon.folder, "found.yaml"));
  const list = injectionsOf({ plan, scenario: 1, repetition: 0, functions: 2 });
  return [...list].map(({ atUs, index, pec, stale }) => ({
    atSeconds: atUs / 1e6,
    fid: `0x${String(index + 1).padStart(8, "0")}`,
    pec: `0x${pec.toString(16).padStart(4, "0")}`,
    stale,
  }));
}

async function settled(vm: string, said: readonly Said[]): Promise<FunctionReport[]> {
  const of = (fid: string): Said[] => said.filter((one) => one.fid === fid);
  return daemon.untilAsked<FunctionReport[]>(["function", "list", vm], (rows) =>
    rows.every(
      ({ fid, errorsRaised, open, state }) =>
        errorsRaised === of(fid).length && open === 0 && state === "operational",
    ),
  );
}

describe("a scenario found in simulation", () => {
  it("is raised on a live VM event by event, and the guest recovers as the simulation's", async () => {
    daemon = new TestDaemon(daemonConfig(["alpha"]));
    await daemon.start();
    await daemon.untilAsked<FunctionReport[]>(["function", "list", "alpha"], (rows) =>
      rows.every(({ guestState }) => guestState === "enabled"),
    );
    const said = await play("alpha");
    expect(said).toEqual(planned());
    expect(said.some(({ stale }) => stale)).toBe(true);
    const rows = await settled("alpha", said);
    for (const { fid, notDelivered, recoveries, fetchedByGuest } of rows) {
      const own = said.filter((one) => one.fid === fid);
      const stale = own.filter((one) => one.stale).length;
      expect(notDelivered["staleHandle"]).toBe(stale);
      expect(fetchedByGuest).toBe(own.length - stale);
      expect(recoveries).toBe(own.length - stale);
    }
    // The trial of the simulation met the same events.
    const plan = loadExperiment(join(daemon.folder, "found.yaml"));
    const row = new TrialRunner(plan, daemon.folder).row(1);
    if (row.status !== "done") throw new Error(row.reason);
    expect(row.metrics).toMatchObject({
      eventsRaised: said.length,
      lostStale: said.filter(({ stale }) => stale).length,
      recoveries: said.filter(({ stale }) => !stale).length,
    });
  });

  const kernel = "linux-6.1";
  const missing = linuxMissing(kernel);
  it.skipIf(missing !== undefined)(
    `is repeated on ${kernel}, which recovers from every error of it${missing ?? ""}`,
    async () => {
      const functions = [1, 2].map(
        (fid) =>
          `      - { fid: ${fid}, uid: ${fid}, device: nvme, nvme: { serial: zmend-${fid}, namespaces: [{ sizeBytes: 16777216 }] } }\n`,
      );
      const fixture = readLinuxFixture(kernel);
      daemon = new TestDaemon(`version: 1
vms:
  - name: debian
    kernel: ${fixture.kernel.file}
    initrd: ${fixture.initrd.file}
    append: console=ttysclp0 quiet run=recovery
    memory: 256MiB
    functions:
${functions.join("")}`);
      await daemon.start();
      // A guest gives up a function that breaks while its driver probes it.
      const console = async (): Promise<string> =>
        (await daemon.zmend("vm", "console", "debian", "--no-follow")).stdout;
      while (((await console()).match(/fid=0000000[12] at work/g) ?? []).length < 2) {
        await new Promise((resolve) => setTimeout(resolve, 500));
      }
      const said = await play("debian");
      const rows = await settled("debian", said);
      for (const { fid, notDelivered } of rows) {
        const stale = said.filter((one) => one.fid === fid && one.stale).length;
        expect(notDelivered["staleHandle"]).toBe(stale);
      }
    },
    400_000,
  );
});
