import { describe, expect, it } from "vitest";
import { clearGuestStorage, forEachUsedPage } from "../../../src/machine/clear-storage.ts";
import { bareVm } from "../../support/vm.ts";

describe("guest storage", () => {
  it("shows each page that holds anything, the last byte of the last page too", () => {
    const vm = bareVm(0);
    const { ramOffset, ramBytes } = vm.map;
    const at = [0, 4095, 4096 * 7 + 5, ramBytes - 1];
    for (const address of at) vm.bytes[ramOffset + address] = 1;
    const pages: number[] = [];
    forEachUsedPage(vm, ramOffset, ramBytes, (offset) => pages.push((offset - ramOffset) / 4096));
    expect(pages).toEqual([0, 7, ramBytes / 4096 - 1]);
  });

  it("is all zeros after a clear, keys too, and nothing else is touched", () => {
    const vm = bareVm(1);
    const { ramOffset, ramBytes, storageKeys } = vm.map;
    vm.bytes.fill(0xff);
    clearGuestStorage(vm);
    const kept = (offset: number): number => vm.bytes[offset] ?? -1;
    expect(vm.bytes.subarray(ramOffset, ramOffset + ramBytes).every((byte) => byte === 0)).toBe(
      true,
    );
    const keys = ramBytes / 4096;
    expect(vm.bytes.subarray(storageKeys, storageKeys + keys).every((byte) => byte === 0)).toBe(
      true,
    );
    expect([kept(ramOffset - 1), kept(storageKeys - 1), kept(storageKeys + keys)]).toEqual([
      255, 255, 255,
    ]);
  });
});
