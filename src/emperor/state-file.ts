/**
 * Small JSON files that must survive a crash: written beside, synced, renamed. A file that cannot be read
 * back is as good as none; callers rebuild what it held.
 */
import {
  closeSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
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

/**
 * Replaces `path` by `value` as JSON, atomically. `durable` also waits for the disk: wanted for what a
 * reboot must find, not for what can be rebuilt.
 */
export function writeStateFile(path: string, value: unknown, options: { durable: boolean }): void {
  const temporary = `${path}.tmp`;
  const fd = openSync(temporary, 'w', 0o600);
  try {
    writeSync(fd, `${JSON.stringify(value)}\n`);
    if (options.durable) fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(temporary, path);
}

export function removeStateFile(path: string): void {
  rmSync(path, { force: true });
}
