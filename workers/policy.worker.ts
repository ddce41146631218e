/** Doorway of a policy module's thread: loads the module, then answers one question at a time. */
import { parentPort, workerData } from "node:worker_threads";
import { PolicyCall, type Question } from "../src/experiment/trial/policy-calls.ts";

interface PolicyWorkerData {
  readonly url: string;
  readonly buffer: SharedArrayBuffer;
}

type Deciding = Partial<Record<Question, (facts: object) => unknown>>;

const { url, buffer } = workerData as PolicyWorkerData;
const call = new PolicyCall(buffer);
let policy: Deciding | undefined;
let refused: unknown;
try {
  policy = (await import(url)).default as Deciding;
  if (typeof policy !== "object" || policy === null)
    refused = new Error("it has no default export");
} catch (error) {
  refused = error;
}
parentPort?.postMessage("loaded");
for (;;) {
  const { question, facts } = call.next();
  try {
    if (refused !== undefined) throw refused;
    call.answer(question, policy?.[question]?.(facts));
  } catch (error) {
    call.threw(error);
  }
}
