/**
 * The model guest against real kernels: the same scenarios, the zPCI instructions of a recovery with operands and answers,
 * and the states of the recovery machine, compared one by one, up to the written list. The kernels' are recorded (data/sequences, by record.mjs there); the one
 * that is fetched here runs live (test/guest/linux-sequence.test.ts).
 */
import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import {
  type RecoverySequence,
  recoverySequence,
  type SequenceCase,
  sequenceLine,
  stateLine,
} from "../../src/experiment/sequence.ts";
import {
  comparedDrivers,
  comparedKernels,
  differences,
  type KernelName,
} from "../../src/guest-model/index.ts";
import { pollsOnce } from "../support/zpci-sequence.ts";

interface Recorded {
  readonly kernel: string;
  readonly packages: readonly { readonly package: string; readonly version: string }[];
  readonly cases: readonly {
    readonly case: SequenceCase;
    readonly lines?: readonly string[];
    /** The same as an earlier case from its third instruction on. */
    readonly head?: readonly string[];
    readonly like?: number;
    /** Steps of the recovery machine. */
    readonly states: readonly string[];
  }[];
}

const folder = new URL("data/sequences/", import.meta.url);
const recordings = readdirSync(folder)
  .filter((file) => file.endsWith(".json"))
  .map((file) => JSON.parse(readFileSync(new URL(file, folder), "utf8")) as Recorded);

const flavourOf = ({ kernel }: Recorded): KernelName => kernel.replace("linux-", "") as KernelName;

function genuine(recording: Recorded, index: number): readonly string[] {
  const { lines, head = [], like = 0 } = recording.cases[index] ?? {};
  return lines ?? [...head, ...(recording.cases[like]?.lines?.slice(2) ?? [])];
}

function modelled(flavour: KernelName, request: SequenceCase): RecoverySequence {
  return recoverySequence({ kernel: flavour, ...request });
}

function model(flavour: KernelName, request: SequenceCase): string[] {
  return pollsOnce(modelled(flavour, request).instructions.map(sequenceLine));
}

function compared(flavour: KernelName, lines: readonly string[]): string[] {
  const listed = differences.filter(({ kernels }) => kernels.includes(flavour));
  return lines
    .filter((line) => !listed.some(({ lines: left }) => left.test(line)))
    .map((line) => line.replace(/^(SERVC report: failed) \(.*\)$/, "$1")); // the kernel adds a reason
}

describe.each(recordings)("the model's flavour of $kernel", (recording) => {
  const flavour = flavourOf(recording);
  it.each(
    recording.cases.map(({ case: request }, index) => ({
      index,
      request,
      name: JSON.stringify(request),
    })),
  )("issues the kernel's instructions and gets its answers: $name", ({ index, request }) => {
    const real = compared(flavour, genuine(recording, index));
    expect(compared(flavour, model(flavour, request))).toEqual(real);
    expect(real.length).toBeGreaterThanOrEqual(3);
  });

  it.each(
    recording.cases.map(({ case: request, states }) => ({
      request,
      states,
      name: JSON.stringify(request),
    })),
  )("leads the recovery machine through the same states by the same events: $name", (one) => {
    expect(modelled(flavour, one.request).states.map(stateLine)).toEqual(one.states);
    expect(one.states[0]).toBe("operational -> draining on error-signalled (read)");
  });

  it("was compared in recoveries, in a permanent error, in a reset that fails, and in two events at once", () => {
    const cases = recording.cases.map(({ case: request }) => request);
    expect(cases.filter(({ pec }) => pec !== 0x3b).length).toBeGreaterThanOrEqual(5);
    expect(cases.some(({ pec }) => pec === 0x3b)).toBe(true);
    expect(cases.some(({ resetFails }) => resetFails)).toBe(true);
    expect(cases.some(({ andPec }) => andPec !== undefined)).toBe(true);
  });
});

describe("what a report says of the comparison", () => {
  it("is what was recorded: every kernel with its package, and no other", () => {
    const found = recordings.map((recording) => {
      const [kernel] = recording.packages;
      return { flavour: flavourOf(recording), ...kernel };
    });
    expect(new Set(found.map((one) => JSON.stringify(one)))).toEqual(
      new Set(comparedKernels.map((one) => JSON.stringify(one))),
    );
  });

  it("names every driver that was recorded, on the kernels it was recorded with", () => {
    const driversOf = ({ cases }: Recorded): (string | undefined)[] =>
      cases.map(({ case: request }) => request.driver ?? "nvme");
    const found = recordings.flatMap((recording) =>
      driversOf(recording).map((driver) => `${driver} ${flavourOf(recording)}`),
    );
    const said = comparedDrivers.flatMap(({ driver, kernels }) =>
      kernels.map((kernel) => `${driver} ${kernel}`),
    );
    expect(new Set(found)).toEqual(new Set(said));
  });

  it("lists a difference only where there is one", () => {
    for (const { kernels, what, lines } of differences) {
      const seen = recordings
        .filter((recording) => kernels.includes(flavourOf(recording)))
        .some((recording) =>
          recording.cases.some(({ case: request }, index) => {
            const left = (list: readonly string[]): string =>
              list.filter((line) => lines.test(line)).join("\n");
            return left(genuine(recording, index)) !== left(model(flavourOf(recording), request));
          }),
        );
      expect(seen, what).toBe(true);
    }
  });
});
