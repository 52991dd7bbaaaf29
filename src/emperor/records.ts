/**
 * What was last applied to each vassal: the last good text for a reboot with a broken file, and the resolved
 * configuration for an emperor that adopts what runs.
 *
 * A journal, state-dir/vassals.jsonl: one line for each change, the last one of a name counts. Appending
 * costs one system call, where a file for each vassal would cost a rename that waits for the disk; reading
 * it is one read for all. A line that cannot be read is as good as none: then a change costs a new jail. It is
 * written anew at each start, too.
 */
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { Journal, type JournalFormat, readJournal } from '../base/journal.ts';
import type { Applied } from '../vassal/vassal.ts';
import type { FileOwner } from './sighting.ts';

const JOURNAL = 'vassals.jsonl';
const FORMAT: JournalFormat<Line> = { version: 2, isLine, growthBytes: 16 * 1024 * 1024 };

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
  readonly name: string;
  /** null: forgotten. */
  readonly record: AppliedRecord | null;
}

export class Records {
  readonly #known: Map<string, AppliedRecord>;
  readonly #journal: Journal<Line>;

  constructor(stateDirectory: string) {
    this.#known = new Map(readRecords(stateDirectory));
    this.#journal = new Journal({
      path: join(stateDirectory, JOURNAL),
      format: FORMAT,
      content: () => [...this.#known].map(([name, record]) => ({ name, record })),
    });
    this.#journal.rewrite();
  }

  names(): Iterable<string> {
    return this.#known.keys();
  }

  read(name: string): AppliedRecord | undefined {
    return this.#known.get(name);
  }

  /** Throws as Journal.append() does. */
  write(name: string, record: AppliedRecord): void {
    if (isDeepStrictEqual(this.#known.get(name), record)) return;
    this.#known.set(name, record);
    this.#journal.append([{ name, record }]);
  }

  remove(name: string): void {
    if (!this.#known.delete(name)) return;
    this.#journal.append([{ name, record: null }]);
  }

  close(): void {
    this.#journal.close();
  }
}

/** Reads what an emperor has written, which may be at it: nothing is touched. */
export function readRecords(stateDirectory: string): ReadonlyMap<string, AppliedRecord> {
  const known = new Map<string, AppliedRecord>();
  for (const { name, record } of readJournal(join(stateDirectory, JOURNAL), FORMAT)) {
    if (record) known.set(name, record);
    else known.delete(name);
  }
  return known;
}

function isLine(json: object): json is Line {
  const { name, record } = json as Partial<Line>;
  return typeof name === 'string' && (record === null || isRecord(record));
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
