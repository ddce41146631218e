/** Writes the files that are generated from our tables: JSON Schema, man pages. `npm run generate`. */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";

const root = new URL("../../", import.meta.url);
const { generatedFiles } = await import(new URL("dist/src/daemon/generated.js", root).href);
for (const { path, text } of generatedFiles()) {
  const file = fileURLToPath(new URL(path, root));
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
  process.stdout.write(`${path}\n`);
}
