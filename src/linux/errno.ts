/** Errno values: their names as this machine's kernel numbers them, and the error a failed call throws. */
import { constants } from 'node:os';

/** Second names of a number; errno(3) and strace use EAGAIN and EOPNOTSUPP. */
const SYNONYMS: ReadonlySet<string> = new Set(['EWOULDBLOCK', 'ENOTSUP']);

/** What Node has no name for: EBADFD is what a tun says whose device is gone. */
const UNKNOWN_TO_NODE = [[77, 'EBADFD']] as const;

const NAMES: ReadonlyMap<number, string> = new Map([
  ...UNKNOWN_TO_NODE,
  ...Object.entries(constants.errno)
    .filter(([name]) => !SYNONYMS.has(name))
    .map(([name, number]) => [number, name] as const),
]);

/** Returns the name of an errno, such as `ENOENT` for 2; `errno 4711` for one without a name. */
export function errnoName(n: number): string {
  return NAMES.get(n) ?? `errno ${n}`;
}

/** A failed system call; `code` is the errno's name, as in Node's own errors (see isErrno in base). */
export class ErrnoError extends Error {
  readonly code: string;
  readonly errno: number;
  readonly syscall: string;

  constructor(syscall: string, errno: number) {
    super(`${errnoName(errno)}: ${syscall}`);
    this.name = 'ErrnoError';
    this.code = errnoName(errno);
    this.errno = errno;
    this.syscall = syscall;
  }
}
