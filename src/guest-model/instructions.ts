/**
 * zPCI instructions as data: what `zmend experiment sequence` prints, and the blocks of PCILG, PCISTG, RPCIT and SIC
 * that drivers issue between the instructions the recovery turns on. The nvme-like blocks are those of a genuine
 * driver (Debian 6.1.176, recorded; the skeleton is the same on 6.12, 7.2 and 7.3: zpci-guest.md 9.4).
 */

export interface Instruction {
  readonly name:
    | "STCRW"
    | "CHSC"
    | "CLP"
    | "MPCIFC"
    | "PCILG"
    | "PCISTG"
    | "RPCIT"
    | "SIC"
    | "SERVC";
  /** CLP command, e.g. "list", "disable"; MPCIFC operation; SCLP event type. */
  readonly operation?: string | number;
  /** PCILG, PCISTG: 15 = configuration space, 0-5 = BAR. */
  readonly space?: number;
  readonly offset?: number;
  readonly length?: number;
  readonly pec?: number;
  /** CLP response code. */
  readonly response?: number;
  readonly cc?: number;
  readonly status?: number;
}

/** A row of a block: PCILG, PCISTG, RPCIT or SIC; answered by the function's state at the block's time. */
export type BlockRow = Pick<Instruction, "name" | "space" | "offset" | "length">;
export type Block = readonly BlockRow[];

const CONFIG = 15;
const load = (space: number, offset: number, length: number): BlockRow => ({
  name: "PCILG",
  space,
  offset,
  length,
});
const store = (space: number, offset: number, length: number): BlockRow => ({
  name: "PCISTG",
  space,
  offset,
  length,
});
const cfgLoad = (offset: number, length: number): BlockRow => load(CONFIG, offset, length);
const cfgStore = (offset: number, length: number): BlockRow => store(CONFIG, offset, length);
const rpcit: BlockRow = { name: "RPCIT" };
const sic: BlockRow = { name: "SIC" };

function range(from: number, to: number, step: number): number[] {
  const list: number[] = [];
  for (let at = from; step > 0 ? at <= to : at >= to; at += step) list.push(at);
  return list;
}

/** Offsets of registers, by their names in the PCI and NVMe specifications. */
const COMMAND = 0x04;
const STATUS = 0x06;
const CAPABILITIES = 0x34;
const INTERRUPT_PIN = 0x3d;
const MSIX = 0x40; //        capability: control at +2, table at +4
const MSIX_CONTROL = MSIX + 2;
const PM = 0x60;
const PM_CONTROL = PM + 4;
const EXPRESS = 0x80; //     device, link, device 2, link 2 control at +8, +16, +40, +48
const expressControls = [EXPRESS + 8, EXPRESS + 16, EXPRESS + 40, EXPRESS + 48];
const CAP = 0x00;
const VS = 0x08;
const CC = 0x14;
const CSTS = 0x1c;
const AQA = 0x24;
const ASQ = 0x28;
const ACQ = 0x30;
const CMBSZ = 0x3c;
const SQ0_TAIL = 0x1000;
const CQ0_HEAD = 0x1004;
const TABLE = 0x2000; //     MSI-X table: 16 bytes a vector, mask word at +12

/** Vectors of the recorded controller's MSI-X table. */
const TABLE_VECTORS = 65;

const maskWord = (vector: number): number => TABLE + vector * 16 + 12;
const mask = (vector: number): BlockRow => store(0, maskWord(vector), 4);
const flush: BlockRow = load(0, TABLE, 4);
const readModifyWrite = (offset: number): BlockRow[] => [cfgLoad(offset, 2), cfgStore(offset, 2)];

/** One admin command without and with a buffer to map: doorbell, interrupt, completion, doorbell. */
const plainCommand: Block = [store(0, SQ0_TAIL, 4), store(0, CQ0_HEAD, 4), sic];
const mappedCommand: Block = [rpcit, ...plainCommand];

/** Before MSI-X is set up: control word read twice, enabled with all vectors masked, table found. */
const msixSetUp: Block = [
  cfgLoad(MSIX_CONTROL, 2),
  ...readModifyWrite(MSIX_CONTROL),
  cfgLoad(MSIX_CONTROL, 2),
  cfgLoad(MSIX + 4, 4),
  cfgLoad(MSIX_CONTROL, 2),
];

/** Address, data of a vector, and the read back of the data that flushes them. */
const vectorRows = (vector: number): BlockRow[] => [
  store(0, TABLE + vector * 16, 4),
  store(0, TABLE + vector * 16 + 4, 4),
  store(0, TABLE + vector * 16 + 8, 4),
];
const readBack = (vector: number): BlockRow => load(0, TABLE + vector * 16 + 8, 4);

/** INTx off, all vectors masked in the table, function mask lifted. */
const msixUnmask: Block = [
  ...readModifyWrite(COMMAND),
  ...range(0, TABLE_VECTORS - 1, 1).map(mask),
  ...readModifyWrite(MSIX_CONTROL),
];

/** Configuration space as pci_save_state reads it. */
const saveState: Block = [
  ...range(0x00, 0x3c, 4).map((offset) => cfgLoad(offset, 4)),
  ...expressControls.map((offset) => cfgLoad(offset, 2)),
  cfgLoad(STATUS, 2),
  cfgLoad(CAPABILITIES, 1),
  cfgLoad(MSIX, 2),
  cfgLoad(EXPRESS, 2),
  cfgLoad(PM, 2),
];

/** A vector's interrupt is freed: masked, and from 7.x on its message is cleared and read back. */
const freed = (vector: number, cleared: boolean): BlockRow[] => [
  mask(vector),
  flush,
  ...(cleared ? [...vectorRows(vector), readBack(vector)] : []),
];

/** nvme: reaction to the frozen channel. Every access is refused: cc 1, status 12. */
export const nvmeQuiesce = (cleared: boolean): Block => [
  cfgLoad(0, 4),
  ...[1, 0].flatMap((vector) => freed(vector, cleared)),
  ...[0, 1].flatMap((vector) => [mask(vector), flush]),
  ...readModifyWrite(MSIX_CONTROL),
  ...readModifyWrite(COMMAND),
];
/** pci_disable_device, after interrupts are deregistered where the kernel does that. */
export const disableDevice: Block = readModifyWrite(COMMAND);
/** slot_reset: pci_restore_state compares and writes back. */
export const restoreState: Block = [
  ...expressControls.map((offset) => cfgStore(offset, 2)),
  ...range(0x3c, 0x00, -4).map((offset) => cfgLoad(offset, 4)),
  cfgLoad(STATUS, 2),
  cfgLoad(CAPABILITIES, 1),
  cfgLoad(MSIX, 2),
  cfgLoad(EXPRESS, 2),
  cfgLoad(PM, 2),
];
/** Reset work, first half: power state; then pci_enable_device registers the measurement block. */
export const powerUp: Block = [cfgLoad(PM_CONTROL, 2)];
export const nvmeEnable: Block = [
  cfgLoad(COMMAND, 2),
  cfgLoad(INTERRUPT_PIN, 1),
  cfgLoad(COMMAND, 2),
  cfgStore(COMMAND, 2),
  cfgLoad(COMMAND, 2),
  load(0, CSTS, 4),
  ...msixSetUp,
  load(0, maskWord(0), 4),
  mask(0),
  ...vectorRows(0),
  store(0, maskWord(0), 4),
  readBack(0),
];
/** Controller off and configured with its old admin queue (no RPCIT). */
export const nvmeConfigure: Block = [
  ...msixUnmask,
  load(0, CAP, 4),
  load(0, CAP + 4, 4),
  load(0, CMBSZ, 4),
  ...saveState,
  load(0, VS, 4),
  store(0, CC, 4),
  load(0, CSTS, 4),
  store(0, AQA, 4),
  store(0, ASQ, 4),
  store(0, ASQ + 4, 4),
  store(0, ACQ, 4),
  store(0, ACQ + 4, 4),
  load(0, CAP, 4),
  load(0, CAP + 4, 4),
  store(0, CC, 4),
];
/** 6.1 reads the configuration back before it switches the controller on. */
export const nvmeReadBack: Block = [load(0, CC, 4)];
/** Controller on, then identify and feature commands. */
export const nvmeStart: Block = [
  load(0, CAP, 4),
  load(0, CAP + 4, 4),
  store(0, CC, 4),
  load(0, CSTS, 4),
  mask(0),
  load(0, VS, 4),
  ...mappedCommand,
  ...mappedCommand,
  ...mappedCommand,
  ...mappedCommand,
  ...plainCommand,
];
/** 6.1, 6.12: the single admin vector is given back before the vectors of the I/O queues are asked for. */
export const nvmeGiveBackVector = (cleared: boolean): Block => [
  ...freed(0, cleared),
  mask(0),
  flush,
  ...readModifyWrite(MSIX_CONTROL),
  ...readModifyWrite(COMMAND),
];
export const nvmeVectors: Block = [
  ...msixSetUp,
  load(0, maskWord(0), 4),
  load(0, maskWord(1), 4),
  ...vectorRows(0),
  readBack(0),
  ...vectorRows(1),
  readBack(1),
];
/** I/O queues and the namespaces' identification. */
export const nvmeQueues: Block = [
  ...msixUnmask,
  mask(0),
  ...plainCommand,
  ...plainCommand,
  mask(1),
  ...plainCommand,
  ...plainCommand,
  // Two commands are under way at once: the second one's buffer is mapped before the first one ends.
  store(0, SQ0_TAIL, 4),
  ...mappedCommand,
  ...mappedCommand,
  ...mappedCommand,
  ...mappedCommand,
  ...mappedCommand,
];

/** mlx5-like: health counter polled until it moves, then commands through its one doorbell. Not recorded. */
const MLX5_HEALTH_COUNTER = 0x210;
const MLX5_DOORBELL = 0x18;
export const mlx5Quiesce: Block = [load(0, MLX5_HEALTH_COUNTER, 4)];
export const mlx5Vital: Block = [load(0, MLX5_HEALTH_COUNTER, 4), load(0, MLX5_HEALTH_COUNTER, 4)];
export const mlx5Load: Block = range(1, 24, 1).flatMap(() => [
  rpcit,
  store(0, MLX5_DOORBELL, 4),
  sic,
]);

export const nothing: Block = [];
