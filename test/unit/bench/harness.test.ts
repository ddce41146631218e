import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { compare, judge, median, quantile, spread } from "../../bench/harness.ts";

const higher = { name: "x.rate", unit: "M/s", better: "higher", peer: "the peer" } as const;
const lower = { name: "x.time", unit: "us", better: "lower", peer: "the peer" } as const;

describe("a verdict", () => {
  test("takes the best round of each side: the highest rate", () => {
    expect(judge(higher, [40, 50, 45], [90, 100, 95])).toEqual({
      ...higher,
      value: 50,
      peerValue: 100,
      ratio: 0.5,
    });
  });

  test("takes the best round of each side: the lowest time", () => {
    expect(judge(lower, [12, 15, 30], [10, 10, 12])).toEqual({
      ...lower,
      value: 12,
      peerValue: 10,
      ratio: 1.2,
    });
  });

  test("stands when the peer varies by exactly a quarter, however much our side varies", () => {
    expect(judge(higher, [1, 100], [75, 100])).toMatchObject({ ratio: 1 });
  });

  test("is refused, without a figure, when the peer varies by more", () => {
    expect(judge(higher, [50, 50], [74, 100])).toEqual({
      name: "x.rate",
      refused: "the peer (the peer) varied by 26 % between rounds",
    });
  });

  test("is refused for a peer that measured nothing", () => {
    expect(judge(higher, [1], [0])).toHaveProperty("refused");
    expect(judge(higher, [1], [Number.NaN])).toHaveProperty("refused");
  });
});

describe("a comparison", () => {
  async function run(peerRounds: readonly number[], quick: boolean): Promise<[unknown, string]> {
    const order: string[] = [];
    let round = 0;
    const verdict = await compare(
      {
        ...higher,
        ours: () => {
          order.push("o");
          return 10;
        },
        theirs: () => {
          order.push("t");
          return peerRounds[round++] ?? 100;
        },
      },
      { quick, jit: false },
    );
    return [verdict, order.join("")];
  }

  test("warms both sides up, then takes five rounds in turn", async () => {
    // The first value of the peer belongs to its warm-up.
    const [verdict, order] = await run([1, 100, 99, 98, 97, 96], true);
    expect(order).toBe(`ot${"to".repeat(5)}`);
    expect(verdict).toMatchObject({ peerValue: 100, ratio: 0.1 });
  });

  test("goes on until the peer has been steady for five rounds", async () => {
    const [verdict, order] = await run([1, 20, 100, 30, 90, 91, 92, 93, 94], true);
    expect(order).toBe(`ot${"to".repeat(8)}`);
    expect(verdict).toMatchObject({ peerValue: 94 });
  });
});

describe("figures", () => {
  test("spread is the distance of the extremes over the largest", () => {
    expect([spread([4, 4]), spread([3, 4]), spread([0, 0])]).toEqual([0, 0.25, 1]);
  });

  test("quantiles are values of the sample, which is left as it was", () => {
    const sample = [5, 1, 4, 2, 3];
    expect([median(sample), quantile(sample, 0), quantile(sample, 0.99)]).toEqual([3, 1, 5]);
    expect(sample).toEqual([5, 1, 4, 2, 3]);
  });
});

describe("the bench command", () => {
  const main = fileURLToPath(new URL("../../../dist/test/bench/main.js", import.meta.url));

  test.each([
    [["rnig"], "unknown group 'rnig' (did you mean 'ring'?)"],
    [[], "name a group"],
    [["ring", "--quik"], "unknown option '--quik' (did you mean '--quick'?)"],
  ])("refuses %j in one sentence with status 2", (parameters, problem) => {
    const result = spawnSync(process.execPath, [main, ...parameters], { encoding: "utf8" });
    expect(result.stderr).toContain(`bench: ${problem}; usage: npm run bench -- ring|event|`);
    expect([result.status, result.stdout, result.stderr.split("\n").length]).toEqual([2, "", 2]);
  });
});
