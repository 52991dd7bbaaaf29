/** Tells systemd how a service is (sd_notify(3)) by its datagram protocol; Node has no unix datagrams. */
import { closeSync } from 'node:fs';
import { MAX_SOCKET_PATH_BYTES } from '../base/socket-path.ts';
import { libcCall } from './libc.ts';
import { openSocket, SOCK_DGRAM } from './unix-socket.ts';

const AF_UNIX = 1;
const MSG_NOSIGNAL = 0x4000;

const sendto = libcCall<
  [fd: number, bytes: Buffer, length: number, flags: number, address: Buffer, size: number]
>('long sendto(int, const void *, size_t, int, const void *, unsigned int)');

/**
 * Sends `state`, such as `READY=1` (several lines at once are fine), to the socket that NOTIFY_SOCKET names:
 * a path, or `@NAME` in the abstract name space. ENOENT, ECONNREFUSED: nobody listens there.
 */
export function sdNotify(notifySocket: string, state: string): void {
  const fd = openSocket(SOCK_DGRAM);
  try {
    const bytes = Buffer.from(state);
    const address = unixAddress(notifySocket);
    sendto(fd, bytes, bytes.length, MSG_NOSIGNAL, address, address.length);
  } finally {
    closeSync(fd);
  }
}

/** Returns a struct sockaddr_un (unix(7)) for a path or, with a leading `@`, an abstract name. */
export function unixAddress(name: string): Buffer {
  const path = Buffer.from(name);
  if (path.length === 0 || path.length > MAX_SOCKET_PATH_BYTES) {
    throw new RangeError(`A socket's path has 1 to ${MAX_SOCKET_PATH_BYTES} bytes: ${name}`);
  }
  const isAbstract = name.startsWith('@');
  if (isAbstract) path[0] = 0;
  const family = Buffer.alloc(2);
  family.writeUInt16LE(AF_UNIX);
  return Buffer.concat(isAbstract ? [family, path] : [family, path, Buffer.alloc(1)]);
}
