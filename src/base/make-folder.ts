/** Folders, with those above them. */
import { existsSync, mkdirSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";

/**
 * As `mkdir -p`. (Node's own never returns where a file system answers ENOENT although the folder above is there, as /proc does.)
 * @throws what `mkdir` throws; EEXIST when something stands there that is no folder
 */
export function makeFolders(folder: string, mode = 0o777): void {
  const missing: string[] = [];
  for (let at = resolve(folder); !existsSync(at); at = dirname(at)) missing.push(at);
  for (const each of missing.length === 0 ? [folder] : missing.reverse()) {
    try {
      mkdirSync(each, { mode });
    } catch (error) {
      if (!statSync(each, { throwIfNoEntry: false })?.isDirectory()) throw error;
    }
  }
}
