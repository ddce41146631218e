/** Clients that others wrote, against a VM that runs: python qemu.qmp, its qmp-shell, go-qemu, socat. qmp.md 7. */
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { zmendVersion } from "../../src/base/version.ts";
import { createQmpServer, type QmpServer } from "../../src/control/qmp/index.ts";
import { ControlledVm } from "../support/controlled-vm.ts";

const runs = (program: string, ...words: string[]): boolean =>
  spawnSync(program, words, { stdio: "ignore" }).status === 0;

const GO_PATH = "/usr/share/gocode";
const python = runs("python3", "-c", "import qemu.qmp");
const go = existsSync(`${GO_PATH}/src/github.com/digitalocean/go-qemu`) && runs("go", "version");
const socat = runs("socat", "-V");

let folder: string;
let path: string;
let machine: ControlledVm;
let server: QmpServer;
const device = "fn-00000042";

beforeAll(async () => {
  if (!python && !go && !socat) return;
  folder = mkdtempSync(join(tmpdir(), "zmend-clients-"));
  path = join(folder, "qmp.sock");
  machine = new ControlledVm({ functions: [{ fid: 0x42, clearError: true }] });
  server = createQmpServer(machine.vm);
  await server.listen({ path });
  await machine.vm.start();
  await machine.working();
});
afterAll(async () => {
  if (machine === undefined) return;
  await machine.vm.stop();
  await server.close();
  rmSync(folder, { recursive: true });
});

/** What a program says on standard output; this process serves it meanwhile. */
function said(program: string, words: readonly string[], input = "", env = {}): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, words, { env: { ...process.env, ...env } });
    let stdout = "";
    let stderr = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      stderr += text;
    });
    child.on("error", reject);
    child.on("close", (status) => {
      if (status === 0) resolve(stdout);
      else reject(new Error(`${program} ended with ${status}: ${stderr}${stdout}`));
    });
    child.stdin.end(input);
  });
}

const title = (what: string, there: boolean, needed: string): string =>
  there ? what : `${what} (skipped: needs ${needed})`;

describe("a VM is driven by", () => {
  it.skipIf(!python)(
    title(
      "python qemu.qmp: status, an error recovered, stop and cont, a refusal",
      python,
      "python3-qemu-qmp",
    ),
    async () => {
      const before = machine.function().books.recoveries;
      const answer = JSON.parse(
        await said("python3", ["test/guest/clients/recover.py", path, device]),
      );
      expect(answer).toEqual({
        package: `zmend-${zmendVersion()}`,
        status: "running",
        state: "operational",
        run: ["STOP", "RESUME"],
        error: "The command no-such-command has not been found",
        recoveries: before + 1,
      });
    },
  );

  it.skipIf(!python)(
    title(
      "qmp-shell: key=value, dotted keys, and the human monitor with -H",
      python,
      "python3-qemu-qmp",
    ),
    async () => {
      const shell = ["-m", "qemu.qmp.qmp_shell"];
      const input = `query-status\nx-zmend-query-recovery id=${device}\nqom-get path=/machine property=type\n`;
      const text = await said("python3", [...shell, path], input);
      expect(text).toContain('{"return": {"status": "running", "running": true}');
      expect(text).toMatch(/"id": "fn-00000042", "fid": 66, /);
      expect(text).toContain('{"return": "s390-ccw-virtio-11.1-machine"');
      const human = await said("python3", [...shell, "-H", path], "info status\nbogus\n");
      expect(human).toContain("VM status: running");
      expect(human).toContain("unknown command: 'bogus'");
    },
  );

  it.skipIf(!go)(
    title(
      "digitalocean/go-qemu: typed queries, raw commands, events",
      go,
      "golang-github-digitalocean-go-qemu-dev",
    ),
    async () => {
      const text = await said("go", ["run", "test/guest/clients/recover.go", path, device], "", {
        GO111MODULE: "off",
        GOPATH: GO_PATH,
        GOFLAGS: "-p=1",
        CGO_ENABLED: "0",
      });
      const answer = JSON.parse(text) as { events: string[] };
      expect(answer).toMatchObject({
        major: 11,
        status: "running",
        name: "demo",
        devices: 1,
        refused: true,
      });
      expect(answer.events[0]).toBe("X_ZMEND_ERROR");
      expect(answer.events.at(-1)).toBe("X_ZMEND_RECOVERY");
    },
  );

  it.skipIf(!socat)(title("socat, by hand", socat, "socat"), async () => {
    const input = '{"execute":"qmp_capabilities"}\n{"execute":"query-target"}\n';
    const lines = (await said("socat", ["-t5", "-", `UNIX-CONNECT:${path}`], input)).split("\r\n");
    expect(lines).toEqual([
      expect.stringMatching(/^\{"QMP": \{"version": \{"qemu": \{/),
      '{"return": {}}',
      '{"return": {"arch": "s390x"}}',
      "",
    ]);
  });
});
