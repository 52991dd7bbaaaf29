/** Reads a vassal's log from the wished line on, through rotations, and hands its whole lines on. */
import { closeSync, fstatSync } from 'node:fs';
import type { LogDirectory, LogFile } from './files.ts';
import { LineJoiner, type LogLine, parseLogLine } from './line.ts';
import { findTail, LineReader } from './read-lines.ts';

export interface ReaderOptions {
  /** Lines of this label only; null for all. */
  readonly label: string | null;
  /** The last so many; null for all. */
  readonly last: number | null;
  /** Else it ends where the log ended when it was opened, however fast that grows. */
  readonly isFollowing: boolean;
  readonly onLine: (line: LogLine) => void;
}

interface OpenFile extends LogFile {
  readonly reader: LineReader;
}

export class LogReader {
  readonly #directory: LogDirectory;
  readonly #options: ReaderOptions;
  readonly #joiner = new LineJoiner();
  readonly #end: { readonly inode: bigint; readonly position: number } | null;
  #current: OpenFile | null;

  constructor(directory: LogDirectory, options: ReaderOptions) {
    this.#directory = directory;
    this.#options = options;
    const files = directory.openAll();
    this.#end = options.isFollowing ? null : endOf(files[0]);
    this.#current = this.#begin(files);
    closeOthers(files, this.#current);
  }

  /** Hands on a portion of the lines that are there; false once there are no more for now. */
  read(): boolean {
    return this.#readPortion() || this.#advance();
  }

  /** Hands on what was begun and not ended; nothing is read after it. */
  finish(): void {
    const rest = this.#current?.reader.rest();
    if (rest) this.#take(rest);
    for (const line of this.#joiner.rest()) this.#options.onLine(line);
    if (this.#current) closeSync(this.#current.fd);
    this.#current = null;
  }

  #begin(files: readonly LogFile[]): OpenFile | null {
    const oldest = files.at(-1);
    if (!oldest) return null;
    let wanted = this.#options.last;
    if (wanted === null) return openAt(oldest, 0);
    for (const file of files) {
      const { position, found } = findTail(file.fd, wanted, this.#counts);
      if (position > 0) return openAt(file, position);
      wanted -= found;
    }
    return openAt(oldest, 0);
  }

  readonly #counts = (bytes: Buffer): boolean => {
    const line = parseLogLine(bytes);
    return line.isWhole && this.#isWanted(line);
  };

  #isWanted({ label }: LogLine): boolean {
    return this.#options.label === null || label === this.#options.label;
  }

  #readPortion(): boolean {
    const lines = this.#current?.reader.next(this.#isLast() ? this.#end?.position : undefined);
    for (const line of lines ?? []) this.#take(line);
    return lines !== undefined;
  }

  #isLast(): boolean {
    return this.#end !== null && this.#end.inode === this.#current?.inode;
  }

  #take(bytes: Buffer): void {
    const line = parseLogLine(bytes);
    if (!this.#isWanted(line)) return;
    const whole = this.#joiner.add(line);
    if (whole) this.#options.onLine(whole);
  }

  /** Goes on to the next newer file, if ours was rotated away; false if it is still the newest. */
  #advance(): boolean {
    if (this.#isLast()) return false;
    const files = this.#directory.openAll();
    const at = files.findIndex(({ inode }) => inode === this.#current?.inode);
    // Not found: it is gone, and the oldest that is left comes next.
    const next = at < 0 ? files.at(-1) : files[at - 1];
    closeOthers(files, next ?? null);
    if (!next) return false;
    this.#leaveCurrent();
    this.#current = openAt(next, 0);
    return true;
  }

  /** init has closed the file before it renamed it: what is in it now is all there will be. */
  #leaveCurrent(): void {
    if (!this.#current) return;
    while (this.#readPortion());
    const rest = this.#current.reader.rest();
    if (rest) this.#take(rest);
    closeSync(this.#current.fd);
  }
}

function endOf(newest: LogFile | undefined): { inode: bigint; position: number } | null {
  return newest ? { inode: newest.inode, position: fstatSync(newest.fd).size } : null;
}

function openAt(file: LogFile, position: number): OpenFile {
  return { ...file, reader: new LineReader(file.fd, position) };
}

function closeOthers(files: readonly LogFile[], kept: LogFile | null): void {
  for (const { fd } of files) if (fd !== kept?.fd) closeSync(fd);
}
