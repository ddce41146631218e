/** The s390x CPU: what other modules may use. */
export { VCPU_AREA_BYTES, VCPU_STATE_BYTES } from "./core-layout.ts";
export { buildInterpreterModule } from "./interpreter/module.ts";
export { translationStatistics } from "./jit/statistics.ts";
export { HEAT_AFTER } from "./jit/translator.ts";
export { CpuModel, type CpuModelName, cpuModels, isCpuModelName } from "./model.ts";
export { clearReset, initialCpuReset } from "./reset.ts";
export { Signals } from "./signals.ts";
export { Cpu, CpuState, PswBit } from "./state.ts";
export { interpreterModule, Vcpu, VcpuExit, type VcpuOptions } from "./vcpu.ts";
