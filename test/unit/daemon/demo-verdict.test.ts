/** What the demo makes of the guest's last words: they are changed on their way here. */
import { afterEach, describe, expect, it, vi } from "vitest";
import { type ConfigInput, demoCommand } from "../../support/demo-run.ts";

const console = vi.hoisted(() => ({ change: (line: string): string => line }));
vi.mock("../../../src/machine/console-lines.ts", async (load) => {
  const real = await load<typeof import("../../../src/machine/console-lines.ts")>();
  return {
    ConsoleLines: class extends real.ConsoleLines {
      constructor(sink: (line: string, timeUs: number) => void) {
        super((line, timeUs) => sink(console.change(line), timeUs));
      }
    },
  };
});

afterEach(() => {
  console.change = (line) => line;
});

const input: ConfigInput = {
  functions: [{ fid: 1 }],
  sequence: [{ function: 1, atMs: 20, pec: 0x3a }],
};

describe("the verdict of a demo", () => {
  it("is recovered when guest and machine agree", async () => {
    expect(await demoCommand(input)).toMatchObject({ status: 0, stderr: "" });
  });

  it.each([
    [
      "the guest's driver says that the function has failed",
      (line: string) => line.replace("state=ok", "state=failed"),
      "Function 0x00000001 is operational, the guest's driver says it is failed.",
    ],
    [
      "a byte was moved wrong",
      (line: string) => line.replace("corrupt=0", "corrupt=2"),
      "Function 0x00000001 moved 2 corrupt DMA blocks.",
    ],
    [
      "the guest proved nothing",
      (line: string) => line.replace(/checked=\d+/, "checked=0"),
      "The guest reported no checked DMA on function 0x00000001.",
    ],
    [
      "the guest said nothing of the function",
      (line: string) => line.replace("report fid=00000001", "report fid=00000002"),
      "The guest reported no checked DMA on function 0x00000001.",
    ],
  ])("is failed, with one sentence, when %s", async (_, change, sentence) => {
    console.change = change;
    expect(await demoCommand(input)).toMatchObject({ status: 1, stderr: `zmend: ${sentence}\n` });
  });
});
