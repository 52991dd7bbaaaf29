/**
 * The address pool on disk: a journal, state-dir/addresses.jsonl, of which the last line of a name counts. A line
 * is appended before its address is used, so that an emperor that is killed has told; each line begins with a
 * line end, so that one that was cut off spoils no other. Written anew at each start and when it has grown.
 */
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { isErrno } from '../base/errors.ts';
import { writeTextFile } from '../base/state-file.ts';
import type { Address } from '../firewall/address.ts';
import {
  type Addresses,
  type AddressLine,
  AddressPool,
  type AddressPoolOptions,
} from './address-pool.ts';

const JOURNAL = 'addresses.jsonl';
const VERSION = 1;
/** Written anew when it has grown by this much, and to more than twice its size. */
const COMPACT_BYTES = 4 * 1024 * 1024;

export interface AddressBookOptions extends AddressPoolOptions {
  readonly stateDirectory: string;
  /** Calls `write`, and says what keeps it from the disk; else that is thrown, after the address is given. */
  readonly writeDown?: (write: () => void) => void;
}

/** As AddressPool, and it survives. */
export class AddressBook {
  readonly #path: string;
  readonly #pool: AddressPool;
  readonly #writeDown: (write: () => void) => void;
  #journal: number | null = null;
  /** The disk does not have all: nothing was written yet, or a write failed. The next one writes all. */
  #isBehind = true;
  #bytes = 0;
  #compactBytes = 0;

  constructor(options: AddressBookOptions) {
    this.#path = join(options.stateDirectory, JOURNAL);
    this.#writeDown = options.writeDown ?? ((write) => write());
    this.#pool = new AddressPool(options);
    for (const line of readJournal(this.#path)) {
      if ('freed' in line) this.#pool.restoreFreed(line.freed);
      else this.#pool.restore(line);
    }
    this.#writeDown(() => this.#compact());
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
    if (this.#journal !== null) closeSync(this.#journal);
    this.#journal = null;
  }

  #andWrite<T>(action: () => T): T {
    try {
      return action();
    } finally {
      const lines = this.#pool.takeChanges();
      if (lines.length > 0) this.#note(lines);
    }
  }

  #note(lines: readonly AddressLine[]): void {
    const hasGrown = this.#bytes > COMPACT_BYTES + 2 * this.#compactBytes;
    const journal = this.#isBehind || hasGrown ? null : this.#journal;
    this.#isBehind = true;
    this.#writeDown(() => {
      if (journal === null) {
        this.#compact();
      } else {
        this.#bytes += writeSync(journal, lines.map(textOf).join(''));
        this.#isBehind = false;
      }
    });
  }

  /** Writes all anew, atomically, and opens that for appending. */
  #compact(): void {
    this.close();
    const freed = this.#pool.freed().map((text) => textOf({ freed: text }));
    const text = [...freed, ...this.#pool.lines().map(textOf)].join('');
    writeTextFile(this.#path, text);
    this.#bytes = Buffer.byteLength(text);
    this.#compactBytes = this.#bytes;
    this.#journal = openSync(this.#path, 'a', 0o600);
    this.#isBehind = false;
  }
}

type Line = AddressLine | { readonly freed: string };

function textOf(line: Line): string {
  return `\n${JSON.stringify({ version: VERSION, ...line })}`;
}

/** Reads what an emperor has written, which may be at it: nothing is touched. */
function readJournal(path: string): readonly Line[] {
  try {
    return readFileSync(path, 'utf8').split('\n').flatMap(parseLine);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return [];
    throw error;
  }
}

function parseLine(text: string): readonly Line[] {
  if (text === '') return [];
  try {
    const line: unknown = JSON.parse(text);
    return isLine(line) ? [line] : [];
  } catch (error) {
    if (error instanceof SyntaxError) return [];
    throw error;
  }
}

function isLine(json: unknown): json is Line {
  if (typeof json !== 'object' || json === null) return false;
  const line = json as { version?: unknown; freed?: unknown } & Partial<AddressLine>;
  if (line.version !== VERSION) return false;
  if (typeof line.freed === 'string') return true;
  return typeof line.name === 'string' && isHolding(line.address) && isHolding(line.address6);
}

function isHolding(json: unknown): boolean {
  if (json === null) return true;
  const { text, source } = (json ?? {}) as { text?: unknown; source?: unknown };
  return typeof text === 'string' && ['pool', 'file', 'hook'].includes(String(source));
}
