/** A connection that sends what it is told, byte for byte, and notes every frame that comes, in order. */
import { createConnection, type Socket } from 'node:net';
import { encodeFrame, type Field, type Frame, FrameReader } from '../../src/jail/frames.ts';
import { until } from './wait.ts';

export interface RawPeer {
  readonly socket: Socket;
  readonly frames: readonly Frame[];
  isClosed(): boolean;
  send(verb: number, fields?: readonly Field[], id?: number): void;
  sendBytes(bytes: Uint8Array): void;
  /** Resolves to the first frame that fits. */
  next(what: string, fits: (frame: Frame) => boolean): Promise<Frame>;
  close(): void;
}

/** Connects to a unix socket of at most 107 bytes. */
export async function rawPeer(path: string): Promise<RawPeer> {
  const socket = createConnection(path);
  const frames: Frame[] = [];
  const reader = new FrameReader();
  let isClosed = false;
  socket.on('data', (chunk: Buffer) => frames.push(...reader.push(chunk)));
  socket.on('close', () => {
    isClosed = true;
  });
  await new Promise<void>((resolve, reject) => {
    socket.once('error', reject);
    socket.once('connect', () => {
      socket.off('error', reject);
      // Being dropped by the other side is what many tests are about.
      socket.on('error', () => {});
      resolve();
    });
  });
  return {
    socket,
    frames,
    isClosed: () => isClosed,
    send: (verb, fields = [], id = 1) => void socket.write(encodeFrame({ verb, id, fields })),
    sendBytes: (bytes) => void socket.write(bytes),
    next: (what, fits) => until(`${what} comes`, () => frames.find(fits)),
    close: () => void socket.destroy(),
  };
}
