/** router.sock: serves the calls of protocol.ts. */

import { chmodSync, rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { EmperorError, messageOf } from '../base/errors.ts';
import { shortPath } from '../base/socket-path.ts';
import { readLines } from './lines.ts';
import type { RouterCall, RouterCalls, RouterRequest, RouterResponse } from './protocol.ts';

export type Handlers = {
  readonly [Call in RouterCall]: (
    ask: RouterCalls[Call]['ask'],
  ) => RouterCalls[Call]['answer'] | Promise<RouterCalls[Call]['answer']>;
};

export interface Control {
  /** Hears no more calls. */
  close(): void;
}

/** Listens at `path`, which a dead router may have left; only root may connect. */
export async function serveControl(path: string, handlers: Handlers): Promise<Control> {
  const open = new Set<Socket>();
  const server = createServer((socket) => {
    open.add(socket);
    socket.once('close', () => open.delete(socket));
    serve(socket, handlers);
  });
  rmSync(path, { force: true });
  const short = shortPath(path);
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(short.path, resolve);
    });
  } finally {
    short.close();
  }
  chmodSync(path, 0o600);
  return {
    close() {
      server.close();
      for (const socket of open) socket.end();
    },
  };
}

function serve(socket: Socket, handlers: Handlers): void {
  readLines(socket, (line) => {
    // At the boundary: only root can send, and root's emperor is of this version.
    const request = JSON.parse(line) as RouterRequest;
    void answer(request, handlers).then((response) => {
      if (!socket.destroyed) socket.write(`${JSON.stringify(response)}\n`);
    });
  });
}

async function answer(
  { id, call, ask }: RouterRequest,
  handlers: Handlers,
): Promise<RouterResponse> {
  try {
    const handler = handlers[call] as (ask: unknown) => unknown;
    return { id, answer: (await handler(ask)) ?? null };
  } catch (error) {
    const code = error instanceof EmperorError ? error.code : 'system-call';
    return { id, error: { code, message: messageOf(error) } };
  }
}
