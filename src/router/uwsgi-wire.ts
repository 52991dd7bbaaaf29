/**
 * What unmodified uWSGI vassals say to their router (plugins/tuntap of uWSGI 2.0 and 2.1), taken out of a stream of
 * bytes. Pure, and nothing is allocated for a frame.
 *
 *     frame   := u8 mod1 (not looked at)  u16 LE size  u8 mod2  payload
 *     mod2 1  := a block of rules, which the vassal lays upon itself (uwsgi-rules.ts)
 *     mod2 *  := one raw IPv4 packet
 *     prelude := the 12 bytes `uwsgi-tuntap`, in front of all frames or not at all: with them come the credentials
 *                of the vassal (tuntap-use-credentials). As a frame they would be too large, so they are none.
 *
 * A stream has no way back to the beginning of a frame once a size is wrong. So a size of 0, which uWSGI's own router
 * takes for the end, and one beyond its buffer, which it writes past, are faults: who made one is disconnected.
 */

export const FRAME_HEADER_BYTES = 4;
/** What uWSGI's buffers of 8,192 bytes take. */
export const MAX_PAYLOAD_BYTES = 8188;
export const MAX_FRAME_BYTES = FRAME_HEADER_BYTES + MAX_PAYLOAD_BYTES;

const MOD2_RULES = 1;
const PRELUDE = new TextEncoder().encode('uwsgi-tuntap');

export type FrameFault = 'empty-frame' | 'oversized-frame';
/** `partial`: the rest is still to come. */
export type Found = 'packet' | 'rules' | 'prelude' | 'partial' | FrameFault;

/** What of one connection's stream has come and is no whole frame yet. */
export class Remainder {
  readonly bytes = new Uint8Array(MAX_FRAME_BYTES);
  length = 0;
  /** Nothing whole has come yet. */
  isBeginning = true;

  /** Makes it that of a new connection. */
  reset(): void {
    this.length = 0;
    this.isBeginning = true;
  }
}

/**
 * Finds frames in a buffer that all connections share: begin() with the connection's remainder, read into the buffer
 * from where it says, arrived(), next() until it is `partial` or a fault, then hold().
 */
export class FrameReader {
  /** More than MAX_FRAME_BYTES. */
  readonly bytes: Uint8Array;
  /** Of the payload that next() found; a frame's header is right before it. */
  start = 0;
  length = 0;
  #at = 0;
  #end = 0;
  #isBeginning = false;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  /** Puts what has come before to the front; returns where the bytes after it belong. The remainder stays as it is. */
  begin(remainder: Remainder): number {
    if (remainder.length > 0) this.bytes.set(remainder.bytes.subarray(0, remainder.length));
    this.#at = 0;
    this.#end = remainder.length;
    this.#isBeginning = remainder.isBeginning;
    return this.#end;
  }

  /** So many bytes were added. */
  arrived(count: number): void {
    this.#end += count;
  }

  next(): Found {
    if (this.#isBeginning) {
      const matching = this.#countPreludeBytes();
      if (matching === PRELUDE.length) return this.#take('prelude', 0, PRELUDE.length);
      if (matching === this.#end - this.#at) return 'partial';
    }
    return this.#nextFrame();
  }

  /** Keeps what is left for the next time. Not after a fault. */
  hold(remainder: Remainder): void {
    remainder.length = this.#end - this.#at;
    remainder.isBeginning = this.#isBeginning;
    if (remainder.length > 0) remainder.bytes.set(this.bytes.subarray(this.#at, this.#end));
  }

  #nextFrame(): Found {
    const { bytes } = this;
    const at = this.#at;
    const there = this.#end - at;
    if (there < FRAME_HEADER_BYTES) return 'partial';
    const size = (bytes[at + 1] as number) | ((bytes[at + 2] as number) << 8);
    if (size === 0) return 'empty-frame';
    if (size > MAX_PAYLOAD_BYTES) return 'oversized-frame';
    if (there < FRAME_HEADER_BYTES + size) return 'partial';
    const kind = bytes[at + 3] === MOD2_RULES ? 'rules' : 'packet';
    return this.#take(kind, FRAME_HEADER_BYTES, size);
  }

  #take(found: Found, headerBytes: number, size: number): Found {
    this.#isBeginning = false;
    this.start = this.#at + headerBytes;
    this.length = size;
    this.#at = this.start + size;
    return found;
  }

  #countPreludeBytes(): number {
    const most = Math.min(PRELUDE.length, this.#end - this.#at);
    let count = 0;
    while (count < most && this.bytes[this.#at + count] === PRELUDE[count]) count += 1;
    return count;
  }
}

/** Writes the header of a frame that carries a packet of `size` bytes, as the router sends it. */
export function writeFrameHeader(bytes: Uint8Array, at: number, size: number): void {
  bytes[at] = 0;
  bytes[at + 1] = size & 0xff;
  bytes[at + 2] = size >> 8;
  bytes[at + 3] = 0;
}
