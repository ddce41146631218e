/**
 * `node test/conformance/data/sequences/record.mjs linux-6.1 ...`: writes LINUX.json beside this file, what a real kernel's
 * zPCI instructions are in each of the cases, and the recovery machine's states. Takes the compiled program and a fetched kernel (npm run fixtures).
 */
import { readFileSync, writeFileSync } from "node:fs";

const root = new URL("../../../../", import.meta.url);
const { realSequence } = await import(
  new URL("dist/src/experiment/machine/real-sequence.js", root).href
);
const { sequenceLine, stateLine, withoutPolls } = await import(
  new URL("dist/src/experiment/sequence.js", root).href
);

const cases = [
  { pec: 0x3a },
  { pec: 0x01 },
  { pec: 0x0b },
  { pec: 0x13 },
  { pec: 0x30 },
  { pec: 0x3b },
  { pec: 0x3a, clearError: true },
  { pec: 0x3a, resetFails: true },
  { pec: 0x3a, andPec: 0x02 },
  { pec: 0x3a, andPec: 0x3b },
];

/** Drivers that stand for others of the model's; 6.1 has no vfio-pci module. */
const driverCases = (kernel) =>
  ["no-handlers", ...(kernel === "linux-6.1" ? [] : ["vfio-pci"])].flatMap((driver) => [
    { driver, pec: 0x3a },
    { driver, pec: 0x3a, clearError: true },
    { driver, pec: 0x3a, resetFails: true },
    { driver, pec: 0x3b },
  ]);

for (const kernel of process.argv.slice(2)) {
  const fixture = JSON.parse(readFileSync(new URL(`.cache/${kernel}/fixture.json`, root), "utf8"));
  const recorded = [];
  for (const request of [...cases, ...driverCases(kernel)]) {
    const { instructions, states } = await realSequence(kernel, request);
    const lines = withoutPolls(instructions.map(sequenceLine));
    const text = lines.join("\n");
    const same = recorded.findIndex((one) => one.lines?.join("\n") === text);
    // The same instructions as in an earlier case but for the code that the event names.
    const like = recorded.findIndex(
      (one) => one.lines?.slice(2).join("\n") === lines.slice(2).join("\n"),
    );
    const before = same >= 0 ? same : like;
    recorded.push(
      before >= 0
        ? { case: request, head: lines.slice(0, 2), like: before, states: states.map(stateLine) }
        : { case: request, lines, states: states.map(stateLine) },
    );
    console.log(kernel, JSON.stringify(request), lines.length, before);
  }
  const text = {
    kernel,
    packages: fixture.packages.map(({ package: name, version }) => ({ package: name, version })),
    recorded:
      "zmend experiment sequence --machine, an idle guest with one NVMe function of zmend's, host resets of 100 ms; instructions that only ask again are written once",
    cases: recorded,
  };
  writeFileSync(
    new URL(`${kernel}.json`, import.meta.url),
    `${JSON.stringify(text, undefined, 1)}\n`,
  );
}
