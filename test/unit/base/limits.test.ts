import { describe, expect, test } from "vitest";
import * as limits from "../../../src/base/limits.ts";
import { FunctionBlock } from "../../../src/shm/blocks.ts";
import { planMemory } from "../../../src/shm/memory-map.ts";

describe("the limits", () => {
  test("hold what Linux 7.3 holds: four CCDFs per function (ZPCI_ERR_PENDING_MAX, vfio-uapi.md 3)", () => {
    expect(limits.HOST_PENDING_MAX).toBe(4);
  });

  test.each([
    ["CCDF_RING_SLOTS", limits.CCDF_RING_SLOTS],
    ["REQUEST_RING_SLOTS", limits.REQUEST_RING_SLOTS],
    ["TRACE_RING_SLOTS", limits.TRACE_RING_SLOTS],
  ])("%s is a power of two, as every ring's size must be", (_name, slots) => {
    expect(Math.log2(slots) % 1).toBe(0);
  });

  test("a guest's ring takes a whole host queue several times over", () => {
    expect(limits.CCDF_RING_SLOTS).toBeGreaterThanOrEqual(4 * limits.HOST_PENDING_MAX);
  });

  test("one wake-up can empty a full host queue, and ends long before the guest's ring is full", () => {
    expect(limits.DRAIN_BATCH_MAX).toBeGreaterThan(limits.HOST_PENDING_MAX);
    expect(limits.DRAIN_BATCH_MAX).toBeLessThan(limits.CCDF_RING_SLOTS);
  });

  test("every event in a guest's ring can be fetched before the worker reads one request", () => {
    expect(limits.REQUEST_RING_SLOTS).toBeGreaterThanOrEqual(limits.CCDF_RING_SLOTS);
  });

  test("a function's bit fits the two summary words", () => {
    expect(limits.FUNCTIONS_MAX).toBeLessThanOrEqual(64);
  });

  test("a trace ring outlasts full rings of all events of one thread", () => {
    expect(limits.TRACE_RING_SLOTS).toBeGreaterThanOrEqual(
      limits.CCDF_RING_SLOTS * limits.FUNCTIONS_MAX,
    );
  });

  test("guest RAM ranges over whole wasm pages and leaves room below 4 GiB", () => {
    expect(limits.GUEST_RAM_MIN_BYTES % 65536).toBe(0);
    expect(limits.GUEST_RAM_MAX_BYTES % 65536).toBe(0);
    expect(limits.GUEST_RAM_MIN_BYTES).toBeLessThan(limits.GUEST_RAM_MAX_BYTES);
  });

  test("the largest VM fits a 32-bit wasm memory with half a MiB per vCPU and function", () => {
    const map = planMemory({
      vcpuCount: limits.VCPUS_MAX,
      functionCount: limits.FUNCTIONS_MAX,
      ramBytes: limits.GUEST_RAM_MAX_BYTES,
      vcpuBytes: 512 * 1024,
      hostBytes: 512 * 1024,
    });
    expect(map.totalBytes).toBeLessThanOrEqual(2 ** 32);
    expect(FunctionBlock.sizeBytes).toBeLessThanOrEqual(4096);
  });

  test("a slice is short enough for a 4 ms tick even at 30 million instructions a second", () => {
    expect(limits.VCPU_SLICE_INSTRUCTIONS / 30e6).toBeLessThan(0.004);
  });
});
