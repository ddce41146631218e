/**
 * Where monitors listen: a UNIX path that only its owner may use, an inherited descriptor, or TCP on loopback.
 * Source: qmp.md 1.
 */
import type { Server } from "node:net";
import { ZmendError } from "../../base/errors.ts";
import { listenPrivately } from "../unix-socket.ts";

export type ListenAddress =
  | { readonly path: string }
  | { readonly fd: number }
  | { readonly host: string; readonly port: number };

/** Clients that may wait for a server that has not accepted them yet. */
const BACKLOG = 256;

/** @throws ZmendError ENVIRONMENT in one sentence */
export async function listenOn(server: Server, address: ListenAddress): Promise<void> {
  if ("path" in address) {
    return listenPrivately(server, { path: address.path, backlog: BACKLOG });
  }
  const shown = shownAddress(address);
  await new Promise<void>((resolve, reject) => {
    const failed = (error: NodeJS.ErrnoException): void =>
      reject(
        new ZmendError(
          "ENVIRONMENT",
          `Socket ${shown} cannot be opened (${error.code}); ${remedy(address)}.`,
          { address: shown },
          { cause: error },
        ),
      );
    server.once("error", failed);
    server.listen({ ...address, backlog: BACKLOG }, () => {
      server.off("error", failed);
      resolve();
    });
  });
}

export function shownAddress(address: ListenAddress): string {
  if ("path" in address) return address.path;
  return "fd" in address ? `descriptor ${address.fd}` : `${address.host}:${address.port}`;
}

function remedy(address: ListenAddress): string {
  return "fd" in address ? "hand over a listening socket" : "name a port that is free";
}
