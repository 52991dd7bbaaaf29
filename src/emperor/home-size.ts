/**
 * What `home-size` comes to (docs/decisions/0025): the home lies in an image, a file with a file system of that size.
 * A home that lies in one stays there and is only ever made larger, whatever a file says later: no edit may cost a
 * tenant what is stored. Pure.
 */
import { formatBytes } from '../base/units.ts';
import type { Limit } from '../cgroup/limits.ts';
import type { Lack } from './home-needs.ts';

/** What a home holds; what is used of both is full at the other. */
export interface HomeUsage {
  readonly bytes: number;
  readonly sizeBytes: number;
  readonly inodes: number;
  readonly inodesMax: number;
  /** The kernel lets nobody write to it any more, since its disk failed, as where the host's is full. */
  readonly isReadOnly: boolean;
}

export type SizeVerdict =
  | { readonly kind: 'kept' }
  | { readonly kind: 'grow'; readonly bytes: number }
  | { readonly kind: 'unmet'; readonly reason: string };

const BLOCK_BYTES = 4096;

/** In whole blocks; null: none is asked for. An older emperor's record may lack it. */
export function wantedBytes(limit: Limit | null | undefined): number | null {
  return typeof limit === 'number' ? limit - (limit % BLOCK_BYTES) : null;
}

/** What is to be done about an image that is there. */
export function judgeSize(
  wanted: number | null,
  image: { readonly bytes: number; readonly used?: number | undefined },
): SizeVerdict {
  if (wanted === image.bytes) return { kind: 'kept' };
  if (wanted !== null && wanted > image.bytes) return { kind: 'grow', bytes: wanted };
  const used = image.used === undefined ? '' : ` (${formatBytes(image.used)} of it used)`;
  const why = wanted === null ? 'cannot be without one again' : 'is only made larger';
  return { kind: 'unmet', reason: `its home has ${formatBytes(image.bytes)}${used} and ${why}` };
}

/** Why no image is made; null: nothing is in the way. */
export function whyNoImage(facts: {
  readonly name: string;
  readonly home: string;
  readonly isJailed: boolean;
  /** What the machine lacks for it. */
  readonly lack: Lack | null;
  readonly hasFiles: boolean;
}): string | null {
  const { name, home, isJailed, lack, hasFiles } = facts;
  if (!isJailed) return 'it needs `fs` in emperor-use-clone';
  if (lack !== null) return `${lack.what}; ${lack.fix}`;
  if (!hasFiles) return null;
  return (
    `${home} has files already; \`emperor stop ${name}\`, move them elsewhere, \`emperor start ${name}\`, and ` +
    `put them back from there: \`tar -c . | emperor exec ${name} -- sh -c 'tar -xC ~'\``
  );
}

/** As statfs(2) tells it. */
export interface FileSystemFigures {
  readonly bsize: number;
  readonly blocks: number;
  readonly bfree: number;
  readonly bavail: number;
  readonly files: number;
  readonly ffree: number;
}

/** What the file system keeps for itself is not part of its size: a full one has used all of it. */
export function usageOf(figures: FileSystemFigures, isReadOnly: boolean): HomeUsage {
  const { bsize, blocks, bfree, bavail, files, ffree } = figures;
  return {
    bytes: (blocks - bfree) * bsize,
    sizeBytes: (blocks - bfree + bavail) * bsize,
    inodes: files - ffree,
    inodesMax: files,
    isReadOnly,
  };
}

/** Where the superblock of ext4 is, and as much of it as is read (Documentation/filesystems/ext4/super.rst). */
export const SUPERBLOCK = { offset: 1024, bytes: 64 } as const;
const STATE_AT = 0x3a;
const ERRORS_DETECTED = 2;

/** Tells whether the kernel has noted errors in a file system that no check has mended since. */
export function hasErrors(superblock: Buffer): boolean {
  return (superblock.readUInt16LE(STATE_AT) & ERRORS_DETECTED) !== 0;
}
