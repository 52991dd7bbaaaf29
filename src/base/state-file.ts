/**
 * Small files that must survive a crash: written beside, synced, renamed. A file that cannot be read back, or that the
 * disk has changed since (sealed-json.ts), is as good as none; callers rebuild what it held.
 */
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { isErrno } from './errors.ts';
import { parseSealed, sealedJson } from './sealed-json.ts';

/** What such a file holds. */
export type State = Readonly<Record<string, unknown>>;

/** Returns the parsed content, or undefined where the file is missing, not JSON or not as it was written. */
export function readStateFile(path: string): unknown {
  try {
    return parseSealed(readFileSync(path, 'utf8').trimEnd());
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'EISDIR', 'ENOTDIR')) return undefined;
    throw error;
  }
}

/** Replaces `path` by `value` as JSON, atomically, and waits for the disk. */
export function writeStateFile(path: string, value: State): void {
  writeTextFile(path, textOf(value));
}

/**
 * As writeStateFile(), but other threads write and wait for the disk, which may take a second; resolves with what
 * puts the file in place. One at a time for each path; writeStateFile() may come in between.
 */
export async function prepareStateFile(path: string, value: State): Promise<() => void> {
  const next = `${path}.next`;
  const file = await open(next, 'w', 0o600);
  try {
    await file.writeFile(textOf(value));
    await file.sync();
  } finally {
    await file.close();
  }
  return () => renameSync(next, path);
}

function textOf(value: State): string {
  return `${sealedJson(value)}\n`;
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
