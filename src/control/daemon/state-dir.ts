/**
 * The daemon's state directory: 0700, one daemon at a time, sockets, pid file, journal. The lock is a file that
 * names its holder by pid, start time and boot, so that a lock left by a dead daemon, or by one before a reboot,
 * holds nobody up. A daemon in another pid namespace is found by its control socket.
 */
import {
  chmodSync,
  linkSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { ZmendError } from "../../base/errors.ts";
import { makeFolders } from "../../base/make-folder.ts";
import { checkSocketPath, socketAnswers } from "../unix-socket.ts";

/**
 * Where the daemon keeps its state when nothing else is said: ZMEND_STATE_DIR, systemd's StateDirectory=, the XDG
 * base directory for state.
 */
export function defaultStateDir(env: NodeJS.ProcessEnv = process.env): string {
  const systemd = env["STATE_DIRECTORY"]?.split(":")[0];
  const base = env["XDG_STATE_HOME"] || join(homedir(), ".local", "state");
  return env["ZMEND_STATE_DIR"] || systemd || join(base, "zmend");
}

export interface StatePaths {
  readonly root: string;
  readonly control: string;
  readonly journal: string;
  readonly pidFile: string;
  readonly lock: string;
  qmp(vm: string): string;
}

export function statePaths(folder: string): StatePaths {
  const root = resolve(folder);
  return {
    root,
    control: join(root, "control.sock"),
    journal: join(root, "journal"),
    pidFile: join(root, "daemon.pid"),
    lock: join(root, "lock"),
    qmp: (vm) => join(root, "qmp", `${vm}.sock`),
  };
}

export class StateDir {
  readonly paths: StatePaths;

  private constructor(paths: StatePaths) {
    this.paths = paths;
  }

  /**
   * Makes the folder what it must be and takes its lock.
   * @throws ZmendError ENVIRONMENT when it cannot be made, belongs to somebody else, is in use, or its name is
   *   too long for the sockets of `vms`
   */
  static async open(folder: string, vms: readonly string[]): Promise<StateDir> {
    const paths = statePaths(folder);
    for (const path of [paths.control, ...vms.map(paths.qmp)])
      checkSocketPath(path, "choose a shorter one (--state-dir)");
    makeFolder(paths.root);
    makeFolder(join(paths.root, "qmp"));
    if (await socketAnswers(paths.control)) throw inUse(paths.root, readPid(paths.pidFile));
    takeLock(paths);
    writePid(paths);
    return new StateDir(paths);
  }

  /** Removes what says that a daemon is here. */
  close(): void {
    for (const file of [this.paths.pidFile, this.paths.control, this.paths.lock]) {
      rmSync(file, { force: true });
    }
  }
}

function makeFolder(folder: string): void {
  try {
    makeFolders(folder, 0o700);
    const status = statSync(folder);
    const own = process.getuid === undefined || status.uid === process.getuid();
    if (!own) {
      throw new ZmendError(
        "ENVIRONMENT",
        `State directory ${folder} belongs to another user (uid ${status.uid}); choose one of your own with --state-dir.`,
        { folder },
      );
    }
    if ((status.mode & 0o077) === 0) return;
    // A folder made by hand for this; one in use for something else is not ours to close.
    if (readdirSync(folder).length > 0) {
      throw new ZmendError(
        "ENVIRONMENT",
        `State directory ${folder} is open to other users and not empty; chmod 700 it, or choose another one with --state-dir.`,
        { folder },
      );
    }
    chmodSync(folder, 0o700);
  } catch (error) {
    if (error instanceof ZmendError) throw error;
    throw new ZmendError(
      "ENVIRONMENT",
      `State directory ${folder} cannot be made (${(error as NodeJS.ErrnoException).code}); ` +
        "choose another one with --state-dir.",
      { folder },
      { cause: error },
    );
  }
}

function inUse(folder: string, pid: number | undefined): ZmendError {
  const who = pid === undefined ? "Another zmend daemon" : `A zmend daemon (pid ${pid})`;
  return new ZmendError(
    "ENVIRONMENT",
    `${who} runs on state directory ${folder}; stop it or choose another one with --state-dir.`,
    { folder, pid },
  );
}

/** Gives the lock back when the file cannot be written. */
function writePid({ pidFile, lock }: StatePaths): void {
  try {
    writeFileSync(pidFile, `${process.pid}\n`, { mode: 0o600 });
  } catch (error) {
    rmSync(lock, { force: true });
    throw unwritable("Pid file", pidFile, error);
  }
}

function unwritable(what: string, file: string, error: unknown): ZmendError {
  return new ZmendError(
    "ENVIRONMENT",
    `${what} ${file} cannot be made (${(error as NodeJS.ErrnoException).code}); make room or check the folder's rights.`,
    { file },
    { cause: error },
  );
}

function readPid(file: string): number | undefined {
  const text = readOptional(file).trim();
  return /^\d+$/.test(text) ? Number(text) : undefined;
}

/**
 * Field 22 of /proc/PID/stat, clock ticks after boot at which the process started; empty without such a process, and for one
 * that is dead and only not yet asked for its status (field 3).
 */
function startTime(pid: number): string {
  const text = readOptional(`/proc/${pid}/stat`);
  const [state = "", ...others] = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return "ZX".includes(state) ? "" : (others[18] ?? "");
}

function identity(pid: number): string {
  const boot = readOptional("/proc/sys/kernel/random/boot_id").trim();
  return `${pid} ${startTime(pid)} ${boot}\n`;
}

function holderLives(lock: string): boolean {
  const pid = Number(lock.split(" ")[0]);
  return Number.isSafeInteger(pid) && pid > 0 && startTime(pid) !== "" && lock === identity(pid);
}

/**
 * The file is there with its content from its first moment, or somebody who starts as well would take an empty one for a
 * dead daemon's. A dead holder's file is moved aside first, and put back if it was not the dead one's.
 */
function takeLock(paths: StatePaths): void {
  const mine = `${paths.lock}.${process.pid}.new`;
  try {
    writeFileSync(mine, identity(process.pid), { mode: 0o600 });
    linkLock(paths, mine);
  } catch (error) {
    throw error instanceof ZmendError ? error : unwritable("Lock file", paths.lock, error);
  } finally {
    rmSync(mine, { force: true });
  }
}

function linkLock(paths: StatePaths, mine: string): void {
  for (let attempt = 0; attempt < 3; attempt++) {
    try {
      linkSync(mine, paths.lock);
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    }
    const found = readOptional(paths.lock);
    if (holderLives(found)) throw inUse(paths.root, Number(found.split(" ")[0]));
    clearStale(paths.lock, found);
  }
  throw inUse(paths.root, undefined);
}

function clearStale(lock: string, stale: string): void {
  const aside = `${lock}.${process.pid}`;
  try {
    renameSync(lock, aside);
    if (readOptional(aside) !== stale) linkSync(aside, lock);
  } catch {
    // Somebody else was quicker: the next attempt sees what stands there now.
  }
  rmSync(aside, { force: true });
}

function readOptional(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}
