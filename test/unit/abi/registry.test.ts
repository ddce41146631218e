import { describe, expect, it } from "vitest";
import { abiEntry, abiRegistry, abiVersions } from "../../../src/abi/index.ts";

const fieldsOf = (name: string, version: string): string[] =>
  Object.entries(abiEntry(name, version)?.layout.fields ?? {}).map(
    ([field, { offset, size }]) => `${field}@${offset}:${size}`,
  );

describe("the registry of interfaces", () => {
  it("knows the error feature from v1 to merged, the proposals between, and none", () => {
    const versions = abiVersions("vfio_device_feature_zpci_err").map((item) => item.version);
    const posted = Array.from({ length: 20 }, (_, n) => `v${n + 1}`);
    expect(new Set(versions)).toEqual(
      new Set([...posted, "v13-enomsg", "v13-enoent", "pec-only", "merged", "none"]),
    );
  });

  it("has sizes of vfio-uapi 2.4, 5 and 6, typed in", () => {
    const sizes: readonly [string, string, number][] = [
      ["vfio_device_feature_zpci_err", "v1", 8],
      ["vfio_device_feature_zpci_err", "v4", 4],
      ["vfio_device_feature_zpci_err", "v13", 4],
      ["vfio_device_feature_zpci_err", "v14", 72],
      ["vfio_device_feature_zpci_err", "v19", 64],
      ["vfio_device_feature_zpci_err", "v20", 8],
      ["vfio_device_feature_zpci_err", "none", 0],
      ["zpci_ccdf_err", "merged", 32],
      ["vfio_device_info_cap_zpci_base", "1", 32],
      ["vfio_device_info_cap_zpci_base", "2", 40],
      ["vfio_device_info_cap_zpci_base", "3", 40],
      ["vfio_device_info_cap_zpci_group", "2", 48],
      ["vfio_region_zpci_info", "2019", 50],
      ["vfio_region_zpci_info", "2019-v3", 112],
      ["vfio_region_zpci_info_group", "2020", 40],
      ["vfio_region_zpci_info_qpcifg", "2020-v1", 39],
      ["vfio_eeh_pe_op", "merged", 40],
      ["vfio_eeh_pe_get_addr", "2014-v6", 12],
    ];
    expect(
      sizes.map(([name, version]) => [name, version, abiEntry(name, version)?.layout.size]),
    ).toEqual(sizes);
  });

  it("uses the kernel's field names", () => {
    expect(fieldsOf("vfio_device_feature_zpci_err", "v13")).toEqual([
      "version@0:1",
      "pending_errors@1:1",
      "pec@2:2",
    ]);
    expect(fieldsOf("vfio_device_info_cap_zpci_base", "3")).toEqual([
      "header@0:8",
      "start_dma@8:8",
      "end_dma@16:8",
      "pchid@24:2",
      "vfn@26:2",
      "fmb_length@28:2",
      "pft@30:1",
      "gid@31:1",
      "fh@32:4",
      "ccdf_err_length@36:4",
    ]);
    expect(fieldsOf("vfio_eeh_pe_op", "merged").slice(3)).toEqual([
      "err.type@16:4",
      "err.func@20:4",
      "err.addr@24:8",
      "err.mask@32:8",
    ]);
  });

  it("has each name and version once, with a source, and all fields inside", () => {
    const keys = abiRegistry.map((item) => `${item.name}@${item.version}`);
    expect(new Set(keys).size).toBe(keys.length);
    for (const item of abiRegistry) {
      expect(item.source).toMatch(/Linux|linux|EEH/);
      for (const field of Object.values(item.layout.fields)) {
        expect(field.offset + field.size).toBeLessThanOrEqual(item.layout.size);
      }
    }
  });
});
