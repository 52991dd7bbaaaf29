/**
 * The book of totals: a file that is mapped into memory, one row of numbers (counters.ts) for each name. What is
 * counted is in the file at once, so that totals survive the router's death, however it dies; the kernel writes them
 * to the disk. Rows are given by the control thread, and written by the packets' thread.
 *
 * File: 64 bytes of magic, then MAX_ROWS names of 64 bytes (a name of only NULs is a free row), then MAX_ROWS rows of
 * COLUMNS little-endian doubles. All of its 12 MB are allocated in advance: a store into a hole of a file on a full
 * disk would end the process. Where there is no room for it, the totals live in memory as long as the router does.
 */
import { closeSync, constants, fstatSync, openSync, readSync, writeSync } from 'node:fs';
import { EmperorError, messageOf } from '../base/errors.ts';
import { allocateFile } from '../linux/allocate-file.ts';
import { mapFile } from '../linux/mmap.ts';
import { COLUMNS } from './counters.ts';
import { MAX_PEERS } from './forwarding.ts';

const MAGIC = 'Emperor traffic ledger, version 1\n';
const MAGIC_BYTES = 64;
const NAME_BYTES = 64;
const MAX_ROWS = MAX_PEERS;
const COUNTERS_AT = MAGIC_BYTES + MAX_ROWS * NAME_BYTES;
const FILE_BYTES = COUNTERS_AT + MAX_ROWS * COLUMNS * 8;

export interface Ledger {
  readonly names: Buffer;
  readonly counters: Float64Array;
}

/** Where the totals are: another thread has them by mapLedger(). */
export type LedgerPlace =
  | { readonly path: string; readonly memory: null }
  | { readonly path: null; readonly memory: SharedArrayBuffer };

export interface OpenLedger {
  readonly ledger: Ledger;
  readonly place: LedgerPlace;
  /** Why totals are not kept in the file; null where they are. */
  readonly fault: string | null;
}

/** Opens the file, which is made where it is not there; packets go on without it where that cannot be. */
export function openLedger(path: string): OpenLedger {
  try {
    prepareFile(path);
    const place = { path, memory: null };
    return { ledger: mapLedger(place), place, fault: null };
  } catch (error) {
    const place = { path: null, memory: new SharedArrayBuffer(FILE_BYTES) };
    const fault = error instanceof EmperorError ? error.message : cannot(path, messageOf(error));
    return { ledger: mapLedger(place), place, fault };
  }
}

/** The book at a place that openLedger() has told. */
export function mapLedger({ path, memory }: LedgerPlace): Ledger {
  const bytes = path === null ? memory : mapPath(path);
  return {
    names: Buffer.from(bytes, MAGIC_BYTES, MAX_ROWS * NAME_BYTES),
    counters: new Float64Array(bytes, COUNTERS_AT, MAX_ROWS * COLUMNS),
  };
}

/** Has the file as long as it must be, and all of it allocated. */
function prepareFile(path: string): void {
  const fd = openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
  try {
    const { size } = fstatSync(fd);
    const magic = Buffer.alloc(MAGIC_BYTES);
    readSync(fd, magic, 0, MAGIC_BYTES, 0);
    // Only NULs: it is new, or a router had no room for it.
    const isBlank = magic.every((byte) => byte === 0);
    if (!isBlank && !magic.toString('latin1').startsWith(MAGIC)) {
      throw notOurs(path, 'it begins otherwise');
    }
    if (!isBlank && size !== FILE_BYTES) throw notOurs(path, `it has ${size} bytes`);
    allocateFile(fd, FILE_BYTES);
    if (isBlank) writeSync(fd, MAGIC, 0, 'latin1');
  } finally {
    closeSync(fd);
  }
}

function mapPath(path: string): ArrayBuffer {
  const fd = openSync(path, constants.O_RDWR | constants.O_NOFOLLOW);
  try {
    return mapFile(fd, FILE_BYTES);
  } finally {
    closeSync(fd);
  }
}

function cannot(path: string, why: string): string {
  return `Cannot count traffic in ${path}: ${why}`;
}

function notOurs(path: string, what: string): EmperorError {
  return new EmperorError(
    'conflict',
    cannot(path, `${what}, so it is no ledger of this version; move it away`),
  );
}

/** Who has which row; only one thread may have it. */
export class Rows {
  readonly #ledger: Ledger;
  readonly #rows = new Map<string, number>();
  /** All rows from here on are free. */
  #end = 0;
  readonly #free: number[] = [];

  constructor(ledger: Ledger) {
    this.#ledger = ledger;
    for (let row = 0; row < MAX_ROWS; row += 1) {
      const name = this.#nameAt(row);
      // A ledger is filled from the start, and its tail is a hole that should not be read.
      if (name === '' && row - this.#end > MAX_GAP) break;
      if (name === '') continue;
      for (let free = this.#end; free < row; free += 1) this.#free.push(free);
      this.#end = row + 1;
      this.#rows.set(name, row);
    }
  }

  /** The row of a name, a new one if it has none. */
  rowOf(name: string): number {
    const known = this.#rows.get(name);
    if (known !== undefined) return known;
    const row = this.#free.pop() ?? this.#end;
    if (row === MAX_ROWS)
      throw new EmperorError('conflict', 'Cannot count more traffic: the ledger is full');
    this.#end = Math.max(this.#end, row + 1);
    this.#ledger.counters.fill(0, row * COLUMNS, (row + 1) * COLUMNS);
    this.#ledger.names.write(name.padEnd(NAME_BYTES, '\0'), row * NAME_BYTES, 'latin1');
    this.#rows.set(name, row);
    return row;
  }

  find(name: string): number | undefined {
    return this.#rows.get(name);
  }

  /** Forgets the totals of a name. */
  forget(name: string): void {
    const row = this.#rows.get(name);
    if (row === undefined) return;
    this.#rows.delete(name);
    this.#ledger.names.fill(0, row * NAME_BYTES, (row + 1) * NAME_BYTES);
    this.#free.push(row);
  }

  entries(): IterableIterator<[name: string, row: number]> {
    return this.#rows.entries();
  }

  #nameAt(row: number): string {
    const bytes = this.#ledger.names.subarray(row * NAME_BYTES, (row + 1) * NAME_BYTES);
    const end = bytes.indexOf(0);
    return bytes.toString('latin1', 0, end < 0 ? NAME_BYTES : end);
  }
}

/** Rows that were given back may lie between others; more than this many in a row are the end. */
const MAX_GAP = 4096;
