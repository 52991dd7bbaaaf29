/**
 * What is still to be sent to one uWSGI vassal whose socket is full: a ring of whole frames, but for the first, of
 * which a part may have gone. It never grows; who does not read loses what does not fit. Pure.
 */

export const QUEUE_BYTES = 65_536;
const MASK = QUEUE_BYTES - 1;

export class SendQueue {
  readonly bytes = new Uint8Array(QUEUE_BYTES);
  /** Where the first byte is. */
  head = 0;
  pending = 0;

  hasRoomFor(length: number): boolean {
    return this.pending + length <= QUEUE_BYTES;
  }

  /** Adds bytes that it has room for. */
  append(from: Uint8Array, start: number, length: number): void {
    const at = (this.head + this.pending) & MASK;
    const first = Math.min(length, QUEUE_BYTES - at);
    this.bytes.set(from.subarray(start, start + first), at);
    if (first < length) this.bytes.set(from.subarray(start + first, start + length), 0);
    this.pending += length;
  }

  /** How many bytes stand in one piece at `head`. */
  get contiguous(): number {
    return Math.min(this.pending, QUEUE_BYTES - this.head);
  }

  /** Takes away what was sent. */
  remove(length: number): void {
    this.head = (this.head + length) & MASK;
    this.pending -= length;
  }

  clear(): void {
    this.head = 0;
    this.pending = 0;
  }
}
