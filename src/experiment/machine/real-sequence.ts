/**
 * The zPCI instructions of one recovery as a real kernel issues them, and the states that the recovery machine goes through:
 * `zmend experiment sequence --machine linux-6.1`. The guest is at its prompt, so that nothing but the recovery is heard of
 * it; from the STCRW that finds the event to the one that finds no more, as the model's sequence (`../sequence.ts`).
 */
import type { FaultAction } from "../../backend/sim/index.ts";
import { constant, Stream } from "../../base/distribution.ts";
import { ZmendError } from "../../base/errors.ts";
import type { Instruction } from "../../guest-model/index.ts";
import { DeterministicVm } from "../../machine/deterministic-vm.ts";
import { Ledger } from "../../machine/ledger.ts";
import type { LedgerEntry } from "../../machine/ledger-entry.ts";
import { VCPU_RUNNING } from "../../machine/loops.ts";
import { readSnapshot } from "../../machine/snapshot.ts";
import { GuestRam } from "../../shm/guest-ram.ts";
import { QUIET_US, type RecoverySequence, type SequenceCase, statesOf } from "../sequence.ts";
import { bindLine, boundAtBoot, boundMark, realDriver } from "./guest-driver.ts";
import { type PrepareOptions, prepareIdle } from "./prepare.ts";
import { SequenceRecorder } from "./recorder.ts";
import { ScenarioHost } from "./scenario-host.ts";

/** A kernel asks a function to be disabled for two seconds, a driver waits for its device a minute. */
const LIMIT_US = 120e6;

export interface RealSequence extends RecoverySequence {
  /** What the guest's console said meanwhile. */
  readonly console: readonly string[];
}

/** @throws ZmendError as `prepareMachines`; FIXTURE_INVALID when the guest does not come to rest */
export async function realSequence(
  machine: string,
  request: SequenceCase,
  options: PrepareOptions = {},
): Promise<RealSequence> {
  const driver = realDriver(machine, request.driver ?? "nvme");
  const snapshot = await readSnapshot(await prepareIdle(machine, options));
  const { clearError = false, resetFails = false } = request;
  const host = {
    resetUs: constant(100_000),
    refused: 0,
    failed: resetFails ? 1 : 0,
    hangs: 0,
    broken: 0,
    clearError,
    clearUs: constant(1_000),
  };
  let text = "";
  const decoder = new TextDecoder("latin1");
  const recorder: SequenceRecorder = new SequenceRecorder(() => new GuestRam(vm.vm));
  const { spec } = snapshot.head;
  const functions = spec.functions.map((config) => ({ ...config, clearError }));
  const vm: DeterministicVm = new DeterministicVm(
    { ...spec, functions },
    (bytes) => {
      text += decoder.decode(bytes);
    },
    snapshot,
    {
      host: (_, inner) => {
        const now = (): number => vm.clock.nowUs();
        return new ScenarioHost(inner, host, new Stream().key(0, 0, 0, 0), now);
      },
      intercepts: recorder.wrap,
    },
  );
  const ledger = new Ledger(vm.vm);
  const entries: LedgerEntry[] = [];
  /** Until `done`, and the guest has had nothing to say for a while. */
  const rest = (what: string, done: () => boolean): void => {
    const startUs = vm.clock.nowUs();
    let seen = -1;
    let seenUs = startUs;
    while (vm.clock.nowUs() < seenUs + QUIET_US || !done()) {
      vm.step();
      entries.push(...ledger.drain());
      const heard = recorder.list.length + text.length;
      if (heard !== seen) seenUs = vm.clock.nowUs();
      seen = heard;
      if (vm.stopped() === VCPU_RUNNING && vm.clock.nowUs() < startUs + LIMIT_US) continue;
      throw new ZmendError(
        "FIXTURE_INVALID",
        `Machine ${machine} did not come to rest after ${what}.`,
        { console: text.slice(-2000), instructions: recorder.list.slice(-20) },
      );
    }
  };
  try {
    if (!boundAtBoot(driver)) {
      let line = new TextEncoder().encode(bindLine(driver));
      rest(`it was told to bind ${driver}`, () => {
        line = line.subarray(vm.pushInput(line));
        return line.length === 0 && text.includes(boundMark(driver));
      });
      text = "";
    }
    ledger.drain(); // of the boot
    entries.length = 0;
    const pecs = [request.pec, ...(request.andPec === undefined ? [] : [request.andPec])];
    const ccdfs = pecs.map((pec) => ({ pec }));
    const action: FaultAction = { type: "burst", ccdfs };
    vm.order({ kind: "raise", index: 0, actions: [action] });
    recorder.recording = true;
    rest(`event 0x${request.pec.toString(16)}`, () => ended(recorder.list));
  } finally {
    vm.close();
  }
  const from = recorder.list.findIndex(({ name }) => name === "STCRW");
  const to = recorder.list.findIndex(({ name, cc }) => name === "STCRW" && cc === 1);
  const console = text.split("\n").map((line) => line.trim());
  return {
    instructions: recorder.list.slice(from, to + 1),
    states: statesOf(entries),
    console: console.filter((line) => line !== ""),
  };
}

function ended(list: readonly Instruction[]): boolean {
  return list.some(({ name, cc }) => name === "STCRW" && cc === 1);
}
