/**
 * The address pool on disk: a journal, state-dir/addresses.jsonl, of which the last line of a name counts. A line
 * is appended before its address is used, so that an emperor that is killed has told. Written anew at each start, too.
 */
import { join } from 'node:path';
import { Journal, type JournalFormat, readJournal } from '../base/journal.ts';
import type { Address } from '../firewall/address.ts';
import {
  type Addresses,
  type AddressLine,
  AddressPool,
  type AddressPoolOptions,
} from './address-pool.ts';

const JOURNAL = 'addresses.jsonl';
const FORMAT: JournalFormat<Line> = { version: 1, isLine, growthBytes: 4 * 1024 * 1024 };

export interface AddressBookOptions extends AddressPoolOptions {
  readonly stateDirectory: string;
  /** Calls `write`, and says what keeps it from the disk; else that is thrown, after the address is given. */
  readonly writeDown?: (write: () => void) => void;
}

/** As AddressPool, and it survives. */
export class AddressBook {
  readonly #pool: AddressPool;
  readonly #journal: Journal<Line>;
  readonly #writeDown: (write: () => void) => void;

  constructor(options: AddressBookOptions) {
    const path = join(options.stateDirectory, JOURNAL);
    this.#writeDown = options.writeDown ?? ((write) => write());
    this.#pool = new AddressPool(options);
    for (const line of readJournal(path, FORMAT)) {
      if ('freed' in line) this.#pool.restoreFreed(line.freed);
      else this.#pool.restore(line);
    }
    this.#journal = new Journal({
      path,
      format: FORMAT,
      content: () => [...this.#pool.freed().map((freed) => ({ freed })), ...this.#pool.lines()],
    });
    this.#writeDown(() => this.#journal.rewrite());
  }

  /** See AddressPool.addressOf(). */
  addressOf(name: string, wish: Addresses): Addresses {
    return this.#andWrite(() => this.#pool.addressOf(name, wish));
  }

  /** See AddressPool.claim(). */
  claim(name: string, found: Addresses): void {
    this.#andWrite(() => this.#pool.claim(name, found));
  }

  /** See AddressPool.forget(). */
  forget(name: string): void {
    this.#andWrite(() => this.#pool.forget(name));
  }

  find(name: string): Addresses {
    return this.#pool.find(name);
  }

  usage(): ReturnType<AddressPool['usage']> {
    return this.#pool.usage();
  }

  ownerOf(address: Address): string | undefined {
    return this.#pool.ownerOf(address);
  }

  close(): void {
    this.#journal.close();
  }

  #andWrite<T>(action: () => T): T {
    try {
      return action();
    } finally {
      const lines = this.#pool.takeChanges();
      if (lines.length > 0) this.#writeDown(() => this.#journal.append(lines));
    }
  }
}

type Line = AddressLine | { readonly freed: string };

function isLine(json: object): json is Line {
  const line = json as { freed?: unknown } & Partial<AddressLine>;
  if (typeof line.freed === 'string') return true;
  return typeof line.name === 'string' && isHolding(line.address) && isHolding(line.address6);
}

function isHolding(json: unknown): boolean {
  if (json === null) return true;
  const { text, source } = (json ?? {}) as { text?: unknown; source?: unknown };
  return typeof text === 'string' && ['pool', 'file', 'hook'].includes(String(source));
}
