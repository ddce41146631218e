import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    exclude: ["dist/**", "node_modules/**"],
    globalSetup: ["test/support/build-once.ts"],
    setupFiles: ["test/support/fast-check-seed.ts"],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    pool: "forks",
    maxWorkers: 2,
    // Where nobody watches, a test of real threads gets a second try; config/tools/second-tries.mjs names each.
    retry: process.env["CI"] === undefined ? 0 : 1,
  },
});
