/** The addresses of a pool, numbered from its network address on. Pure. */
import { edgeOf } from '../config/kinds/addresses.ts';
import { type Address, bitsOf, isSameAddress } from '../firewall/address.ts';
import { type Cidr, contains, networkOf, type Prefix } from '../firewall/prefix.ts';

/** A pool gives no more than this many addresses, however large its network is. */
const MAX_BITS = 32;

export class HostRange {
  readonly cidr: Cidr;
  readonly prefix: Prefix;
  /** The lowest and the highest number that may be given; the host's own, if it is between, may not. */
  readonly first: number;
  readonly last: number;
  /** Number of the host's own address; undefined if it is beyond what the pool gives. */
  readonly #own: number | undefined;
  readonly #mask: number;

  /** `cidr` is the host's own address and the pool that it stands in. */
  constructor(cidr: Cidr) {
    const { family } = cidr.address;
    this.cidr = cidr;
    this.prefix = networkOf(cidr);
    const bits = Math.min(MAX_BITS, bitsOf(family) - cidr.length);
    this.#mask = bits === 32 ? 0xffffffff : 2 ** bits - 1;
    // Networks of one and two addresses have neither a network's nor a broadcast address (RFC 3021, RFC 6164).
    const isTiny = bits <= 1;
    this.first = isTiny ? 0 : 1;
    this.last = 2 ** bits - (isTiny || family === 6 ? 1 : 2);
    this.#own = this.numberOf(cidr.address);
  }

  /** How many addresses there are for vassals. */
  get size(): number {
    const isOwnBetween = this.#own !== undefined && this.canGive(this.#own, { own: true });
    return this.last - this.first + 1 - (isOwnBetween ? 1 : 0);
  }

  /** True if the pool may give the address with that number. */
  canGive(number: number, { own = false } = {}): boolean {
    return number >= this.first && number <= this.last && (own || number !== this.#own);
  }

  /** Undefined if `address` has no number here: it is not in the pool, or beyond its first 2^32 addresses. */
  numberOf(address: Address): number | undefined {
    if (!contains(this.prefix, address)) return undefined;
    const number = ((address.words.at(-1) ?? 0) & this.#mask) >>> 0;
    return isSameAddress(this.at(number), address) ? number : undefined;
  }

  at(number: number): Address {
    const { family, words } = this.prefix;
    const last = words.length - 1;
    return {
      family,
      words: words.map((word, index) => (index === last ? (word | number) >>> 0 : word)),
    };
  }

  /** Why no vassal can have `address`; undefined if one can. */
  faultOf(address: Address): string | undefined {
    if (isSameAddress(address, this.cidr.address)) return "it is the host's own address";
    const isTiny = this.first === 0;
    const edge = isTiny ? undefined : edgeOf(address, this.prefix);
    return edge && `it is ${edge}`;
  }
}
