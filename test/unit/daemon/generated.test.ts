import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { generatedFiles } from "../../../src/daemon/generated.ts";

describe("generated files", () => {
  it.each(generatedFiles().map((entry) => [entry.path, entry.text]))(
    "%s is what `npm run generate` writes",
    (path, text) => {
      expect(readFileSync(path, "utf8")).toBe(text);
    },
  );
});
