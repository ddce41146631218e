/**
 * The page's one command: `POST /inject`. It needs the token that was printed at the start, in a header that no other
 * site's page can send without this service's consent, on top of what `src/control/http/service.ts` demands.
 */
import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { z } from "zod";
import { ZmendError } from "../../base/errors.ts";
import { wording } from "../../base/wording.ts";
import type { VmControl } from "../../machine/vm-control.ts";
import { type HttpAnswer, type HttpRequest, say } from "../http/service.ts";
import type { OperatorRecord } from "../journal/index.ts";

const BODY_MAX_BYTES = 4096;
/** Of one request: the host keeps four events of a function at a time. */
const COUNT_MAX = 100;

const requestSchema = z.strictObject({
  vm: z.string(),
  fid: z.number().int().min(0).max(0xffffffff),
  pec: z.number().int().min(1).max(0xffff),
  faddr: z.number().int().min(0).max(Number.MAX_SAFE_INTEGER).optional(),
  count: z.number().int().min(1).max(COUNT_MAX).optional(),
  stale: z.boolean().optional(),
});

export interface InjectionOptions {
  /** From `newToken()`; told to the operator, never logged. */
  readonly token: string;
  /** Told of every injection, for the journal. */
  readonly operator?: (record: OperatorRecord) => void;
}

/** 256 bits that nobody can guess. */
export function newToken(): string {
  return randomBytes(32).toString("base64url");
}

export async function inject(
  request: HttpRequest,
  vms: readonly VmControl[],
  options: InjectionOptions,
): Promise<HttpAnswer> {
  if (!isToken(request.headers.authorization, options.token)) {
    const refused = say(
      401,
      "The token is wrong; use the one that the daemon printed at its start.",
    );
    return { ...refused, headers: { "WWW-Authenticate": "Bearer" } };
  }
  if (!/^application\/json\b/i.test(request.headers["content-type"] ?? "")) {
    return say(415, "The body must be application/json.");
  }
  const body = await request.body(BODY_MAX_BYTES);
  if (body === undefined)
    return say(413, `The body must not be longer than ${BODY_MAX_BYTES} bytes.`);
  const parsed = requestSchema.safeParse(json(body), { error: wording });
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    return say(
      400,
      `The request is wrong at '${issue?.path.join(".") ?? ""}': ${issue?.message ?? ""}.`,
    );
  }
  const { vm: name, fid, pec, faddr, count, stale } = parsed.data;
  const vm = vms.find((candidate) => candidate.name === name);
  if (vm === undefined) return say(404, `No VM has the name '${name}'.`);
  const wanted = {
    pec,
    ...(faddr === undefined ? {} : { faddr }),
    ...(count === undefined ? {} : { count }),
    ...(stale === undefined ? {} : { stale }),
  };
  try {
    vm.inject(fid, wanted);
  } catch (error) {
    if (error instanceof ZmendError) return say(409, error.message);
    throw error;
  }
  options.operator?.({ vm: name, fid, command: "inject", by: "page", detail: wanted });
  return {
    status: 202,
    type: "application/json",
    body: `${JSON.stringify({ injected: count ?? 1 })}\n`,
  };
}

/** Compared as sums of equal length, in a time that says nothing about where they differ. */
function isToken(header: string | undefined, token: string): boolean {
  const sum = (text: string): Buffer => createHash("sha256").update(text).digest();
  return timingSafeEqual(sum(header ?? ""), sum(`Bearer ${token}`));
}

function json(body: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
  } catch {
    return undefined;
  }
}
