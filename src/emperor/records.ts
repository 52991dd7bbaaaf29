/**
 * What was last applied to each vassal: the last good text for a reboot with a broken file, and the resolved
 * configuration for an emperor that adopts what runs.
 *
 * A journal, state-dir/vassals.jsonl: one line for each change, the last one of a name counts. Appending
 * costs one system call, where a file for each vassal would cost a rename that waits for the disk; reading
 * it is one read for all. Each line begins with a line end, so that one which was cut off spoils no other.
 * A line that cannot be read is as good as none: then a change costs a new jail. It is written anew at each
 * start and when it has grown far beyond what it holds.
 */
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { isErrno } from '../base/errors.ts';
import { writeTextFile } from '../base/state-file.ts';
import type { Applied } from '../vassal/vassal.ts';
import type { FileOwner } from './sighting.ts';

const VERSION = 2;
const JOURNAL = 'vassals.jsonl';
/** Written anew when it has grown by this much, and to more than twice its size. */
const COMPACT_BYTES = 16 * 1024 * 1024;

export interface AppliedRecord {
  readonly file: string;
  readonly text: string;
  readonly owner: FileOwner;
  readonly applied: Applied;
  /** Operator's `stop`, which survives a restart of the emperor. */
  readonly isHeld: boolean;
  /** Of the file on disk at that `stop`; missing in older records. */
  readonly heldSha256?: string | null;
  /** Boot in which the command ended for good; a reboot runs it again. */
  readonly finishedInBoot: string | null;
}

interface Line {
  readonly version: number;
  readonly name: string;
  /** null: forgotten. */
  readonly record: AppliedRecord | null;
}

export class Records {
  readonly #path: string;
  readonly #known: Map<string, AppliedRecord>;
  #journal: number;
  #compactBytes = 0;
  #bytes = 0;

  constructor(stateDirectory: string) {
    this.#path = join(stateDirectory, JOURNAL);
    this.#known = readJournal(this.#path);
    this.#journal = this.#compact();
  }

  names(): Iterable<string> {
    return this.#known.keys();
  }

  read(name: string): AppliedRecord | undefined {
    return this.#known.get(name);
  }

  /** Throws Node's error, such as ENOSPC; what was written before stays good. */
  write(name: string, record: AppliedRecord): void {
    if (isDeepStrictEqual(this.#known.get(name), record)) return;
    this.#known.set(name, record);
    this.#append({ version: VERSION, name, record });
  }

  remove(name: string): void {
    if (!this.#known.delete(name)) return;
    this.#append({ version: VERSION, name, record: null });
  }

  close(): void {
    closeSync(this.#journal);
  }

  #append(line: Line): void {
    this.#bytes += writeSync(this.#journal, textOf(line));
    if (this.#bytes < COMPACT_BYTES + 2 * this.#compactBytes) return;
    closeSync(this.#journal);
    this.#journal = this.#compact();
  }

  /** Writes what is known anew, and opens that for appending. */
  #compact(): number {
    const lines = [...this.#known].map(([name, record]) =>
      textOf({ version: VERSION, name, record }),
    );
    const text = lines.join('');
    writeTextFile(this.#path, text);
    this.#compactBytes = Buffer.byteLength(text);
    this.#bytes = this.#compactBytes;
    return openSync(this.#path, 'a', 0o600);
  }
}

function textOf(line: Line): string {
  return `\n${JSON.stringify(line)}`;
}

/** Reads what an emperor has written, which may be at it: nothing is touched. */
export function readRecords(stateDirectory: string): ReadonlyMap<string, AppliedRecord> {
  return readJournal(join(stateDirectory, JOURNAL));
}

function readJournal(path: string): Map<string, AppliedRecord> {
  const known = new Map<string, AppliedRecord>();
  for (const text of readText(path).split('\n')) {
    const line = parseLine(text);
    if (!line) continue;
    if (line.record) known.set(line.name, line.record);
    else known.delete(line.name);
  }
  return known;
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return '';
    throw error;
  }
}

function parseLine(text: string): Line | undefined {
  if (text === '') return undefined;
  try {
    const line: unknown = JSON.parse(text);
    return isLine(line) ? line : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function isLine(json: unknown): json is Line {
  if (typeof json !== 'object' || json === null) return false;
  const { version, name, record } = json as Partial<Line>;
  if (version !== VERSION || typeof name !== 'string') return false;
  return record === null || isRecord(record);
}

function isRecord(json: unknown): json is AppliedRecord {
  if (typeof json !== 'object' || json === null) return false;
  const { text, file, owner, applied } = json as Partial<AppliedRecord>;
  return (
    typeof text === 'string' &&
    typeof file === 'string' &&
    typeof owner?.uid === 'number' &&
    typeof applied?.hash === 'string' &&
    typeof applied.sha256 === 'string' &&
    typeof applied.generation === 'number' &&
    typeof applied.config === 'object' &&
    applied.config !== null
  );
}
