/** `info registers` in QEMU's form (observed on QEMU 7.2, s390x): PSW, general, floating-point or vector, control. */
import { Cpu, CpuState } from "../../../cpu/index.ts";
import type { QmpHost } from "../command.ts";

/** While the CPU runs, registers are from different moments. */
export function registers(host: QmpHost, cpu: number): string {
  const { control } = host;
  if (control === undefined || cpu >= control.vm.map.vcpuAreas.length) return "";
  const state = new CpuState(control.vm, cpu);
  const vector = (n: number): string =>
    digits(state.u64(Cpu.vr + n * 16)) + digits(state.u64(Cpu.vr + n * 16 + 8));
  const cc = state.i32(Cpu.cc) & 3;
  const lines = [
    "",
    `CPU#${cpu}`,
    `PSW=mask ${digits(state.u64(Cpu.pswMask))} addr ${digits(state.u64(Cpu.pswAddress))} cc ${String(cc).padStart(2, "0")}`,
    ...rows("R", 16, 4, (n) => digits(state.gr(n))),
    ...rows("V", 32, 2, vector),
    ...rows("C", 16, 4, (n) => digits(state.cr(n))),
    "",
    "",
  ];
  return lines.join("\n");
}

function digits(value: bigint): string {
  return BigInt.asUintN(64, value).toString(16).padStart(16, "0");
}

function rows(letter: string, count: number, perLine: number, text: (n: number) => string) {
  const lines: string[] = [];
  for (let first = 0; first < count; first += perLine) {
    const numbers = Array.from({ length: perLine }, (_, n) => first + n);
    lines.push(numbers.map((n) => `${letter}${String(n).padStart(2, "0")}=${text(n)}`).join(" "));
  }
  return lines;
}
