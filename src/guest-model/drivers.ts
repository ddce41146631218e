/**
 * Drivers as the kernel's error recovery sees them: which callbacks they have, what these answer, what they issue and
 * how long they take. Times of the nvme-like driver: the recorded recovery of Debian 6.1.176 on QEMU (TCG), stage by
 * stage, with a spread of a quarter that stands for no measurement (`zmend experiment fit` puts measured ones in).
 * Sources: zpci-guest.md 9.4; Linux 7.x drivers/nvme/host/pci.c, drivers/net/ethernet/mellanox/mlx5/core/main.c.
 */
import { constant, type Distribution } from "../base/distribution.ts";
import {
  type Block,
  disableDevice,
  mlx5Load,
  mlx5Quiesce,
  mlx5Vital,
  nothing,
  nvmeConfigure,
  nvmeEnable,
  nvmeGiveBackVector,
  nvmeQueues,
  nvmeQuiesce,
  nvmeReadBack,
  nvmeStart,
  nvmeVectors,
  powerUp,
  restoreState,
} from "./instructions.ts";
import type { KernelFlavour } from "./kernels.ts";

/** Stretches of a guest's work, each with a distribution of its length; numbers are the index in `stages`. */
export const stages = [
  "machineCheck", // machine check -> STCRW
  "fetch", //        STCRW -> CHSC
  "decide", //       CHSC -> the driver's error_detected
  "teardown", //     error_detected -> MPCIFC 9 or CLP disable
  "examine", //      MPCIFC 9 granted -> MPCIFC 7 (mmio_enabled)
  "enable", //       CLP disable granted -> CLP enable
  "register", //     CLP enable -> MPCIFC 4 and the first load
  "restore", //      slot_reset
  "restart", //      resume: until the driver's I/O runs again
  "giveUp", //       how long the driver waits for a device that does not come back
  "remove", //       device removal
  "probe", //        scan and probe of a function that was configured
] as const;
export type StageName = (typeof stages)[number];
export const Stage = Object.freeze(
  Object.fromEntries(stages.map((name, index) => [name, index])),
) as Readonly<Record<StageName, number>>;

/** A block of instructions, or an MPCIFC between blocks. */
export type ProgramStep = Block | { readonly modify: number };

export interface DriverVariant {
  readonly name: string;
  readonly summary: string;
  /** error_detected(frozen); absent = no error handlers at all. */
  readonly errorDetected?: "need-reset" | "can-recover" | "none" | "disconnect" | "hangs";
  /** mmio_enabled: absent where the driver has none. */
  readonly mmioEnabled?: "recovered" | "need-reset";
  readonly slotReset: boolean;
  readonly resume: boolean;
  /** False: it has no interrupt vectors, so nobody registers them in its name. */
  readonly vectors?: boolean;
  /** The kernel's 20 ms and 1 ms waits are left out: for calibration against closed forms. */
  readonly ideal?: boolean;
  readonly quiesce: (kernel: KernelFlavour) => readonly ProgramStep[];
  readonly restore: (kernel: KernelFlavour) => readonly ProgramStep[];
  readonly restart: (kernel: KernelFlavour) => readonly ProgramStep[];
  readonly times: Readonly<Record<StageName, Distribution>>;
}

const REGISTER_INTERRUPTS: ProgramStep = { modify: 2 };
const DEREGISTER_INTERRUPTS: ProgramStep = { modify: 3 };
const MEASUREMENT: ProgramStep = { modify: 10 };

const around = (medianUs: number): Distribution => ({
  kind: "lognormal",
  median: medianUs,
  sigma: 0.25,
});

const nvmeTimes: Readonly<Record<StageName, Distribution>> = {
  machineCheck: around(1_300),
  fetch: around(600),
  decide: around(700),
  teardown: around(25_600),
  examine: around(1_000),
  enable: around(200),
  register: around(700),
  restore: around(9_100),
  restart: around(6_400),
  giveUp: constant(60_000_000), //  nvme's admin timeout
  remove: around(30_000),
  probe: around(60_000),
};

/** Interrupts as the kernel's nvme driver asks for them (zpci-guest.md 12). */
const nvmeRestart = (kernel: KernelFlavour): readonly ProgramStep[] =>
  kernel.interruptsPerAllocation
    ? [
        powerUp,
        MEASUREMENT,
        nvmeEnable,
        REGISTER_INTERRUPTS,
        nvmeConfigure,
        ...(kernel.nvmeReadsBack ? [nvmeReadBack] : []),
        nvmeStart,
        nvmeGiveBackVector(kernel.clearsVectors),
        DEREGISTER_INTERRUPTS,
        nvmeVectors,
        REGISTER_INTERRUPTS,
        nvmeQueues,
      ]
    : [
        powerUp,
        MEASUREMENT,
        nvmeEnable,
        nvmeConfigure,
        ...(kernel.nvmeReadsBack ? [nvmeReadBack] : []),
        nvmeStart,
        nvmeGiveBackVector(kernel.clearsVectors),
        nvmeVectors,
        nvmeQueues,
      ];

const nvmeQuiesceProgram = (kernel: KernelFlavour): readonly ProgramStep[] => [
  nvmeQuiesce(kernel.clearsVectors),
  ...(kernel.interruptsPerAllocation ? [DEREGISTER_INTERRUPTS] : []),
  disableDevice,
  MEASUREMENT,
];

const nvme = {
  errorDetected: "need-reset",
  slotReset: true,
  resume: true,
  quiesce: nvmeQuiesceProgram,
  restore: () => [restoreState],
  restart: nvmeRestart,
  times: nvmeTimes,
} as const;

const none = (): readonly ProgramStep[] => [nothing];
const instant = Object.freeze(
  Object.fromEntries(stages.map((stage) => [stage, constant(0)])),
) as Readonly<Record<StageName, Distribution>>;

export const drivers: Readonly<Record<string, DriverVariant>> = {
  nvme: { name: "nvme", summary: "nvme-like: asks for a reset, rebuilds its controller", ...nvme },
  mlx5: {
    name: "mlx5",
    summary: "mlx5-like: unloads, asks for a reset, waits for the health counter, loads again",
    errorDetected: "need-reset",
    slotReset: true,
    resume: true,
    quiesce: (kernel) => [
      mlx5Quiesce,
      ...(kernel.interruptsPerAllocation ? [DEREGISTER_INTERRUPTS] : []),
      disableDevice,
      MEASUREMENT,
    ],
    restore: () => [MEASUREMENT, restoreState, mlx5Vital],
    restart: (kernel) => [
      ...(kernel.interruptsPerAllocation ? [REGISTER_INTERRUPTS] : []),
      mlx5Load,
    ],
    times: {
      ...nvmeTimes,
      teardown: around(150_000),
      restore: around(120_000),
      restart: around(900_000),
      giveUp: constant(10_000_000),
    },
  },
  "can-recover": {
    name: "can-recover",
    summary:
      "answers CAN_RECOVER and mmio_enabled: the error is cleared in place where the host can",
    errorDetected: "can-recover",
    mmioEnabled: "recovered",
    slotReset: true,
    resume: true,
    quiesce: none,
    restore: () => [restoreState],
    restart: none,
    times: { ...nvmeTimes, teardown: around(1_000), restart: around(1_000) },
  },
  "vfio-pci": {
    name: "vfio-pci",
    summary: "answers CAN_RECOVER and has no other callback: enough for 7.x, no support for 6.x",
    errorDetected: "can-recover",
    slotReset: false,
    resume: false,
    vectors: false, // as long as user space has not opened the device
    quiesce: none,
    restore: none,
    restart: none,
    times: {
      ...nvmeTimes,
      teardown: around(1_000),
      restore: around(1_000),
      restart: around(1_000),
    },
  },
  "no-handlers": {
    name: "no-handlers",
    summary: "has no error handlers: the kernel gives the function up",
    slotReset: false,
    resume: false,
    quiesce: none,
    restore: none,
    restart: none,
    times: nvmeTimes,
  },
  hanging: {
    name: "hanging",
    summary: "nvme-like, but error_detected never returns: the kernel's event thread is gone",
    ...nvme,
    errorDetected: "hangs",
  },
  slow: {
    name: "slow",
    summary: "nvme-like with a device that needs many seconds to come back",
    ...nvme,
    times: { ...nvmeTimes, teardown: around(1_500_000), restart: around(12_000_000) },
  },
  ideal: {
    name: "ideal",
    summary: "takes no time and needs no retries: for checks against closed forms",
    ...nvme,
    ideal: true,
    times: instant,
  },
};

export const driverNames: readonly string[] = Object.keys(drivers);
