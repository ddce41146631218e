import { describe, expect, it } from "vitest";
import {
  bindLine,
  boundMark,
  realDriver,
} from "../../../../src/experiment/machine/guest-driver.ts";

describe("a real kernel's driver", () => {
  it("stands for one of the model's, or a sentence says which can", () => {
    expect(realDriver("linux-6.1", "nvme")).toBe("nvme");
    expect(() => realDriver("linux-6.1", "mlx5")).toThrow(
      "Driver 'mlx5' is the model's only; a machine can have nvme, no-handlers, vfio-pci.",
    );
    expect(() => realDriver("linux-6.1", "vfiopci")).toThrow("(did you mean 'vfio-pci'?)");
  });

  it("is bound by one line, in which the mark for being done does not stand: the console echoes it", () => {
    const line = bindLine("pci-stub");
    expect(line.split("\n")).toEqual([expect.any(String), ""]);
    expect(line).toContain("pci-stub");
    expect(line).not.toContain(boundMark("pci-stub"));
    expect(line).not.toContain("bound=");
  });
});
