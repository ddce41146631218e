import { describe, expect, it } from "vitest";
import { ZmendError } from "../../../src/base/errors.ts";
import { qemuWords } from "../../../src/daemon/qemu-options.ts";
import { parseMemoryOption, systemSettings } from "../../../src/daemon/qemu-settings.ts";

const KIB = 1024;
const MIB = 1024 * KIB;
const GIB = 1024 * MIB;

const settings = (text: string) =>
  systemSettings(qemuWords(text === "" ? [] : text.split(" ")), "program");

function refusal(text: string): string {
  try {
    settings(text);
  } catch (error) {
    if (error instanceof ZmendError && error.code === "USAGE") return error.message;
    throw error;
  }
  return "";
}

describe("options that say what is so anyway", () => {
  it.each([
    "-nodefaults -display none -accel tcg -M s390-ccw-virtio -serial mon:stdio -no-reboot",
    "-no-user-config -monitor none -smp 1 -accel tcg,thread=single -nographic",
    "-machine type=s390-ccw-virtio-7.2,accel=tcg -smp cpus=1,maxcpus=1 -serial null",
    "-machine s390-ccw-virtio,accel=interp -accel interp -name guest -cpu qemu",
    "-smp 1,sockets=1,cores=1,threads=1 -overcommit mem-lock=off -rtc base=utc -boot strict=on",
    "-sandbox on,obsolete=deny,spawn=deny -msg timestamp=on -net none -nic none -icount shift=auto",
    '-audiodev {"id":"audio1","driver":"none"}',
    "-global virtio-blk-device.scsi=off -L /usr/share",
    "-m size=524288k -object memory-backend-ram,id=s390.ram,size=536870912 -machine s390-ccw-virtio,memory-backend=s390.ram",
    '-m 512 -object {"qom-type":"memory-backend-ram","id":"s390.ram","size":536870912}',
  ])("%s is accepted", (text) => {
    expect(refusal(text)).toBe("");
  });

  it.each([
    ["-accel kvm", "-accel kvm: not supported; known: tcg, interp, jit"],
    ["-display gtk", "-display gtk: not supported; known: none"],
    ["-smp 9", "-smp 9: the machine has at most 8 CPUs"],
    [
      "-smp 2,threads=2",
      "-smp 2,threads=2: a CPU of this machine has one thread; leave threads out",
    ],
    [
      "-smp 2,maxcpus=4",
      "-smp 2,maxcpus=4: CPUs cannot be added later; make maxcpus the same as cpus",
    ],
    [
      "-smp cpus=4,cores=3",
      "-smp cpus=4,cores=3: its parts make 3 CPUs, cpus says 4; make them agree",
    ],
    ["-M q35", "-M q35: unknown machine; the ones there are: s390-ccw-virtio, none"],
    ["-machine s390-ccw-virtio,mem=1", "machine 's390-ccw-virtio' has no property 'mem'"],
    ["-machine s390-ccw-virtio,accel=kvm", "accel=kvm: not supported; known: tcg, interp, jit"],
    [
      "-machine s390-ccw-virtio,loadparm=too_long!!",
      "loadparm=too_long!!: expected up to 8 letters, digits, dots and blanks",
    ],
    ["-m 0", "-m 0: expected 1M to 3584M, for example 512 or 1G"],
    ["-cpu z19", "-cpu z19: unknown model"],
    ["-cpu z13,vx=off", "'vx=off' cannot be changed; leave it out"],
    ["-uuid 12", "-uuid 12: expected a UUID such as "],
    ["-rtc base=noon", "base=noon: expected utc, localtime, "],
    ["-action panic=explode", "panic=explode: not supported"],
    ["-icount shift=7", "-icount shift=7: not supported; known: shift=auto, auto"],
    ["-d exec", "-d exec: unknown item 'exec'; -d help lists them"],
    ["-object rng-random,id=r", "'rng-random' is not supported"],
    ["-object memory-backend-ram,id=r,size=1G", "size=1G: -m says 134217728 bytes"],
    ["-global nvme.serial=x", "defaults of nvme cannot be changed"],
    ["-net user", "-net user: not supported; known: none"],
    ["-overcommit mem-lock=on", "-overcommit mem-lock=on: not supported"],
  ])("%s is refused", (text, message) => {
    expect(refusal(text)).toContain(message);
  });
});

describe("settings", () => {
  it("have QEMU's defaults", () => {
    expect(settings("")).toMatchObject({
      machine: true,
      name: "program",
      ramBytes: 128 * MIB,
      cpuModel: "zmend",
      paused: false,
      onGuestReset: "reset",
      onShutdown: "poweroff",
      onPanic: "shutdown",
      daemonize: false,
    });
  });

  it("follow the options", () => {
    const text =
      "-S -no-reboot -no-shutdown -action panic=pause -name guest=z1,debug-threads=on -m 512 -rtc base=2026-11-21T12:00:00" +
      " -uuid 01234567-89AB-cdef-0123-456789abcdef -pidfile p -daemonize -d stats,events -D log";
    expect(settings(text)).toMatchObject({
      name: "z1",
      ramBytes: 512 * MIB,
      epochMs: Date.UTC(2026, 10, 21, 12),
      uuid: "01234567-89ab-cdef-0123-456789abcdef",
      paused: true,
      onGuestReset: "shutdown",
      onShutdown: "pause",
      onPanic: "pause",
      pidfile: "p",
      daemonize: true,
      log: { items: new Set(["stats", "events"]), file: "log" },
    });
    expect(settings("-M s390-ccw-virtio,loadparm=60000")).toMatchObject({ loadparm: "60000" });
    expect(settings("-machine none,accel=kvm:tcg")).toMatchObject({ machine: false });
    expect(settings("-action reboot=shutdown,shutdown=pause")).toMatchObject({
      onGuestReset: "shutdown",
      onShutdown: "pause",
    });
  });
});

describe("-m", () => {
  it.each([
    ["512", 512 * MIB],
    ["64M", 64 * MIB],
    ["64m", 64 * MIB],
    ["1G", GIB],
    ["2048K", 2 * MIB],
    ["size=524288k", 512 * MIB],
    ["size=16", 16 * MIB],
    ["0", 0],
  ])("%s is %i bytes", (text, expected) => {
    expect(parseMemoryOption(text)).toBe(expected);
  });

  it.each(["", "G", "64MB", "-1", "1.5G", "0x10", "64 M", "size=", "1T", "512,slots=3", "١"])(
    "'%s' is refused",
    (text) => {
      expect(parseMemoryOption(text)).toBeUndefined();
    },
  );
});
