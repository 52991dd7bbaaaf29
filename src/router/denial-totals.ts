/**
 * How often each rule has denied, whatever became of the rule since: counters live only as long as a chain is in
 * force, so what they have counted is added here, by the rule's text. Kept on disk by denials-file.ts.
 */
import { type CountedChains, type Denials, denialsOf } from './gates.ts';

/** So many are kept; beyond that those go whose rules have not denied for longest. */
const MAX_TOTALS = 10_000;

/** Chains in force, or a moment ago. */
interface Watched {
  readonly chains: CountedChains;
  readonly vassal: string | null;
  /** How much of what they count is in the totals, by chain and rule. */
  readonly added: Map<string, number>;
}

export class DenialTotals {
  /** The last to deny stands last. */
  readonly #totals = new Map<string, Denials>();
  readonly #inForce = new Map<CountedChains, Watched>();
  #retired = new Set<Watched>();
  /** Retired before settle() was called last. */
  #leaving = new Set<Watched>();

  /** `saved`: what list() returned once. */
  constructor(saved: readonly Denials[]) {
    for (const denials of saved) this.#totals.set(keyOf(denials), denials);
  }

  /** Counts for `vassal` (null: the router's own chains) from now on what `chains` deny. */
  watch(chains: CountedChains, vassal: string | null): void {
    if (canDeny(chains)) this.#inForce.set(chains, { chains, vassal, added: new Map() });
  }

  /** They are in force no more; the packets' thread, which hears of that later, may count a little on. */
  retire(chains: CountedChains): void {
    const watched = this.#inForce.get(chains);
    this.#inForce.delete(chains);
    if (watched) this.#retired.add(watched);
  }

  /** Forgets what the own rules of a vassal denied, which are retired. */
  forget(vassal: string): void {
    for (const [key, denials] of this.#totals) {
      if (denials.vassal === vassal) this.#totals.delete(key);
    }
    for (const watched of [...this.#retired, ...this.#leaving]) {
      if (watched.vassal !== vassal) continue;
      this.#retired.delete(watched);
      this.#leaving.delete(watched);
    }
  }

  list(): readonly Denials[] {
    for (const all of [this.#inForce.values(), this.#retired, this.#leaving]) {
      for (const watched of all) this.#add(watched);
    }
    for (const key of this.#totals.keys()) {
      if (this.#totals.size <= MAX_TOTALS) break;
      this.#totals.delete(key);
    }
    return [...this.#totals.values()];
  }

  /** As list(); to be called now and then, since chains that are retired are looked at until the second time. */
  settle(): readonly Denials[] {
    const list = this.list();
    this.#leaving = this.#retired;
    this.#retired = new Set();
    return list;
  }

  #add({ chains, vassal, added }: Watched): void {
    for (const live of sumsOf(denialsOf(chains, vassal))) {
      const key = keyOf(live);
      const news = live.count - (added.get(key) ?? 0);
      if (news === 0) continue;
      added.set(key, live.count);
      const before = this.#totals.get(key)?.count ?? 0;
      this.#totals.delete(key);
      this.#totals.set(key, { ...live, count: before + news });
    }
  }
}

/** The same rule may stand in a chain twice, with other rules between. */
function sumsOf(list: readonly Denials[]): Iterable<Denials> {
  const sums = new Map<string, Denials>();
  for (const denials of list) {
    const key = keyOf(denials);
    const before = sums.get(key)?.count ?? 0;
    sums.set(key, { ...denials, count: before + denials.count });
  }
  return sums.values();
}

function keyOf({ chain, rule, vassal }: Denials): string {
  return `${chain} ${rule} ${vassal ?? ''}`;
}

function canDeny(chains: CountedChains): boolean {
  return Object.values(chains).some(
    ({ chain }) => chain.policy === 'deny' || chain.rules.some(({ action }) => action === 'deny'),
  );
}
