/** flock(2): one holder of a lock file at a time; the lock ends with its descriptor, however that happens. */
import { isErrno } from '../base/errors.ts';
import { libcCall } from './libc.ts';

const LOCK_SH = 1;
const LOCK_EX = 2;
const LOCK_NB = 4;
const LOCK_UN = 8;

const flockCall = libcCall<[fd: number, operation: number]>('int flock(int, int)');

const OPERATION = {
  exclusive: LOCK_EX | LOCK_NB,
  shared: LOCK_SH | LOCK_NB,
  unlock: LOCK_UN,
} as const;

/** Locks or unlocks an open file without waiting; false if somebody else holds it (EWOULDBLOCK). */
export function flock(fd: number, operation: keyof typeof OPERATION): boolean {
  try {
    flockCall(fd, OPERATION[operation]);
    return true;
  } catch (error) {
    if (isErrno(error, 'EAGAIN')) return false;
    throw error;
  }
}
