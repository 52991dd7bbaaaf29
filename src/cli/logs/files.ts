/**
 * The files of one vassal's log: `current`, and `current.1` (newer) to `current.N` (older). The directory can
 * belong to the tenant, so nothing but plain files is opened, no link is followed, and nothing blocks but a lease.
 */
import { closeSync, constants, fstatSync, openSync, readdirSync } from 'node:fs';
import { isErrno } from '../../base/errors.ts';
import { O_PATH } from '../../base/open-flags.ts';

const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK } = constants;
const NAME = /^current(?:\.([1-9]\d{0,5}))?$/;

export interface LogFile {
  readonly fd: number;
  /** The same through every rotation. */
  readonly inode: bigint;
}

export class LogDirectory {
  readonly #fd: number;
  /** By which the directory can be watched, wherever it is moved. */
  readonly path: string;

  private constructor(fd: number) {
    this.#fd = fd;
    this.path = `/proc/self/fd/${fd}`;
  }

  /** Undefined where there is no such directory. EACCES: it is closed to us. */
  static open(path: string): LogDirectory | undefined {
    try {
      return new LogDirectory(openSync(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    } catch (error) {
      if (isErrno(error, 'ENOENT', 'ENOTDIR', 'ELOOP')) return undefined;
      throw error;
    }
  }

  /** Opens all files, newest first; what is no plain file is left out. */
  openAll(): readonly LogFile[] {
    const names = readdirSync(this.path).filter((name) => NAME.test(name));
    return names.sort((a, b) => ageOf(a) - ageOf(b)).flatMap((name) => this.#open(name) ?? []);
  }

  #open(name: string): LogFile | undefined {
    const path = `${this.path}/${name}`;
    let fd: number;
    try {
      fd = openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    } catch (error) {
      if (isErrno(error, 'EAGAIN')) return openLeased(path);
      // Rotated away meanwhile, or a link or socket that a tenant made.
      if (isErrno(error, 'ENOENT', 'ELOOP', 'ENXIO')) return undefined;
      throw error;
    }
    const stat = fstatSync(fd, { bigint: true });
    if (stat.isFile()) return { fd, inode: stat.ino };
    closeSync(fd);
    return undefined;
  }

  close(): void {
    closeSync(this.#fd);
  }
}

/**
 * The tenant owns the files, so it can take a write lease on one (fcntl(2), F_SETLEASE). An open that waits ends
 * it, after /proc/sys/fs/lease-break-time (45 s) at the latest. Found by O_PATH first: nothing else is waited for.
 */
function openLeased(path: string): LogFile | undefined {
  let place: number | undefined;
  try {
    place = openSync(path, O_PATH | O_NOFOLLOW);
    const stat = fstatSync(place, { bigint: true });
    if (!stat.isFile()) return undefined;
    return { fd: openSync(`/proc/self/fd/${place}`, O_RDONLY), inode: stat.ino };
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  } finally {
    if (place !== undefined) closeSync(place);
  }
}

function ageOf(name: string): number {
  return Number(NAME.exec(name)?.[1] ?? 0);
}
