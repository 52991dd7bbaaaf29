/**
 * Who has which address of the uWSGI vassals' network. uWSGI's protocol knows no addresses but those in the packets:
 * a connection claims the source of its first packet and keeps it until it ends, and the user who claimed it owns the
 * address from then on: only a connection of the same user may have it again. Pure; all memory is taken at once, so
 * nothing that vassals send makes it grow.
 */
import { EmperorError } from '../base/errors.ts';
import { type Cidr, lastOf, networkOf, printCidr } from '../firewall/prefix.ts';

/** Of one user but root; root's are the vassals that a uWSGI emperor starts. */
export const MAX_ADDRESSES_OF_USER = 64;
/** A million addresses; the tables take 9 bytes each. */
const MIN_MASK_BITS = 12;
const ROOT = 0;

export const NO_CLIENT = -1;

export type ClaimRefusal = 'outside' | 'reserved' | 'taken' | 'locked' | 'too-many-addresses';
export type ClaimResult = 'granted' | ClaimRefusal;

export interface AddressOwner {
  /** One word of IPv4, unsigned. */
  readonly address: number;
  readonly uid: number;
}

export class Claims {
  readonly #first: number;
  readonly #last: number;
  readonly #host: number;
  readonly #hasEnds: boolean;
  /** The slot of who has it, plus one. */
  readonly #holders: Int32Array;
  readonly #uids: Uint32Array;
  readonly #isOwned: Uint8Array;
  readonly #ownedBy = new Map<number, number>();

  /** `network` is the router's own address with the mask. bad-config: IPv6, or too many addresses. */
  constructor(network: Cidr, owners: readonly AddressOwner[] = []) {
    if (network.address.family !== 4 || network.length < MIN_MASK_BITS) {
      throw new EmperorError(
        'bad-config',
        `Cannot route uWSGI vassals in ${printCidr(network)}: it must be IPv4 with a mask from /${MIN_MASK_BITS} to /32`,
      );
    }
    const prefix = networkOf(network);
    this.#first = prefix.words[0] ?? 0;
    this.#last = lastOf(prefix).words[0] ?? 0;
    this.#host = network.address.words[0] ?? 0;
    this.#hasEnds = network.length < 31;
    const size = this.#last - this.#first + 1;
    this.#holders = new Int32Array(size);
    this.#uids = new Uint32Array(size);
    this.#isOwned = new Uint8Array(size);
    for (const { address, uid } of owners) if (this.isInside(address)) this.#own(address, uid);
  }

  isInside(address: number): boolean {
    return address >= this.#first && address <= this.#last;
  }

  /** True for the router's own address. */
  isHost(address: number): boolean {
    return address === this.#host;
  }

  isOwned(address: number): boolean {
    return this.isInside(address) && this.#isOwned[address - this.#first] === 1;
  }

  /** Returns the slot that has an address, NO_CLIENT if none has. */
  find(address: number): number {
    if (!this.isInside(address)) return NO_CLIENT;
    return (this.#holders[address - this.#first] as number) - 1;
  }

  /** Gives an address to a slot whose connection is of the user `uid`, unless it says why not. */
  claim(
    address: number,
    { uid, slot }: { readonly uid: number; readonly slot: number },
  ): ClaimResult {
    const refusal = this.#refusal(address, uid);
    if (refusal !== null) return refusal;
    this.#own(address, uid);
    this.#holders[address - this.#first] = slot + 1;
    return 'granted';
  }

  /** The connection ended; its user owns the address still. */
  release(address: number): void {
    if (this.isInside(address)) this.#holders[address - this.#first] = 0;
  }

  #refusal(address: number, uid: number): ClaimRefusal | null {
    if (!this.isInside(address)) return 'outside';
    const isEnd = this.#hasEnds && (address === this.#first || address === this.#last);
    if (isEnd || address === this.#host) return 'reserved';
    const at = address - this.#first;
    if (this.#holders[at] !== 0) return 'taken';
    if (this.#isOwned[at] === 1) return this.#uids[at] === uid ? null : 'locked';
    const isFull = uid !== ROOT && (this.#ownedBy.get(uid) ?? 0) >= MAX_ADDRESSES_OF_USER;
    return isFull ? 'too-many-addresses' : null;
  }

  #own(address: number, uid: number): void {
    const at = address - this.#first;
    if (this.#isOwned[at] === 1) return;
    this.#isOwned[at] = 1;
    this.#uids[at] = uid;
    this.#ownedBy.set(uid, (this.#ownedBy.get(uid) ?? 0) + 1);
  }
}
