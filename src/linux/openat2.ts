/** openat2(2): opens a path that cannot lead out of a directory, whatever changes meanwhile. */
import { closeSync, constants, openSync } from 'node:fs';
import { O_CLOEXEC, O_PATH } from '../base/open-flags.ts';
import { addressOf, systemCall } from './libc.ts';

const RESOLVE_NO_MAGICLINKS = 0x02;
const RESOLVE_NO_SYMLINKS = 0x04;
const RESOLVE_BENEATH = 0x08;

/**
 * Opens the relative `path` below `directory` without following any symbolic link and returns the
 * descriptor. ELOOP: a link on the way. EXDEV: `..` leads out. ENOSYS: a kernel before 5.6.
 */
export function openBeneath(directory: string, path: string, flags: number): number {
  const base = openSync(directory, O_PATH | constants.O_DIRECTORY);
  try {
    const name = Buffer.from(`${path}\0`);
    const how = Buffer.alloc(24);
    how.writeBigUInt64LE(BigInt(flags | O_CLOEXEC), 0);
    how.writeBigUInt64LE(BigInt(RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS), 16);
    return systemCall('openat2', [base, addressOf(name), addressOf(how), how.length]);
  } finally {
    closeSync(base);
  }
}
