/** eventfd(2): a counter that can be waited for; used to wake a thread that blocks in epoll_wait. */
import { readSync, writeSync } from 'node:fs';
import { isErrno } from '../base/errors.ts';
import { libcCall } from './libc.ts';

const EFD_NONBLOCK = 0o4000;
const EFD_CLOEXEC = 0o2000000;

const eventfdCall = libcCall<[initial: number, flags: number]>('int eventfd(unsigned int, int)');

/** Opens an event counter at 0. */
export function openEventfd(): number {
  return eventfdCall(0, EFD_NONBLOCK | EFD_CLOEXEC);
}

const ONE = Buffer.alloc(8);
ONE.writeBigUInt64LE(1n);

/** Adds one, which makes it readable. */
export function signalEventfd(fd: number): void {
  writeSync(fd, ONE);
}

const COUNT = Buffer.alloc(8);

/** Sets it to 0. */
export function drainEventfd(fd: number): void {
  try {
    readSync(fd, COUNT);
  } catch (error) {
    if (!isErrno(error, 'EAGAIN')) throw error;
  }
}
