/** epoll(7): waits for many descriptors. Only epoll_wait blocks; it belongs into a worker. */
import { isErrno } from '../base/errors.ts';
import { libcCall } from './libc.ts';

const EPOLL_CLOEXEC = 0o2000000;
const EPOLL_CTL_ADD = 1;
const EPOLL_CTL_DEL = 2;
const EPOLL_CTL_MOD = 3;

export const EPOLLIN = 0x001;
export const EPOLLPRI = 0x002;
export const EPOLLOUT = 0x004;
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

export interface EpollEntry {
  readonly fd: number;
  readonly events: number;
  /** Unsigned, 32 bits. */
  readonly token: number;
}

/** Opens an epoll descriptor. */
export function openEpoll(): number {
  return create(EPOLL_CLOEXEC);
}

/**
 * Adds `fd`; `token` (unsigned 32 bits) comes back from waitEpoll.
 * EEXIST: it is in already. EPERM: a descriptor that cannot be waited for, such as a regular file.
 */
export function addToEpoll(epoll: number, entry: EpollEntry): void {
  control(epoll, EPOLL_CTL_ADD, entry.fd, eventOf(entry));
}

/** Changes what a descriptor that is in already is waited for. ENOENT: it is not in. */
export function changeInEpoll(epoll: number, entry: EpollEntry): void {
  control(epoll, EPOLL_CTL_MOD, entry.fd, eventOf(entry));
}

function eventOf({ events, token }: EpollEntry): Buffer {
  const event = Buffer.alloc(EVENT_BYTES);
  event.writeUInt32LE(events >>> 0, 0);
  event.writeUInt32LE(token, TOKEN_OFFSET);
  return event;
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

/** What of the event at `index` is there: bits as they were asked for, EPOLLERR (8) and EPOLLHUP (16). */
export function eventsAt(events: Buffer, index: number): number {
  return events.readUInt32LE(index * EVENT_BYTES);
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
