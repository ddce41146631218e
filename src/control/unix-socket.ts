/**
 * Unix stream sockets that only their owner can reach: path checked for length, a socket that a dead process left
 * is replaced, one that somebody answers on is not. Source of the bound: unix(7), sun_path has 108 bytes with the 0.
 */
import { lstatSync, rmSync } from "node:fs";
import { connect, createServer, type ListenOptions, type Server, type Socket } from "node:net";
import { ZmendError } from "../base/errors.ts";

const SOCKET_PATH_MAX_BYTES = 107;

const PROBE_MS = 1000;

/** @throws ZmendError ENVIRONMENT when the system cannot take a path of this length */
export function checkSocketPath(path: string, remedy = "choose a shorter one"): void {
  const bytes = new TextEncoder().encode(path).length;
  if (bytes <= SOCKET_PATH_MAX_BYTES) return;
  throw new ZmendError(
    "ENVIRONMENT",
    `Socket path ${path} has ${bytes} bytes, a Unix socket's may have ${SOCKET_PATH_MAX_BYTES}; ` +
      `${remedy}.`,
    { path, bytes },
  );
}

/** Whether somebody accepts connections there. */
export function socketAnswers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(path);
    const end = (answer: boolean): void => {
      clearTimeout(timer);
      probe.destroy();
      resolve(answer);
    };
    // A listener with a full queue is one that lives.
    const timer = setTimeout(end, PROBE_MS, true);
    probe.once("connect", () => end(true));
    probe.once("error", (error: NodeJS.ErrnoException) => end(error.code === "EAGAIN"));
  });
}

/**
 * Listens on `path` with mode 0600.
 * @throws ZmendError ENVIRONMENT when the path is too long, taken, or cannot be made
 */
export async function listenUnix(
  path: string,
  onConnection: (socket: Socket) => void,
): Promise<Server> {
  const server = createServer(onConnection);
  await listenPrivately(server, { path });
  return server;
}

/** The same for a server that is there already. */
export async function listenPrivately(
  server: Server,
  options: ListenOptions & { readonly path: string },
): Promise<void> {
  const { path } = options;
  checkSocketPath(path);
  await clearPath(path);
  try {
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      // Node binds before `listen` returns: the socket is private from its first moment.
      const umask = process.umask(0o177);
      server.listen(options, () => {
        server.off("error", reject);
        resolve();
      });
      process.umask(umask);
    });
  } catch (error) {
    throw new ZmendError(
      "ENVIRONMENT",
      `Socket ${path} cannot be made (${(error as NodeJS.ErrnoException).code}); ` +
        "check the folder's existence and rights, or choose another path.",
      { path },
      { cause: error },
    );
  }
}

async function clearPath(path: string): Promise<void> {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket()) {
    throw new ZmendError(
      "ENVIRONMENT",
      `Socket path ${path} is taken by something that is no socket; remove it or choose another path.`,
      { path },
    );
  }
  if (await socketAnswers(path)) {
    throw new ZmendError(
      "ENVIRONMENT",
      `Socket ${path} is in use by another process; end it or choose another path.`,
      { path },
    );
  }
  rmSync(path, { force: true });
}
