/**
 * The loop that serves unmodified uWSGI vassals: their unix stream connections on one side, a tun without offloads on
 * the other, so that the kernel cuts what is larger than the MTU. uwsgi-forwarding.ts says where each packet goes.
 *
 * Theory of operation. One thread, one epoll set, level-triggered. Two buffers for all: one that connections are read
 * into, and one for the device. What a connection sends is read in portions of about TURN_PACKETS packets, one a turn,
 * so that a flood of small ones takes no longer a turn than one of large ones; after every DEVICE_EVERY turns the
 * device, which is everybody's, gets its own. A packet is written to its receiver at once, out of the buffer that it
 * was read into; a receiver whose socket is full gets a queue of 64 KB, and beyond that loses packets. So a connection
 * that does not read costs its queue and hurts only itself.
 *
 * Bounded: the connections, and of those of one user but root; of each connection what is held of a frame (8 KB), its
 * queue, its rules (8 KB). All of it belongs to the slot and is used again by who has it next. A connection is only
 * closed in its own turn, so that no event of a batch speaks of another connection than it was made for.
 */
import { closeSync, openSync } from 'node:fs';
import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import type { Chains } from '../firewall/chain.ts';
import { CredentialsReader } from '../linux/credentials-message.ts';
import {
  addToEpoll,
  changeInEpoll,
  EPOLLIN,
  EPOLLOUT,
  epollBuffer,
  eventsAt,
  openEpoll,
  removeFromEpoll,
  tokenAt,
} from '../linux/epoll.ts';
import { ErrnoError, errnoName } from '../linux/errno.ts';
import { drainEventfd } from '../linux/eventfd.ts';
import { addressOf, fastCall, lastErrno } from '../linux/libc.ts';
import { peerCredentials } from '../linux/peercred.ts';
import { SOCK_CLOEXEC, SOCK_NONBLOCK } from '../linux/unix-socket.ts';
import { MAX_CLIENTS, type UwsgiReason } from './uwsgi-counters.ts';
import {
  DEVICE,
  DROPPED,
  type ForwardingSetting,
  type UwsgiDenials,
  UwsgiForwarding,
} from './uwsgi-forwarding.ts';
import { SendQueue } from './uwsgi-queue.ts';
import {
  FRAME_HEADER_BYTES,
  FrameReader,
  MAX_FRAME_BYTES,
  MAX_PAYLOAD_BYTES,
  Remainder,
  writeFrameHeader,
} from './uwsgi-wire.ts';

/** What the loop is told. */
export type UwsgiLoopMessage =
  | {
      readonly type: 'chains';
      readonly version: number;
      readonly chains: Chains;
      readonly denials: UwsgiDenials;
    }
  | { readonly type: 'end' };

/** What the loop says. */
export type UwsgiLoopReport =
  | { readonly type: 'applied'; readonly version: number }
  | { readonly type: 'owner'; readonly address: number; readonly uid: number }
  | { readonly type: 'device-gone'; readonly why: string };

export interface UwsgiLoopSetting extends Omit<ForwardingSetting, 'onOwner'> {
  /** As createPlainTun() makes it. */
  readonly device: number;
  /** Listens, not blocking. */
  readonly listener: number;
  /** An eventfd: there are messages. */
  readonly wake: number;
  readonly port: MessagePort;
}

const WAKE_TOKEN = MAX_CLIENTS;
const LISTENER_TOKEN = MAX_CLIENTS + 1;
const DEVICE_TOKEN = MAX_CLIENTS + 2;

const MAX_EVENTS = 64;
const TURN_PACKETS = 32;
const DEVICE_EVERY = 8;
const DEVICE_PACKETS = 64;
const ACCEPTS_A_TURN = 16;
/** Bounds of what is read of a connection in one turn. */
const MIN_READ_BYTES = 2048;
const MAX_READ_BYTES = 32_768;
/** A tun of any MTU gives its packets whole. */
const DEVICE_BUFFER_BYTES = 65_536 + FRAME_HEADER_BYTES;
/** How long to wait before accepting again where the process has no descriptor left. */
const ACCEPT_PAUSE_MS = 200;

const MAX_CONNECTIONS_OF_USER = 64;
const ROOT = 0;

const EINTR = 4;
const EAGAIN = 11;
const ENFILE = 23;
const EMFILE = 24;

/** What one slot has; the memory stays with the slot. */
class Connection {
  fd = -1;
  isWaitingToSend = false;
  /** How much is read in a turn. */
  readBytes = MAX_READ_BYTES;
  readonly remainder = new Remainder();
  /** Made when the socket is full for the first time. */
  queue: SendQueue | null = null;
  queueAddress = 0;
}

/** Where the packet stands that is being sent; one object for all, since nothing is allocated for a packet. */
interface Packet {
  readonly bytes: Uint8Array;
  /** Of `bytes`. */
  readonly address: number;
  start: number;
  length: number;
}

function packetIn(bytes: Uint8Array): Packet {
  return { bytes, address: Number(addressOf(bytes)), start: FRAME_HEADER_BYTES, length: 0 };
}

export class UwsgiLoop {
  readonly #setting: UwsgiLoopSetting;
  readonly #forwarding: UwsgiForwarding;
  readonly #epoll = openEpoll();
  readonly #connections: Connection[] = [];
  /** The last one is used next. */
  readonly #freeSlots: number[] = [];
  readonly #credentials = new CredentialsReader();
  readonly #reader = new FrameReader(Buffer.alloc(MAX_FRAME_BYTES + MAX_READ_BYTES));
  readonly #fromConnection = packetIn(this.#reader.bytes);
  readonly #fromDevice = packetIn(Buffer.alloc(DEVICE_BUFFER_BYTES));
  /** Given up for a moment to accept, and refuse, where the process has no descriptor left. */
  #spare = openSync('/dev/null', 'r');
  #isAccepting = true;
  #hasDevice = true;
  #hasEnded = false;
  #turns = 0;
  readonly #read = fastCall<[fd: number, to: number, bytes: number]>(
    'long read(int, uintptr_t, size_t)',
  );
  readonly #write = fastCall<[fd: number, from: number, bytes: number]>(
    'long write(int, uintptr_t, size_t)',
  );
  readonly #accept = fastCall<[fd: number, address: number, length: number, flags: number]>(
    'int accept4(int, uintptr_t, uintptr_t, int)',
  );
  readonly #wait = fastCall<[epoll: number, events: Buffer, max: number, timeout: number]>(
    'int epoll_wait(int, void *, int, int)',
  );

  constructor(setting: UwsgiLoopSetting) {
    this.#setting = setting;
    this.#forwarding = new UwsgiForwarding({
      ...setting,
      onOwner: (owner) => this.#report({ type: 'owner', ...owner }),
    });
    const { wake, listener, device } = setting;
    addToEpoll(this.#epoll, { fd: wake, events: EPOLLIN, token: WAKE_TOKEN });
    addToEpoll(this.#epoll, { fd: listener, events: EPOLLIN, token: LISTENER_TOKEN });
    addToEpoll(this.#epoll, { fd: device, events: EPOLLIN, token: DEVICE_TOKEN });
  }

  /** Returns when it is told to end; all connections are closed then. */
  run(): void {
    const events = epollBuffer(MAX_EVENTS);
    while (!this.#hasEnded) {
      const timeout = this.#isAccepting ? -1 : ACCEPT_PAUSE_MS;
      const count = this.#wait(this.#epoll, events, MAX_EVENTS, timeout);
      if (!this.#isAccepting) this.#listen(true);
      for (let i = 0; i < count && !this.#hasEnded; i += 1) {
        this.#serve(tokenAt(events, i), eventsAt(events, i));
      }
    }
    this.#closeAll();
  }

  #serve(token: number, events: number): void {
    if (token === DEVICE_TOKEN) this.#serveDevice();
    else if (token === WAKE_TOKEN) this.#serveMessages();
    else if (token === LISTENER_TOKEN) this.#serveListener();
    else this.#serveConnection(token, events);
  }

  #serveConnection(slot: number, events: number): void {
    const hasFailed = (events & EPOLLOUT) !== 0 && !this.#flush(slot);
    if (hasFailed) this.#close(slot, 'failed');
    // EPOLLERR and EPOLLHUP come unasked; a read tells what it is.
    else if ((events & ~EPOLLOUT) !== 0) this.#receive(slot);
    this.#turns += 1;
    if (this.#turns % DEVICE_EVERY === 0) this.#serveDevice();
  }

  // ── from a vassal ────────────────────────────────────────────────────────────────────────────

  #receive(slot: number): void {
    const connection = this.#connection(slot);
    const count = this.#readInto(connection);
    if (count > 0) {
      const ending = this.#takeFrames(slot, connection, count);
      if (ending !== null) this.#close(slot, ending);
    } else if (count === 0) {
      this.#close(slot, 'ended');
    } else {
      const errno = lastErrno();
      if (errno !== EAGAIN && errno !== EINTR) this.#close(slot, 'failed');
    }
  }

  #readInto({ fd, remainder, readBytes }: Connection): number {
    const to = this.#fromConnection.address + this.#reader.begin(remainder);
    // Credentials come with the first bytes or not at all.
    if (remainder.isBeginning) return this.#credentials.receive(fd, to, MIN_READ_BYTES);
    return this.#read(fd, to, readBytes);
  }

  /** Returns why the connection must end, if it must. */
  #takeFrames(slot: number, connection: Connection, count: number): UwsgiReason | null {
    const reader = this.#reader;
    reader.arrived(count);
    let frames = 0;
    for (;;) {
      const found = reader.next();
      switch (found) {
        case 'packet':
          this.#forward(slot, reader.start, reader.length);
          break;
        case 'rules':
          if (!this.#forwarding.takeRules(slot, reader.bytes, reader)) return 'bad-rules';
          break;
        case 'prelude':
          this.#identify(slot, connection.fd);
          break;
        case 'partial':
          reader.hold(connection.remainder);
          connection.readBytes = readBytesAfter(count, frames);
          return null;
        default:
          return found;
      }
      frames += 1;
    }
  }

  #forward(from: number, start: number, length: number): void {
    const to = this.#forwarding.fromClient(this.#reader.bytes, start, length, from);
    if (to === DROPPED) return;
    if (to === DEVICE) {
      if (this.#write(this.#setting.device, this.#fromConnection.address + start, length) < 0) {
        this.#forwarding.drop(from, 'device-refused');
        return;
      }
    } else {
      this.#fromConnection.start = start;
      this.#fromConnection.length = length;
      this.#send(to, this.#fromConnection);
    }
    this.#forwarding.sent(from, length);
  }

  /** Root connects for its vassals before they become others, so it alone may say that it is somebody else. */
  #identify(slot: number, fd: number): void {
    const connected = peerCredentials(fd);
    const { uid, pid } = this.#credentials;
    if (connected.uid === ROOT && uid !== -1) this.#forwarding.identify(slot, { uid, pid });
  }

  // ── from the device ──────────────────────────────────────────────────────────────────────────

  #serveDevice(): void {
    if (!this.#hasDevice) return;
    const { bytes, address, start } = this.#fromDevice;
    for (let packets = 0; packets < DEVICE_PACKETS; packets += 1) {
      const length = this.#read(this.#setting.device, address + start, DEVICE_BUFFER_BYTES - start);
      if (length < 0) {
        this.#deviceFailed();
        return;
      }
      const to = this.#forwarding.fromDevice(bytes, start, length);
      if (to === DROPPED) continue;
      if (length > MAX_PAYLOAD_BYTES) this.#forwarding.drop(to, 'too-large');
      else this.#sendFromDevice(to, length);
    }
  }

  #sendFromDevice(to: number, length: number): void {
    this.#fromDevice.length = length;
    this.#send(to, this.#fromDevice);
  }

  #deviceFailed(): void {
    const errno = lastErrno();
    if (errno === EAGAIN || errno === EINTR) return;
    this.#hasDevice = false;
    removeFromEpoll(this.#epoll, this.#setting.device);
    this.#report({ type: 'device-gone', why: errnoName(errno) });
  }

  // ── to a vassal ──────────────────────────────────────────────────────────────────────────────

  /** Sends the `length` bytes at `start`, in front of which there is room for a header. */
  #send(to: number, { bytes, address, start, length }: Packet): void {
    const frame = start - FRAME_HEADER_BYTES;
    const frameBytes = length + FRAME_HEADER_BYTES;
    writeFrameHeader(bytes, frame, length);
    const connection = this.#connection(to);
    const written = connection.isWaitingToSend
      ? 0
      : this.#write(connection.fd, address + frame, frameBytes);
    // What has failed for another reason is gone; its own turn will find out.
    if (written < 0 && lastErrno() !== EAGAIN) {
      this.#forwarding.drop(to, 'receiver-gone');
      return;
    }
    const sent = Math.max(written, 0);
    if (sent < frameBytes && !this.#keep(to, bytes, frame + sent, frameBytes - sent)) {
      this.#forwarding.drop(to, 'queue-full');
      return;
    }
    this.#forwarding.received(to, length);
  }

  /** Has bytes wait in the queue; false if they do not fit, which the rest of a frame that was begun always does. */
  // biome-ignore format: one line
  #keep(to: number, bytes: Uint8Array, start: number, length: number): boolean {
    const connection = this.#connection(to);
    const queue = this.#queueOf(connection);
    if (!queue.hasRoomFor(length)) return false;
    queue.append(bytes, start, length);
    this.#waitToSend(to, connection, true);
    return true;
  }

  /** Sends what waits, as much as the socket takes; false if it takes nothing any more. */
  #flush(slot: number): boolean {
    const connection = this.#connection(slot);
    const queue = this.#queueOf(connection);
    while (queue.pending > 0) {
      const written = this.#write(
        connection.fd,
        connection.queueAddress + queue.head,
        queue.contiguous,
      );
      // A peer that has shut down its reading side makes the socket writable for ever.
      if (written < 0) return lastErrno() === EAGAIN;
      queue.remove(written);
    }
    this.#waitToSend(slot, connection, false);
    return true;
  }

  #queueOf(connection: Connection): SendQueue {
    if (connection.queue !== null) return connection.queue;
    const queue = new SendQueue();
    connection.queue = queue;
    connection.queueAddress = Number(addressOf(queue.bytes));
    return queue;
  }

  #waitToSend(slot: number, connection: Connection, isWaiting: boolean): void {
    if (connection.isWaitingToSend === isWaiting) return;
    connection.isWaitingToSend = isWaiting;
    const events = isWaiting ? EPOLLIN | EPOLLOUT : EPOLLIN;
    changeInEpoll(this.#epoll, { fd: connection.fd, events, token: slot });
  }

  // ── connections ──────────────────────────────────────────────────────────────────────────────

  #serveListener(): void {
    for (let i = 0; i < ACCEPTS_A_TURN; i += 1) {
      const fd = this.#accept(this.#setting.listener, 0, 0, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd >= 0) {
        this.#admit(fd);
        continue;
      }
      const errno = lastErrno();
      if (errno === EMFILE || errno === ENFILE) this.#refuseOne();
      else if (errno !== EAGAIN && errno !== EINTR) this.#pauseAccepting();
      return;
    }
  }

  #admit(fd: number): void {
    try {
      const owner = peerCredentials(fd);
      const refusal = this.#refusal(owner.uid);
      const slot = refusal === null ? this.#takeSlot() : undefined;
      if (slot === undefined) {
        this.#forwarding.count(refusal ?? 'too-many-clients');
        closeSync(fd);
        return;
      }
      addToEpoll(this.#epoll, { fd, events: EPOLLIN, token: slot });
      const connection = this.#connection(slot);
      connection.fd = fd;
      connection.isWaitingToSend = false;
      connection.remainder.reset();
      connection.queue?.clear();
      this.#forwarding.open(slot, owner);
    } catch (error) {
      // Out of memory or of watches: this connection is refused, the others go on.
      if (!(error instanceof ErrnoError)) throw error;
      this.#forwarding.count('failed');
      closeSync(fd);
    }
  }

  #refusal(uid: number): UwsgiReason | null {
    if (uid === ROOT) return null;
    return this.#forwarding.countOf(uid) >= MAX_CONNECTIONS_OF_USER ? 'too-many-of-user' : null;
  }

  #takeSlot(): number | undefined {
    const free = this.#freeSlots.pop();
    if (free !== undefined) return free;
    if (this.#connections.length >= MAX_CLIENTS) return undefined;
    return this.#connections.push(new Connection()) - 1;
  }

  /** Takes and closes one that waits, by the descriptor kept for that: who waits would wake this loop for ever. */
  #refuseOne(): void {
    if (this.#spare >= 0) closeSync(this.#spare);
    const fd = this.#accept(this.#setting.listener, 0, 0, SOCK_CLOEXEC);
    if (fd >= 0) closeSync(fd);
    this.#forwarding.count('too-many-clients');
    try {
      this.#spare = openSync('/dev/null', 'r');
    } catch {
      // Another thread was faster: there is none left, so nobody is accepted for a while.
      this.#spare = -1;
      this.#pauseAccepting();
    }
  }

  #pauseAccepting(): void {
    this.#listen(false);
  }

  #listen(isAccepting: boolean): void {
    if (this.#isAccepting === isAccepting) return;
    this.#isAccepting = isAccepting;
    const events = isAccepting ? EPOLLIN : 0;
    changeInEpoll(this.#epoll, { fd: this.#setting.listener, events, token: LISTENER_TOKEN });
  }

  #close(slot: number, reason: UwsgiReason): void {
    const connection = this.#connection(slot);
    closeSync(connection.fd);
    connection.fd = -1;
    this.#forwarding.close(slot, reason);
    this.#freeSlots.push(slot);
  }

  #closeAll(): void {
    for (const { fd } of this.#connections) if (fd >= 0) closeSync(fd);
    if (this.#spare >= 0) closeSync(this.#spare);
    closeSync(this.#epoll);
  }

  #connection(slot: number): Connection {
    return this.#connections[slot] as Connection;
  }

  // ── messages ─────────────────────────────────────────────────────────────────────────────────

  #serveMessages(): void {
    drainEventfd(this.#setting.wake);
    for (;;) {
      const received = receiveMessageOnPort(this.#setting.port);
      if (!received) return;
      // At the boundary: uwsgi-router.ts alone sends here.
      const message = received.message as UwsgiLoopMessage;
      if (message.type === 'end') {
        this.#hasEnded = true;
        return;
      }
      this.#forwarding.setChains(message.chains, message.denials);
      this.#report({ type: 'applied', version: message.version });
    }
  }

  #report(report: UwsgiLoopReport): void {
    this.#setting.port.postMessage(report);
  }
}

/** How much to read next of who just sent `count` bytes in so many frames: about TURN_PACKETS of the same size. */
function readBytesAfter(count: number, frames: number): number {
  const wanted = Math.floor((count / Math.max(frames, 1)) * TURN_PACKETS);
  return Math.min(Math.max(wanted, MIN_READ_BYTES), MAX_READ_BYTES);
}
