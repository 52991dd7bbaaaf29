/**
 * The connection of one uWSGI vassal as the loop (uwsgi-loop.ts) serves it: what has come and is no whole frame yet, and
 * what waits to be sent. The memory stays when the connection ends, and is used again by who has the slot next.
 */
import { closeSync } from 'node:fs';
import { constants } from 'node:os';
import { addToEpoll, changeInEpoll, EPOLLIN, EPOLLOUT } from '../linux/epoll.ts';
import { addressOf, lastErrno } from '../linux/libc.ts';
import { SendQueue } from './uwsgi-queue.ts';
import { FRAME_HEADER_BYTES, Remainder, writeFrameHeader } from './uwsgi-wire.ts';

/** Bounds of what is read of a connection in one turn. */
export const MIN_READ_BYTES = 2048;
export const MAX_READ_BYTES = 32_768;

const TURN_PACKETS = 32;

const { EAGAIN } = constants.errno;

/** Where the packet stands that is being sent; one object for all, since nothing is allocated for a packet. */
export interface PacketPlace {
  readonly bytes: Uint8Array;
  /** Of `bytes`. */
  readonly address: number;
  /** In front of it there is room for a header. */
  start: number;
  length: number;
}

export function packetPlaceIn(bytes: Uint8Array): PacketPlace {
  return { bytes, address: Number(addressOf(bytes)), start: FRAME_HEADER_BYTES, length: 0 };
}

/** What all connections of a loop have in common. */
export interface ConnectionHost {
  readonly epoll: number;
  /** write(2). */
  readonly write: (fd: number, from: number, bytes: number) => number;
}

export class UwsgiConnection {
  readonly slot: number;
  readonly #host: ConnectionHost;
  readonly remainder = new Remainder();
  /** How much is read in a turn. */
  readBytes = MAX_READ_BYTES;
  #fd = -1;
  #isWaitingToSend = false;
  /** Made when the socket is full for the first time. */
  #queue: SendQueue | null = null;
  #queueAddress = 0;

  constructor(slot: number, host: ConnectionHost) {
    this.slot = slot;
    this.#host = host;
  }

  /** -1 while there is none. */
  get fd(): number {
    return this.#fd;
  }

  /** Begins with a socket, which is its own from now on. Throws an ErrnoError, and takes nothing then. */
  open(fd: number): void {
    addToEpoll(this.#host.epoll, { fd, events: EPOLLIN, token: this.slot });
    this.#fd = fd;
    this.#isWaitingToSend = false;
    this.remainder.reset();
    this.#queue?.clear();
  }

  close(): void {
    if (this.#fd >= 0) closeSync(this.#fd);
    this.#fd = -1;
  }

  /** Reads next about TURN_PACKETS of the size of those that came in `count` bytes. */
  readAsMany(count: number, frames: number): void {
    const wanted = Math.floor((count / Math.max(frames, 1)) * TURN_PACKETS);
    this.readBytes = Math.min(Math.max(wanted, MIN_READ_BYTES), MAX_READ_BYTES);
  }

  /** Sends a packet or has it wait; returns why it went nowhere. */
  send({ bytes, address, start, length }: PacketPlace): 'receiver-gone' | 'queue-full' | null {
    const frame = start - FRAME_HEADER_BYTES;
    const frameBytes = length + FRAME_HEADER_BYTES;
    writeFrameHeader(bytes, frame, length);
    const written = this.#isWaitingToSend
      ? 0
      : this.#host.write(this.#fd, address + frame, frameBytes);
    // What has failed for another reason is gone; its own turn will find out.
    if (written < 0 && lastErrno() !== EAGAIN) return 'receiver-gone';
    const sent = Math.max(written, 0);
    if (sent === frameBytes || this.#keep(bytes, frame + sent, frameBytes - sent)) return null;
    return 'queue-full';
  }

  /** Sends what waits, as much as the socket takes; false if it takes nothing any more. */
  flush(): boolean {
    const queue = this.#queueHere();
    while (queue.pending > 0) {
      const from = this.#queueAddress + queue.head;
      const written = this.#host.write(this.#fd, from, queue.contiguous);
      // A peer that has shut down its reading side makes the socket writable for ever.
      if (written < 0) return lastErrno() === EAGAIN;
      queue.remove(written);
    }
    this.#waitToSend(false);
    return true;
  }

  /** Has bytes wait in the queue; false if they do not fit, which the rest of a frame that was begun always does. */
  #keep(bytes: Uint8Array, start: number, length: number): boolean {
    const queue = this.#queueHere();
    if (!queue.hasRoomFor(length)) return false;
    queue.append(bytes, start, length);
    this.#waitToSend(true);
    return true;
  }

  #queueHere(): SendQueue {
    if (this.#queue !== null) return this.#queue;
    this.#queue = new SendQueue();
    this.#queueAddress = Number(addressOf(this.#queue.bytes));
    return this.#queue;
  }

  #waitToSend(isWaiting: boolean): void {
    if (this.#isWaitingToSend === isWaiting) return;
    this.#isWaitingToSend = isWaiting;
    const events = isWaiting ? EPOLLIN | EPOLLOUT : EPOLLIN;
    changeInEpoll(this.#host.epoll, { fd: this.#fd, events, token: this.slot });
  }
}
