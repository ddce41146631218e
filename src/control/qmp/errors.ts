/** QMP's error classes; clients match on the class, the text is for people. Source: qmp.md 3. */
import { ZmendError } from "../../base/errors.ts";

export type QmpErrorClass =
  | "GenericError"
  | "CommandNotFound"
  | "DeviceNotActive"
  | "DeviceNotFound"
  | "KVMMissingCap";

export class QmpError extends Error {
  override readonly name = "QmpError";
  readonly errorClass: QmpErrorClass;

  constructor(message: string, errorClass: QmpErrorClass = "GenericError") {
    super(message);
    this.errorClass = errorClass;
  }
}

export function deviceNotFound(name: string): QmpError {
  return new QmpError(`Device '${name}' not found`, "DeviceNotFound");
}

/** What a client is told of any failure of a command. */
export function errorReply(error: unknown): {
  readonly class: QmpErrorClass;
  readonly desc: string;
} {
  if (error instanceof QmpError) return { class: error.errorClass, desc: error.message };
  if (error instanceof ZmendError) return { class: "GenericError", desc: error.message };
  const text = error instanceof Error ? error.message : String(error);
  return { class: "GenericError", desc: `Internal error, please report it: ${text}` };
}
