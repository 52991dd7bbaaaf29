/** fcntl(2), the few commands that are needed. Numbers: include/uapi/linux/fcntl.h, asm-generic/fcntl.h. */
import { libcCall } from './libc.ts';

const F_SETFD = 2;
const F_SETSIG = 10;
const F_SETLEASE = 1024;
const F_RDLCK = 0;
const F_UNLCK = 2;
const SIGURG = 23;

const fcntl = libcCall<[fd: number, command: number, argument: number]>('int fcntl(int, int, int)');

/**
 * Takes a read lease on an open file (F_SETLEASE, fcntl(2)), made to signal SIGURG when somebody opens the
 * file for writing: the default, SIGIO, would end Node; SIGURG is ignored by default.
 * EAGAIN: a writer has the file open. EINVAL: no regular file, or the file system has no leases.
 * EACCES: not the owner and no CAP_LEASE.
 */
export function takeReadLease(fd: number): void {
  fcntl(fd, F_SETSIG, SIGURG);
  fcntl(fd, F_SETLEASE, F_RDLCK);
}

/** Gives the lease back; a writer that waits in open(2) goes on. */
export function releaseLease(fd: number): void {
  fcntl(fd, F_SETLEASE, F_UNLCK);
}

/** Has an open descriptor stay open in the program that this process becomes. EBADF: it is not open. */
export function clearCloseOnExec(fd: number): void {
  fcntl(fd, F_SETFD, 0);
}
