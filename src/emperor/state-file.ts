/**
 * Small files that must survive a crash: written beside, synced, renamed. A file that cannot be read back is
 * as good as none; callers rebuild what it held.
 */
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
import { isErrno } from '../base/errors.ts';

/** Returns the parsed content, or undefined where the file is missing or not JSON. */
export function readStateFile(path: string): unknown {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'EISDIR', 'ENOTDIR')) return undefined;
    throw error;
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** Replaces `path` by `value` as JSON, atomically, and waits for the disk. */
export function writeStateFile(path: string, value: unknown): void {
  writeTextFile(path, `${JSON.stringify(value)}\n`);
}

/** Replaces `path` by `text`, atomically, and waits for the disk. */
export function writeTextFile(path: string, text: string): void {
  const temporary = `${path}.tmp`;
  const fd = openSync(temporary, 'w', 0o600);
  try {
    const bytes = Buffer.from(text);
    for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(temporary, path);
}
