/**
 * Which peer has an address: an open hash table in typed arrays, since it is asked for every packet. Addresses
 * are words in network order: one of IPv4, four of IPv6. Entries are only added; who removes one makes a new table.
 */

/** Found nowhere. */
export const NOBODY = -1;

const EMPTY = -1;

export class AddressTable {
  /** How many addresses it takes. */
  readonly capacity: number;
  readonly #mask: number;
  readonly #words: Uint32Array;
  readonly #slots: Int32Array;

  /** Has room for `entries` addresses. */
  constructor(entries: number) {
    const size = 2 ** Math.ceil(Math.log2(Math.max(entries, 8) * 2));
    this.capacity = size / 2;
    this.#mask = size - 1;
    this.#words = new Uint32Array(size * 4);
    this.#slots = new Int32Array(size).fill(EMPTY);
  }

  /** Adds an address of IPv4 as (0, 0, 0, word), which is none of IPv6 that anybody could have. */
  add(words: readonly [number, number, number, number], slot: number): void {
    const at = this.#place(words[0], words[1], words[2], words[3]);
    this.#words.set(words, at * 4);
    this.#slots[at] = slot;
  }

  /** Returns the slot of an address, NOBODY if there is none. */
  find(a: number, b: number, c: number, d: number): number {
    return this.#slots[this.#place(a, b, c, d)] as number;
  }

  /** Where the address stands, or would stand. */
  #place(a: number, b: number, c: number, d: number): number {
    let at =
      (Math.imul(a ^ Math.imul(b, 31) ^ Math.imul(c, 17), 0x9e3779b1) +
        Math.imul(d, 0x85ebca6b)) >>>
      7;
    const words = this.#words;
    for (at &= this.#mask; this.#slots[at] !== EMPTY; at = (at + 1) & this.#mask) {
      const first = at * 4;
      if (
        words[first + 3] === d &&
        words[first + 2] === c &&
        words[first + 1] === b &&
        words[first] === a
      ) {
        return at;
      }
    }
    return at;
  }
}
