/** Character devices as QMP sees them: labels for query-chardev, and ring buffers that can be read and written. */
import { QmpError } from "./errors.ts";

export interface Chardev {
  readonly label: string;
  /** As QEMU prints it: `stdio`, `disconnected:unix:PATH,server=on`, `ringbuf`. */
  readonly filename: () => string;
  readonly frontendOpen: () => boolean;
  readonly ring?: RingBuffer;
}

export class Chardevs {
  readonly #chardevs: Chardev[] = [];

  add(chardev: Chardev): void {
    this.#chardevs.push(chardev);
  }

  list(): readonly Chardev[] {
    return this.#chardevs;
  }

  ring(label: string): RingBuffer {
    const chardev = this.#chardevs.find((entry) => entry.label === label);
    if (chardev === undefined) throw new QmpError(`Device '${label}' not found`);
    if (chardev.ring === undefined) throw new QmpError(`${label} is not a ringbuf device`);
    return chardev.ring;
  }
}

/** Keeps the last `size` bytes written; reading takes them out. */
export class RingBuffer {
  readonly #size: number;
  #bytes: Buffer = Buffer.alloc(0);

  constructor(size: number) {
    this.#size = size;
  }

  write(bytes: Uint8Array): void {
    const all = Buffer.concat([this.#bytes, bytes]);
    this.#bytes = all.subarray(Math.max(0, all.length - this.#size));
  }

  read(count: number): Buffer {
    const taken = this.#bytes.subarray(0, count);
    this.#bytes = this.#bytes.subarray(taken.length);
    return taken;
  }
}
