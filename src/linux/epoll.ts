/** epoll(7): waits for many descriptors. Only epoll_wait blocks; it belongs into a worker. */
import { isErrno } from '../base/errors.ts';
import { libcCall } from './libc.ts';

const EPOLL_CLOEXEC = 0o2000000;
const EPOLL_CTL_ADD = 1;
const EPOLL_CTL_DEL = 2;

export const EPOLLIN = 0x001;
export const EPOLLPRI = 0x002;
export const EPOLLONESHOT = 1 << 30;

/** struct epoll_event is packed on x86_64 only (include/uapi/linux/eventpoll.h). */
const PACKED = process.arch === 'x64';
const EVENT_BYTES = PACKED ? 12 : 16;
const TOKEN_OFFSET = PACKED ? 4 : 8;

const create = libcCall<[flags: number]>('int epoll_create1(int)');
const control = libcCall<[epoll: number, operation: number, fd: number, event: Buffer | null]>(
  'int epoll_ctl(int, int, int, void *)',
);
const wait = libcCall<[epoll: number, events: Buffer, max: number, timeout: number]>(
  'int epoll_wait(int, void *, int, int)',
);

/** Opens an epoll descriptor. */
export function openEpoll(): number {
  return create(EPOLL_CLOEXEC);
}

/**
 * Adds `fd`; `token` (unsigned 32 bits) comes back from waitEpoll.
 * EEXIST: it is in already. EPERM: a descriptor that cannot be waited for, such as a regular file.
 */
export function addToEpoll(
  epoll: number,
  entry: { readonly fd: number; readonly events: number; readonly token: number },
): void {
  const event = Buffer.alloc(EVENT_BYTES);
  event.writeUInt32LE(entry.events >>> 0, 0);
  event.writeUInt32LE(entry.token, TOKEN_OFFSET);
  control(epoll, EPOLL_CTL_ADD, entry.fd, event);
}

/** Removes `fd`; one that was closed or removed before is no failure. */
export function removeFromEpoll(epoll: number, fd: number): void {
  try {
    control(epoll, EPOLL_CTL_DEL, fd, null);
  } catch (error) {
    if (!isErrno(error, 'ENOENT', 'EBADF')) throw error;
  }
}

/** Room for the events of one waitEpoll. */
export function epollBuffer(maxEvents: number): Buffer {
  return Buffer.alloc(EVENT_BYTES * maxEvents);
}

/** The token of the event at `index` of what epoll_wait filled in. */
export function tokenAt(events: Buffer, index: number): number {
  return events.readUInt32LE(index * EVENT_BYTES + TOKEN_OFFSET);
}

/** Blocks until something is ready and returns the tokens; none when a signal interrupted it. */
export function waitEpoll(epoll: number, buffer: Buffer): Uint32Array<ArrayBuffer> {
  let count = 0;
  try {
    count = wait(epoll, buffer, buffer.length / EVENT_BYTES, -1);
  } catch (error) {
    if (!isErrno(error, 'EINTR')) throw error;
  }
  const tokens = new Uint32Array(count);
  for (let i = 0; i < count; i += 1) {
    tokens[i] = tokenAt(buffer, i);
  }
  return tokens;
}
