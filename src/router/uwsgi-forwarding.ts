/**
 * Where a packet of a uWSGI vassal goes: the decision for one packet, and who is who. No system call and, but for the
 * first packet of a connection, no allocation; uwsgi-loop.ts does the reading and writing.
 *
 * In order, for what a vassal sends: well formed IPv4, from the address that its connection claimed, allowed by the
 * chain `out` and by its own rules; then to another vassal's connection, or to the device. For what a vassal is sent,
 * by whomever: allowed by the chain `in` and by its own rules. Chains are compiled for an address when it is claimed
 * and, after they were replaced, before the next packet of it: none meets what has been replaced.
 */
import { type Chains, CLOSED } from '../firewall/chain.ts';
import { compileChain, OWN_SIDE } from '../firewall/compile.ts';
import type { Cidr } from '../firewall/prefix.ts';
import type { ChainName } from '../firewall/rule.ts';
import { type Check, denies4, makeCheck } from './check.ts';
import { DESTINATION4, familyOf, hasSourceRoute, isUnicast4, SOURCE4, wordAt } from './packet.ts';
import { type AddressOwner, Claims, NO_CLIENT } from './uwsgi-claims.ts';
import {
  CLIENT_COLUMN,
  clearRow,
  MAX_CLIENTS,
  REASON_COLUMN,
  rowOf,
  type UwsgiCounters,
  type UwsgiReason,
} from './uwsgi-counters.ts';
import { DIRECTION, OwnRules } from './uwsgi-rules.ts';

/** Answers that are no slot. */
export const DEVICE = -1;
export const DROPPED = -2;

/** How often each rule denied: `[rule + 1]`, the policy at 0. */
export type UwsgiDenials = Readonly<Record<ChainName, Float64Array>>;

export interface ForwardingSetting {
  /** The router's own address and the mask of the vassals' network. */
  readonly network: Cidr;
  readonly owners: readonly AddressOwner[];
  readonly counters: UwsgiCounters;
  /** An address has its first owner. */
  readonly onOwner: (owner: AddressOwner) => void;
}

/** The user that a connection is of. */
export interface Owner {
  readonly uid: number;
  readonly pid: number;
}

type Checks = Readonly<Record<ChainName, Check>>;

interface Peer {
  uid: number;
  /** 0 before the first claim. */
  address: number;
  checks: Checks | null;
  /** Which chains the checks are of. */
  version: number;
  rules: OwnRules | null;
}

export class UwsgiForwarding {
  readonly #setting: ForwardingSetting;
  readonly #claims: Claims;
  readonly #peers: Peer[] = [];
  readonly #reasons: Float64Array;
  readonly #rows: Float64Array;
  #chains = CLOSED;
  #denials: UwsgiDenials = { in: new Float64Array(1), out: new Float64Array(1) };
  #version = 0;

  /** Denies everything until setChains(). */
  constructor(setting: ForwardingSetting) {
    this.#setting = setting;
    this.#claims = new Claims(setting.network, setting.owners);
    this.#reasons = setting.counters.reasons;
    this.#rows = setting.counters.clients;
    for (let slot = 0; slot < MAX_CLIENTS; slot += 1) {
      this.#peers.push({ uid: 0, address: 0, checks: null, version: 0, rules: null });
    }
  }

  /** `denials` have a place for each rule and one for the policy. */
  setChains(chains: Chains, denials: UwsgiDenials): void {
    this.#chains = chains;
    this.#denials = denials;
    this.#version += 1;
  }

  /** A connection begins in a free slot. */
  open(slot: number, owner: Owner): void {
    const peer = this.#peer(slot);
    peer.address = 0;
    peer.checks = null;
    peer.rules?.clear();
    clearRow(this.#rows, slot);
    this.identify(slot, owner);
    this.#rows[rowOf(slot) + CLIENT_COLUMN.isConnected] = 1;
  }

  /** The user is another one than the connecting process said; before the first packet. */
  identify(slot: number, { uid, pid }: Owner): void {
    this.#peer(slot).uid = uid;
    this.#rows[rowOf(slot) + CLIENT_COLUMN.uid] = uid;
    this.#rows[rowOf(slot) + CLIENT_COLUMN.pid] = pid;
  }

  /** The connection ended. */
  close(slot: number, reason: UwsgiReason): void {
    const peer = this.#peer(slot);
    if (peer.address !== 0) this.#claims.release(peer.address);
    peer.address = 0;
    this.#rows[rowOf(slot) + CLIENT_COLUMN.isConnected] = 0;
    this.count(reason);
  }

  /** How many connections of a user there are. */
  countOf(uid: number): number {
    let count = 0;
    for (let slot = 0; slot < MAX_CLIENTS; slot += 1) {
      const isConnected = this.#rows[rowOf(slot) + CLIENT_COLUMN.isConnected] === 1;
      if (isConnected && this.#peer(slot).uid === uid) count += 1;
    }
    return count;
  }

  /** Takes a block of rules that a vassal lays upon itself; false if it is none. */
  takeRules(
    slot: number,
    bytes: Uint8Array,
    at: { readonly start: number; readonly length: number },
  ): boolean {
    const peer = this.#peer(slot);
    peer.rules ??= new OwnRules();
    return peer.rules.read(bytes, at.start, at.length);
  }

  /** Returns the slot that what `from` sent goes to, DEVICE, or DROPPED with the reason counted. */
  fromClient(bytes: Uint8Array, at: number, length: number, from: number): number {
    const family = familyOf(bytes, at, length);
    if (family !== 4) return this.drop(from, family === 6 ? 'ipv6' : 'malformed');
    const source = wordAt(bytes, at + SOURCE4);
    const destination = wordAt(bytes, at + DESTINATION4);
    const peer = this.#peer(from);
    if (peer.address !== source || source === 0) {
      const refusal = peer.address === 0 ? this.#claim(peer, source, from) : 'spoofed';
      if (refusal !== null) return this.drop(from, refusal);
    }
    const denial = this.#denialOut(peer, source, destination);
    if (denial !== null) return this.drop(from, denial);
    if (!isUnicast4(destination)) return this.drop(from, 'not-unicast');
    if (hasSourceRoute(bytes, at)) return this.drop(from, 'source-route');
    const to = this.#claims.find(destination);
    if (to !== NO_CLIENT && to !== from) return this.#toClient(source, destination, to);
    const isOurs = this.#claims.isInside(destination) && !this.#claims.isHost(destination);
    return isOurs ? this.drop(from, 'no-client') : DEVICE;
  }

  /** Returns the slot that a packet from the device goes to, or DROPPED with the reason counted. */
  fromDevice(bytes: Uint8Array, at: number, length: number): number {
    const family = familyOf(bytes, at, length);
    if (family !== 4) return this.#dropNobodys(family === 6 ? 'ipv6' : 'malformed');
    const destination = wordAt(bytes, at + DESTINATION4);
    if (!isUnicast4(destination)) return this.#dropNobodys('not-unicast');
    const to = this.#claims.find(destination);
    if (to === NO_CLIENT) return this.#dropNobodys('no-client');
    return this.#toClient(wordAt(bytes, at + SOURCE4), destination, to);
  }

  /** Counts a packet of `length` bytes that a vassal sent, and that went on. */
  sent(from: number, length: number): void {
    this.#add(from, CLIENT_COLUMN.txPackets, 1);
    this.#add(from, CLIENT_COLUMN.txBytes, length);
  }

  /** Counts a packet of `length` bytes that a vassal was given. */
  received(to: number, length: number): void {
    this.#add(to, CLIENT_COLUMN.rxPackets, 1);
    this.#add(to, CLIENT_COLUMN.rxBytes, length);
  }

  /** Counts why a packet of or to a vassal went no further. */
  drop(slot: number, reason: UwsgiReason): typeof DROPPED {
    this.#add(slot, CLIENT_COLUMN.dropped, 1);
    return this.#dropNobodys(reason);
  }

  count(reason: UwsgiReason): void {
    const column = REASON_COLUMN[reason];
    this.#reasons[column] = (this.#reasons[column] as number) + 1;
  }

  #dropNobodys(reason: UwsgiReason): typeof DROPPED {
    this.count(reason);
    return DROPPED;
  }

  #claim(peer: Peer, address: number, slot: number): UwsgiReason | null {
    const isNew = !this.#claims.isOwned(address);
    const result = this.#claims.claim(address, { uid: peer.uid, slot });
    if (result !== 'granted') return result;
    peer.address = address;
    peer.checks = null;
    this.#rows[rowOf(slot) + CLIENT_COLUMN.address] = address;
    if (isNew) this.#setting.onOwner({ address, uid: peer.uid });
    return null;
  }

  #toClient(source: number, destination: number, to: number): number {
    const peer = this.#peer(to);
    if (denies4(this.#checks(peer).in, source)) return this.drop(to, 'denied-in');
    const verdict = peer.rules?.judge(DIRECTION.in, source, destination) ?? 'pass';
    if (verdict === 'pass') return to;
    return this.drop(to, verdict === 'drop' ? 'denied-by-own-rule' : 'own-rule-route');
  }

  #denialOut(peer: Peer, source: number, destination: number): UwsgiReason | null {
    if (denies4(this.#checks(peer).out, destination)) return 'denied-out';
    const verdict = peer.rules?.judge(DIRECTION.out, source, destination) ?? 'pass';
    if (verdict === 'pass') return null;
    return verdict === 'drop' ? 'denied-by-own-rule' : 'own-rule-route';
  }

  #checks(peer: Peer): Checks {
    if (peer.checks !== null && peer.version === this.#version) return peer.checks;
    const address = { family: 4, words: [peer.address] } as const;
    const checkOf = (name: ChainName) =>
      makeCheck(compileChain(this.#chains[name], address, OWN_SIDE[name]), this.#denials[name]);
    const checks = { in: checkOf('in'), out: checkOf('out') };
    peer.checks = checks;
    peer.version = this.#version;
    return checks;
  }

  #peer(slot: number): Peer {
    return this.#peers[slot] as Peer;
  }

  #add(slot: number, column: number, amount: number): void {
    const at = rowOf(slot) + column;
    this.#rows[at] = (this.#rows[at] as number) + amount;
  }
}
