/**
 * The option table of `zmend-system-s390x`: QEMU's syntax (`-name value`, one or two dashes), because
 * scripts written for qemu-system-s390x should run unchanged. Facts: qmp.md 9.
 */
import { ZmendError } from "../base/errors.ts";
import { suggestion } from "../base/nearest.ts";

export interface QemuOption {
  readonly name: string;
  /** Placeholder of the value; undefined for a flag. */
  readonly value?: string;
  readonly help: string;
}

export const qemuOptions = [
  { name: "kernel", value: "FILE", help: "Linux kernel, bare-metal ELF64 or flat image to run" },
  { name: "initrd", value: "FILE", help: "initial RAM disk for the kernel" },
  { name: "append", value: "TEXT", help: "command line for the kernel" },
  { name: "m", value: "SIZE", help: "guest memory, MiB unless a suffix K, M or G is given (128)" },
  { name: "cpu", value: "MODEL", help: "CPU model (zmend); '-cpu help' lists them" },
  { name: "smp", value: "N", help: "number of CPUs (1), at most 8" },
  { name: "M", value: "MACHINE", help: "s390-ccw-virtio, or none; '-M help' lists them" },
  { name: "machine", value: "MACHINE", help: "the same as -M" },
  {
    name: "accel",
    value: "NAME",
    help: "interp or tcg: the interpreter (default); jit: hot code becomes WebAssembly",
  },
  { name: "device", value: "MODEL,...", help: "add a device; '-device help' lists the models" },
  {
    name: "drive",
    value: "if=none,...",
    help: "disk image: file=FILE,id=ID,format=raw[,readonly=on]",
  },
  {
    name: "blockdev",
    value: "driver=...",
    help: "the same as nodes: driver raw or file, node-name=ID",
  },
  {
    name: "chardev",
    value: "BACKEND,...",
    help: "end of a console or monitor: stdio, null, file, socket, ringbuf; id=ID",
  },
  { name: "nographic", help: "console and monitor on the terminal (there is no display)" },
  {
    name: "serial",
    value: "WHERE",
    help: "console: mon:stdio, stdio, file:FILE, unix:PATH, chardev:ID, none, ...",
  },
  {
    name: "monitor",
    value: "WHERE",
    help: "human monitor: stdio, unix:PATH, tcp:HOST:PORT, none; by default Ctrl-A c",
  },
  { name: "qmp", value: "WHERE", help: "QMP: unix:PATH,server=on,wait=off, tcp:..., stdio, none" },
  { name: "mon", value: "chardev=ID,...", help: "monitor on a chardev: mode=control or readline" },
  {
    name: "add-fd",
    value: "set=N,fd=N",
    help: "a descriptor for /dev/fdset/N as a chardev's file",
  },
  { name: "display", value: "NAME", help: "none: there is no display" },
  { name: "loadvm", value: "FILE", help: "go on from a snapshot of this machine" },
  {
    name: "deterministic",
    help: "one thread, virtual time: same input, same run; its digest is told at the end",
  },
  { name: "S", help: "do not start the CPUs; 'cont' on a monitor does" },
  { name: "no-reboot", help: "end when the guest asks for a re-IPL, instead of starting it again" },
  { name: "no-shutdown", help: "stay when the guest is switched off" },
  {
    name: "action",
    value: "EVENT=ACTION",
    help: "reboot=reset|shutdown, shutdown=poweroff|pause, panic=shutdown|pause|...",
  },
  { name: "name", value: "NAME", help: "name of the guest, also guest=NAME" },
  { name: "uuid", value: "UUID", help: "UUID of the guest, for query-uuid" },
  { name: "rtc", value: "base=...", help: "the guest's clock: utc (default), localtime or a date" },
  { name: "pidfile", value: "FILE", help: "write the process id there, and remove it at the end" },
  { name: "daemonize", help: "go to the background when all sockets are there" },
  { name: "d", value: "ITEMS", help: "write to the log: events, stats; '-d help' lists them" },
  { name: "D", value: "FILE", help: "log file instead of standard error" },
  { name: "icount", value: "shift=auto", help: "only auto: time is real time" },
  { name: "object", value: "TYPE,...", help: "memory-backend-ram or -memfd of the guest's size" },
  { name: "nodefaults", help: "no default devices: no console unless one is asked for" },
  { name: "no-user-config", help: "read no configuration file; none is read" },
  { name: "overcommit", value: "mem-lock=off", help: "accepted: memory is never locked" },
  { name: "boot", value: "...", help: "accepted: the kernel is always given" },
  { name: "sandbox", value: "on|off", help: "accepted, without effect" },
  { name: "msg", value: "timestamp=on", help: "accepted, without effect" },
  { name: "global", value: "DRIVER.PROP=VALUE", help: "accepted for drivers that are not here" },
  { name: "net", value: "none", help: "none: there is no network" },
  { name: "nic", value: "none", help: "none: there is no network" },
  { name: "vga", value: "none", help: "none: there is no display" },
  { name: "parallel", value: "none", help: "none: there is no parallel port" },
  { name: "audiodev", value: "none", help: "driver none: there is no sound" },
  { name: "L", value: "FOLDER", help: "accepted: there is no firmware to look for" },
  { name: "version", help: "print the version and exit" },
  { name: "help", help: "print this help and exit" },
  { name: "h", help: "the same as -help" },
] as const satisfies readonly QemuOption[];

/** QEMU's options that are not here, by name: their users are told so, not that they mistyped. */
const missing: ReadonlySet<string> = new Set(
  `audio bios cdrom chroot compat debugcon dfilter dtb dump-vmstate echr enable-kvm
  enable-sync-profile fda fdb fsdev full-screen fw_cfg gdb hda hdb hdc hdd incoming iscsi k mem-path
  mem-prealloc mtdblock netdev no-fd-bootchk numa only-migratable option-rom pflash plugin portrait preconfig
  qmp-pretty readconfig rotate run-with runas s sd seed semihosting set shim singlestep snapshot spice tb-size
  tpmdev trace usb usbdevice virtfs vnc watchdog-action async-teardown`.split(/\s+/),
);

export type QemuOptionName = (typeof qemuOptions)[number]["name"];

/** @throws ZmendError USAGE naming the option; the caller adds the program's name */
export function parseQemuOptions(
  words: readonly string[],
): Partial<Record<QemuOptionName, string>> {
  return Object.fromEntries(qemuWords(words));
}

/** Every option in the order given, for those that may be given more than once. @throws ZmendError USAGE */
export function qemuWords(words: readonly string[]): [QemuOptionName, string][] {
  const result: [QemuOptionName, string][] = [];
  for (let index = 0; index < words.length; index++) {
    const word = words[index] ?? "";
    const name = word.replace(/^--?/, "");
    const option = qemuOptions.find((entry) => entry.name === name);
    if (word.startsWith("-") && missing.has(name)) {
      throw new ZmendError(
        "USAGE",
        `${word}: zmend does not have this option of QEMU; leave it out`,
      );
    }
    if (!word.startsWith("-") || option === undefined) {
      const hint = suggestion(
        name,
        qemuOptions.map((entry) => entry.name),
      );
      throw new ZmendError("USAGE", `${word}: invalid option${hint}; -help lists the options`);
    }
    if (!("value" in option)) {
      result.push([option.name, ""]);
      continue;
    }
    const value = words[++index];
    if (value === undefined) {
      throw new ZmendError("USAGE", `${word}: requires an argument (${option.value})`);
    }
    result.push([option.name, value]);
  }
  return result;
}

/** The values of every `-name` in `words`. */
export function valuesOf(
  words: readonly (readonly [QemuOptionName, string])[],
  name: QemuOptionName,
): string[] {
  return words.filter(([option]) => option === name).map(([, value]) => value);
}

export function qemuHelp(program: string, version: string): string {
  const lines = qemuOptions.map((option) => {
    const left = "value" in option ? `-${option.name} ${option.value}` : `-${option.name}`;
    return left.length < 20
      ? `  ${left.padEnd(20)}${option.help}`
      : `  ${left}\n${" ".repeat(22)}${option.help}`;
  });
  return [
    `${program} version ${version}`,
    `usage: ${program} [options]`,
    "",
    ...lines,
    "",
    "The program ends when the guest is switched off or stops in a disabled wait, at quit on a",
    "monitor, at Ctrl-A x on the console, and at SIGTERM or SIGINT. Ctrl-A c changes between console",
    "and monitor.",
    "",
  ].join("\n");
}
