/**
 * The firewall as the packets' thread needs it: each vassal's view of the chains, as tables in memory that both
 * threads see, and of each rule how often it has denied.
 */
import type { Address } from '../firewall/address.ts';
import type { Chain, Chains } from '../firewall/chain.ts';
import { compileChain, OWN_SIDE, type Side, type Table } from '../firewall/compile.ts';
import { CHAIN_NAMES, type ChainName, printRule } from '../firewall/rule.ts';
import { type Check, makeCheck } from './check.ts';
import type { Gate } from './forwarding.ts';

/** How often a rule, or the policy, has denied a packet. */
export interface Denials {
  readonly chain: ChainName;
  /** The rule as it is written; `policy` where none matched. */
  readonly rule: string;
  /** Whose own rule it is; null for the router's chains. */
  readonly vassal: string | null;
  readonly count: number;
}

/** A chain with its counters. */
export interface CountedChain {
  readonly chain: Chain;
  readonly denials: Float64Array;
}
export type CountedChains = Readonly<Record<ChainName, CountedChain>>;

export function countChains({ in: incoming, out }: Chains): CountedChains {
  return { in: counted(incoming), out: counted(out) };
}

/** Returns what decides for a vassal with these addresses; `all` must allow, one after another. */
export function gateOf(
  { address4, address6 }: { readonly address4: Address | null; readonly address6: Address | null },
  all: readonly CountedChains[],
): Gate {
  const checks = (own: Address | null, name: ChainName): readonly Check[] =>
    own === null
      ? []
      : all
          .map((chains) => checkOf(chains[name], own, OWN_SIDE[name]))
          .filter(({ table }) => table.denies.includes(1));
  return {
    out4: checks(address4, 'out'),
    out6: checks(address6, 'out'),
    in4: checks(address4, 'in'),
    in6: checks(address6, 'in'),
  };
}

/** The rules that have denied anything. */
export function denialsOf(chains: CountedChains, vassal: string | null): readonly Denials[] {
  return CHAIN_NAMES.flatMap((name) => {
    const { chain, denials } = chains[name];
    return [...denials].flatMap((count, index) => {
      if (count === 0) return [];
      const rule = chain.rules[index - 1];
      return [{ chain: name, rule: rule ? printRule(rule) : 'policy', vassal, count }];
    });
  });
}

function counted(chain: Chain): CountedChain {
  const memory = new SharedArrayBuffer((chain.rules.length + 1) * Float64Array.BYTES_PER_ELEMENT);
  return { chain, denials: new Float64Array(memory) };
}

function checkOf({ chain, denials }: CountedChain, own: Address, side: Side): Check {
  return makeCheck(sharedOf(compileChain(chain, own, side)), denials);
}

/** Thousands of vassals may have one table; a message carries memory that is shared, and copies what is not. */
const SHARED = new WeakMap<Table, Table>();

function sharedOf(table: Table): Table {
  const known = SHARED.get(table);
  if (known) return known;
  const shared: Table = {
    starts: new Uint32Array(share(table.starts)),
    rules: new Int32Array(share(table.rules)),
    denies: new Uint8Array(share(table.denies)),
  };
  SHARED.set(table, shared);
  return shared;
}

function share(array: Uint32Array | Int32Array | Uint8Array): SharedArrayBuffer {
  const memory = new SharedArrayBuffer(array.byteLength);
  new Uint8Array(memory).set(new Uint8Array(array.buffer, array.byteOffset, array.byteLength));
  return memory;
}
