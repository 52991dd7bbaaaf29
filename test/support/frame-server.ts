/** A server that speaks frames, in place of a launcher or an init: the test says what it answers. */
import { createServer, type Socket } from 'node:net';
import { Scope } from '../../src/base/scope.ts';
import { encodeFrame, type Field, type Frame, FrameReader } from '../../src/jail/frames.ts';

export interface FrameServer {
  /** The requests so far, of all connections. */
  readonly requests: readonly Frame[];
  /** Sends an event to every connection. */
  post(verb: number, fields: readonly Field[]): void;
  /** Sends bytes as they are to every connection. */
  sendRaw(bytes: Uint8Array): void;
  /** Ends every connection. */
  disconnect(): void;
  close(): Promise<void>;
}

export type Answer = { readonly verb: number; readonly fields: readonly Field[] } | null;

/** Listens on `path`; `answer` returns what to say to a request, or null to say nothing. */
export async function frameServer(
  path: string,
  answer: (request: Frame) => Answer | Promise<Answer>,
): Promise<FrameServer> {
  const scope = new Scope();
  const sockets = new Set<Socket>();
  const requests: Frame[] = [];
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => socket.destroy());
    const reader = new FrameReader();
    const serve = async (frame: Frame) => {
      requests.push(frame);
      const reply = await answer(frame);
      if (reply && !socket.destroyed) socket.write(encodeFrame({ ...reply, id: frame.id }));
    };
    socket.on('data', (chunk) => {
      for (const frame of reader.push(chunk)) void serve(frame);
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(path, resolve);
  });
  scope.add(server, (one) => new Promise<void>((resolve) => one.close(() => resolve())));
  const each = (action: (socket: Socket) => void) => {
    for (const socket of sockets) action(socket);
  };
  return {
    requests,
    post: (verb, fields) => each((socket) => socket.write(encodeFrame({ verb, id: 0, fields }))),
    sendRaw: (bytes) => each((socket) => socket.write(bytes)),
    disconnect: () => each((socket) => socket.destroy()),
    close: () => {
      each((socket) => socket.destroy());
      return scope.close();
    },
  };
}
