import { readFileSync } from "node:fs";

/** Root of the package, from `src/base` as from `dist/src/base`. */
export const packageRoot: URL = new URL(
  import.meta.url.endsWith(".ts") ? "../../" : "../../../",
  import.meta.url,
);

/** The version in package.json. */
export function zmendVersion(): string {
  const text = readFileSync(new URL("package.json", packageRoot), "utf8");
  return (JSON.parse(text) as { version: string }).version;
}
