/** Unix sockets by path, however long: sun_path holds 107 bytes, a directory as a descriptor makes any path short. */
import { closeSync, constants, openSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { O_PATH } from './open-flags.ts';

/** sun_path holds 108 bytes, the last of which is NUL (unix(7)). */
export const MAX_SOCKET_PATH_BYTES = 107;

export interface ShortPath {
  readonly path: string;
  /** To be called once the path is no longer needed. */
  close(): void;
}

/** Returns `path` in at most 107 bytes. ENOENT, EACCES: its directory is not there or closed to us. */
export function shortPath(path: string): ShortPath {
  if (Buffer.byteLength(path) <= MAX_SOCKET_PATH_BYTES) return { path, close() {} };
  const directory = openSync(dirname(path), O_PATH | constants.O_DIRECTORY);
  return {
    path: `/proc/self/fd/${directory}/${basename(path)}`,
    close: () => closeSync(directory),
  };
}
