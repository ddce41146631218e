/**
 * The EEH side of a container fd: VFIO_EEH_PE_OP as merged, and the two calls of the 2014 posting whose
 * layouts are known, as posted and as its reviewer wanted them (plain option, answer as positive return value).
 * The PE of a function is the state of its hardware. Thread: recovery worker. Source: vfio-uapi.md 6.
 */
import { type ByteOrder, decode, encodeInto } from "../../abi/layout.ts";
import { inOrder } from "../../abi/vfio.ts";
import {
  EehGetAddr2014,
  EehOp,
  EehSetOption2014,
  EehState,
  VFIO_EEH_PE_OP,
  VFIO_EEH_PE_OP_MIN,
  VfioEehPeOp,
} from "../../abi/vfio-iommu.ts";
import { EFAULT, EINVAL, EIO, ENOTTY, HOST_PENDING } from "../../ports/host-function.ts";
import { compareExchange } from "../../shm/atomics.ts";
import { viewOf } from "./ccdf-builder.ts";
import type { EehForm } from "./config.ts";
import { Hardware, type HostArea, HostBlock, PLATFORM_REQUEST } from "./host-area.ts";
import { clearHardware } from "./host-kernel.ts";
import type { RequestPort } from "./host-requests.ts";

export const VFIO_CHECK_EXTENSION = 0x3b65;
export const VFIO_EEH = 5;
/** The posting's second call; it numbered its calls from 21 on. */
const VFIO_EEH_PE_GET_ADDR_2014 = VFIO_EEH_PE_OP + 1;

const INJECT_FUNCTION_MAX = 19;
const RESET_LOOKS_MAX = 1_000_000;
/** GET_ADDR's option and answer for the sharing mode: 1 = the PE belongs to one function, 2 = to several. */
const OPTION_SHARING = 1;
const PE_UNSHARED = 1;
const PE_SHARED = 2;

const stateOfHardware: Readonly<Record<number, number>> = {
  [Hardware.NORMAL]: EehState.NORMAL,
  [Hardware.ERROR]: EehState.STOPPED,
  [Hardware.BLOCKED]: EehState.STOPPED_DMA,
  [Hardware.PERMANENT]: EehState.UNAVAIL,
  [Hardware.RESETTING]: EehState.RESET,
};

export class EehContainer {
  readonly #area: HostArea;
  readonly #requests: RequestPort;
  readonly #order: ByteOrder;
  readonly #form: EehForm;
  readonly #whileBlocked: () => void;
  readonly #pe: number | undefined;
  readonly #sharing: number;

  constructor(
    area: HostArea,
    requests: RequestPort,
    order: ByteOrder,
    form: EehForm,
    whileBlocked: () => void,
    pe?: number,
  ) {
    this.#area = area;
    this.#requests = requests;
    this.#order = order;
    this.#form = form;
    this.#whileBlocked = whileBlocked;
    this.#pe = pe;
    this.#sharing = pe === undefined ? PE_UNSHARED : PE_SHARED;
  }

  /** @param argument a buffer, or the number where the call takes one. @returns payload, 0 or -errno */
  ioctl(request: number, argument: Uint8Array | number): number {
    if (request === VFIO_CHECK_EXTENSION) return argument === VFIO_EEH ? 1 : 0;
    if (request === VFIO_EEH_PE_OP) {
      if (this.#form === "2014-u32") return this.#option(argument);
      if (typeof argument === "number") return -EFAULT;
      return this.#form === "merged" ? this.#peOp(argument) : this.#setOption(argument);
    }
    if (request === VFIO_EEH_PE_GET_ADDR_2014 && this.#form !== "merged") {
      return this.#getAddress(argument);
    }
    return -ENOTTY;
  }

  /** PE state, EehState. */
  state(): number {
    return stateOfHardware[this.#area.get(HostBlock.hardware)] ?? EehState.UNAVAIL;
  }

  #peOp(buffer: Uint8Array): number {
    if (buffer.length < VFIO_EEH_PE_OP_MIN) return -EFAULT;
    const table = inOrder(VfioEehPeOp, this.#order);
    const whole = new Uint8Array(VfioEehPeOp.size);
    whole.set(buffer.subarray(0, whole.length));
    const { argsz, flags, op, errType, errFunc } = decode(table, viewOf(whole));
    if (argsz < VFIO_EEH_PE_OP_MIN || flags !== 0) return -EINVAL;
    switch (op) {
      case EehOp.GET_STATE:
        return this.state();
      case EehOp.RESET_HOT:
      case EehOp.RESET_FUNDAMENTAL:
        return this.#assertReset();
      case EehOp.RESET_DEACTIVATE:
        return this.#releaseReset();
      case EehOp.CONFIGURE:
        return 0;
      case EehOp.INJECT_ERR:
        if (argsz < VfioEehPeOp.size) return -EINVAL;
        if (buffer.length < VfioEehPeOp.size) return -EFAULT;
        return errType > 1 || errFunc > INJECT_FUNCTION_MAX ? -EINVAL : this.#inject();
      default:
        return this.#option(op);
    }
  }

  #setOption(buffer: Uint8Array): number {
    if (buffer.length < EehSetOption2014.size) return -EFAULT;
    const { argsz, option } = decode(inOrder(EehSetOption2014, this.#order), viewOf(buffer));
    return argsz < EehSetOption2014.size ? -EINVAL : this.#option(option);
  }

  /** Enable, disable and the two thaws: one number for all forms. */
  #option(option: Uint8Array | number): number {
    const frozen = this.state();
    switch (option) {
      case EehOp.DISABLE:
        return 0;
      case EehOp.ENABLE:
        return this.#thaw(7, frozen);
      case EehOp.UNFREEZE_IO:
        return frozen === EehState.STOPPED ? this.#thaw(9, frozen) : 0;
      case EehOp.UNFREEZE_DMA:
        return this.#thaw(7, frozen);
      default:
        return -EINVAL;
    }
  }

  #thaw(operation: 7 | 9, state: number): number {
    if (state === EehState.NORMAL) return 0;
    if (state === EehState.UNAVAIL || state === EehState.RESET) return -EIO;
    // Before the thaw: what freezes the PE anew must find it free.
    this.#area.set(HostBlock.peFrozen, 0);
    return clearHardware(this.#area, operation);
  }

  #getAddress(argument: Uint8Array | number): number {
    const address = (this.#pe ?? this.#area.index + 1) << 16;
    if (typeof argument === "number") {
      if (this.#form !== "2014-u32") return -EFAULT;
      return argument === OPTION_SHARING ? this.#sharing : address;
    }
    const table = inOrder(EehGetAddr2014, this.#order);
    if (argument.length < table.size) return -EFAULT;
    const { argsz, option } = decode(table, viewOf(argument));
    if (argsz < table.size || option > OPTION_SHARING) return -EINVAL;
    const info = option === OPTION_SHARING ? this.#sharing : address;
    encodeInto(table, viewOf(argument), 0, { info });
    return 0;
  }

  /** Freezes the PE until the reset is released; a PE that is given up stays so. */
  #assertReset(): number {
    const { words, host } = this.#area;
    for (const from of [Hardware.NORMAL, Hardware.ERROR, Hardware.BLOCKED]) {
      const at = host + HostBlock.hardware;
      if (compareExchange(words, at, from, Hardware.RESETTING) === from) return 0;
    }
    return this.state() === EehState.RESET ? 0 : -EIO;
  }

  #releaseReset(): number {
    if (this.state() !== EehState.RESET) return 0;
    const started = this.#requests.startReset();
    if (started !== 0) return started;
    for (let look = 0; look < RESET_LOOKS_MAX; look++) {
      const result = this.#requests.pollReset();
      if (result !== HOST_PENDING) return result;
      this.#whileBlocked();
    }
    return -EIO;
  }

  #inject(): number {
    this.#area.set(HostBlock.eehInject, 1);
    this.#area.platformBell.ring(PLATFORM_REQUEST);
    return 0;
  }
}
