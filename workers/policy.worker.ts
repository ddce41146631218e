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
  if (typeof policy !== "object" || policy === null) {
    refused = new Error("it has no object as its default export");
  }
} catch (error) {
  refused = error ?? new Error("it throws while it is loaded");
}
parentPort?.postMessage("loaded");
for (;;) {
  const { question, facts } = call.next();
  if (refused !== undefined) {
    call.unusable(refused);
    continue;
  }
  try {
    call.answer(question, policy?.[question]?.(facts));
  } catch (error) {
    call.threw(error);
  }
}
