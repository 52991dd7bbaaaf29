/**
 * The packets' loop: reads the tuns of all peers and writes each packet to where forwarding.ts says.
 *
 * Theory of operation. One thread, one epoll set, one scratch buffer: a packet is read into it with the header that
 * the kernel put before it (virtio_net_hdr: segmentation and checksum offload) and written as it is, so that 64 KB
 * cost two system calls. The kernel does the rest: a write runs the receiver's network stack in this thread, and each
 * tun's own ring is its queue. A vassal that does not read thus hurts only itself, and a flood fills only the ring of
 * the flooder. Each peer gets a bounded turn, then the next that is ready; the host's device, on which answers to all
 * vassals arrive, gets a longer one. Nothing here allocates. Changes come as messages between two turns, so that no
 * packet meets half of a change. No call blocks, whatever an init does to the flags of the tun that it shares with us.
 *
 * A tun whose device is gone, because its namespace ended, is taken out and reported; only a `detach` closes it, so
 * that a slot's descriptor is never somebody else's.
 */
import { closeSync } from 'node:fs';
import { constants } from 'node:os';
import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import {
  addToEpoll,
  EPOLLIN,
  epollBuffer,
  openEpoll,
  removeFromEpoll,
  tokenAt,
} from '../linux/epoll.ts';
import { errnoName } from '../linux/errno.ts';
import { drainEventfd } from '../linux/eventfd.ts';
import { fastCall, lastErrno } from '../linux/libc.ts';
import { NowaitBuffer } from '../linux/nowait-io.ts';
import { VNET_HEADER_BYTES } from '../linux/tun.ts';
import {
  DROPPED,
  Forwarding,
  type Gate,
  HOST,
  MAX_PEERS,
  type Networks,
  type PeerAddresses,
} from './forwarding.ts';
import { MAX_PACKET_BYTES } from './packet.ts';

/** What the loop is told, in order. */
export type LoopMessage =
  | ({
      readonly type: 'attach';
      readonly slot: number;
      /** A tun that is the loop's from now on, not blocking. */
      readonly fd: number;
      /** Of the counters. */
      readonly row: number;
      readonly gate: Gate | null;
    } & PeerAddresses)
  | { readonly type: 'detach'; readonly slot: number }
  /** Packets are read from now on. Until then they wait in the devices, since most receivers are not attached yet. */
  | { readonly type: 'begin' }
  /** Closes everything and returns. */
  | { readonly type: 'end' }
  | {
      readonly type: 'firewall';
      readonly networks: Networks;
      readonly gates: readonly (readonly [slot: number, gate: Gate])[];
    };

/** What the loop says. */
export type LoopReport =
  | { readonly type: 'ready' }
  /** The descriptor is closed; the slot may be given away. */
  | { readonly type: 'detached'; readonly slot: number }
  /** The device of a peer is no more. */
  | { readonly type: 'gone'; readonly slot: number; readonly why: string };

export interface LoopSetting {
  /** An eventfd: there are messages. */
  readonly wake: number;
  /** Rows of all peers, see counters.ts. */
  readonly counters: Float64Array;
  readonly port: MessagePort;
}

const MAX_EVENTS = 256;
/** Packets that one peer may send in a turn: a flood of small ones costs its neighbours a quarter of a millisecond. */
const PEER_TURN = 32;
const HOST_TURN = 128;
/** Bytes after which a turn ends, too: eight packets of 64 KB. */
const TURN_BYTES = 8 * 65_536;
/**
 * A peer that had one packet only gets one read in so many turns: a second one would mostly say that there is no more,
 * and epoll says so for all peers at once. Of the time that small packets cost, that was a twentieth.
 */
const QUIET_TURNS = 8;
const WAKE_TOKEN = MAX_PEERS;

const { EAGAIN, EINTR } = constants.errno;

export class PacketLoop {
  readonly #setting: LoopSetting;
  readonly #forwarding: Forwarding;
  readonly #epoll = openEpoll();
  readonly #fds = new Int32Array(MAX_PEERS).fill(-1);
  /** Turns of one read that are left. */
  readonly #quietTurns = new Uint8Array(MAX_PEERS);
  readonly #scratch = Buffer.alloc(VNET_HEADER_BYTES + MAX_PACKET_BYTES);
  readonly #packets = new NowaitBuffer(this.#scratch);
  #isEnding = false;
  #hasBegun = false;
  readonly #wait = fastCall<[epoll: number, events: Buffer, max: number, timeout: number]>(
    'int epoll_wait(int, void *, int, int)',
  );

  constructor(setting: LoopSetting) {
    this.#setting = setting;
    this.#forwarding = new Forwarding(setting.counters);
    addToEpoll(this.#epoll, { fd: setting.wake, events: EPOLLIN, token: WAKE_TOKEN });
  }

  /** Returns once it is told to end. */
  run(): void {
    const events = epollBuffer(MAX_EVENTS);
    this.#report({ type: 'ready' });
    while (!this.#isEnding) {
      const count = this.#wait(this.#epoll, events, MAX_EVENTS, -1);
      for (let i = 0; i < count; i += 1) {
        const slot = tokenAt(events, i);
        if (slot === WAKE_TOKEN) this.#serveMessages();
        else this.#turn(slot);
      }
    }
  }

  /** Forwards what one peer has sent, up to its share. */
  #turn(from: number): void {
    const fd = this.#fds[from] as number;
    if (fd < 0) return;
    const most = this.#mostPackets(from);
    let packets = 0;
    let bytes = 0;
    while (packets < most && bytes < TURN_BYTES) {
      const length = this.#packets.read(fd);
      if (length < 0) {
        if (packets === 1) this.#quietTurns[from] = QUIET_TURNS;
        this.#readFailed(from, fd);
        return;
      }
      packets += 1;
      bytes += length;
      this.#forward(from, length);
    }
  }

  #mostPackets(from: number): number {
    const quietTurns = this.#quietTurns[from] as number;
    if (quietTurns === 0) return from === HOST ? HOST_TURN : PEER_TURN;
    this.#quietTurns[from] = quietTurns - 1;
    return 1;
  }

  #forward(from: number, length: number): void {
    const forwarding = this.#forwarding;
    const packetLength = length - VNET_HEADER_BYTES;
    const to = forwarding.forward(this.#scratch, VNET_HEADER_BYTES, packetLength, from);
    if (to === DROPPED) return;
    const written = this.#packets.write(this.#fds[to] as number, length);
    if (written < 0) forwarding.refuse(to);
    else forwarding.account(from, to, packetLength);
  }

  #readFailed(slot: number, fd: number): void {
    const errno = lastErrno();
    if (errno === EAGAIN || errno === EINTR) return;
    removeFromEpoll(this.#epoll, fd);
    this.#report({ type: 'gone', slot, why: errnoName(errno) });
  }

  #serveMessages(): void {
    drainEventfd(this.#setting.wake);
    for (;;) {
      const received = receiveMessageOnPort(this.#setting.port);
      if (!received) return;
      // At the boundary: the control thread alone sends here.
      this.#serve(received.message as LoopMessage);
    }
  }

  #serve(message: LoopMessage): void {
    switch (message.type) {
      case 'attach': {
        const { slot, fd } = message;
        this.#fds[slot] = fd;
        this.#forwarding.attach(slot, message);
        if (this.#hasBegun) this.#listenTo(slot);
        return;
      }
      case 'begin':
        if (this.#hasBegun) return;
        this.#hasBegun = true;
        for (const [slot, fd] of this.#fds.entries()) if (fd >= 0) this.#listenTo(slot);
        return;
      case 'detach':
        this.#detach(message.slot);
        return;
      case 'end':
        this.#isEnding = true;
        for (const fd of this.#fds) if (fd >= 0) closeSync(fd);
        this.#fds.fill(-1);
        closeSync(this.#epoll);
        return;
      case 'firewall':
        this.#forwarding.setNetworks(message.networks);
        for (const [slot, gate] of message.gates) this.#forwarding.setGate(slot, gate);
    }
  }

  #listenTo(slot: number): void {
    const fd = this.#fds[slot] as number;
    addToEpoll(this.#epoll, { fd, events: EPOLLIN, token: slot });
  }

  #detach(slot: number): void {
    const fd = this.#fds[slot] as number;
    this.#fds[slot] = -1;
    this.#forwarding.detach(slot);
    // By hand: init keeps the same open file, so closing alone would leave it in the set.
    removeFromEpoll(this.#epoll, fd);
    closeSync(fd);
    this.#report({ type: 'detached', slot });
  }

  #report(report: LoopReport): void {
    this.#setting.port.postMessage(report);
  }
}
