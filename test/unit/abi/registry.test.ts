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

  it("has the structures of vfio-uapi 1.2, 1.3, 1.6, 1.8, 1.9 and 5.1 that only describe, typed in", () => {
    const described: readonly [string, string][] = [
      ["vfio_group_status", "argsz@0:4 flags@4:4 = 8"],
      [
        "vfio_device_bind_iommufd",
        "argsz@0:4 flags@4:4 iommufd@8:4 out_devid@12:4 token_uuid_ptr@16:8 = 24",
      ],
      ["vfio_device_attach_iommufd_pt", "argsz@0:4 flags@4:4 pt_id@8:4 pasid@12:4 = 16"],
      ["iommu_ioas_alloc", "size@0:4 flags@4:4 out_ioas_id@8:4 = 12"],
      [
        "iommu_ioas_map",
        "size@0:4 flags@4:4 ioas_id@8:4 __reserved@12:4 user_va@16:8 length@24:8 iova@32:8 = 40",
      ],
      ["iommu_ioas_unmap", "size@0:4 ioas_id@4:4 iova@8:8 length@16:8 = 24"],
      ["vfio_pci_hot_reset_info", "argsz@0:4 flags@4:4 count@8:4 = 12"],
      ["vfio_pci_dependent_device", "group_id@0:4 segment@4:2 bus@6:1 devfn@7:1 = 8"],
      ["vfio_pci_hot_reset", "argsz@0:4 flags@4:4 count@8:4 = 12"],
      ["vfio_region_info_cap_sparse_mmap", "header@0:8 nr_areas@8:4 reserved@12:4 = 16"],
      ["vfio_region_sparse_mmap_area", "offset@0:8 size@8:8 = 16"],
      ["vfio_iommu_type1_info_cap_iova_range", "header@0:8 nr_iovas@8:4 reserved@12:4 = 16"],
      ["vfio_iova_range", "start@0:8 end@8:8 = 16"],
      ["vfio_device_info_cap_pci_atomic_comp", "header@0:8 flags@8:4 reserved@12:4 = 16"],
    ];
    for (const [name, places] of described) {
      const size = abiEntry(name, "merged")?.layout.size;
      expect([name, `${fieldsOf(name, "merged").join(" ")} = ${size}`]).toEqual([name, places]);
    }
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
