/**
 * What was last applied to each vassal, in state-dir/vassals/NAME.json: the last good text for a reboot
 * with a broken file, and the resolved configuration for an emperor that adopts what runs. A record that
 * cannot be read is as good as none: then a change costs a new jail.
 */
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Applied } from '../vassal/vassal.ts';
import type { FileOwner } from './sighting.ts';
import { readStateFile, removeStateFile, writeStateFile } from './state-file.ts';

const VERSION = 1;

export interface AppliedRecord {
  readonly file: string;
  readonly text: string;
  readonly owner: FileOwner;
  readonly applied: Applied;
  /** Operator's `stop`, which survives a restart of the emperor. */
  readonly isHeld: boolean;
}

export class Records {
  readonly #directory: string;

  constructor(stateDirectory: string) {
    this.#directory = join(stateDirectory, 'vassals');
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
  }

  read(name: string): AppliedRecord | undefined {
    const json = readStateFile(this.#path(name));
    return isRecord(json) ? json : undefined;
  }

  has(name: string): boolean {
    return existsSync(this.#path(name));
  }

  write(name: string, record: AppliedRecord): void {
    writeStateFile(this.#path(name), { version: VERSION, ...record }, { durable: false });
  }

  remove(name: string): void {
    removeStateFile(this.#path(name));
  }

  names(): readonly string[] {
    return readdirSync(this.#directory)
      .filter((file) => file.endsWith('.json'))
      .map((file) => file.slice(0, -'.json'.length));
  }

  #path(name: string): string {
    return join(this.#directory, `${name}.json`);
  }
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
    typeof applied.config === 'object'
  );
}
