/**
 * statx(2): what the kernel says of a name, without following a link. Node's lstatSync makes three objects and
 * eighteen bigints of it, for a watcher that looks at a thousand names every few seconds.
 */
import { libcCall } from './libc.ts';

/** What changes whenever a file is written, replaced or handed to somebody else; times since 1970. */
export interface FileSignature {
  readonly dev: bigint;
  readonly ino: bigint;
  readonly size: bigint;
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
}

const AT_FDCWD = -100;
const AT_SYMLINK_NOFOLLOW = 0x100;
const STATX_BASIC_STATS = 0x7ff;

/** struct statx, include/uapi/linux/stat.h: the same on every architecture. */
const STATX_BYTES = 256;
const FIELD = { ino: 32, size: 40, ctime: 96, mtime: 112, devMajor: 136, devMinor: 140 } as const;

const call = libcCall<[directory: number, path: string, flags: number, mask: number, to: Buffer]>(
  'int statx(int, const char *, int, unsigned int, void *)',
);

/** One for all calls, each of which is read before the next. */
const answer = Buffer.alloc(STATX_BYTES);

/** Looks at the name itself. Throws an ErrnoError: ENOENT; ENOTDIR, EACCES, EIO; ENOSYS before Linux 4.11. */
export function readSignature(path: string): FileSignature {
  call(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, answer);
  return {
    dev: deviceNumber(answer.readUInt32LE(FIELD.devMajor), answer.readUInt32LE(FIELD.devMinor)),
    ino: answer.readBigUInt64LE(FIELD.ino),
    size: answer.readBigUInt64LE(FIELD.size),
    mtimeNs: nanoseconds(FIELD.mtime),
    ctimeNs: nanoseconds(FIELD.ctime),
  };
}

function nanoseconds(at: number): bigint {
  // struct statx_timestamp: signed seconds, then nanoseconds.
  return answer.readBigInt64LE(at) * 1_000_000_000n + BigInt(answer.readUInt32LE(at + 8));
}

/** As st_dev has it (makedev(3)), so that what fstat says of a file compares. */
function deviceNumber(major: number, minor: number): bigint {
  const [high, low] = [BigInt(major), BigInt(minor)];
  return (
    ((high & ~0xfffn) << 32n) | ((high & 0xfffn) << 8n) | ((low & ~0xffn) << 12n) | (low & 0xffn)
  );
}
