/**
 * The router's control side: which vassals are attached, with which addresses and rules. What it decides is told to
 * the packets' thread; packets never come here.
 */
import { EmperorError } from '../base/errors.ts';
import { type Address, isSameAddress, printAddress } from '../firewall/address.ts';
import { type Chains, CLOSED, deviceChains, judge, type Packet } from '../firewall/chain.ts';
import {
  type Action,
  type ChainName,
  type DeviceRule,
  printRule,
  type Rule,
} from '../firewall/rule.ts';
import { COLUMNS, NO_TRAFFIC, type Traffic, trafficOf } from './counters.ts';
import type { DenialTotals } from './denial-totals.ts';
import { HOST, MAX_PEERS, type Networks } from './forwarding.ts';
import { type CountedChains, countChains, type Denials, gateOf } from './gates.ts';
import { type Ledger, Rows } from './ledger.ts';
import type { LoopMessage, LoopReport } from './packet-loop.ts';

export interface Firewall extends Networks {
  readonly chains: Chains;
}

/** What a vassal is attached with. */
export interface PeerSpec {
  readonly name: string;
  readonly address4: Address | null;
  readonly address6: Address | null;
  /** Its own rules, which can only take away from what the chains allow. */
  readonly rules: readonly DeviceRule[];
}

interface Peer extends PeerSpec {
  readonly slot: number;
  readonly row: number;
  readonly own: CountedChains;
  readonly fd: number;
  /** Why its device is no more; null while it is there. */
  gone: string | null;
}

/** What the firewall says of a packet, and why. */
export interface Verdict {
  readonly action: Action;
  /** The rule that decided; null for the policy. */
  readonly rule: string | null;
  /** Whose own rule it is; null for one of the router's chains. */
  readonly vassal: string | null;
}

/** The name of the host's own row; no vassal can be called so. */
export const HOST_ROW = '.host';

/** Until the emperor has said what it is. */
const UNKNOWN: Firewall = { chains: CLOSED, network4: null, network6: null };

export class Router {
  readonly #ledger: Ledger;
  readonly #rows: Rows;
  readonly #tell: (message: LoopMessage) => void;
  readonly #onHostGone: (why: string) => void;
  readonly #denials: DenialTotals;
  readonly #peers = new Map<string, Peer>();
  /** Address → the name of who has it. */
  readonly #owners = new Map<string, string>();
  readonly #freeSlots: number[] = [];
  #nextSlot = HOST + 1;
  #firewall = UNKNOWN;
  #counted: CountedChains = countChains(UNKNOWN.chains);

  constructor(parts: {
    readonly ledger: Ledger;
    readonly denials: DenialTotals;
    readonly tell: (message: LoopMessage) => void;
    /** The host's device was removed. `why` is an errno's name. */
    readonly onHostGone: (why: string) => void;
  }) {
    this.#ledger = parts.ledger;
    this.#rows = new Rows(parts.ledger);
    this.#denials = parts.denials;
    this.#tell = parts.tell;
    this.#onHostGone = parts.onHostGone;
  }

  /** Gives the loop the host's device. */
  attachHost(fd: number): void {
    const row = this.#rows.rowOf(HOST_ROW);
    this.#tell({ type: 'attach', slot: HOST, fd, row, gate: null, address4: null, address6: null });
  }

  /** Has packets forwarded from now on; until then they wait in the devices. */
  begin(): void {
    this.#tell({ type: 'begin' });
  }

  /** Replaces chains and networks, for all vassals between two packets. */
  setFirewall(firewall: Firewall): void {
    const { network4, network6 } = firewall;
    this.#firewall = firewall;
    this.#denials.retire(this.#counted);
    this.#counted = countChains(firewall.chains);
    this.#denials.watch(this.#counted, null);
    const gates = [...this.#peers.values()].map(
      (peer) => [peer.slot, gateOf(peer, [this.#counted, peer.own])] as const,
    );
    this.#tell({ type: 'firewall', networks: { network4, network6 }, gates });
  }

  /**
   * Attaches a vassal by its tun, which is the router's from now on; one that is attached already is replaced.
   * Throws `conflict` where somebody else has an address, and takes nothing then.
   */
  attach(spec: PeerSpec, fd: number): void {
    this.#refuseClash(spec);
    this.detach(spec.name);
    const slot = this.#freeSlots.pop() ?? this.#nextSlot;
    if (slot === MAX_PEERS) throw new EmperorError('conflict', 'Cannot attach more vassals');
    this.#nextSlot = Math.max(this.#nextSlot, slot + 1);
    const row = this.#rows.rowOf(spec.name);
    const own = countChains(deviceChains(spec.rules));
    this.#peers.set(spec.name, { ...spec, slot, row, own, fd, gone: null });
    this.#denials.watch(own, spec.name);
    for (const key of keysOf(spec)) this.#owners.set(key, spec.name);
    const gate = gateOf(spec, [this.#counted, own]);
    const { address4, address6 } = spec;
    this.#tell({ type: 'attach', slot, fd, row, gate, address4, address6 });
  }

  /** Gives a vassal other rules of its own. False: it is not attached. */
  setRules(name: string, rules: readonly DeviceRule[]): boolean {
    const peer = this.#peers.get(name);
    if (!peer) return false;
    const own = countChains(deviceChains(rules));
    this.#peers.set(name, { ...peer, rules, own });
    this.#denials.retire(peer.own);
    this.#denials.watch(own, name);
    const { network4, network6 } = this.#firewall;
    const gate = gateOf(peer, [this.#counted, own]);
    this.#tell({ type: 'firewall', networks: { network4, network6 }, gates: [[peer.slot, gate]] });
    return true;
  }

  /** Lets go of a vassal's tun. */
  detach(name: string): void {
    const peer = this.#peers.get(name);
    if (!peer) return;
    this.#peers.delete(name);
    for (const key of keysOf(peer)) this.#owners.delete(key);
    this.#denials.retire(peer.own);
    this.#tell({ type: 'detach', slot: peer.slot });
  }

  /** Forgets the totals of a vassal. */
  forget(name: string): void {
    this.detach(name);
    this.#rows.forget(name);
    this.#denials.forget(name);
  }

  /** What the packets' thread reports. */
  hear(report: LoopReport): void {
    if (report.type === 'detached') this.#freeSlots.push(report.slot);
    if (report.type !== 'gone') return;
    if (report.slot === HOST) this.#onHostGone(report.why);
    for (const peer of this.#peers.values()) if (peer.slot === report.slot) peer.gone = report.why;
  }

  peers(): readonly (PeerSpec & { readonly gone: string | null })[] {
    return [...this.#peers.values()].map(({ name, address4, address6, rules, gone }) => ({
      name,
      address4,
      address6,
      rules,
      gone,
    }));
  }

  /** Totals by name, of all that there ever were, and of the host under HOST_ROW. */
  traffic(): Readonly<Record<string, Traffic>> {
    return Object.fromEntries(
      [...this.#rows.entries()].map(([name, row]) => [
        name,
        trafficOf(this.#ledger.counters, row * COLUMNS),
      ]),
    );
  }

  /** Totals of one vassal. */
  trafficOf(name: string): Traffic {
    const row = this.#rows.find(name);
    return row === undefined ? NO_TRAFFIC : trafficOf(this.#ledger.counters, row * COLUMNS);
  }

  /** How often each rule has denied, those that are no more included. */
  denials(): readonly Denials[] {
    return this.#denials.list();
  }

  /** Judges a packet by the live rules of one chain, then by those of the vassal concerned. */
  judge(chain: ChainName, packet: Packet): Verdict {
    const shared = judge(this.#counted[chain].chain, packet);
    const verdict = {
      action: shared.action,
      rule: printed(this.#counted[chain].chain.rules[shared.rule]),
      vassal: null,
    };
    const peer = this.#ownerOf(chain === 'out' ? packet.src : packet.dst);
    if (verdict.action === 'deny' || !peer) return verdict;
    const own = judge(peer.own[chain].chain, packet);
    if (own.rule < 0) return verdict;
    return {
      action: own.action,
      rule: printed(peer.own[chain].chain.rules[own.rule]),
      vassal: peer.name,
    };
  }

  #ownerOf(address: Address): Peer | undefined {
    const name = this.#owners.get(keyOf(address));
    return name === undefined ? undefined : this.#peers.get(name);
  }

  #refuseClash({ name, address4, address6 }: PeerSpec): void {
    for (const address of [address4, address6]) {
      if (!address) continue;
      const hosts = [this.#firewall.network4?.host, this.#firewall.network6?.host];
      const isHosts = hosts.some((host) => host && isSameAddress(host, address));
      const owner = isHosts ? 'the host' : this.#ownerOf(address)?.name;
      if (owner === undefined || owner === name) continue;
      throw new EmperorError(
        'conflict',
        `Cannot attach ${name}: its address ${printAddress(address)} is that of ${owner}`,
      );
    }
  }
}

function keyOf({ words }: Address): string {
  return words.join(' ');
}

function keysOf({ address4, address6 }: PeerSpec): readonly string[] {
  return [address4, address6].flatMap((address) => (address ? [keyOf(address)] : []));
}

function printed(rule: Rule | undefined): string | null {
  return rule ? printRule(rule) : null;
}
