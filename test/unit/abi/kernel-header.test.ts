import { spawnSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import type { Layout } from "../../../src/abi/layout.ts";
import * as vfio from "../../../src/abi/vfio.ts";

/**
 * The VFIO tables against the C compiler: linux/vfio.h and linux/vfio_zdev.h of whatever kernel headers are
 * installed, for this machine and, when its compiler is there, for s390x. Nothing is run: every claim is a
 * `_Static_assert`. Newer fields than the headers know are skipped, with the reason in the name.
 */
const structures: readonly [string, Layout, Readonly<Record<string, string>>][] = [
  [
    "vfio_device_info",
    vfio.VfioDeviceInfo,
    { numRegions: "num_regions", numIrqs: "num_irqs", capOffset: "cap_offset" },
  ],
  ["vfio_info_cap_header", vfio.VfioInfoCapHeader, {}],
  ["vfio_region_info", vfio.VfioRegionInfo, { capOffset: "cap_offset" }],
  ["vfio_irq_info", vfio.VfioIrqInfo, {}],
  ["vfio_irq_set", vfio.VfioIrqSet, {}],
  ["vfio_device_feature", vfio.VfioDeviceFeature, {}],
  [
    "vfio_device_info_cap_zpci_base",
    vfio.ZpciBaseV3,
    {
      startDma: "start_dma",
      endDma: "end_dma",
      fmbLength: "fmb_length",
      ccdfErrLength: "ccdf_err_length",
    },
  ],
  ["vfio_device_info_cap_zpci_group", vfio.ZpciGroupV2, { msiAddr: "msi_addr" }],
  ["vfio_device_info_cap_zpci_util", vfio.ZpciUtil, { utilStr: "util_str" }],
  ["vfio_device_info_cap_zpci_pfip", vfio.ZpciPfip, {}],
];

/** What a header of Linux 6.1, the oldest that is compared, does not know yet. */
const newer = new Set([
  "pad",
  "ccdf_err_length",
  "VFIO_DEVICE_INFO_CAP_PCI_ATOMIC_COMP",
  "VFIO_DEVICE_FEATURE_ZPCI_ERROR",
]);

/** Names of ours, and one whose macro is written differently. */
const ownNames = new Set([
  "VFIO_DEVICE_INFO_MIN",
  "VFIO_REGION_STRIDE",
  "VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFO_V2",
]);

interface Claim {
  readonly name: string;
  /** A constant expression that does not compile when the header lacks the name. */
  readonly expression: string;
  readonly value: number;
}

function claimsOf(
  struct: string,
  table: Layout,
  renamed: Readonly<Record<string, string>>,
): Claim[] {
  return Object.entries(table.fields).flatMap(([key, field]) => {
    const member = renamed[key] ?? key;
    const offset = {
      name: member,
      expression: `offsetof(struct ${struct}, ${member})`,
      value: field.offset,
    };
    // A flexible array has an offset but no size.
    if (field.kind === "bytes") return [offset];
    const size = `sizeof(((struct ${struct} *)0)->${member})`;
    return [offset, { name: member, expression: size, value: field.size }];
  });
}

const sizes: Claim[] = structures.map(([struct, table]) => ({
  // Only headers that have the padding of the device info have its full size.
  ...(table === vfio.VfioDeviceInfo
    ? { name: "pad", expression: `offsetof(struct ${struct}, pad) * 0 + sizeof(struct ${struct})` }
    : { name: struct, expression: `sizeof(struct ${struct})` }),
  // The string of these two follows the structure as a flexible array.
  value: table === vfio.ZpciUtil || table === vfio.ZpciPfip ? 12 : table.size,
}));

const constants: Claim[] = Object.entries(vfio).flatMap(([name, value]) =>
  name.startsWith("VFIO_") && typeof value === "number" && !ownNames.has(name)
    ? [{ name, expression: name, value }]
    : [],
);

const preamble = [
  "#include <stddef.h>",
  "#include <linux/version.h>",
  "#include <linux/vfio.h>",
  "#include <linux/vfio_zdev.h>",
];

/** Line numbers (from 1, after the preamble) that the compiler complains about; undefined: no compiler. */
function compile(compiler: string, lines: readonly string[]): number[] | undefined {
  const result = spawnSync(compiler, ["-x", "c", "-fsyntax-only", "-fmax-errors=0", "-"], {
    input: [...preamble, ...lines, ""].join("\n"),
    encoding: "utf8",
    env: { ...process.env, LC_ALL: "C" },
  });
  if (result.error !== undefined) return undefined;
  const wrong = [...result.stderr.matchAll(/^<stdin>:(\d+):\d+: error:/gm)].map(
    (match) => Number(match[1]) - preamble.length,
  );
  if (result.status !== 0 && wrong.length === 0) return lines.map((_, index) => index + 1);
  return [...new Set(wrong)];
}

/** A declaration that holds whatever the value is: fails only when the header lacks the name. */
const exists = (claim: Claim, index: number): string =>
  `enum { known_${index} = (int)((${claim.expression}) * 0ul) };`;
const holds = (claim: Claim): string =>
  `_Static_assert((unsigned long)(${claim.expression}) == ${claim.value}ul, "${claim.name}");`;

const groups: readonly [string, readonly Claim[]][] = [
  ["sizes", sizes],
  ["constants", constants],
  ...structures.map(([struct, table, renamed]): [string, Claim[]] => [
    struct,
    claimsOf(struct, table, renamed),
  ]),
];

describe.each([
  ["this machine", "gcc"],
  ["s390x", "s390x-linux-gnu-gcc"],
])("VFIO tables against the installed kernel headers for %s", (_, compiler) => {
  const broken = compile(compiler, ['_Static_assert(LINUX_VERSION_CODE >= 0x060100, "6.1");']);
  const reason =
    broken === undefined
      ? `${compiler} is not installed`
      : "its headers lack linux/vfio.h, or are older than Linux 6.1";
  if (broken === undefined || broken.length > 0) {
    it.skip(`skipped: ${reason}`, () => {});
    return;
  }
  for (const [name, claims] of groups) {
    const missing = new Set(compile(compiler, claims.map(exists)));
    const known = claims.filter((_claim, index) => !missing.has(index + 1));
    const unknown = claims.filter((_claim, index) => missing.has(index + 1));
    const late = unknown.filter((claim) => newer.has(claim.name));

    it(`${name}: ${known.length} values agree`, () => {
      expect(unknown.filter((claim) => !newer.has(claim.name))).toEqual([]);
      expect(known.length).toBeGreaterThan(0);
      const wrong = compile(compiler, known.map(holds)) ?? [];
      expect(wrong.map((line) => known[line - 1])).toEqual([]);
    });
    for (const lacking of new Set(late.map((claim) => claim.name))) {
      it.skip(`${name}: ${lacking} skipped, these headers are too old to have it`, () => {});
    }
  }
});
