/**
 * Who has which address: the one that a vassal's file gives, else one of the pool, stable by name until the name
 * is forgotten; never two owners. What a hook set is claimed and locked like any other. Pure: time, disk and
 * what runs are the caller's (address-book.ts keeps it on disk).
 */
import { EmperorError } from '../base/errors.ts';
import { reservedNetworkOf } from '../config/kinds/addresses.ts';
import { type Address, isSameAddress, parseAddress, printAddress } from '../firewall/address.ts';
import { type Cidr, printCidr } from '../firewall/prefix.ts';
import { FamilyPool, type Holding, type PoolUsage, type Source } from './family-pool.ts';
import { HostRange } from './host-range.ts';

/** One address of each family at most; null where there is none. */
export interface Addresses {
  readonly address: Address | null;
  readonly address6: Address | null;
}

type Key = keyof Addresses;
const KEYS: readonly Key[] = ['address', 'address6'];

export interface AddressPoolOptions {
  /** The host's own address and the pool: tuntap-router-address and -address6. */
  readonly cidr4: Cidr | null;
  readonly cidr6: Cidr | null;
  /** What a running vassal has is never taken from it. */
  readonly isRunning: (name: string) => boolean;
  /** What the file of a vassal gives now; undefined for one that has no file, whose addresses stay its own. */
  readonly wishOf: (name: string) => Addresses | undefined;
}

/** What `name` holds, as JSON; both null: nothing any more. */
export interface AddressLine {
  readonly name: string;
  readonly address: HoldingLine | null;
  readonly address6: HoldingLine | null;
}

interface HoldingLine {
  readonly text: string;
  readonly source: Source;
}

export class AddressPool {
  readonly #options: AddressPoolOptions;
  readonly #pools: Readonly<Record<Key, FamilyPool>>;
  /** Names that hold something else than takeChanges() told last. */
  readonly #changed = new Set<string>();

  constructor(options: AddressPoolOptions) {
    this.#options = options;
    const poolOf = (cidr: Cidr | null) => new FamilyPool(cidr && new HostRange(cidr));
    this.#pools = { address: poolOf(options.cidr4), address6: poolOf(options.cidr6) };
  }

  /**
   * The addresses of `name`, whose file gives `wish`: for a vassal that starts. Throws `conflict` where another one
   * has what the file gives, where nobody can have it, and where the pool is used up.
   */
  addressOf(name: string, wish: Addresses): Addresses {
    this.#take(
      name,
      this.#wanted(wish, () => 'file'),
    );
    for (const key of KEYS) if (wish[key] === null) this.#keepOrAllocate(name, key);
    return this.find(name);
  }

  /**
   * Notes what was found on the interface of `name`, after its hooks or on adoption; null: nothing was. Throws
   * `conflict` where another one has it, where nobody can have it, and where the file says otherwise.
   */
  claim(name: string, found: Addresses): void {
    const source = (key: Key, address: Address) => (this.#isInPool(key, address) ? 'pool' : 'hook');
    const wanted = this.#wanted(found, source).filter(
      ({ address }) => this.ownerOf(address) !== name,
    );
    for (const { key, address } of wanted) this.#checkContradiction(name, key, address);
    this.#take(name, wanted);
  }

  find(name: string): Addresses {
    const of = (key: Key) => {
      const { range } = this.#pools[key];
      const held = this.#pools[key].find(name);
      // Of a pool that is not configured now: remembered, and of no use.
      return held && (range || held.source !== 'pool') ? held.address : null;
    };
    return { address: of('address'), address6: of('address6') };
  }

  ownerOf(address: Address): string | undefined {
    return this.#pools[keyOf(address)].ownerOf(address);
  }

  /** Forgets `name`; others may get its addresses, when no other ones are left. */
  forget(name: string): void {
    for (const key of KEYS) this.#release(name, key);
  }

  /** How full the pools are; null where none is configured. */
  usage(): Readonly<Record<Key, PoolUsage | null>> {
    return { address: this.#pools.address.usage(), address6: this.#pools.address6.usage() };
  }

  // ── Kept on disk ─────────────────────────────────────────────────────────────────────────────

  /** What every name holds that holds anything. */
  lines(): readonly AddressLine[] {
    const names = new Set(KEYS.flatMap((key) => [...this.#pools[key].names()]));
    return [...names].map((name) => this.#lineOf(name));
  }

  /** What changed since this was asked last. */
  takeChanges(): readonly AddressLine[] {
    const lines = [...this.#changed].map((name) => this.#lineOf(name));
    this.#changed.clear();
    return lines;
  }

  /** Addresses that are free again, the oldest first. */
  freed(): readonly string[] {
    return KEYS.flatMap((key) => this.#pools[key].freed()).map(printAddress);
  }

  /** Takes what lines() and takeChanges() told, oldest first. An address that has an owner stays with it. */
  restore({ name, address, address6 }: AddressLine): void {
    const lines = { address, address6 };
    for (const key of KEYS) {
      const line = lines[key];
      const parsed = line && parseAddress(line.text);
      this.#pools[key].release(name);
      if (!line || !parsed || this.ownerOf(parsed) !== undefined) continue;
      this.#pools[key].grant(name, { address: parsed, source: line.source });
    }
  }

  /** Takes what freed() told. */
  restoreFreed(text: string): void {
    const address = parseAddress(text);
    if (address) this.#pools[keyOf(address)].noteFreed(address);
  }

  #lineOf(name: string): AddressLine {
    const lineOf = (key: Key) => {
      const held = this.#pools[key].find(name);
      return held ? { text: printAddress(held.address), source: held.source } : null;
    };
    return { name, address: lineOf('address'), address6: lineOf('address6') };
  }

  // ── Rules ────────────────────────────────────────────────────────────────────────────────────

  #wanted(
    addresses: Addresses,
    sourceOf: (key: Key, address: Address) => Source,
  ): readonly (Holding & { readonly key: Key })[] {
    return KEYS.flatMap((key) => {
      const address = addresses[key];
      return address ? [{ key, address, source: sourceOf(key, address) }] : [];
    });
  }

  /** All or nothing. */
  #take(name: string, wanted: readonly (Holding & { readonly key: Key })[]): void {
    for (const { key, address } of wanted) this.#checkFree(name, key, address);
    for (const { key, address, source } of wanted) {
      const owner = this.ownerOf(address);
      if (owner !== undefined && owner !== name) this.#release(owner, key);
      this.#grant(name, key, { address, source });
    }
  }

  #keepOrAllocate(name: string, key: Key): void {
    const pool = this.#pools[key];
    const held = pool.find(name);
    if (held?.source === 'hook') return;
    if (held && this.#isInPool(key, held.address)) {
      this.#grant(name, key, { ...held, source: 'pool' });
    } else if (pool.range) {
      this.#grant(name, key, { address: this.#allocate(name, key, pool.range), source: 'pool' });
    } else if (held?.source === 'file') {
      this.#release(name, key);
    }
  }

  #allocate(name: string, key: Key, range: HostRange): Address {
    const address = this.#pools[key].findFree(key === 'address6' ? this.#number4(name) : undefined);
    if (address) return address;
    const { cidr } = range;
    throw new EmperorError(
      'conflict',
      `Cannot give ${name} an address: all ${range.size} of tuntap-router-${key} = ${printCidr(cidr)} are taken; ` +
        `make it larger, such as /${Math.max(0, cidr.length - 1)}, or \`emperor purge\` vassals that are gone`,
    );
  }

  /** The same number in both pools, where it can be: fd00::7 is easier to remember beside 10.0.0.7. */
  #number4(name: string): number | undefined {
    const held = this.#pools.address.find(name);
    return held && this.#pools.address.range?.numberOf(held.address);
  }

  #isInPool(key: Key, address: Address): boolean {
    const { range } = this.#pools[key];
    const number = range?.numberOf(address);
    return number !== undefined && range?.canGive(number) === true;
  }

  #checkFree(name: string, key: Key, address: Address): void {
    const text = printAddress(address);
    const fault = faultOf(address) ?? this.#pools[key].range?.faultOf(address);
    if (fault !== undefined) {
      throw new EmperorError(
        'conflict',
        `Cannot give ${name} ${text}: ${fault}; give another \`${key}\``,
      );
    }
    const owner = this.ownerOf(address);
    if (owner === undefined || owner === name || this.#isMovable(owner, key)) return;
    throw new EmperorError(
      'conflict',
      `Cannot give ${name} ${text}: it is the address of ${owner}; ` +
        `give one of them another \`${key}\`, or \`emperor purge ${owner}\` if it is gone`,
    );
  }

  /** An owner that does not run loses what it has by chance, and what its file no longer gives. */
  #isMovable(owner: string, key: Key): boolean {
    if (this.#options.isRunning(owner)) return false;
    const held = this.#pools[key].find(owner);
    if (held?.source === 'pool') return true;
    const wish = this.#options.wishOf(owner);
    if (!held || !wish) return false;
    const given = wish[key];
    // A hook will set again what it set, unless the file gives another one.
    return given ? !isSameAddress(given, held.address) : held.source === 'file';
  }

  #checkContradiction(name: string, key: Key, found: Address): void {
    const held = this.#pools[key].find(name);
    if (held?.source !== 'file') return;
    throw new EmperorError(
      'conflict',
      `Cannot use ${printAddress(found)}, which is on the interface of ${name}: ` +
        `its file says \`${key} = ${printAddress(held.address)}\`; change the file or the hook`,
    );
  }

  #grant(name: string, key: Key, holding: Holding): void {
    const before = this.#pools[key].find(name);
    this.#pools[key].grant(name, holding);
    const isSame =
      before?.source === holding.source && isSameAddress(before.address, holding.address);
    if (!isSame) this.#changed.add(name);
  }

  #release(name: string, key: Key): void {
    if (!this.#pools[key].find(name)) return;
    this.#pools[key].release(name);
    this.#changed.add(name);
  }
}

function keyOf({ family }: Address): Key {
  return family === 4 ? 'address' : 'address6';
}

/** Why no system can have `address` for its own; undefined if one can. */
function faultOf(address: Address): string | undefined {
  const network = reservedNetworkOf(address);
  return network && `no host can have an address in ${network}`;
}
