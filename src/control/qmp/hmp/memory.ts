/** `xp /FMT ADDRESS`: guest storage by absolute address, in QEMU's form. */
import { hex } from "../../../base/hex.ts";
import { machineOf, type QmpHost } from "../command.ts";
import { QmpError } from "../errors.ts";

const COUNT_MAX = 4096;
const sizes: Readonly<Record<string, number>> = { b: 1, h: 2, w: 4, g: 8 };
const BYTES_PER_LINE = 16;

export function dumpMemory(host: QmpHost, text: string): string {
  const control = machineOf(host);
  const match = /^(?:\/(\d*)([xducob]?)([bhwg]?)([xdu]?)\s+)?(0x[0-9a-f]+|\d+)$/i.exec(text.trim());
  if (match === null) throw new QmpError("format and address expected, such as: xp /4xw 0x1000");
  const [, countText = "", kind = "", sizeText = "", kindLast = "", addressText = ""] = match;
  const count = countText === "" ? 1 : Number(countText);
  // `b` is a size where no other size follows it.
  const sizeLetter = sizeText === "" && kind === "b" ? "b" : sizeText;
  const size = sizes[sizeLetter === "" ? "w" : sizeLetter.toLowerCase()] ?? 4;
  const decimal = /[du]/i.test(kind === "b" ? kindLast : kind + kindLast);
  const address = Number(addressText);
  const { ramBytes } = control.spec;
  if (count < 1 || count > COUNT_MAX) {
    throw new QmpError(`count ${countText}: expected 1 to ${COUNT_MAX}`);
  }
  if (!Number.isSafeInteger(address) || address + count * size > ramBytes) {
    return `Cannot access memory at ${hex(BigInt(addressText))}\n`;
  }
  return lines(control.vm, address, count, size, decimal);
}

function lines(
  vm: ReturnType<typeof machineOf>["vm"],
  address: number,
  count: number,
  size: number,
  decimal: boolean,
): string {
  const perLine = BYTES_PER_LINE / size;
  let text = "";
  for (let first = 0; first < count; first += perLine) {
    const items: string[] = [];
    for (let n = first; n < Math.min(count, first + perLine); n++) {
      let value = 0n;
      for (let byte = 0; byte < size; byte++) {
        const at = vm.map.ramOffset + address + n * size + byte;
        value = (value << 8n) | BigInt(vm.bytes[at] ?? 0);
      }
      items.push(decimal ? value.toString() : hex(value, size * 2));
    }
    const at = (address + first * size).toString(16).padStart(16, "0");
    text += `${at}: ${items.join(" ")}\n`;
  }
  return text;
}
