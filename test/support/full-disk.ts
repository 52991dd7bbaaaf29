/** A full disk for one file, and what this process has open. */
import { closeSync, openSync, readdirSync, readlinkSync } from 'node:fs';
import { isErrno } from '../../src/base/errors.ts';
import { libcCall } from '../../src/linux/libc.ts';

const O_CLOEXEC = 0o2000000;

const dup3 = libcCall<[from: number, to: number, flags: number]>('int dup3(int, int, int)');

/** Has writes to `path` by the descriptor that this process has open fail with ENOSPC, as /dev/full's do. */
export function fillDisk(path: string): void {
  const full = openSync('/dev/full', 'w');
  for (const [fd, target] of openFiles()) if (target === path) dup3(full, fd, O_CLOEXEC);
  closeSync(full);
}

/** What this process has open: descriptor and path. */
export function openFiles(): readonly (readonly [fd: number, path: string])[] {
  return readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      return [[Number(fd), readlinkSync(`/proc/self/fd/${fd}`)] as const];
    } catch (error) {
      // The directory itself was open when it was listed.
      if (isErrno(error, 'ENOENT')) return [];
      throw error;
    }
  });
}
