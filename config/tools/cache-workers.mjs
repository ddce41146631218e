/**
 * Gives the threads of an installed release V8's code cache (link-workers.mjs), made by the Node that runs this: another's
 * would be refused. VMs start sooner with it and each takes some MiB less. Use, as a user who may write there:
 *
 *     node "$(npm root --global)/zmend/config/tools/cache-workers.mjs"
 */
import { fileURLToPath } from "node:url";
import { cacheWorkers, doorways } from "./link-workers.mjs";

const dist = new URL("../../dist/", import.meta.url);
const { tuneEngine } = await import(new URL("src/base/engine.js", dist));
tuneEngine();
cacheWorkers(fileURLToPath(dist), doorways);
