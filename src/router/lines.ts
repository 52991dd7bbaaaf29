/** Lines of a socket, for both ends of router.sock. */
import type { Socket } from 'node:net';
import { createInterface } from 'node:readline';

/** Calls `onLine` for each line. That the connection breaks off is no error here: the socket tells of its end. */
export function readLines(socket: Socket, onLine: (line: string) => void): void {
  socket.on('error', () => {});
  // Node's reader of lines tells the socket's errors again, as its own.
  createInterface({ input: socket })
    .on('line', onLine)
    .on('error', () => {});
}
