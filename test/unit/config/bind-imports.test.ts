import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { describe, expect, test } from "vitest";

const { boundText } = (await import(
  pathToFileURL(resolve("config/tools/bind-imports.mjs")).href
)) as { boundText: (text: string) => string };

describe("binding a module's imports", () => {
  test("makes a constant of each imported name, under its local name", () => {
    expect(boundText('import { load, State as S } from "../shm/atomics.js";\nload(S);\n')).toBe(
      'import { load as load$i, State as S$i } from "../shm/atomics.js"; ' +
        "const load = load$i, S = S$i;\nload(S);\n",
    );
  });

  test("leaves every line its number", () => {
    const text = 'import {\n  a,\n  b,\n} from "./x.js";\nthrow new Error(a + b);\n';
    const lines = boundText(text).split("\n");
    expect(lines.indexOf("throw new Error(a + b);")).toBe(4);
    expect(lines).toHaveLength(text.split("\n").length);
  });

  test("done twice is done once", () => {
    const once = boundText('import { a } from "./x.js";\n');
    expect(boundText(once)).toBe(once);
  });

  test.each([
    ["packages", 'import { Piscina } from "piscina";\n'],
    ["Node's own modules", 'import { join } from "node:path";\n'],
    ["re-exports", 'export { exp } from "./elementary.js";\n'],
    ["namespaces", 'import * as blocks from "./blocks.js";\n'],
    ["text that looks like an import", '  import { a } from "./x.js";\n'],
  ])("leaves %s alone", (_what, text) => {
    expect(boundText(text)).toBe(text);
  });
});
