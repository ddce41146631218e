import { afterEach, describe, expect, it } from "vitest";
import { ZmendError } from "../../../../src/base/errors.ts";
import { CCDF_RING_SLOTS } from "../../../../src/base/limits.ts";
import { createMetrics, type Metrics, metricTable } from "../../../../src/control/metrics/index.ts";
import { DeterministicVm } from "../../../../src/machine/deterministic-vm.ts";
import { readFixture } from "../../../../src/machine/fixtures.ts";
import { VCPU_RUNNING } from "../../../../src/machine/loops.ts";
import { bootVm } from "../../../../src/machine/parts.ts";
import { store } from "../../../../src/shm/atomics.ts";
import { exitKinds, FunctionBlock, VcpuHeader } from "../../../../src/shm/blocks.ts";
import { RingProducer, ringDepth } from "../../../../src/shm/ring.ts";
import { type Exposition, type Family, parseExposition } from "../../../support/exposition.ts";
import { VmControlDouble } from "../../../support/vm-control-double.ts";

const OPEN = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/** What Prometheus 2.53 sends. */
const PROMETHEUS_ACCEPT =
  "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";

let metrics: Metrics | undefined;
afterEach(() => metrics?.close());

function withVms(vms: readonly VmControlDouble[]): Metrics {
  metrics = createMetrics({ vms: () => vms });
  for (const vm of vms) metrics.attach(vm);
  return metrics;
}

async function families(
  from: Metrics,
  form: Exposition = "prometheus",
): Promise<Map<string, Family>> {
  const { body } = await from.scrape(form === "openmetrics" ? OPEN : undefined);
  return parseExposition(String(body), form);
}

function value(
  found: Map<string, Family>,
  name: string,
  labels: Readonly<Record<string, string>>,
  sampleName = name,
): number | undefined {
  return found
    .get(name)
    ?.samples.find(
      (sample) =>
        sample.name === sampleName &&
        Object.entries(labels).every(([key, wanted]) => sample.labels[key] === wanted),
    )?.value;
}

describe("metrics", () => {
  it("read every event's fate from the shared words at scrape time", async () => {
    const vm = new VmControlDouble("alpha", [1, 0x2a]);
    const scraped = withVms([vm]);
    vm.setWord(1, FunctionBlock.errorsRaised, 9);
    vm.setWord(1, FunctionBlock.readByWorker, 7);
    vm.setWord(1, FunctionBlock.injected, 5);
    vm.setWord(1, FunctionBlock.fetchedByGuest, 4);
    vm.setWord(1, FunctionBlock.hostDropped, 2);
    vm.setWord(1, FunctionBlock.staleAtWorker, 1);
    vm.setWord(1, FunctionBlock.droppedByPolicy, 1);
    vm.setWord(1, FunctionBlock.workerRestarts, 3);
    vm.setWord(1, FunctionBlock.recoveries, 0xffff_ffff);
    const found = await families(scraped);
    const of = (outcome: string): number | undefined =>
      value(found, "zmend_events_total", { vm: "alpha", fid: "0x0000002a", outcome });
    expect({
      raised: of("raised"),
      read: of("read"),
      injected: of("injected"),
      fetched: of("fetched"),
      dropped: of("dropped_by_host"),
      stale: of("ignored_stale_handle"),
      policy: of("ignored_policy"),
      fmb: of("ignored_fmb_code"),
    }).toEqual({
      raised: 9,
      read: 7,
      injected: 5,
      fetched: 4,
      dropped: 2,
      stale: 1,
      policy: 1,
      fmb: 0,
    });
    const function2 = { vm: "alpha", fid: "0x0000002a" };
    expect(value(found, "zmend_worker_restarts_total", function2)).toBe(3);
    expect(value(found, "zmend_recoveries_total", function2)).toBe(0xffff_ffff);
    vm.setWord(1, FunctionBlock.errorsRaised, 10);
    expect(
      value(await families(scraped), "zmend_events_total", { ...function2, outcome: "raised" }),
    ).toBe(10);
  });

  it("are valid Prometheus text and valid OpenMetrics, and say the same", async () => {
    const vms = [new VmControlDouble("alpha", [1, 2]), new VmControlDouble('be"ta\\\n', [3])];
    const scraped = withVms(vms);
    for (const vm of vms) vm.entry(10, vm.spec.functions[0]?.fid ?? 0, "injected", {}, 1);
    const plain = await families(scraped);
    const open = await families(scraped, "openmetrics");
    expect(open.size).toBe(plain.size);
    for (const { name, type } of metricTable) {
      const other = type === "counter" ? name.replace(/_total$/, "") : name;
      expect(plain.get(name)?.type, name).toBe(type);
      expect(open.get(other)?.type, name).toBe(type);
      expect(open.get(other)?.samples.length, name).toBe(plain.get(name)?.samples.length);
    }
    expect([
      ...new Set(plain.get("zmend_vm_state")?.samples.map(({ labels }) => labels["vm"])),
    ]).toEqual(["alpha", 'be"ta\\\n']);
  });

  it("show exactly one state of a function as 1", async () => {
    const vm = new VmControlDouble("alpha", [1]);
    const scraped = withVms([vm]);
    vm.functionStates = ["guest-recovering"];
    const samples = (await families(scraped)).get("zmend_function_state")?.samples ?? [];
    expect(samples.length).toBe(11);
    expect(samples.filter((sample) => sample.value !== 0).map(({ labels }) => labels)).toEqual([
      { vm: "alpha", fid: "0x00000001", state: "guest-recovering" },
    ]);
  });

  it("put phases into the histogram of their function, in seconds", async () => {
    const vm = new VmControlDouble("alpha", [1]);
    const scraped = withVms([vm]);
    vm.entry(1000, 1, "error-raised", { pec: "0x003a", disposition: "stored" });
    vm.entry(1010, 1, "ccdf-read", { pec: "0x003a" }, 1);
    vm.entry(1040, 1, "injected", { pec: "0x003a" }, 1);
    vm.entry(1140, 1, "fetched", { pec: "0x003a" }, 1);
    vm.entry(2_001_140, 1, "recovered", { durationUs: 2_000_140 });
    const found = await families(scraped, "openmetrics");
    const name = "zmend_recovery_phase_seconds";
    const sum = (phase: string): number | undefined => value(found, name, { phase }, `${name}_sum`);
    expect(sum("detected_to_injected")).toBeCloseTo(40e-6, 9);
    expect(sum("injected_to_fetched")).toBeCloseTo(100e-6, 9);
    expect(sum("fetched_to_recovered")).toBeCloseTo(2, 9);
    const bucket = (le: string): number | undefined =>
      value(found, name, { phase: "detected_to_injected", le }, `${name}_bucket`);
    expect([bucket("0.000025"), bucket("0.00005")]).toEqual([0, 1]);
    scraped.forget("alpha");
    expect((await families(scraped)).get(name)?.samples).toEqual([]);
  });

  it("count instructions beyond 32 bits and the depth of rings", async () => {
    const vm = new VmControlDouble("alpha", [1]);
    const scraped = withVms([vm]);
    const { words, map } = vm.vm;
    const area = (map.vcpuAreas[0] as number) / 4;
    store(words, area + VcpuHeader.instructionsLow, -1);
    store(words, area + VcpuHeader.instructionsHigh, 2);
    const at = map.ccdfRings[0] as number;
    const ring = new RingProducer(words, at, CCDF_RING_SLOTS);
    for (let n = 0; n < 3; n++) {
      ring.reserve();
      ring.publish();
    }
    ring.arm(ring.reserve());
    const found = await families(scraped);
    expect(value(found, "zmend_vcpu_instructions_total", { vcpu: "0" })).toBe(3 * 2 ** 32 - 1);
    expect(value(found, "zmend_ring_depth", { ring: "ccdf" })).toBe(3);
    while (ring.reserve() >= 0) ring.publish();
    expect(ringDepth(words, at, CCDF_RING_SLOTS)).toBe(CCDF_RING_SLOTS);
  });

  it("count a guest's exits by kind: as many SERVCs as hello needs, and its end", async () => {
    const double = new VmControlDouble("hello", []);
    const machine = new DeterministicVm(double.spec, () => {});
    const { image, file } = readFixture("hello");
    bootVm(machine.vm, image, file);
    while (machine.stopped() === VCPU_RUNNING) machine.step();
    const control = Object.assign(double, { vm: machine.vm });
    const found = await families(withVms([control]));
    const exits = (kind: string): number | undefined =>
      value(found, "zmend_vcpu_exits_total", { vm: "hello", vcpu: "0", kind });
    expect(exits("servc")).toBeGreaterThan(2);
    expect((exits("power-off") ?? 0) + (exits("disabled-wait") ?? 0)).toBe(1);
    expect(exits("pcilg")).toBe(0);
    expect(exitKinds.length).toBeLessThanOrEqual(31);
  });

  it("show what a journal has lost, and nothing of a journal that is not there", async () => {
    const status = { directory: "", segments: 1, bytes: 100, written: 5, nextSeq: 6, queued: 0 };
    const kept = createMetrics({
      vms: () => [],
      journal: () => ({ ...status, lost: 7, problem: "ENOSPC" }),
    });
    const found = await families(kept);
    kept.close();
    expect(value(found, "zmend_journal_lost_total", {})).toBe(7);
    expect(value(found, "zmend_journal_failing", {})).toBe(1);
    const without = await families(withVms([]));
    expect(without.get("zmend_journal_lost_total")?.samples).toEqual([]);
  });

  it("answer in the form that the client prefers", async () => {
    const scraped = withVms([]);
    const type = async (accept?: string): Promise<string> => (await scraped.scrape(accept)).type;
    expect(await type()).toMatch(/^text\/plain; version=0.0.4/);
    expect(await type("*/*")).toMatch(/^text\/plain/);
    expect(await type(OPEN)).toBe(OPEN);
    expect(await type(PROMETHEUS_ACCEPT)).toBe(OPEN);
    expect(await type("text/plain;q=0.9, application/openmetrics-text;q=0.1")).toMatch(
      /^text\/plain/,
    );
    expect(await type("application/openmetrics-text; version=2.0.0, text/plain")).toMatch(
      /^text\/plain/,
    );
    expect(await type(";;;q=,,")).toMatch(/^text\/plain/);
  });

  it("do not mix scrapes that come at the same time", async () => {
    const vm = new VmControlDouble("alpha", [1, 2, 3]);
    const scraped = withVms([vm]);
    const texts = await Promise.all(Array.from({ length: 20 }, () => scraped.scrape()));
    for (const { body } of texts) {
      const found = parseExposition(String(body), "prometheus");
      expect(found.get("zmend_function_info")?.samples.length).toBe(3);
    }
  });

  it("say on /healthz which VM has died of itself", async () => {
    const vms = [new VmControlDouble("alpha", []), new VmControlDouble("beta", [])];
    const health = withVms(vms).routes()["GET /healthz"];
    const ask = async (): Promise<unknown> => health?.({} as never, {} as never);
    expect(await ask()).toMatchObject({ status: 200, body: '{"status":"ok","vms":2,"dead":[]}\n' });
    vms[1]?.send({ type: "reset", byGuest: true });
    if (vms[1] !== undefined) vms[1].state = "internal-error";
    expect(await ask()).toMatchObject({
      status: 503,
      body: expect.stringContaining('"dead":["beta"]'),
    });
  });

  it("hide no failure of a source behind an empty answer", async () => {
    metrics = createMetrics({
      vms: () => {
        throw new ZmendError("USAGE", "no VMs today");
      },
    });
    await expect(metrics.scrape()).rejects.toThrow("no VMs today");
    await expect(metrics.scrape()).rejects.toThrow("no VMs today");
  });
});
