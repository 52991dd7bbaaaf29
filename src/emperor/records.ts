/**
 * What was last applied to each vassal, in state-dir/vassals/NAME.json: the last good text for a reboot
 * with a broken file, and the resolved configuration for an emperor that adopts what runs. A record that
 * cannot be read is as good as none: then a change costs a new jail.
 */
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { Applied } from '../vassal/vassal.ts';
import type { FileOwner } from './sighting.ts';
import { readStateFile, removeStateFile, writeStateFile } from './state-file.ts';

const VERSION = 1;
const SUFFIX = '.json';

export interface AppliedRecord {
  readonly file: string;
  readonly text: string;
  readonly owner: FileOwner;
  readonly applied: Applied;
  /** Operator's `stop`, which survives a restart of the emperor. */
  readonly isHeld: boolean;
  /** Boot in which the command ended for good; a reboot runs it again. */
  readonly finishedInBoot: string | null;
}

export class Records {
  readonly #directory: string;
  readonly #known = new Map<string, AppliedRecord>();

  constructor(stateDirectory: string) {
    this.#directory = join(stateDirectory, 'vassals');
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
    for (const file of readdirSync(this.#directory)) {
      if (!file.endsWith(SUFFIX)) continue;
      const json = readStateFile(join(this.#directory, file));
      if (isRecord(json)) this.#known.set(file.slice(0, -SUFFIX.length), withoutVersion(json));
    }
  }

  read(name: string): AppliedRecord | undefined {
    return this.#known.get(name);
  }

  /** Writes what differs from what is there: a rename over a file waits for the disk on ext4. */
  write(name: string, record: AppliedRecord): void {
    if (isDeepStrictEqual(this.#known.get(name), record)) return;
    this.#known.set(name, record);
    writeStateFile(this.#path(name), { version: VERSION, ...record }, { durable: false });
  }

  remove(name: string): void {
    this.#known.delete(name);
    removeStateFile(this.#path(name));
  }

  #path(name: string): string {
    return join(this.#directory, name + SUFFIX);
  }
}

function withoutVersion({ version: _, ...record }: AppliedRecord & { version?: unknown }) {
  return record;
}

function isRecord(json: unknown): json is AppliedRecord {
  if (typeof json !== 'object' || json === null) return false;
  const { version, text, file, owner, applied } = json as Partial<AppliedRecord> & {
    version?: unknown;
  };
  return (
    version === VERSION &&
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
