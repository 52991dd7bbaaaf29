/**
 * The loop that serves unmodified uWSGI vassals: their unix stream connections on one side, a tun without offloads on
 * the other, so that the kernel cuts what is larger than the MTU. uwsgi-forwarding.ts says where each packet goes.
 *
 * Theory of operation. One thread, one epoll set, level-triggered. Two buffers for all: one that connections are read
 * into, and one for the device. What a connection sends is read in portions of about 32 packets, one a turn,
 * so that a flood of small ones takes no longer a turn than one of large ones; after every DEVICE_EVERY turns the
 * device, which is everybody's, gets its own. A packet is written to its receiver at once, out of the buffer that it
 * was read into; a receiver whose socket is full gets a queue of 64 KB, and beyond that loses packets. So a connection
 * that does not read costs its queue and hurts only itself.
 *
 * Bounded: the connections, and of those of one user but root; of each connection what is held of a frame (8 KB), its
 * queue, its rules (8 KB). All of it belongs to the slot and is used again by who has it next. A connection is only
 * closed in its own turn, so that no event of a batch speaks of another connection than it was made for.
 */
import { closeSync } from 'node:fs';
import { constants } from 'node:os';
import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import type { Chains } from '../firewall/chain.ts';
import { CredentialsReader } from '../linux/credentials-message.ts';
import {
  addToEpoll,
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
import { fastCall, lastErrno } from '../linux/libc.ts';
import { peerCredentials } from '../linux/peercred.ts';
import {
  MAX_READ_BYTES,
  MIN_READ_BYTES,
  type PacketPlace,
  packetPlaceIn,
  UwsgiConnection,
} from './uwsgi-connection.ts';
import { MAX_CLIENTS, type UwsgiReason } from './uwsgi-counters.ts';
import {
  DEVICE,
  DROPPED,
  type ForwardingSetting,
  type UwsgiDenials,
  UwsgiForwarding,
} from './uwsgi-forwarding.ts';
import { UwsgiListener } from './uwsgi-listener.ts';
import {
  FRAME_HEADER_BYTES,
  FrameReader,
  MAX_FRAME_BYTES,
  MAX_PAYLOAD_BYTES,
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
const DEVICE_EVERY = 8;
const DEVICE_PACKETS = 64;
/** A tun of any MTU gives its packets whole. */
const DEVICE_BUFFER_BYTES = 65_536 + FRAME_HEADER_BYTES;
const MAX_CONNECTIONS_OF_USER = 64;
const ROOT = 0;

const { EAGAIN, EINTR } = constants.errno;

export class UwsgiLoop {
  readonly #setting: UwsgiLoopSetting;
  readonly #forwarding: UwsgiForwarding;
  readonly #epoll = openEpoll();
  readonly #connections: UwsgiConnection[] = [];
  readonly #listener: UwsgiListener;
  /** The last one is used next. */
  readonly #freeSlots: number[] = [];
  readonly #credentials = new CredentialsReader();
  readonly #reader = new FrameReader(Buffer.alloc(MAX_FRAME_BYTES + MAX_READ_BYTES));
  readonly #fromConnection = packetPlaceIn(this.#reader.bytes);
  readonly #fromDevice = packetPlaceIn(Buffer.alloc(DEVICE_BUFFER_BYTES));
  #hasDevice = true;
  #hasEnded = false;
  #turns = 0;
  readonly #read = fastCall<[fd: number, to: number, bytes: number]>(
    'long read(int, uintptr_t, size_t)',
  );
  readonly #write = fastCall<[fd: number, from: number, bytes: number]>(
    'long write(int, uintptr_t, size_t)',
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
    this.#listener = new UwsgiListener({
      fd: listener,
      epoll: this.#epoll,
      token: LISTENER_TOKEN,
      onConnection: (fd) => this.#admit(fd),
      onRefused: () => this.#forwarding.count('too-many-clients'),
    });
    addToEpoll(this.#epoll, { fd: device, events: EPOLLIN, token: DEVICE_TOKEN });
  }

  /** Returns when it is told to end; all connections are closed then. */
  run(): void {
    const events = epollBuffer(MAX_EVENTS);
    while (!this.#hasEnded) {
      const count = this.#wait(this.#epoll, events, MAX_EVENTS, this.#listener.timeoutMs);
      this.#listener.resume();
      for (let i = 0; i < count && !this.#hasEnded; i += 1) {
        this.#serve(tokenAt(events, i), eventsAt(events, i));
      }
    }
    this.#closeAll();
  }

  #serve(token: number, events: number): void {
    if (token === DEVICE_TOKEN) this.#serveDevice();
    else if (token === WAKE_TOKEN) this.#serveMessages();
    else if (token === LISTENER_TOKEN) this.#listener.serve();
    else this.#serveConnection(token, events);
  }

  #serveConnection(slot: number, events: number): void {
    const hasFailed = (events & EPOLLOUT) !== 0 && !this.#connection(slot).flush();
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

  #readInto({ fd, remainder, readBytes }: UwsgiConnection): number {
    const to = this.#fromConnection.address + this.#reader.begin(remainder);
    // Credentials come with the first bytes or not at all.
    if (remainder.isBeginning) return this.#credentials.receive(fd, to, MIN_READ_BYTES);
    return this.#read(fd, to, readBytes);
  }

  /** Returns why the connection must end, if it must. */
  #takeFrames(slot: number, connection: UwsgiConnection, count: number): UwsgiReason | null {
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
          connection.readAsMany(count, frames);
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

  /** Sends a packet, or counts why it goes nowhere. */
  #send(to: number, packet: PacketPlace): void {
    const fault = this.#connection(to).send(packet);
    if (fault !== null) this.#forwarding.drop(to, fault);
    else this.#forwarding.received(to, packet.length);
  }

  // ── connections ──────────────────────────────────────────────────────────────────────────────

  #admit(fd: number): void {
    try {
      const owner = peerCredentials(fd);
      const refusal = this.#refusal(owner.uid);
      const slot = refusal === null ? this.#freeSlot() : undefined;
      if (slot === undefined) {
        this.#forwarding.count(refusal ?? 'too-many-clients');
        closeSync(fd);
        return;
      }
      this.#connection(slot).open(fd);
      this.#freeSlots.pop();
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

  /** The one that is used next; it stays free until it is taken from the list. */
  #freeSlot(): number | undefined {
    if (this.#freeSlots.length === 0 && this.#connections.length < MAX_CLIENTS) {
      const slot = this.#connections.length;
      this.#connections.push(new UwsgiConnection(slot, { epoll: this.#epoll, write: this.#write }));
      this.#freeSlots.push(slot);
    }
    return this.#freeSlots.at(-1);
  }

  #close(slot: number, reason: UwsgiReason): void {
    this.#connection(slot).close();
    this.#forwarding.close(slot, reason);
    this.#freeSlots.push(slot);
  }

  #closeAll(): void {
    for (const connection of this.#connections) connection.close();
    this.#listener.close();
    closeSync(this.#epoll);
  }

  #connection(slot: number): UwsgiConnection {
    return this.#connections[slot] as UwsgiConnection;
  }

  // ── messages ─────────────────────────────────────────────────────────────────────────────────

  #serveMessages(): void {
    drainEventfd(this.#setting.wake);
    for (;;) {
      const received = receiveMessageOnPort(this.#setting.port);
      if (!received) return;
      // At the boundary: the control thread alone sends here.
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
