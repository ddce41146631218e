/**
 * Sockets that monitors listen on: a UNIX path that only its owner may use, an inherited descriptor, or TCP on
 * loopback. Refusals say what stands in the way. Source: qmp.md 1.
 */
import { chmodSync, existsSync, lstatSync, unlinkSync } from "node:fs";
import { connect, type ListenOptions, type Server } from "node:net";
import { dirname } from "node:path";
import { ZmendError } from "../../base/errors.ts";

export type ListenAddress =
  | { readonly path: string }
  | { readonly fd: number }
  | { readonly host: string; readonly port: number };

/** sockaddr_un.sun_path holds 108 bytes, the last of them 0. */
const PATH_MAX_BYTES = 107;

/** @throws ZmendError ENVIRONMENT in one sentence */
export async function listenOn(server: Server, address: ListenAddress): Promise<void> {
  if ("path" in address) await makeRoom(address.path);
  const shown = shownAddress(address);
  await new Promise<void>((resolve, reject) => {
    const failed = (error: NodeJS.ErrnoException): void =>
      reject(
        new ZmendError(
          "ENVIRONMENT",
          `Socket ${shown} cannot be opened (${error.code ?? error.message}); ${remedy(error.code)}.`,
          { address: shown },
          { cause: error },
        ),
      );
    server.once("error", failed);
    const options: ListenOptions = { ...address, backlog: 256 };
    // The socket appears with the mode that the mask leaves: nobody else may connect in between.
    const mask = process.umask(0o177);
    try {
      server.listen(options, () => {
        server.off("error", failed);
        resolve();
      });
    } finally {
      process.umask(mask);
    }
  });
  if ("path" in address) chmodSync(address.path, 0o600);
}

export function shownAddress(address: ListenAddress): string {
  if ("path" in address) return address.path;
  return "fd" in address ? `descriptor ${address.fd}` : `${address.host}:${address.port}`;
}

function remedy(code: string | undefined): string {
  switch (code) {
    case "EADDRINUSE":
      return "name one that is free";
    case "EACCES":
    case "EPERM":
      return "name a place that you may write to";
    case "EINVAL":
    case "ENOTSOCK":
    case "EBADF":
      return "hand over a listening socket";
    default:
      return "name another one";
  }
}

/** Removes a socket that nobody listens on; anything else that has the name stays. */
async function makeRoom(path: string): Promise<void> {
  const bytes = Buffer.byteLength(path);
  if (bytes > PATH_MAX_BYTES) {
    throw new ZmendError(
      "ENVIRONMENT",
      `Socket path ${path} is ${bytes} bytes long, at most ${PATH_MAX_BYTES} fit; name a shorter one.`,
      { path },
    );
  }
  const folder = dirname(path);
  if (!existsSync(folder)) {
    throw new ZmendError(
      "ENVIRONMENT",
      `Socket ${path} cannot be opened: there is no folder ${folder}; create it first.`,
      { path },
    );
  }
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket()) {
    throw new ZmendError(
      "ENVIRONMENT",
      `${path} exists and is no socket; name another path or remove it.`,
      { path },
    );
  }
  if (await answers(path)) {
    throw new ZmendError(
      "ENVIRONMENT",
      `Socket ${path} is in use by another process; name another path or end that process.`,
      { path },
    );
  }
  unlinkSync(path);
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect({ path });
    const done = (answer: boolean) => (): void => {
      probe.destroy();
      resolve(answer);
    };
    probe.once("connect", done(true));
    probe.once("error", done(false));
  });
}
