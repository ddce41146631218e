/** Doorway of a recovery thread: of one function, or of several. */
import { parentPort } from "node:worker_threads";
import { RecoveryLoad, type RecoveryTask } from "../src/machine/recovery-load.ts";
import { nameOwnThread, takeOwnPriority } from "../src/machine/thread-priority.ts";
import { ACTOR_LOADED } from "../src/machine/vm-spec.ts";

export default function recoveryLife(task: RecoveryTask & { readonly name: string }): void {
  parentPort?.postMessage(ACTOR_LOADED);
  takeOwnPriority(0);
  nameOwnThread(task.name);
  new RecoveryLoad(task).run();
  task.orders.close();
}
