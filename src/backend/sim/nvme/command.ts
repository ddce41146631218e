/** One submission queue entry, decoded; the object is used again for each command. NVMe 1.4, Figure 105. */
import { NvmeSqe } from "../../../abi/nvme.ts";

const f = NvmeSqe.fields;

export class NvmeCommand {
  readonly bytes = new Uint8Array(NvmeSqe.size);
  readonly #view = new DataView(this.bytes.buffer);
  sqid = 0;
  /** Dword 0 of the completion. */
  dw0 = 0;

  get opcode(): number {
    return this.#view.getUint8(f.opcode.offset);
  }

  /** FUSE and PSDT: fused operations and SGLs are not supported. */
  get flags(): number {
    return this.#view.getUint8(f.flags.offset);
  }

  get cid(): number {
    return this.#view.getUint16(f.cid.offset, true);
  }

  get nsid(): number {
    return this.#view.getUint32(f.nsid.offset, true);
  }

  get prp1(): bigint {
    return this.#view.getBigUint64(f.prp1.offset, true);
  }

  get prp2(): bigint {
    return this.#view.getBigUint64(f.prp2.offset, true);
  }

  get cdw10(): number {
    return this.#view.getUint32(f.cdw10.offset, true);
  }

  get cdw11(): number {
    return this.#view.getUint32(f.cdw11.offset, true);
  }

  get cdw12(): number {
    return this.#view.getUint32(f.cdw12.offset, true);
  }

  get cdw13(): number {
    return this.#view.getUint32(f.cdw13.offset, true);
  }

  get cdw14(): number {
    return this.#view.getUint32(f.cdw14.offset, true);
  }

  /** Starting LBA of an I/O command; above 2^53 it may be rounded, and is out of range all the same. */
  get slba(): number {
    return this.cdw11 * 0x1_0000_0000 + this.cdw10;
  }

  /** Number of blocks of an I/O command. */
  get blocks(): number {
    return (this.cdw12 & 0xffff) + 1;
  }
}
