/** Whether a machine can hold what a config asks for. */
import { describe, expect, it } from "vitest";
import {
  capacityOfMachine,
  checkCapacity,
  demandOf,
  limitProblems,
} from "../../../../src/control/daemon/capacity.ts";
import { fakeSpec } from "../../../support/fake-control.ts";

const demand = { memoryBytes: 100 * 1024 ** 2, workers: 20, functions: 16 };
const enough = { memoryBytes: 1024 ** 3, threads: 100 };

describe("the capacity of a machine", () => {
  it("counts a thread per function besides two per VM, and their memory with the VMs'", () => {
    const { workers, functions, memoryBytes } = demandOf([fakeSpec("a"), fakeSpec("b", 3)]);
    expect([workers, functions]).toEqual([7, 3]);
    // An empty worker costs 8.5 MiB (issue 5, point 7).
    expect(memoryBytes).toBeGreaterThan(2 * 1024 ** 2 + 7 * 8.5 * 1024 ** 2);
  });

  it("counts one recovery thread for the functions of several VMs that share it", () => {
    const shared = { recoveryWorkers: "shared" } as const;
    const specs = Array.from({ length: 17 }, (_, n) => ({
      ...fakeSpec(`vm${n}`, 3),
      ...shared,
      functionSlots: 64,
    }));
    // 1,088 places need two threads of 1,024 (limits.ts).
    expect(demandOf(specs)).toMatchObject({ workers: 17 * 2 + 2, functions: 51 });
    expect(demandOf(specs.slice(0, 16)).workers).toBe(16 * 2 + 1);
  });

  it("is enough when nothing is exceeded", () => {
    expect(() => checkCapacity(demand, enough)).not.toThrow();
    expect(() => checkCapacity(demand, { ...enough, threads: undefined })).not.toThrow();
    expect(limitProblems(demand, {})).toEqual([]);
    expect(limitProblems(demand, { workers: 20, functions: 16 })).toEqual([]);
  });

  it.each([
    [
      "memory",
      { ...enough, memoryBytes: 50 * 1024 ** 2 },
      "NOT_ENOUGH_MEMORY",
      /20 threads need 100 MiB, this machine has 50 MiB/,
    ],
    [
      "threads",
      { ...enough, threads: 19 },
      "ENVIRONMENT",
      /need 20 threads, this process may have 19/,
    ],
  ] as const)("is refused in one sentence for want of %s", (_, capacity, code, message) => {
    expect(() => checkCapacity(demand, capacity)).toThrow(
      expect.objectContaining({ code, message: expect.stringMatching(message) }),
    );
  });

  it("names every limit of the config that is exceeded", () => {
    const limits = { memory: 1024 ** 2, workers: 1, functions: 1 };
    expect(limitProblems(demand, limits).map(({ path, message }) => [path[1], message])).toEqual([
      [
        "memory",
        "the VMs need 100 MiB with their threads, the limit is 1 MiB; raise it or ask for less",
      ],
      ["workers", "the VMs need 20 threads, the limit is 1; raise it or ask for less"],
      ["functions", "the VMs need 16 functions, the limit is 1; raise it or ask for less"],
    ]);
  });

  it("of this machine is known", () => {
    expect(capacityOfMachine().memoryBytes).toBeGreaterThan(0);
  });
});
