/** `zmend vm console`: the guest's console on the terminal, over the control socket. */
import { ZmendError } from "../base/errors.ts";
import type { VmReport } from "../control/daemon/status.ts";
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
  if (options.follow) await tellIfDown(client, vm);
  const text = client.request("vm-console", { vm, follow: options.follow }, write);
  if (!options.follow) {
    await text.finally(() => client.close());
    return;
  }
  await followConsole(client, vm, text);
}

/** Whoever waits for the words of a VM that is down waits long. */
async function tellIfDown(client: DaemonClient, vm: string): Promise<void> {
  const reports = (await client.request("vm-list")) as VmReport[];
  const state = reports.find(({ name }) => name === vm)?.state;
  if (state === undefined || state === "running") return;
  process.stderr.write(`zmend: VM ${vm} is ${state}; it says nothing until it runs.\n`);
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
  const exitHelp = "leave; the guest goes on";
  const terminal = new GuestConsole(process.stdin, { escapes, onExit: left, exitHelp, push });
  // To standard error: what the guest says stays its own.
  if (escapes) process.stderr.write(`Console of VM ${vm}; Ctrl-A x leaves it.\r\n`);
  process.once("SIGINT", left).once("SIGTERM", left);
  try {
    await Promise.race([text, leaving]);
  } catch (error) {
    if (!(error instanceof ZmendError && error.code === "ENVIRONMENT")) throw error;
    process.stderr.write(`zmend: ${error.message}\n`);
    process.exitCode = error.exitStatus;
  } finally {
    terminal.close();
    if (escapes) process.stderr.write("\n");
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
