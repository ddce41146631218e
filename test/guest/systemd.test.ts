/** The shipped unit under a real systemd: what its lines promise, seen from `systemctl` and `journalctl`. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { needsSystemd, SystemdMachine, withoutSystemd } from "../support/systemd.ts";

describe.skipIf(withoutSystemd)(`zmend.service under systemd${needsSystemd}`, () => {
  let machine: SystemdMachine;

  beforeAll(async () => {
    machine = new SystemdMachine();
    await machine.booted();
  });

  afterAll(() => machine.close());

  /** Messages of the daemon's log so far. */
  const messages = (...words: readonly string[]): string[] =>
    machine.log(...words).map((line) => line["MESSAGE"] ?? "");
  const said = (text: string, ...words: readonly string[]): boolean =>
    messages(...words).some((message) => message.includes(text));
  const zmend = (...words: readonly string[]) =>
    machine.run("zmend", ...words, "--state-dir", "/var/lib/zmend");

  it("is ready when systemctl start returns, as its own user in a directory of its own", () => {
    expect(machine.run("systemctl", "start", "zmend")).toMatchObject({ status: 0, stderr: "" });
    expect(machine.property("ActiveState")).toBe("active");
    expect(machine.property("StatusText")).toBe("2 VMs");
    const owner = machine.run(
      "stat",
      "-c",
      "%U %a",
      "/var/lib/zmend",
      "/var/lib/zmend/control.sock",
    );
    expect(owner.stdout).toBe("zmend 700\nzmend 600\n");
    const user = machine.run("stat", "-c", "%U", `/proc/${machine.property("MainPID")}`);
    expect(user.stdout).toBe("zmend\n");
  });

  it("heals functions there", () => {
    expect(zmend("vm", "inject", "alpha", "2", "--pec", "0x3a")).toMatchObject({ status: 0 });
    const recovered = '"vm":"alpha","fid":"0x00000002"';
    return machine.until(() =>
      messages().some((line) => line.includes(recovered) && line.includes("function recovered")),
    );
  });

  it("logs to the journal with priorities, and the ready line nowhere", async () => {
    const ready = machine.log().find((line) => line["MESSAGE"]?.includes("the daemon is ready"));
    expect(ready).toMatchObject({ PRIORITY: "6", _SYSTEMD_UNIT: "zmend.service" });
    expect(JSON.parse(ready?.["MESSAGE"] ?? "")).toMatchObject({ level: 30, vms: 2 });
    expect(said('"ready":true')).toBe(false);
    expect(zmend("function", "unplug", "alpha", "1")).toMatchObject({ status: 0 });
    await machine.until(() => said('"next":"detached"'));
    // A function that leaves is a warning; nothing else was one.
    const warnings = messages("-p", "warning").map((line) => JSON.parse(line) as unknown);
    expect(warnings).toEqual([
      expect.objectContaining({ level: 40, vm: "alpha", next: "detached" }),
    ]);
  });

  it("reads its config again at systemctl reload, and keeps the old one when it is broken", async () => {
    machine.run("sh", "-c", "cp /etc/zmend/zmend.yaml /run/good.yaml");
    expect(machine.run("systemctl", "reload", "zmend")).toMatchObject({ status: 0, stderr: "" });
    await machine.until(() => said("policies and log level are those of the config now"));
    machine.run("sh", "-c", "echo 'bogus: 1' >> /etc/zmend/zmend.yaml");
    expect(machine.run("systemctl", "reload", "zmend")).toMatchObject({ status: 0 });
    await machine.until(() => said("the config was not reloaded", "-p", "err"));
    await machine.until(() => machine.property("StatusText").includes("the old one stays"));
    expect(machine.property("ActiveState")).toBe("active");
  });

  it("stops in order, and is not started again and again with a broken config", () => {
    expect(machine.run("systemctl", "stop", "zmend")).toMatchObject({ status: 0, stderr: "" });
    expect(machine.property("Result")).toBe("success");
    expect(said("the daemon has stopped")).toBe(true);
    expect(machine.run("systemctl", "start", "zmend").status).toBe(1);
    expect([machine.property("ActiveState"), machine.property("NRestarts")]).toEqual([
      "failed",
      "0",
    ]);
    expect(said("unknown key 'bogus'")).toBe(true);
    machine.run("cp", "/run/good.yaml", "/etc/zmend/zmend.yaml");
  });

  it("comes up again after it was killed, and after its main thread stood still", async () => {
    machine.run("mkdir", "/etc/systemd/system/zmend.service.d");
    const soon =
      "printf '[Service]\\nWatchdogSec=5\\n' > /etc/systemd/system/zmend.service.d/soon.conf";
    machine.run("sh", "-c", soon);
    machine.run("systemctl", "daemon-reload");
    expect(machine.run("systemctl", "start", "zmend")).toMatchObject({ status: 0, stderr: "" });
    for (const [signal, restarts] of [["KILL", "1"] as const, ["STOP", "2"] as const]) {
      machine.run("kill", `-${signal}`, machine.property("MainPID"));
      await machine.until(
        () =>
          machine.property("NRestarts") === restarts &&
          machine.property("ActiveState") === "active",
      );
      expect(JSON.parse(zmend("vm", "list", "--json").stdout)).toHaveLength(2);
    }
    const ends = machine.run("journalctl", "-u", "zmend", "-o", "cat").stdout;
    expect(ends).toContain("Watchdog timeout");
  });
});
