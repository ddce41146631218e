/** The guest of a recorded run: found again, known by its sum, and started in a deterministic machine. */
import { DeterministicVm } from "../../machine/deterministic-vm.ts";
import { readFixture } from "../../machine/fixtures.ts";
import { readImage, readInitrd } from "../../machine/image.ts";
import { bootVm } from "../../machine/parts.ts";
import type { VmSpec } from "../../machine/vm-spec.ts";
import { imageSum, type RecordedRun } from "../journal/index.ts";

export interface Guest {
  readonly image: Uint8Array;
  readonly file: string;
  readonly initrd?: { readonly bytes: Uint8Array; readonly file: string };
  readonly append?: string;
}

/** The recorded guest, or why it is not to be had. */
export function loadGuest({ guest }: RecordedRun): Guest | string {
  const { fixture, kernel = "", initrd, append, sha256 } = guest;
  let found: { readonly image: Uint8Array; readonly file: string };
  let disk: Guest["initrd"];
  try {
    found =
      fixture === undefined ? { image: readImage(kernel), file: kernel } : readFixture(fixture);
    if (initrd !== undefined) disk = { bytes: readInitrd(initrd), file: initrd };
  } catch (error) {
    return (error as Error).message;
  }
  if (imageSum(found.image) !== sha256) {
    return `the guest ${found.file} is not the recorded one (SHA-256 ${sha256.slice(0, 16)}…); restore it`;
  }
  return {
    ...found,
    ...(disk === undefined ? {} : { initrd: disk }),
    ...(append === undefined ? {} : { append }),
  };
}

/** @param pace instructions a microsecond; the machine's own when absent */
export function build(
  spec: VmSpec,
  { image, file, initrd, append }: Guest,
  pace?: number,
): DeterministicVm {
  const machine = new DeterministicVm(spec, () => {});
  if (pace !== undefined) machine.instructionsPerUs = pace;
  const linux = {
    ...(initrd === undefined ? {} : { initrd }),
    ...(append === undefined ? {} : { commandLine: append }),
  };
  bootVm(machine.vm, image, file, linux);
  return machine;
}
