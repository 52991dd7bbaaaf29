/**
 * A file of changes, of which the last of a kind counts: JSON objects, a line each, with the version of their format
 * and a checksum (sealed-json.ts). What the lines mean is their owner's.
 *
 * Theory of operation. Appending costs one system call, and is not waited for on disk. Each line stands between line
 * ends of its own, so that one that was cut off, or a line end that the disk has changed, spoils no other; one that
 * cannot be read or is not as it was written is as good as none. The whole is written
 * anew (aside, synced, renamed) when it has grown far beyond what it holds, and also if a write has failed: the disk
 * may then have half of a line or miss one, so the next append writes all that its owner knows.
 */
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { isErrno } from './errors.ts';
import { parseSealed, sealedJson } from './sealed-json.ts';
import { writeTextFile } from './state-file.ts';

export interface JournalFormat<Line extends object> {
  /** Lines of any other are not read. */
  readonly version: number;
  readonly isLine: (json: object) => json is Line;
  /** Written anew when it has grown by this much, and to more than twice its size. */
  readonly growthBytes: number;
}

export interface JournalOptions<Line extends object> {
  readonly path: string;
  readonly format: JournalFormat<Line>;
  /** All that it has to hold, what is just being appended with it. */
  readonly content: () => readonly Line[];
}

export class Journal<Line extends object> {
  readonly #path: string;
  readonly #format: JournalFormat<Line>;
  readonly #content: () => readonly Line[];
  /** Null where the disk does not have all, or nobody knows. */
  #file: number | null = null;
  #isClosed = false;
  #bytes = 0;
  #maxBytes = 0;

  /** Touches nothing: its owner has read it, and calls rewrite(). */
  constructor({ path, format, content }: JournalOptions<Line>) {
    this.#path = path;
    this.#format = format;
    this.#content = content;
  }

  /** Throws Node's error, such as ENOSPC; what was written before stays good, and the next append writes all. */
  append(lines: readonly Line[]): void {
    if (this.#isClosed) throw new Error(`${this.#path} is closed`);
    if (this.#file === null || this.#bytes >= this.#maxBytes) {
      this.rewrite();
      return;
    }
    const text = Buffer.from(this.#textOf(lines));
    try {
      writeFileSync(this.#file, text);
    } catch (error) {
      this.#letGo();
      throw error;
    }
    this.#bytes += text.length;
  }

  /** Writes all anew, atomically, and opens that for appending. Throws as append() does. */
  rewrite(): void {
    this.#letGo();
    const text = this.#textOf(this.#content());
    writeTextFile(this.#path, text);
    this.#bytes = Buffer.byteLength(text);
    this.#maxBytes = this.#format.growthBytes + 2 * this.#bytes;
    this.#file = openSync(this.#path, 'a', 0o600);
  }

  close(): void {
    this.#isClosed = true;
    this.#letGo();
  }

  #letGo(): void {
    if (this.#file !== null) closeSync(this.#file);
    this.#file = null;
  }

  #textOf(lines: readonly Line[]): string {
    const { version } = this.#format;
    return lines.map((line) => `\n${sealedJson({ version, ...line })}\n`).join('');
  }
}

/** Gives the lines of what somebody has written, and may be writing: nothing is touched. None where there is none. */
export function* readJournal<Line extends object>(
  path: string,
  format: JournalFormat<Line>,
): Generator<Line, void> {
  for (const text of readText(path).split('\n')) {
    const line = parseLine(text, format);
    if (line) yield line;
  }
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return '';
    throw error;
  }
}

function parseLine<Line extends object>(
  text: string,
  { version, isLine }: JournalFormat<Line>,
): Line | undefined {
  if (text === '') return undefined;
  const json = parseSealed(text);
  if (typeof json !== 'object' || json === null) return undefined;
  return 'version' in json && json.version === version && isLine(json) ? json : undefined;
}
