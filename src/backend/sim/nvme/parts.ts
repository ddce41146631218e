/** What the command handlers of one controller share. */

import type { Completions } from "./completions.ts";
import type { NvmeConfig } from "./config.ts";
import type { AsyncEvents } from "./events.ts";
import type { NvmeFaults } from "./faults.ts";
import type { Namespace } from "./namespace.ts";
import type { PrpTransfer } from "./prp.ts";
import type { NvmeState } from "./state.ts";

export interface NvmeParts {
  readonly state: NvmeState;
  readonly config: NvmeConfig;
  readonly namespaces: readonly Namespace[];
  readonly prp: PrpTransfer;
  readonly completions: Completions;
  readonly events: AsyncEvents;
  readonly faults: NvmeFaults;
}

/** A handler's answer for a command that ends later by itself. */
export const NO_COMPLETION = -1;

/** Composite temperature that the controller always has, and the thresholds it warns at, in kelvins. */
export const TEMPERATURE = 323;
export const WARNING_TEMPERATURE = 343;
export const CRITICAL_TEMPERATURE = 373;
