/**
 * The emperor's own directories: made where they are missing, and refused where somebody else could put files
 * of theirs in our way. Root runs a program of state-dir and believes whoever answers in run-dir.
 */
import { mkdirSync, statSync } from 'node:fs';
import { EmperorError } from '../base/errors.ts';
import type { EmperorConfig } from '../config/emperor-config.ts';

interface Directory {
  readonly key: string;
  readonly path: string;
  readonly mode: number;
}

interface Owner {
  readonly uid: number;
  readonly mode: number;
}

/** Throws `not-permitted` for a directory that others can change. */
export function makeDirectories(config: EmperorConfig): void {
  const directories: readonly Directory[] = [
    { key: 'run-dir', path: config.runDirectory, mode: 0o700 },
    { key: 'state-dir', path: config.stateDirectory, mode: 0o700 },
    { key: 'log-dir', path: config.logDirectory, mode: 0o755 },
    { key: 'homes', path: config.homesDirectory, mode: 0o755 },
  ];
  for (const { key, path, mode } of directories) {
    mkdirSync(path, { recursive: true, mode });
    const fault = directoryFault(statSync(path), config.trustedOwners);
    if (fault === undefined) continue;
    throw new EmperorError('not-permitted', `Cannot trust ${key} ${path}: ${fault}`);
  }
}

/** What is wrong with a directory of ours, and the remedy; undefined if nothing is. Pure. */
export function directoryFault(
  { uid, mode }: Owner,
  trustedOwners: readonly number[],
): string | undefined {
  if (uid !== 0 && !trustedOwners.includes(uid)) {
    return `it belongs to uid ${uid}; chown it to root, or choose another`;
  }
  return (mode & 0o002) === 0 ? undefined : 'everybody can write to it; chmod o-w it';
}
