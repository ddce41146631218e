/** The options of `zmend-system-s390x` as query-command-line-options tells them to management programs. */
import type { CommandLineParameter } from "../control/qmp/index.ts";
import { qemuOptions } from "./qemu-options.ts";

const text = (name: string): CommandLineParameter => ({ name, type: "string" });
const flag = (name: string): CommandLineParameter => ({ name, type: "boolean" });
const number = (name: string): CommandLineParameter => ({ name, type: "number" });
const size = (name: string): CommandLineParameter => ({ name, type: "size" });

/** Keys of the options that are groups; what the parsers of these options take. */
const parameters: Readonly<Record<string, readonly CommandLineParameter[]>> = {
  machine: [text("type"), text("accel"), text("memory-backend"), flag("usb")],
  accel: [text("accel")],
  memory: [size("size")],
  "smp-opts": [number("cpus"), number("sockets"), number("cores"), number("threads")],
  chardev: [
    text("backend"),
    text("path"),
    text("host"),
    number("port"),
    number("fd"),
    flag("server"),
    flag("wait"),
    flag("append"),
    flag("mux"),
    size("size"),
  ],
  mon: [text("mode"), text("chardev")],
  name: [text("guest"), text("process"), flag("debug-threads")],
  rtc: [text("base"), text("clock"), text("driftfix")],
  action: [text("reboot"), text("shutdown"), text("panic")],
  overcommit: [flag("mem-lock"), flag("cpu-pm")],
  "boot-opts": [text("order"), flag("strict")],
  "add-fd": [number("fd"), number("set"), text("opaque")],
  drive: [text("file"), text("id"), text("format"), flag("readonly")],
  msg: [flag("timestamp"), flag("guest-name")],
  sandbox: [flag("enable")],
  global: [text("driver"), text("property"), text("value")],
  icount: [text("shift")],
};

/** QEMU's names of the groups behind options that are spelt differently. */
const groupOf: Readonly<Record<string, string>> = {
  m: "memory",
  smp: "smp-opts",
  boot: "boot-opts",
};

export function commandLineOptions(): {
  readonly option: string;
  readonly parameters: readonly CommandLineParameter[];
}[] {
  return qemuOptions.map(({ name }) => {
    const option = groupOf[name] ?? name;
    return { option, parameters: parameters[option] ?? [] };
  });
}
