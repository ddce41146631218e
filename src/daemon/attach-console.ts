/** `zmend vm console`: the guest's console on the terminal, over the control socket. */
import { ZmendError } from "../base/errors.ts";
import { type ClientOptions, DaemonClient, stateDirOf } from "./client.ts";
import { GuestConsole } from "./guest-console.ts";

/** Pause before a guest that had no room is asked again. */
const RETRY_MS = 20;

export async function attachConsole(
  vm: string,
  options: ClientOptions & { readonly follow: boolean },
): Promise<void> {
  const client = await DaemonClient.connect(stateDirOf(options));
  const write = (event: unknown): void => {
    const bytes = Buffer.from((event as { readonly text: string }).text, "base64");
    if (options.json !== true) process.stdout.write(bytes);
    else if (bytes.length > 0) {
      process.stdout.write(`${JSON.stringify({ vm, text: bytes.toString("latin1") })}\n`);
    }
  };
  const text = client.request("vm-console", { vm, follow: options.follow }, write);
  if (!options.follow) {
    await text.finally(() => client.close());
    return;
  }
  await followConsole(client, vm, text);
}

/** Until Ctrl-A x, the end of the daemon, or a refusal. */
async function followConsole(
  client: DaemonClient,
  vm: string,
  text: Promise<unknown>,
): Promise<void> {
  let left = (): void => {};
  const leaving = new Promise<void>((resolve) => {
    left = resolve;
  });
  let typing = false;
  /** Takes all it is given, one piece after the other. */
  const push = (bytes: Uint8Array): number => {
    if (typing) return 0;
    typing = true;
    send(client, vm, bytes)
      .catch(left)
      .finally(() => {
        typing = false;
      });
    return bytes.length;
  };
  const escapes = process.stdin.isTTY === true;
  const terminal = new GuestConsole(process.stdin, { escapes, onExit: left, push });
  process.once("SIGINT", left).once("SIGTERM", left);
  try {
    await Promise.race([text, leaving]);
  } catch (error) {
    if (!(error instanceof ZmendError && error.code === "ENVIRONMENT")) throw error;
    process.stderr.write(`zmend: ${error.message}\n`);
    process.exitCode = error.exitStatus;
  } finally {
    terminal.close();
    client.close();
    process.off("SIGINT", left).off("SIGTERM", left);
  }
}

async function send(client: DaemonClient, vm: string, bytes: Uint8Array): Promise<void> {
  let rest = bytes;
  while (rest.length > 0) {
    const piece = Buffer.from(rest.subarray(0, 4096)).toString("base64");
    const answer = (await client.request("vm-type", { vm, text: piece })) as {
      readonly taken: number;
    };
    rest = rest.subarray(answer.taken);
    if (rest.length > 0) await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
}
