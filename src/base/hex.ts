/** `0x` and lower-case hex digits, padded to `digits`. */
export function hex(value: number | bigint, digits = 1): string {
  const text = typeof value === "bigint" ? value.toString(16) : (value >>> 0).toString(16);
  return `0x${text.padStart(digits, "0")}`;
}

export function hexBytes(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
