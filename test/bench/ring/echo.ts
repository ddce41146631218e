/** The task of the piscina comparison: nothing but the way there and back, between two cores. */
import { pin } from "../harness.ts";

pin(1);

export default function echo(value: number): number {
  return value;
}
