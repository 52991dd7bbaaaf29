/** Names of the directories in a directory; hidden ones are left out. */
import { readdirSync } from 'node:fs';
import { isErrno } from '../base/errors.ts';

/** Returns an empty list where there is no such directory. */
export function listDirectories(path: string): readonly string[] {
  try {
    return readdirSync(path, { withFileTypes: true })
      .filter((entry) => entry.isDirectory() && !entry.name.startsWith('.'))
      .map((entry) => entry.name);
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return [];
    throw error;
  }
}
