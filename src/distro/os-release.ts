/** os-release(5): what a root file system calls itself. */
import { lstatSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'ini';
import { isErrno } from '../base/errors.ts';

export interface OsRelease {
  /** `debian`; lower case by the man page. */
  readonly id: string | null;
  /** `bookworm` */
  readonly codename: string | null;
  /** `Debian GNU/Linux 12 (bookworm)` */
  readonly prettyName: string | null;
}

const MAX_BYTES = 64 * 1024;

/** Reads the text of an os-release file; what is missing or not a word is null. Pure. */
export function parseOsRelease(text: string): OsRelease {
  const fields: Readonly<Record<string, unknown>> = parse(text);
  const word = (key: string) => {
    const value = fields[key];
    return typeof value === 'string' && value !== '' ? value : null;
  };
  return {
    id: word('ID'),
    codename: word('VERSION_CODENAME'),
    prettyName: word('PRETTY_NAME') ?? word('NAME'),
  };
}

/** Returns the tree's own os-release, or null. A symlink is not followed: its target would be the host's. */
export function readOsRelease(root: string): OsRelease | null {
  for (const name of ['usr/lib/os-release', 'etc/os-release']) {
    const text = readRegularFile(join(root, name));
    if (text !== null) return parseOsRelease(text);
  }
  return null;
}

function readRegularFile(path: string): string | null {
  try {
    const stat = lstatSync(path);
    return stat.isFile() && stat.size <= MAX_BYTES ? readFileSync(path, 'utf8') : null;
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return null;
    throw error;
  }
}
