/** Debian's kernel with NVMe functions under a controller, at work on checked files (guest-fixtures/linux/recovery.sh). */
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { FaultAction } from "../../src/backend/sim/index.ts";
import { packageRoot } from "../../src/base/version.ts";
import { booksBalance } from "../../src/machine/books.ts";
import { readLinuxFixture } from "../../src/machine/linux-fixture.ts";
import { ControlledVm, specOf } from "./controlled-vm.ts";
import type { ConfigInput, ConfigStep } from "./demo-run.ts";

const MIB = 1024 ** 2;

/** Why tests of a kernel are skipped, for their names; undefined when it is cached. */
export function linuxMissing(name: string): string | undefined {
  const cached = existsSync(fileURLToPath(new URL(`.cache/${name}/fixture.json`, packageRoot)));
  return cached ? undefined : ` (skipped: not fetched, npm run fixtures -- ${name})`;
}

/** The kernels to run: CI's, or with `npm run test:guest -- --all` every one. */
export const linuxKernels: readonly string[] =
  process.env["ZMEND_GUESTS"] === "all"
    ? ["linux-6.1", "linux-6.12", "linux-7.2", "linux-7.3"]
    : ["linux-6.1"];

export interface LinuxOptions {
  readonly functions?: number;
  readonly vcpus?: number;
  readonly append?: string;
  readonly policy?: string;
  readonly sequence?: readonly ConfigStep[];
  /** Disk images by FID; the others are in memory. */
  readonly files?: Readonly<Record<number, string>>;
}

/** What the guest says of a function in the end. */
export interface LinuxReport {
  readonly state: string;
  readonly rounds: number;
  readonly checked: number;
  readonly corrupt: number;
}

export class LinuxVm extends ControlledVm {
  constructor(kernel: string, options: LinuxOptions = {}) {
    const { functions = 1, append = "", policy = "mediated", sequence = [], files = {} } = options;
    const fixture = readLinuxFixture(kernel);
    const commandLine = `console=ttysclp0 quiet run=recovery ${append}`;
    const input: ConfigInput = {
      vm: { memory: "256MiB" },
      policy,
      functions: Array.from({ length: functions }, (_, index) => ({
        fid: index + 1,
        device: "nvme",
        nvme: {
          serial: `zmend-${index + 1}`,
          namespaces: [
            files[index + 1] === undefined ? { sizeBytes: 16 * MIB } : { file: files[index + 1] },
          ],
        },
      })),
      sequence,
    };
    super(input, {
      spec: { ...specOf(input), vcpus: options.vcpus ?? 1 },
      boot: { ...fixture.kernel, linux: { initrd: fixture.initrd, commandLine } },
      onGuestReset: "shutdown",
    });
  }

  /** As any machine's, but not for ever when the kernel has given up. */
  override until(condition: () => boolean): Promise<void> {
    return super.until(() => {
      if (condition()) return true;
      if (this.vm.runState() !== "guest-panicked" && !this.#oopsed()) return false;
      throw new Error(`the guest has panicked:\n${this.lines.slice(-40).join("\n")}`);
    });
  }

  /** A thread of the kernel has died, whole, with its last line: what it was to do is never done. */
  #oopsed(): boolean {
    return this.lines.at(-1)?.includes("---[ end trace") === true && this.said("Oops: ").length > 0;
  }

  /** Lines of the console that hold `text`. */
  said(text: string): string[] {
    return this.lines.filter((line) => line.includes(text));
  }

  /** Starts, and waits until every disk has a file system and files on it. */
  async atWork(): Promise<void> {
    await this.vm.start();
    await this.until(() => this.vm.functions().every(({ fid }) => this.worksOn(fid)));
  }

  worksOn(fid: number): boolean {
    return this.said(`fid=${hex8(fid)} at work`).length > 0;
  }

  /** After the disk had gone. */
  workAgain(fid: number): boolean {
    return this.said(`fid=${hex8(fid)} at work`).some((line) => line.endsWith(" again"));
  }

  raise(fid: number, ...actions: FaultAction[]): void {
    this.vm.raise(fid, actions);
  }

  recoveries(fid: number): number {
    return this.#status(fid).books.recoveries;
  }

  /** Waits for one more recovery of a function than `before`, ended in the guest too. */
  async recovered(fid: number, before: number, resumedBefore: number): Promise<void> {
    await this.until(
      () =>
        this.recoveries(fid) > before &&
        this.#status(fid).state === "operational" &&
        this.resumed(fid) > resumedBefore,
    );
  }

  /**
   * How often the guest's driver has come back since the boot, whose messages are not shown: it looks at its
   * namespaces again. The kernel says "ready to resume" earlier, and an error then makes nvme give the disk up.
   */
  resumed(fid: number): number {
    return this.said(`nvme nvme${fid - 1}: Ignoring bogus Namespace Identifiers`).length;
  }

  /** One event, and the guest's whole recovery from it. */
  async recover(fid: number, action: FaultAction): Promise<void> {
    const before = this.recoveries(fid);
    const resumed = this.resumed(fid);
    this.raise(fid, action);
    await this.recovered(fid, before, resumed);
  }

  /** Checked rounds of I/O that the guest logs (each fourth). */
  async progress(fid: number): Promise<void> {
    const before = this.said(`fid=${hex8(fid)} round`).length;
    await this.until(() => this.said(`fid=${hex8(fid)} round`).length > before);
  }

  /** Asks the guest to end; resolves with its reports. */
  async finish(): Promise<ReadonlyMap<number, LinuxReport>> {
    this.vm.powerdown();
    await this.until(() => this.vm.runState() === "shutdown");
    const pattern = /report fid=([0-9a-f]+) state=(\w+) rounds=(\d+) checked=(\d+) corrupt=(\d+)/;
    const reports = new Map<number, LinuxReport>();
    for (const line of this.lines) {
      const match = pattern.exec(line);
      if (match === null) continue;
      const [, fid = "", state = "", rounds, checked, corrupt] = match;
      reports.set(Number.parseInt(fid, 16), {
        state,
        rounds: Number(rounds),
        checked: Number(checked),
        corrupt: Number(corrupt),
      });
    }
    await this.vm.stop();
    this.vm.closeBooks();
    return reports;
  }

  balances(): number[] {
    return this.vm.functions().map(({ books }) => booksBalance(books));
  }

  #status(fid: number): ReturnType<ControlledVm["function"]> {
    return this.function(this.vm.functions().findIndex((entry) => entry.fid === fid));
  }
}

export function hex8(fid: number): string {
  return fid.toString(16).padStart(8, "0");
}

/** The PCI name that Linux gives a function: UIDs are domains, and here UID = FID. */
export function pciName(fid: number): string {
  return `${fid.toString(16).padStart(4, "0")}:00:00.0`;
}
