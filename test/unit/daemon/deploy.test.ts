/** The recipes in config/deploy say what is so. */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { EXIT_USAGE } from "../../../src/daemon/failure.ts";
import { createProgram } from "../../../src/daemon/program.ts";

const unit = readFileSync("config/deploy/zmend.service", "utf8");
const image = readFileSync("config/deploy/Containerfile", "utf8");
const analyze = spawnSync("systemd-analyze", ["--version"]).status === 0;

/** Values of a key of the unit. */
function values(key: string): string[] {
  return [...unit.matchAll(new RegExp(`^${key}=(.*)$`, "gm"))].map((match) => match[1] ?? "");
}

/** Options of `zmend daemon` that a command line uses. */
function optionsUsed(words: readonly string[]): string[] {
  return words.filter((word) => word.startsWith("--"));
}

describe("config/deploy", () => {
  const known = createProgram()
    .commands.find((command) => command.name() === "daemon")
    ?.options.map((option) => option.long);

  it("starts the daemon with options that it has", () => {
    const service = (values("ExecStart")[0] ?? "").split(" ");
    const entry = JSON.parse(/^ENTRYPOINT (.*)$/m.exec(image)?.[1] ?? "[]") as string[];
    expect(service.slice(1, 3)).toEqual(["zmend", "daemon"]);
    expect(entry.slice(0, 2)).toEqual(["zmend", "daemon"]);
    for (const option of [...optionsUsed(service), ...optionsUsed(entry)]) {
      expect(known).toContain(option);
    }
  });

  it("runs it without privileges, in a directory of its own, and keeps its standard output out of logs", () => {
    expect(values("User")).toEqual(["zmend"]);
    expect(image).toMatch(/^USER zmend$/m);
    expect(values("StateDirectoryMode")).toEqual(["0700"]);
    expect(values("StandardOutput")).toEqual(["null"]);
    // Which standard error would follow into nothing.
    expect(values("StandardError")).toEqual(["journal"]);
    expect(values("NoNewPrivileges")).toEqual(["yes"]);
  });

  it("is not started again and again with a config that it has refused", () => {
    expect(values("RestartPreventExitStatus")).toEqual([`${EXIT_USAGE}`]);
  });

  it("lets systemd-notify speak for it", () => {
    expect([values("Type"), values("NotifyAccess")]).toEqual([["notify"], ["all"]]);
  });

  it.skipIf(!analyze)(
    `has a unit that systemd understands${analyze ? "" : " (needs systemd-analyze)"}`,
    () => {
      const { stderr } = spawnSync(
        "systemd-analyze",
        ["verify", "--man=no", "config/deploy/zmend.service"],
        {
          encoding: "utf8",
        },
      );
      expect(stderr).not.toMatch(/zmend\.service:\d+:/);
    },
  );
});
