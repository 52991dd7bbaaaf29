/** state-dir/uwsgi-owners.json: who was given which address of uWSGI's own vassals, by device, for the next router. */
import { readStateFile, writeStateFile } from '../base/state-file.ts';
import type { AddressOwner } from './uwsgi-claims.ts';

const VERSION = 1;

export type Owners = Map<string, AddressOwner[]>;

/** Nobody where it cannot be read. */
export function readOwners(path: string): Owners {
  const content = readStateFile(path);
  // An older router wrote the list alone.
  const list = Array.isArray(content) ? content : ((content ?? {}) as { owners?: unknown }).owners;
  return new Map(Array.isArray(list) ? list.filter(isEntry) : []);
}

/** Waits for the disk: an address that is in use has an owner, also after a crash. */
export function writeOwners(path: string, owners: Owners): void {
  writeStateFile(path, { version: VERSION, owners: [...owners] });
}

function isEntry(json: unknown): json is [string, AddressOwner[]] {
  if (!Array.isArray(json) || json.length !== 2) return false;
  const [device, owners] = json;
  return typeof device === 'string' && Array.isArray(owners) && owners.every(isOwner);
}

function isOwner(json: unknown): json is AddressOwner {
  const { address, uid } = (json ?? {}) as { address?: unknown; uid?: unknown };
  return Number.isSafeInteger(address) && Number.isSafeInteger(uid);
}
