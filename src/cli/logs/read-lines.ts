/** Reads a growing file line by line, and finds where its last lines begin; memory is bounded whatever it holds. */
import { fstatSync, readSync } from 'node:fs';

const PORTION_BYTES = 64 * 1024;
/** init writes shorter ones; a file that somebody else filled is cut there. */
const MAX_LINE_BYTES = 64 * 1024;
const LINE_END = 0x0a;

export class LineReader {
  readonly #fd: number;
  readonly #portion = Buffer.allocUnsafe(PORTION_BYTES);
  #position: number;
  #begun: Buffer = Buffer.alloc(0);

  constructor(fd: number, position = 0) {
    this.#fd = fd;
    this.#position = position;
  }

  /**
   * Reads on by one portion, at most to position `end`; returns the lines that it completes, or undefined
   * where there is no more.
   */
  next(end = Number.POSITIVE_INFINITY): readonly Buffer[] | undefined {
    const wanted = Math.max(0, Math.min(PORTION_BYTES, end - this.#position));
    const count = readSync(this.#fd, this.#portion, 0, wanted, this.#position);
    if (count === 0) return undefined;
    this.#position += count;
    return [...this.#split(Buffer.from(this.#portion.subarray(0, count)))];
  }

  /** What stands behind the last line end, once nobody will end it any more. */
  rest(): Buffer | undefined {
    const rest = this.#begun;
    this.#begun = Buffer.alloc(0);
    return rest.length > 0 ? rest : undefined;
  }

  *#split(bytes: Buffer): Generator<Buffer> {
    let start = 0;
    for (let end = bytes.indexOf(LINE_END); end >= 0; end = bytes.indexOf(LINE_END, start)) {
      yield this.#complete(bytes.subarray(start, end));
      start = end + 1;
    }
    this.#begun = Buffer.concat([this.#begun, bytes.subarray(start)]);
    if (this.#begun.length >= MAX_LINE_BYTES) yield this.#complete(Buffer.alloc(0));
  }

  #complete(end: Buffer): Buffer {
    if (this.#begun.length === 0) return end;
    const line = Buffer.concat([this.#begun, end]);
    this.#begun = Buffer.alloc(0);
    return line;
  }
}

export interface Tail {
  /** Where to begin: behind the last line that is too many, so that the parts of a long line stay together. */
  readonly position: number;
  /** How many lines that count stand behind it. */
  readonly found: number;
}

/** Looks from the end of the file for the last `wanted` lines for which `counts` holds. */
export function findTail(fd: number, wanted: number, counts: (line: Buffer) => boolean): Tail {
  let found = 0;
  for (const { line, end } of linesBackwards(fd)) {
    if (!counts(line)) continue;
    if (found === wanted) return { position: end, found };
    found += 1;
  }
  return { position: 0, found };
}

interface LineBackwards {
  readonly line: Buffer;
  /** Position behind its line end. */
  readonly end: number;
}

function* linesBackwards(fd: number): Generator<LineBackwards> {
  const { size } = fstatSync(fd);
  let end = size;
  for (let begin = size; begin > 0; ) {
    const length = Math.min(PORTION_BYTES, begin);
    begin -= length;
    const portion = readAt(fd, begin, length);
    for (let at = length; ; ) {
      at = at === 0 ? -1 : portion.lastIndexOf(LINE_END, at - 1);
      if (at < 0) break;
      const start = begin + at + 1;
      // What stands behind the last line end of the file is no line yet.
      if (start < size) yield { line: readAt(fd, start, end - start - 1), end };
      end = start;
    }
  }
  if (end > 0) yield { line: readAt(fd, 0, end - 1), end };
}

function readAt(fd: number, position: number, length: number): Buffer {
  const buffer = Buffer.alloc(Math.min(length, MAX_LINE_BYTES));
  return buffer.subarray(0, readSync(fd, buffer, 0, buffer.length, position));
}
