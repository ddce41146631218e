/** What a snapshot keeps of a controller beside its words: disks, faults, where its generator stands. */
import { mkdtempSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { NvmeFaults } from "../../../../src/backend/sim/nvme/faults.ts";
import { openNamespace } from "../../../../src/backend/sim/nvme/namespace.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "zmend-saved-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

function firstBytes(store: ReturnType<typeof openNamespace>["store"], offset: number): number[] {
  const bytes = new Uint8Array(4);
  store.read(offset, bytes);
  return [...bytes];
}

describe("a disk in memory", () => {
  it("is the same in two machines that go on from one snapshot, and then each one's own", () => {
    const { store } = openNamespace({ sizeBytes: 2 ** 20 }, 1);
    store.write(65536 * 3 + 100, Uint8Array.of(1, 2, 3, 4));
    const saved = store.save();
    const lives = [1, 2].map(() => openNamespace({ sizeBytes: 2 ** 20 }, 1).store);
    for (const life of lives) expect(life.load(saved)).toBeUndefined();
    lives[0]?.write(65536 * 3 + 100, Uint8Array.of(9));
    expect(lives.map((life) => firstBytes(life, 65536 * 3 + 100))).toEqual([
      [9, 2, 3, 4],
      [1, 2, 3, 4],
    ]);
    expect(firstBytes(store, 0)).toEqual([0, 0, 0, 0]);
  });
});

describe("a disk image", () => {
  it("is refused when it was written after the snapshot, or is of another size", () => {
    const file = join(folder, "disk.img");
    writeFileSync(file, new Uint8Array(8192));
    const { store } = openNamespace({ file }, 1);
    const saved = store.save();
    expect(store.load(saved)).toBeUndefined();
    utimesSync(file, 1, 2);
    expect(store.load(saved)).toBe("the image has been written since");
    const { store: memory } = openNamespace({ sizeBytes: 8192 }, 1);
    expect(memory.load(saved)).toBe("the snapshot has an image in place of memory");
    expect(store.load(memory.save())).toBe("the snapshot has memory in place of an image");
    store.close();
    writeFileSync(file, new Uint8Array(4096));
    const { store: smaller } = openNamespace({ file }, 1);
    expect(smaller.load(saved)).toBe("the image has another size");
    smaller.close();
  });
});

describe("armed faults", () => {
  const rules = [
    { when: { probability: 0.5 }, action: { type: "delay", us: 5 }, times: "always" },
    { when: { afterCommands: 20 }, action: { type: "drop" } },
    { when: { onCommand: "later" }, action: { type: "status", status: 0x281 } },
  ] as const;
  const subject = { io: true, opcode: 2, nsid: 1, lba: 0, blocks: 1 };
  const draw = (faults: NvmeFaults, count: number): string[] =>
    Array.from({ length: count }, () => {
      faults.match(subject, 0);
      return `${faults.delayUs} ${faults.drop} ${faults.status}`;
    });

  it("fire in a restored machine as they would have", () => {
    const one = new NvmeFaults(rules, 7);
    draw(one, 13);
    const saved = one.save();
    const other = new NvmeFaults([], 99);
    other.load(saved);
    expect(other.list()).toEqual(one.list());
    const goesOn = draw(one, 40);
    expect(draw(other, 40)).toEqual(goesOn);
    expect(goesOn.filter((answer) => answer.includes("true"))).toHaveLength(1);
    expect(other.command("later")).toBe(1);
    expect(draw(other, 1)[0]).toMatch(/ 641$/);
    // What was saved is not what goes on.
    expect(one.list()).not.toEqual(other.list());
  });
});
