/**
 * Where a packet goes: the decision for one packet, made from what stands in typed arrays. No system call and no
 * allocation; the packets' loop (packet-loop.ts) does the reading and writing.
 *
 * In order: well formed, from the sender's own address, allowed by the chain `out`, to a vassal or to the host,
 * allowed by the chain `in` of a vassal that receives it. Vassals are switched directly, through both chains. What
 * fails is counted where it failed: a packet that the receiver's chain denies stands in the receiver's row.
 */
import { type Address, compare6 } from '../firewall/address.ts';
import { lastOf, type Prefix } from '../firewall/prefix.ts';
import { AddressTable, NOBODY } from './address-table.ts';
import { type Check, denies4, denies6 } from './check.ts';
import { COLUMN, COLUMNS, DROP_REASONS, type DropReason } from './counters.ts';
import {
  DESTINATION4,
  DESTINATION6,
  familyOf,
  hasSourceRoute,
  isUnicast4,
  isUnicast6,
  SOURCE4,
  SOURCE6,
  wordAt,
} from './packet.ts';

/** The host's own device, through which all that is no vassal's goes. */
export const HOST = 0;
export const MAX_PEERS = 65_536;
/** forward()'s answer where the packet goes nowhere. */
export const DROPPED = -1;

/** The chains as they are for one vassal; all checks of a list must allow. */
export interface Gate {
  readonly out4: readonly Check[];
  readonly out6: readonly Check[];
  readonly in4: readonly Check[];
  readonly in6: readonly Check[];
}

export interface PeerAddresses {
  readonly address4: Address | null;
  readonly address6: Address | null;
}

/** The vassals' network, and the host's own address in it. */
export interface Network {
  readonly prefix: Prefix;
  readonly host: Address;
}

export interface Networks {
  readonly network4: Network | null;
  readonly network6: Network | null;
}

const reasonColumn = (reason: DropReason) => COLUMN.drops + DROP_REASONS.indexOf(reason);
const MALFORMED = reasonColumn('malformed');
const SPOOFED = reasonColumn('spoofed');
const DENIED_OUT = reasonColumn('denied-out');
const DENIED_IN = reasonColumn('denied-in');
const NO_VASSAL = reasonColumn('no-vassal');
const NOT_UNICAST = reasonColumn('not-unicast');
const NOT_TAKEN = reasonColumn('not-taken');
const SOURCE_ROUTE = reasonColumn('source-route');

const NO_CHECKS: Gate = { out4: [], out6: [], in4: [], in6: [] };

export class Forwarding {
  readonly #counters: Float64Array;
  readonly #has4 = new Uint8Array(MAX_PEERS);
  readonly #has6 = new Uint8Array(MAX_PEERS);
  readonly #own4 = new Uint32Array(MAX_PEERS);
  readonly #own6 = new Uint32Array(MAX_PEERS * 4);
  /** Where the counters of a slot begin. */
  readonly #rows = new Uint32Array(MAX_PEERS);
  readonly #gates: Gate[] = [];
  readonly #used = new Set<number>();
  #table = new AddressTable(64);
  #entries = 0;
  #range4: Uint32Array | null = null;
  #range6: Uint32Array | null = null;

  /** `counters` has rows of COLUMNS numbers. */
  constructor(counters: Float64Array) {
    this.#counters = counters;
  }

  setNetworks({ network4, network6 }: Networks): void {
    this.#range4 = network4 && rangeOf(network4);
    this.#range6 = network6 && rangeOf(network6);
  }

  /** Gives a slot to a vassal, or to the host (no addresses, no gate). `row`: which row of the counters is its. */
  attach(
    slot: number,
    peer: PeerAddresses & { readonly row: number; readonly gate: Gate | null },
  ): void {
    this.#rows[slot] = peer.row * COLUMNS;
    this.#gates[slot] = peer.gate ?? NO_CHECKS;
    this.#has4[slot] = peer.address4 === null ? 0 : 1;
    this.#has6[slot] = peer.address6 === null ? 0 : 1;
    this.#own4.set(peer.address4?.words ?? [0], slot);
    this.#own6.set(peer.address6?.words ?? [0, 0, 0, 0], slot * 4);
    this.#used.add(slot);
    this.#entries += 2;
    if (this.#entries > this.#table.capacity) this.#rebuild();
    else this.#enter(slot);
  }

  detach(slot: number): void {
    this.#used.delete(slot);
    this.#gates[slot] = NO_CHECKS;
    this.#has4[slot] = 0;
    this.#has6[slot] = 0;
    this.#rebuild();
  }

  /** Replaces the chains of a slot; between two packets, so no packet sees half of them. */
  setGate(slot: number, gate: Gate): void {
    this.#gates[slot] = gate;
  }

  /** Returns the slot that the `length` bytes at `at` go to, DROPPED after having counted why they do not. */
  forward(bytes: Uint8Array, at: number, length: number, from: number): number {
    const family = familyOf(bytes, at, length);
    if (family === 4) return this.#forward4(bytes, at, from);
    if (family === 6) return this.#forward6(bytes, at, from);
    return this.#drop(from, MALFORMED);
  }

  /** Counts a packet that was written. */
  account(from: number, to: number, length: number): void {
    const counters = this.#counters;
    const sender = this.#rows[from] as number;
    const receiver = this.#rows[to] as number;
    counters[sender + COLUMN.txPackets] = (counters[sender + COLUMN.txPackets] as number) + 1;
    counters[sender + COLUMN.txBytes] = (counters[sender + COLUMN.txBytes] as number) + length;
    counters[receiver + COLUMN.rxPackets] = (counters[receiver + COLUMN.rxPackets] as number) + 1;
    counters[receiver + COLUMN.rxBytes] = (counters[receiver + COLUMN.rxBytes] as number) + length;
  }

  /** Counts a packet that the receiver's device refused. */
  refuse(to: number): void {
    this.#drop(to, NOT_TAKEN);
  }

  #forward4(bytes: Uint8Array, at: number, from: number): number {
    const source = wordAt(bytes, at + SOURCE4);
    const destination = wordAt(bytes, at + DESTINATION4);
    if (from !== HOST) {
      if (this.#own4[from] !== source || this.#has4[from] === 0) return this.#drop(from, SPOOFED);
      if (anyDenies4((this.#gates[from] as Gate).out4, destination)) {
        return this.#drop(from, DENIED_OUT);
      }
    }
    if (!isUnicast4(destination)) return this.#drop(from, NOT_UNICAST);
    if (hasSourceRoute(bytes, at)) return this.#drop(from, SOURCE_ROUTE);
    const to = this.#table.find(0, 0, 0, destination);
    if (to === NOBODY) return this.#toHost(from, isOurs4(this.#range4, destination));
    if (to === from) return this.#drop(from, NO_VASSAL);
    if (anyDenies4((this.#gates[to] as Gate).in4, source)) return this.#drop(to, DENIED_IN);
    return to;
  }

  #forward6(bytes: Uint8Array, at: number, from: number): number {
    const s0 = wordAt(bytes, at + SOURCE6);
    const s1 = wordAt(bytes, at + SOURCE6 + 4);
    const s2 = wordAt(bytes, at + SOURCE6 + 8);
    const s3 = wordAt(bytes, at + SOURCE6 + 12);
    const d0 = wordAt(bytes, at + DESTINATION6);
    const d1 = wordAt(bytes, at + DESTINATION6 + 4);
    const d2 = wordAt(bytes, at + DESTINATION6 + 8);
    const d3 = wordAt(bytes, at + DESTINATION6 + 12);
    if (from !== HOST) {
      const own = from * 4;
      const isOwn =
        this.#has6[from] !== 0 &&
        this.#own6[own] === s0 &&
        this.#own6[own + 1] === s1 &&
        this.#own6[own + 2] === s2 &&
        this.#own6[own + 3] === s3;
      if (!isOwn) return this.#drop(from, SPOOFED);
      if (anyDenies6((this.#gates[from] as Gate).out6, d0, d1, d2, d3)) {
        return this.#drop(from, DENIED_OUT);
      }
    }
    if (!isUnicast6(d0, d1, d2)) return this.#drop(from, NOT_UNICAST);
    const to = this.#table.find(d0, d1, d2, d3);
    if (to === NOBODY) return this.#toHost(from, isOurs6(this.#range6, d0, d1, d2, d3));
    if (to === from) return this.#drop(from, NO_VASSAL);
    if (anyDenies6((this.#gates[to] as Gate).in6, s0, s1, s2, s3)) return this.#drop(to, DENIED_IN);
    return to;
  }

  /** What no vassal has goes to the host, unless it comes from there or would have to be a vassal's. */
  #toHost(from: number, isOurs: boolean): number {
    return from === HOST || isOurs ? this.#drop(from, NO_VASSAL) : HOST;
  }

  #drop(slot: number, column: number): number {
    const at = (this.#rows[slot] as number) + column;
    this.#counters[at] = (this.#counters[at] as number) + 1;
    return DROPPED;
  }

  #rebuild(): void {
    this.#entries = this.#used.size * 2;
    this.#table = new AddressTable(this.#entries * 2);
    for (const slot of this.#used) this.#enter(slot);
  }

  #enter(slot: number): void {
    if (this.#has4[slot] === 1) this.#table.add([0, 0, 0, this.#own4[slot] as number], slot);
    if (this.#has6[slot] === 0) return;
    const [a = 0, b = 0, c = 0, d = 0] = this.#own6.subarray(slot * 4, slot * 4 + 4);
    this.#table.add([a, b, c, d], slot);
  }
}

function anyDenies4(checks: readonly Check[], other: number): boolean {
  for (let i = 0; i < checks.length; i += 1) {
    if (denies4(checks[i] as Check, other)) return true;
  }
  return false;
}

// biome-ignore format: one line
function anyDenies6(checks: readonly Check[], a: number, b: number, c: number, d: number): boolean {
  for (let i = 0; i < checks.length; i += 1) {
    if (denies6(checks[i] as Check, a, b, c, d)) return true;
  }
  return false;
}

/** First, last and the host's address of a network, one after another. */
function rangeOf({ prefix, host }: Network): Uint32Array {
  return Uint32Array.from([...prefix.words, ...lastOf(prefix).words, ...host.words]);
}

/** Whether an address would have to be a vassal's. */
function isOurs4(range: Uint32Array | null, word: number): boolean {
  if (range === null || word === range[2]) return false;
  return word >= (range[0] as number) && word <= (range[1] as number);
}

// biome-ignore format: one line
function isOurs6(range: Uint32Array | null, a: number, b: number, c: number, d: number): boolean {
  if (range === null) return false;
  if (range[8] === a && range[9] === b && range[10] === c && range[11] === d) return false;
  return compare6(range, 0, a, b, c, d) <= 0 && compare6(range, 4, a, b, c, d) >= 0;
}
