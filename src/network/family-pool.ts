/**
 * Who has which address of one family: one owner an address, one address a name. What is free again is given
 * after what was never given, oldest first, so that an address does not soon mean somebody else. Pure.
 */
import { strict as assert } from 'node:assert';
import type { Address } from '../firewall/address.ts';
import type { Prefix } from '../firewall/prefix.ts';
import type { HostRange } from './host-range.ts';

/** `hook`: set by an operator's hook, and not one of the pool's. */
export type Source = 'pool' | 'file' | 'hook';

export interface Holding {
  readonly address: Address;
  readonly source: Source;
}

export interface PoolUsage {
  readonly network: Prefix;
  /** How many addresses there are for vassals. */
  readonly size: number;
  /** How many of them are some vassal's. */
  readonly used: number;
}

export class FamilyPool {
  /** Null where no pool is configured. */
  readonly range: HostRange | null;
  readonly #held = new Map<string, Holding>();
  /** keyOf() an address → its owner. */
  readonly #owners = new Map<string | number, string>();
  /** Numbers that are free again, the oldest first. */
  readonly #freed = new Set<number>();
  /** No number from here on was ever given by us; those below are owned or freed. */
  #cursor: number;

  constructor(range: HostRange | null) {
    this.range = range;
    this.#cursor = range?.first ?? 0;
  }

  names(): Iterable<string> {
    return this.#held.keys();
  }

  find(name: string): Holding | undefined {
    return this.#held.get(name);
  }

  ownerOf(address: Address): string | undefined {
    return this.#owners.get(keyOf(address));
  }

  usage(): PoolUsage | null {
    const { range } = this;
    if (!range) return null;
    const numbers = [...this.#held.values()].map(({ address }) => range.numberOf(address));
    const used = numbers.filter((number) => number !== undefined && range.canGive(number)).length;
    return { network: range.prefix, size: range.size, used };
  }

  /** The addresses that are free again, the oldest first. */
  freed(): readonly Address[] {
    const { range } = this;
    return range ? [...this.#freed].map((number) => range.at(number)) : [];
  }

  /** Notes `address` as the one that became free last. */
  noteFreed(address: Address): void {
    const number = this.range?.numberOf(address);
    if (number === undefined || !this.range?.canGive(number)) return;
    if (this.ownerOf(address) !== undefined) return;
    this.#freed.delete(number);
    this.#freed.add(number);
  }

  /** Gives `name` what nobody else holds, instead of what it held. */
  grant(name: string, holding: Holding): void {
    const owner = this.ownerOf(holding.address);
    assert(owner === undefined || owner === name, 'an address has one owner');
    if (owner === undefined) this.release(name);
    this.#held.set(name, holding);
    this.#owners.set(keyOf(holding.address), name);
    const number = this.range?.numberOf(holding.address);
    if (number !== undefined) this.#freed.delete(number);
  }

  release(name: string): void {
    const held = this.#held.get(name);
    if (!held) return;
    this.#held.delete(name);
    this.#owners.delete(keyOf(held.address));
    this.noteFreed(held.address);
  }

  /** A free address of the pool: the one with the number `preferred`, if it can be; undefined if there is none. */
  findFree(preferred?: number): Address | undefined {
    const { range } = this;
    if (!range) return undefined;
    if (preferred !== undefined && this.#isFree(range, preferred)) return range.at(preferred);
    while (this.#cursor <= range.last) {
      const number = this.#cursor;
      if (this.#isFree(range, number) && !this.#freed.has(number)) return range.at(number);
      this.#cursor += 1;
    }
    for (const number of this.#freed) return range.at(number);
    return undefined;
  }

  #isFree(range: HostRange, number: number): boolean {
    return range.canGive(number) && this.ownerOf(range.at(number)) === undefined;
  }
}

/** Cheaper than the text of the address, of which it takes several for each start. */
function keyOf({ words }: Address): string | number {
  return words.length === 1 ? (words[0] ?? 0) : words.join();
}
