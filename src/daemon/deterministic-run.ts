/**
 * `zmend-system-s390x -deterministic`: the guest on one thread under virtual time. Same image, options and input: same
 * console, same number of instructions, same digest. Input is what standard input holds before the start; a
 * terminal, whose keys come when they come, is no input. It is typed line by line, as by somebody who waits for the
 * answer: a guest that still boots would throw it away.
 */
import { monotonicNowUs } from "../base/clock.ts";
import { type BootSource, boot } from "../machine/boot.ts";
import { ConsoleLines } from "../machine/console-lines.ts";
import { DeterministicVm } from "../machine/deterministic-vm.ts";
import { EntryStream } from "../machine/entry-stream.ts";
import { LedgerDigest, ledgerLine } from "../machine/ledger-entry.ts";
import { COMMAND_RUN, commandOf, VCPU_RESET, VCPU_RUNNING } from "../machine/loops.ts";
import type { Snapshot } from "../machine/snapshot.ts";
import type { VmSpec } from "../machine/vm-spec.ts";

/** Real time between looks at signals and at the reader of our output; the guest knows nothing of it. */
const PAUSE_INTERVAL_US = 20_000;

/** A line is typed when the guest has had nothing to do and nothing to say for so long, virtual time. */
const QUIET_US = 500_000;
const NEWLINE = 0x0a;

export interface DeterministicOptions {
  readonly spec: VmSpec;
  readonly boot: BootSource;
  readonly snapshot?: Snapshot | undefined;
  readonly input: Uint8Array;
  readonly reboots: boolean;
  readonly console: (bytes: Uint8Array) => void;
  /** Awaited now and then: true ends the run. */
  readonly pause: () => Promise<boolean>;
}

export interface DeterministicResult {
  /** A `VCPU_…` value of `loops.ts`; `VCPU_RUNNING` when the run was interrupted. */
  readonly stopped: number;
  readonly pswAddress: bigint;
  readonly instructions: number;
  readonly timeUs: number;
  /** SHA-256 over the ledger with the console's lines, and the number of instructions. */
  readonly digest: string;
}

export async function runDeterministic(
  options: DeterministicOptions,
): Promise<DeterministicResult> {
  const { snapshot } = options;
  const digest = new LedgerDigest();
  const lines = new ConsoleLines((text, timeUs) =>
    entries.note(timeUs, "guest", "console", { text }),
  );
  let quietSinceUs = 0;
  const write = (bytes: Uint8Array): void => {
    quietSinceUs = machine.guestClock.nowUs();
    lines.push(bytes, quietSinceUs);
    options.console(bytes);
  };
  const { accel } = options.spec;
  const saved = snapshot?.head.spec;
  const spec: VmSpec = saved ? { ...saved, ...(accel ? { accel } : {}) } : options.spec;
  const machine = new DeterministicVm(spec, write, snapshot);
  const entries = new EntryStream(machine.vm, (entry) => digest.add(ledgerLine(entry)));
  if (snapshot === undefined) boot(machine.vm, options.boot);
  let rest = options.input;
  let line = rest.subarray(0, 0);
  /** Types what fits of the line under way, or takes the next one when the guest waits for it. */
  const type = (): void => {
    if (line.length === 0) {
      const quiet = machine.idle() && machine.clock.nowUs() - quietSinceUs >= QUIET_US;
      if (rest.length === 0 || !quiet) return;
      const end = rest.indexOf(NEWLINE) + 1 || rest.length;
      line = rest.subarray(0, end);
      rest = rest.subarray(end);
      quietSinceUs = machine.clock.nowUs();
    }
    line = line.subarray(machine.pushInput(line));
  };
  let pauseAtUs = 0;
  let ended = false;
  try {
    while (!ended) {
      machine.step();
      entries.pump(machine.clock.nowUs());
      type();
      if (machine.stopped() === VCPU_RESET && options.reboots) machine.reset(options.boot);
      ended = machine.stopped() !== VCPU_RUNNING || commandOf(machine.vm) !== COMMAND_RUN;
      if (monotonicNowUs() < pauseAtUs) continue;
      if (await options.pause()) ended = true;
      pauseAtUs = monotonicNowUs() + PAUSE_INTERVAL_US;
    }
  } finally {
    machine.close();
  }
  lines.end();
  entries.pump(Number.POSITIVE_INFINITY);
  const instructions = machine.instructions();
  digest.add(`${instructions}`);
  return {
    stopped: machine.stopped(),
    pswAddress: machine.pswAddress(),
    instructions,
    timeUs: machine.clock.nowUs(),
    digest: digest.hex(),
  };
}
