import { spawnSync } from "node:child_process";

/** Workers need compiled JavaScript on Node 20, so the suite builds first (nothing to do when fresh). */
export default function buildOnce(): void {
  const result = spawnSync(process.execPath, ["config/tools/ensure.mjs", "build"], {
    stdio: ["ignore", "inherit", "inherit"],
  });
  if (result.status !== 0 && process.env["ZMEND_DEV"] !== "1") {
    throw new Error("the build failed; its messages stand above");
  }
}
