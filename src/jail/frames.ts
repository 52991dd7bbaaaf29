/**
 * Frames and fields on the wire (the format is told in wire.ts): values to bytes, bytes to values. Pure.
 * What comes in is hostile until it is parsed: init runs with its tenant's uid. So every length is checked,
 * and a frame that breaks the rules throws a FrameError, after which the connection is of no use.
 */
import { MAX_FRAME, TAG } from './wire.ts';

export type Tag = (typeof TAG)[keyof typeof TAG];

/** A field to be sent; a nested list is an ENTRY. */
export type Field = readonly [tag: Tag, value: FieldValue];
export type FieldValue = number | bigint | string | Uint8Array | readonly Field[];

/** A frame that has arrived. */
export interface Frame {
  readonly verb: number;
  readonly id: number;
  readonly fields: Fields;
}

/** The other side does not keep to the protocol. */
export class FrameError extends Error {
  override readonly name = 'FrameError';
}

const LENGTH_BYTES = 4;
const HEAD_BYTES = 8;
const FIELD_HEAD_BYTES = 8;
/** ECMAScript's last moment. */
const MAX_DATE_MS = 8.64e15;

/** Returns the bytes of one frame; throws a RangeError for what does not fit into one. */
export function encodeFrame(frame: {
  readonly verb: number;
  readonly id: number;
  readonly fields: readonly Field[];
}): Buffer {
  const end = putFields(frame.fields, LENGTH_BYTES + HEAD_BYTES);
  scratch.writeUInt32LE(end - LENGTH_BYTES, 0);
  scratch.writeUInt16LE(frame.verb, 4);
  scratch.writeUInt16LE(0, 6);
  scratch.writeUInt32LE(frame.id, 8);
  return Buffer.from(scratch.subarray(0, end));
}

/** Returns the bytes of a list of fields, such as the value of an ENTRY. */
export function encodeFields(fields: readonly Field[]): Buffer {
  return Buffer.from(scratch.subarray(0, putFields(fields, 0)));
}

/** Frames are put together here and copied out whole: a launch has hundreds of fields. */
const scratch = Buffer.alloc(MAX_FRAME);

/** Writes the fields from `at` on; returns where they end. */
function putFields(fields: readonly Field[], at: number): number {
  let end = at;
  for (const [tag, value] of fields) {
    const start = reserve(end, FIELD_HEAD_BYTES);
    const next = putValue(value, start);
    scratch.writeUInt16LE(tag, end);
    scratch.writeUInt16LE(0, end + 2);
    scratch.writeUInt32LE(next - start, end + 4);
    end = next;
  }
  return end;
}

function putValue(value: FieldValue, at: number): number {
  if (typeof value === 'number' || typeof value === 'bigint') return putNumber(value, at);
  if (typeof value === 'string') return putText(value, at);
  if (!(value instanceof Uint8Array)) return putFields(value, at);
  const end = reserve(at, value.length);
  scratch.set(value, at);
  return end;
}

function putNumber(value: number | bigint, at: number): number {
  if (typeof value === 'number' && !Number.isSafeInteger(value)) {
    throw new RangeError(`${value} is not an integer that a field can hold`);
  }
  const end = reserve(at, 8);
  scratch.writeBigUInt64LE(BigInt(value), at);
  return end;
}

function putText(value: string, at: number): number {
  // C ends a string at NUL: what follows would silently be another value.
  if (value.includes('\0')) throw new RangeError('a text with a NUL byte cannot be sent');
  const end = reserve(at, Buffer.byteLength(value));
  scratch.write(value, at, 'utf8');
  return end;
}

/** Returns where `bytes` more end; throws a RangeError where a frame cannot reach. */
function reserve(at: number, bytes: number): number {
  if (at + bytes <= MAX_FRAME) return at + bytes;
  throw new RangeError(`a frame of ${at + bytes} bytes is longer than ${MAX_FRAME}`);
}

/** The fields of a frame or ENTRY. Readers of one field throw a FrameError if it is not there. */
export class Fields {
  readonly #all: readonly (readonly [tag: number, bytes: Buffer])[];

  private constructor(all: readonly (readonly [number, Buffer])[]) {
    this.#all = all;
  }

  /** Parses the bytes behind a frame's head, or the value of an ENTRY. */
  static parse(bytes: Buffer): Fields {
    const all: [number, Buffer][] = [];
    for (let at = 0; at < bytes.length; ) {
      if (bytes.length - at < FIELD_HEAD_BYTES) throw new FrameError('a field is cut off');
      const start = at + FIELD_HEAD_BYTES;
      const end = start + bytes.readUInt32LE(at + 4);
      if (end > bytes.length) throw new FrameError('a field is longer than its frame');
      all.push([bytes.readUInt16LE(at), bytes.subarray(start, end)]);
      at = end;
    }
    return new Fields(all);
  }

  has(tag: Tag): boolean {
    return this.#find(tag) !== undefined;
  }

  /** The first field of that tag, as a number up to 2^53. */
  number(tag: Tag): number {
    const value = this.bigint(tag);
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) {
      throw new FrameError(`${nameOfTag(tag)} is too large`);
    }
    return Number(value);
  }

  /** Milliseconds since 1970, that a Date can be of. */
  moment(tag: Tag): number {
    const ms = this.number(tag);
    if (ms > MAX_DATE_MS) throw new FrameError(`${nameOfTag(tag)} is no moment`);
    return ms;
  }

  bigint(tag: Tag): bigint {
    const bytes = this.bytes(tag);
    if (bytes.length !== 8) throw new FrameError(`${nameOfTag(tag)} is not a number`);
    return bytes.readBigUInt64LE();
  }

  /** The first field of that tag as text, of which `atMost` bytes count; invalid UTF-8 becomes U+FFFD. */
  text(tag: Tag, atMost = MAX_FRAME): string {
    return this.bytes(tag).toString('utf8', 0, atMost);
  }

  bytes(tag: Tag): Buffer {
    const bytes = this.#find(tag);
    if (!bytes) throw new FrameError(`${nameOfTag(tag)} is missing`);
    return bytes;
  }

  /** Every field of that tag, in order, as text. */
  texts(tag: Tag): readonly string[] {
    return this.#every(tag).map((bytes) => bytes.toString('utf8'));
  }

  /** Every field of that tag, in order, as a list of fields. */
  entries(tag: Tag): readonly Fields[] {
    return this.#every(tag).map((bytes) => Fields.parse(bytes));
  }

  /** What `read` returns, or `fallback` where there is no such field. */
  optional<T, F>(tag: Tag, read: (fields: Fields) => T, fallback: F): T | F {
    return this.has(tag) ? read(this) : fallback;
  }

  #find(tag: Tag): Buffer | undefined {
    return this.#all.find(([one]) => one === tag)?.[1];
  }

  #every(tag: Tag): readonly Buffer[] {
    return this.#all.filter(([one]) => one === tag).map(([, bytes]) => bytes);
  }
}

function nameOfTag(tag: Tag): string {
  return Object.entries(TAG).find(([, number]) => number === tag)?.[0] ?? `tag ${tag}`;
}

/** Cuts a stream of bytes into frames, however the bytes are split. Holds at most one frame. */
export class FrameReader {
  #buffer: Buffer = Buffer.alloc(0);
  #used = 0;

  /** Takes the next bytes, returns the frames they complete; throws a FrameError on a broken one. */
  push(chunk: Uint8Array): readonly Frame[] {
    this.#append(chunk);
    const frames: Frame[] = [];
    let at = 0;
    for (let size = this.#sizeAt(at); size !== undefined; size = this.#sizeAt(at)) {
      // A copy, since the buffer is used again and frames live longer.
      frames.push(parseFrame(Buffer.from(this.#buffer.subarray(at, at + size))));
      at += size;
    }
    this.#buffer.copyWithin(0, at, this.#used);
    this.#used -= at;
    return frames;
  }

  /** Tells whether a frame has begun and not ended. */
  get isInside(): boolean {
    return this.#used > 0;
  }

  /** The size of the frame at `at` if it is there as a whole. */
  #sizeAt(at: number): number | undefined {
    if (this.#used - at < LENGTH_BYTES) return undefined;
    const length = this.#buffer.readUInt32LE(at);
    if (length < HEAD_BYTES) throw new FrameError(`a frame cannot have ${length} bytes`);
    if (length > MAX_FRAME) throw new FrameError(`a frame of ${length} bytes is too long`);
    return this.#used - at < LENGTH_BYTES + length ? undefined : LENGTH_BYTES + length;
  }

  #append(chunk: Uint8Array): void {
    const needed = this.#used + chunk.length;
    if (needed > this.#buffer.length) {
      const larger = Buffer.alloc(Math.max(needed, 2 * this.#buffer.length));
      this.#buffer.copy(larger, 0, 0, this.#used);
      this.#buffer = larger;
    }
    this.#buffer.set(chunk, this.#used);
    this.#used = needed;
  }
}

function parseFrame(bytes: Buffer): Frame {
  return {
    verb: bytes.readUInt16LE(4),
    id: bytes.readUInt32LE(8),
    fields: Fields.parse(bytes.subarray(LENGTH_BYTES + HEAD_BYTES)),
  };
}
