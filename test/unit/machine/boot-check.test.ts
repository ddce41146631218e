/** What is told before there is a machine is what the machine's start would tell. */
import { describe, expect, it } from "vitest";
import { checkBoot } from "../../../src/machine/boot-check.ts";
import { readFixture } from "../../../src/machine/fixtures.ts";

const MIB = 1024 ** 2;

/** A Linux kernel as far as a loader looks: s390x-machine.md 3.1 and 3.2; its command line may have 100 bytes. */
function kernel(): Uint8Array {
  const image = new Uint8Array(0x11000);
  image.set(Buffer.from("S390EP", "latin1"), 0x10008);
  new DataView(image.buffer).setUint32(0x10434, 100);
  return image;
}

describe("an image", () => {
  it("that will load passes", () => {
    expect(() => checkBoot(readFixture("zrecover"), 16 * MIB)).not.toThrow();
    const linux = { commandLine: "x".repeat(99), initrd: { bytes: kernel(), file: "rd" } };
    expect(() => checkBoot({ image: kernel(), file: "k", linux }, 16 * MIB)).not.toThrow();
  });

  it("that needs more memory is refused, as is a command line longer than the kernel says it takes", () => {
    expect(() => checkBoot({ image: kernel(), file: "k" }, 0x10fff)).toThrow(
      "Kernel image k has 69632 bytes, the guest has 69631 of memory",
    );
    const linux = { commandLine: "x".repeat(100) };
    expect(() => checkBoot({ image: kernel(), file: "k", linux }, 16 * MIB)).toThrow(
      "takes 101 bytes, the kernel allows 100",
    );
  });
});
