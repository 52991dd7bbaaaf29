/**
 * Chains as tables for one vassal, so that a packet costs one binary search however many rules there are.
 *
 * A vassal's own address is fixed: it is the source in the `out` chain, the destination in the `in` chain. What is
 * left of a chain then speaks of the other address alone, and first match over networks is a cut of the address space
 * into intervals, each with the rule that decides there. Networks nest or are apart, never half over each other; so
 * a walk over them in the order of their first addresses needs only a stack of those that are open.
 *
 * Thousands of vassals have the same chain. Which rules can match a vassal depends only on the innermost of the
 * chain's networks that its own address is in, so those in the same one share a table. Tables of a chain live as long
 * as the chain's object does.
 */
import { type Address, compare6, compareWords, type Family } from './address.ts';
import type { Chain } from './chain.ts';
import { anyOf, contains, lastOf, type Prefix } from './prefix.ts';
import type { ChainName } from './rule.ts';

export type Side = 'src' | 'dst';

/** Where a vassal stands in the packets of a chain. */
export const OWN_SIDE: Readonly<Record<ChainName, Side>> = { out: 'src', in: 'dst' };

/** The address space of a family, cut into intervals. */
export interface Cut {
  /** First addresses, ascending from 0: one word each for IPv4, four for IPv6. */
  readonly starts: Uint32Array;
  /** Of each interval, who owns it; -1 for nobody. */
  readonly owners: Int32Array;
}

/** What a chain does with one vassal's packets, by the other address. */
export interface Table {
  /** First addresses of the intervals, ascending from 0: one word each for IPv4, four for IPv6. */
  readonly starts: Uint32Array;
  /** Of each interval, the index of the rule that decides; -1 for the policy. */
  readonly rules: Int32Array;
  /** Of each interval, 1 if packets are denied. */
  readonly denies: Uint8Array;
}

/**
 * Returns the table for the vassal whose address is `own`, which stands on `ownSide` of the chain's packets. The table
 * is of the family of `own`, and may be shared.
 */
export function compileChain(chain: Chain, own: Address, ownSide: Side): Table {
  const lane = laneOf(chain, own.family, ownSide);
  const home = lane.homes.owners[find(lane.homes, own)] ?? -1;
  const known = lane.tables.get(home);
  if (known) return known;
  const table = tableOf(chain, lane, own);
  lane.tables.set(home, table);
  return table;
}

/**
 * Returns the interval that an IPv4 address, one unsigned word, is in. Allocates nothing, and takes the same steps for
 * every address: a branch that the processor cannot foresee costs more than a step.
 */
export function find4({ starts }: Pick<Table, 'starts'>, word: number): number {
  let at = 0;
  for (let left = starts.length; left > 1; ) {
    const half = left >>> 1;
    at += half * Number((starts[at + half] as number) <= word);
    left -= half;
  }
  return at;
}

/** Returns the interval that an IPv6 address, four unsigned words, is in. Allocates nothing. */
// biome-ignore format: one line a word
export function find6(
  { starts }: Pick<Table, 'starts'>, w0: number, w1: number, w2: number, w3: number,
): number {
  let low = 0;
  let high = starts.length >>> 2;
  while (high - low > 1) {
    const middle = (low + high) >>> 1;
    if (compare6(starts, middle << 2, w0, w1, w2, w3) <= 0) low = middle;
    else high = middle;
  }
  return low;
}

function find(cut: Pick<Table, 'starts'>, { family, words }: Address): number {
  const [w0 = 0, w1 = 0, w2 = 0, w3 = 0] = words;
  return family === 4 ? find4(cut, w0) : find6(cut, w0, w1, w2, w3);
}

// ── what the vassals of one chain share ────────────────────────────────────────────────────────

/** A rule as seen from a vassal. */
interface Entry {
  readonly own: Prefix;
  readonly claim: Claim;
}

/** A chain's rules of one family, seen from one side. */
interface Lane {
  /** Ordered by their claims, which are on the other side. */
  readonly entries: readonly Entry[];
  /** Who owns an interval is the last rule among those of the innermost network of own sides. */
  readonly homes: Cut;
  /** By owner in `homes`. */
  readonly tables: Map<number, Table>;
}

const LANES = new WeakMap<Chain, Map<string, Lane>>();

function laneOf(chain: Chain, family: Family, ownSide: Side): Lane {
  const lanes = LANES.get(chain) ?? new Map<string, Lane>();
  LANES.set(chain, lanes);
  const name = `${ownSide}${family}`;
  const known = lanes.get(name);
  if (known) return known;
  const lane = makeLane(chain, family, ownSide);
  lanes.set(name, lane);
  return lane;
}

function makeLane({ rules }: Chain, family: Family, ownSide: Side): Lane {
  const any = anyOf(family);
  const entries: Entry[] = [];
  const homes: Claim[] = [];
  for (const [owner, { sides }] of rules.entries()) {
    const { src, dst } = sides ?? { src: any, dst: any };
    if (src.family !== family) continue;
    const [own, other] = ownSide === 'src' ? [src, dst] : [dst, src];
    entries.push({ own, claim: claimOf(other, owner) });
    homes.push(claimOf(own, owner));
  }
  return {
    entries: entries.sort((a, b) => outerFirst(a.claim, b.claim)),
    homes: cut(family, homes.sort(outerFirst), innermost),
    tables: new Map(),
  };
}

function tableOf({ rules, policy }: Chain, { entries }: Lane, own: Address): Table {
  const matching = entries.filter((entry) => contains(entry.own, own));
  const claims = matching.map(({ claim }) => claim);
  const { starts, owners } = cut(own.family, claims, earliest);
  const denies = Uint8Array.from(owners, (rule) =>
    (rules[rule]?.action ?? policy) === 'deny' ? 1 : 0,
  );
  return { starts, rules: owners, denies };
}

// ── cutting ────────────────────────────────────────────────────────────────────────────────────

/** A network that somebody owns, from its first address up to `next`. */
interface Claim {
  readonly network: Prefix;
  /** The first address after it; null after the last one there is. */
  readonly next: readonly number[] | null;
  readonly owner: number;
}

/** Who owns what two nested networks share. */
type Settle = (outer: number, inner: number) => number;

const innermost: Settle = (_, inner) => inner;
/** -1 is nobody, so anybody is earlier. */
const earliest: Settle = (outer, inner) => (outer < 0 ? inner : Math.min(outer, inner));

function claimOf(network: Prefix, owner: number): Claim {
  return { network, next: after(lastOf(network).words), owner };
}

function after(words: readonly number[]): readonly number[] | null {
  const at = words.findLastIndex((word) => word !== MAX_WORD);
  if (at < 0) return null;
  return words.map((word, index) => (index < at ? word : index === at ? word + 1 : 0));
}

const MAX_WORD = 0xffff_ffff;

function outerFirst({ network: a }: Claim, { network: b }: Claim): number {
  return compareWords(a.words, b.words) || a.length - b.length;
}

/** `claims` stand outer ones first. */
function cut(family: Family, claims: readonly Claim[], settle: Settle): Cut {
  const walk = new Walk(anyOf(family));
  for (const claim of claims) walk.enter(claim, settle);
  return walk.finish();
}

/** A walk over networks; those that it is inside of stand on a stack, the innermost last. */
class Walk {
  /** Where those on the stack end, and who decides inside of them. */
  readonly #ends: Claim['next'][] = [null];
  readonly #deciders: number[] = [-1];
  readonly #starts: (readonly number[])[] = [];
  readonly #owners: number[] = [];

  constructor(everything: Prefix) {
    this.#begin(everything.words);
  }

  enter({ network, next, owner }: Claim, settle: Settle): void {
    this.#leaveUntil(network.words);
    this.#deciders.push(settle(this.#decider, owner));
    this.#ends.push(next);
    this.#begin(network.words);
  }

  finish(): Cut {
    this.#leaveUntil(null);
    const size = this.#starts[0]?.length ?? 1;
    const starts = new Uint32Array(this.#starts.length * size);
    for (const [index, words] of this.#starts.entries()) starts.set(words, index * size);
    return { starts, owners: Int32Array.from(this.#owners) };
  }

  get #decider(): number {
    return this.#deciders.at(-1) ?? -1;
  }

  /** Leaves networks that end at or before `words`; null: all that end anywhere. */
  #leaveUntil(words: Claim['next']): void {
    // What lasts to the last address there is, is never left.
    for (let end = this.#ends.at(-1); end; end = this.#ends.at(-1)) {
      if (words && compareWords(end, words) > 0) return;
      this.#ends.pop();
      this.#deciders.pop();
      this.#begin(end);
    }
  }

  /** From here on another decides; an interval of no length, or with its neighbour's owner, is none. */
  #begin(words: readonly number[]): void {
    const last = this.#starts.at(-1);
    if (last && compareWords(last, words) === 0) {
      this.#starts.pop();
      this.#owners.pop();
    }
    const owner = this.#decider;
    if (this.#owners.at(-1) === owner) return;
    this.#starts.push(words);
    this.#owners.push(owner);
  }
}
