/**
 * Reads a small regular file that others may be writing, without ever blocking and without ever returning a
 * half-written text: a read lease (fcntl(2), F_SETLEASE) is refused while any writer has the file open, and
 * makes a writer that comes meanwhile wait (in the kernel, 45 s at most; we hold it for microseconds).
 *
 * Nothing that is not a plain file is opened: opening a device can do things, and a FIFO could hang.
 * A symbolic link is followed only if it ends in the same directory or below, and the kernel guarantees
 * that (openat2, RESOLVE_BENEATH), so a link swapped between check and use leads nowhere. And only if root or the
 * target's owner made it: whoever may make names in the directory must not speak for somebody else.
 */
import {
  type BigIntStats,
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  readSync,
  realpathSync,
} from 'node:fs';
import { dirname, relative } from 'node:path';
import { isErrno, isSystemError } from '../base/errors.ts';
import { releaseLease, takeReadLease } from './fcntl.ts';
import { openBeneath } from './openat2.ts';

export type RefusedFile =
  | 'fifo'
  | 'directory'
  | 'device'
  | 'socket'
  | 'symlink-out'
  | 'symlink-broken'
  | 'symlink-foreign'
  | 'too-large'
  | 'unreadable';

export type LeaseResult =
  | {
      readonly kind: 'content';
      readonly bytes: Buffer;
      /** Of the open file, taken before reading. */
      readonly stat: BigIntStats;
      /** False where leases do not work: the caller must wait and look again whether it still changes. */
      readonly leased: boolean;
    }
  /** A writer has it open. */
  | { readonly kind: 'busy' }
  | { readonly kind: 'missing' }
  | { readonly kind: 'refused'; readonly reason: RefusedFile; readonly detail: string };

export interface LeaseOptions {
  /** Larger files are refused; at most this much is read. */
  readonly maxBytes: number;
}

const OPEN_FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/** Reads `path` whole; every outcome that a file's owner can bring about is a value, none is thrown. */
export function readUnderLease(path: string, options: LeaseOptions): LeaseResult {
  let fd: number;
  try {
    const opened = openPlainFile(path);
    if (typeof opened !== 'number') return opened;
    fd = opened;
  } catch (error) {
    return openFailure(error);
  }
  try {
    return readOpenFile(fd, options.maxBytes);
  } catch (error) {
    return openFailure(error);
  } finally {
    closeSync(fd);
  }
}

/** Tells whether somebody has `path` open for writing; false where leases do not work. Throws Node's errors. */
export function isBeingWritten(path: string): boolean {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const leased = tryLease(fd);
    if (leased === true) releaseLease(fd);
    return leased === 'busy';
  } finally {
    closeSync(fd);
  }
}

function openPlainFile(path: string): number | LeaseResult {
  const found = lstatSync(path, { bigint: true, throwIfNoEntry: false });
  if (!found) return { kind: 'missing' };
  if (found.isSymbolicLink()) return openLinked(path, found.uid);
  return kindRefusal(found) ?? openSync(path, OPEN_FLAGS);
}

function readOpenFile(fd: number, maxBytes: number): LeaseResult {
  const refusal = kindRefusal(fstatSync(fd, { bigint: true }));
  if (refusal) return refusal;
  const leased = tryLease(fd);
  if (leased === 'busy') return { kind: 'busy' };
  try {
    // Under the lease, so that size and times belong to the bytes.
    const stat = fstatSync(fd, { bigint: true });
    if (stat.size > maxBytes) return tooLarge(stat.size, maxBytes);
    const bytes = readUpTo(fd, maxBytes + 1);
    if (bytes.length > maxBytes) return tooLarge(bytes.length, maxBytes);
    return { kind: 'content', bytes, stat, leased };
  } finally {
    if (leased) releaseLease(fd);
  }
}

function tryLease(fd: number): boolean | 'busy' {
  try {
    takeReadLease(fd);
    return true;
  } catch (error) {
    if (isErrno(error, 'EAGAIN')) return 'busy';
    if (isErrno(error, 'EINVAL', 'EACCES', 'EPERM', 'ENOLCK', 'ENOSYS', 'EOPNOTSUPP')) return false;
    throw error;
  }
}

/** Reads from the start until end of file or `limit` bytes. */
function readUpTo(fd: number, limit: number): Buffer {
  const buffer = Buffer.allocUnsafe(limit);
  let length = 0;
  while (length < limit) {
    const count = readSync(fd, buffer, length, limit - length, length);
    if (count === 0) break;
    length += count;
  }
  // A copy: the file may be small and the buffer is not.
  return Buffer.from(buffer.subarray(0, length));
}

function openLinked(path: string, linkOwner: bigint): number | LeaseResult {
  const directory = realpathSync(dirname(path));
  let inside: string;
  try {
    inside = relative(directory, realpathSync(path));
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR', 'ELOOP', 'EACCES')) {
      return refused('symlink-broken', 'a symbolic link that leads nowhere');
    }
    throw error;
  }
  if (inside === '' || inside === '..' || inside.startsWith('../')) return leadsOut();
  const target = lstatSync(`${directory}/${inside}`, { bigint: true, throwIfNoEntry: false });
  if (!target) return { kind: 'missing' };
  const refusal = kindRefusal(target);
  if (refusal) return refusal;
  try {
    return ownedLink(openBeneath(directory, inside, OPEN_FLAGS), linkOwner);
  } catch (error) {
    // Changed since it was resolved, or a kernel before 5.6: not followed.
    if (isErrno(error, 'EXDEV', 'ELOOP', 'EAGAIN', 'ENOSYS')) return leadsOut();
    throw error;
  }
}

/** A link lends its target's owner to another name, which only root and that owner may do. */
function ownedLink(fd: number, linkOwner: bigint): number | LeaseResult {
  const { uid } = fstatSync(fd, { bigint: true });
  if (linkOwner === 0n || linkOwner === uid) return fd;
  closeSync(fd);
  return refused('symlink-foreign', `uid ${linkOwner} made a link to a file of uid ${uid}`);
}

function kindRefusal(stat: BigIntStats): LeaseResult | undefined {
  if (stat.isFile()) return undefined;
  if (stat.isFIFO()) return refused('fifo', 'a FIFO (named pipe)');
  if (stat.isDirectory()) return refused('directory', 'a directory');
  if (stat.isSocket()) return refused('socket', 'a socket');
  // The name became a link after it was looked at.
  if (stat.isSymbolicLink()) return leadsOut();
  return refused('device', 'a device');
}

function openFailure(error: unknown): LeaseResult {
  if (isErrno(error, 'ENOENT')) return { kind: 'missing' };
  // O_NOFOLLOW met a link that was a file a moment ago.
  if (isErrno(error, 'ELOOP')) return leadsOut();
  if (isErrno(error, 'ENXIO')) return refused('socket', 'a socket');
  if (!isSystemError(error)) throw error;
  return refused('unreadable', error.code);
}

function leadsOut(): LeaseResult {
  return refused('symlink-out', 'a symbolic link that leads out of its directory');
}

function tooLarge(size: bigint | number, maxBytes: number): LeaseResult {
  return refused('too-large', `${size} bytes, more than ${maxBytes}`);
}

function refused(reason: RefusedFile, detail: string): LeaseResult {
  return { kind: 'refused', reason, detail };
}
