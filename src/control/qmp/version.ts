/**
 * The version that clients are told: of the QEMU whose protocol this is (they choose what to send by it), with our
 * own name and version as the package. Source: qmp.md 2 and 3, [seen 11.1].
 */
import { zmendVersion } from "../../base/version.ts";

export interface ProtocolVersion {
  readonly qemu: { readonly micro: number; readonly minor: number; readonly major: number };
  readonly package: string;
}

export function protocolVersion(): ProtocolVersion {
  return { qemu: { micro: 3, minor: 1, major: 11 }, package: `zmend-${zmendVersion()}` };
}
