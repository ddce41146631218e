/**
 * Which driver of a real kernel stands for a driver of the model, and how an idle guest is told to bind it: the shell on its
 * console is typed at. Modules come from the fixture's second archive (guest-fixtures/linux/fetch.mjs).
 */
import { ZmendError } from "../../base/errors.ts";
import { suggestion } from "../../base/nearest.ts";
import { comparedDrivers } from "../../guest-model/index.ts";
import { readLinuxFixture } from "../../machine/linux-fixture.ts";

/** What the guest binds at boot. */
const BOUND = "nvme";

/** @throws ZmendError USAGE: no real driver is like it; FIXTURE_MISSING: it is not in the cached fixture */
export function realDriver(machine: string, driver: string): string {
  const found = comparedDrivers.find((row) => row.driver === driver)?.module;
  const names = comparedDrivers.map((row) => row.driver);
  if (found === undefined) {
    throw new ZmendError(
      "USAGE",
      `Driver '${driver}' is the model's only${suggestion(driver, names)}; a machine can have ${names.join(", ")}.`,
    );
  }
  if (found === BOUND) return found;
  const archive = readLinuxFixture(machine).drivers;
  if (archive !== undefined && Buffer.from(archive).includes(`lib/drivers/${found}.ko`))
    return found;
  throw new ZmendError(
    archive === undefined ? "FIXTURE_MISSING" : "USAGE",
    archive === undefined
      ? `The cached kernel ${machine} has no further drivers; remove .cache/${machine}, then fetch it with: npm run fixtures -- ${machine}`
      : `The kernel ${machine} has no driver ${found}, which stands for '${driver}'.`,
    { machine, driver },
  );
}

/** Said by the guest when the driver has its only function. */
export function boundMark(driver: string): string {
  return `bound=${driver}=`;
}

/** The mark does not stand in the line as it is typed, for the console echoes it. */
export function bindLine(driver: string): string {
  const commands = [
    `d=${driver}`,
    "cd /sys/bus/pci/devices",
    "a=$(echo *)",
    "while read -r m; do insmod /lib/drivers/$m; done </lib/drivers/$d",
    "echo $d >$a/driver_override",
    "echo $a >$a/driver/unbind",
    "echo $a >/sys/bus/pci/drivers/$d/bind",
    'echo "bo""und=$(basename $(readlink $a/driver))="',
  ];
  return `${commands.join("; ")}\n`;
}

export function boundAtBoot(driver: string): boolean {
  return driver === BOUND;
}
