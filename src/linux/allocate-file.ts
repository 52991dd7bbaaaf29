/** posix_fallocate(3): room on the disk for a file, so that later stores into it cannot fail. */
import { ErrnoError } from './errno.ts';
import { libcCall } from './libc.ts';

const fallocate = libcCall<[fd: number, offset: number, bytes: number]>(
  'int posix_fallocate(int, long, long)',
);

/**
 * Allocates the first `bytes` of an open file, which gets at least that long; what is in it stays.
 * ENOSPC, EDQUOT: no room, and it may be longer than it was. EFBIG: more than is allowed.
 */
export function allocateFile(fd: number, bytes: number): void {
  for (;;) {
    // It returns the errno instead of setting it.
    const errno = fallocate(fd, 0, bytes);
    if (errno === 0) return;
    if (errno !== EINTR) throw new ErrnoError('posix_fallocate', errno);
  }
}

const EINTR = 4;
