/**
 * Lines of a vassal's log as init writes them (CRI format plus label):
 * `2026-01-02T03:04:05.000000000Z stdout F LABEL text`, where P marks a part of a line that goes on. Pure.
 * The texts are the tenants': any bytes.
 */

export interface LogLine {
  /** ISO 8601 with nanoseconds; empty for a line that init did not write whole. */
  readonly time: string;
  readonly stream: string;
  readonly label: string;
  readonly isWhole: boolean;
  readonly text: Buffer;
}

const SPACE = 0x20;
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{1,9}Z$/;

/** Parses a line without its line end. What is none is all text: a full disk can cut lines. */
export function parseLogLine(line: Buffer): LogLine {
  const words: string[] = [];
  let at = 0;
  while (words.length < 4) {
    const end = line.indexOf(SPACE, at);
    if (end < 0) break;
    words.push(line.toString('latin1', at, end));
    at = end + 1;
  }
  const [time = '', stream = '', mark = '', label = ''] = words;
  const isOurs = words.length === 4 && TIME.test(time) && (mark === 'F' || mark === 'P');
  if (!isOurs) return { time: '', stream: '', label: '', isWhole: true, text: line };
  return { time, stream, label, isWhole: mark === 'F', text: line.subarray(at) };
}

/** Longer lines are shown in pieces of this size. */
export const MAX_JOINED_BYTES = 256 * 1024;

interface Started {
  readonly first: LogLine;
  readonly parts: Buffer[];
  bytes: number;
}

/** Puts the parts of long lines together; at most MAX_JOINED_BYTES for each process. */
export class LineJoiner {
  readonly #started = new Map<string, Started>();

  /** Returns the line that is complete now, if one is. */
  add(line: LogLine): LogLine | undefined {
    const key = `${line.stream} ${line.label}`;
    const started = this.#started.get(key);
    if (line.isWhole && !started) return line;
    const { first, parts, bytes } = started ?? { first: line, parts: [], bytes: 0 };
    parts.push(line.text);
    const total = bytes + line.text.length;
    if (line.isWhole || total >= MAX_JOINED_BYTES) {
      this.#started.delete(key);
      return { ...first, isWhole: line.isWhole, text: Buffer.concat(parts) };
    }
    this.#started.set(key, { first, parts, bytes: total });
    return undefined;
  }

  /** Returns what was begun and never ended, in the order of its beginning. */
  rest(): readonly LogLine[] {
    const lines = [...this.#started.values()].map(({ first, parts }) => ({
      ...first,
      text: Buffer.concat(parts),
    }));
    this.#started.clear();
    return lines;
  }
}
