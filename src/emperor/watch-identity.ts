/**
 * Which directory a path leads to. A file is missing only if the directory that was first opened says so:
 * where a disk is unmounted or a directory replaced, the path leads to another one, which proves nothing.
 */
import { statSync } from 'node:fs';

export interface DirectoryIdentity {
  readonly dev: bigint;
  readonly ino: bigint;
  /** Numbers repeat (ext4 gives a new directory the old one's, a remounted tmpfs too); births do not. */
  readonly bornNs: bigint;
  /** False where `bornNs` may be the time of the last change, which moves. */
  readonly isBirthSure: boolean;
  readonly isMountPoint: boolean;
}

/**
 * Whether Node tells births by statx(2), which leaves 0 where a file system keeps none, as proc(5). Where
 * statx is refused (old sandboxes), Node gives the time of the last change instead.
 */
const KNOWS_BIRTHS = statSync('/proc/self', { bigint: true }).birthtimeNs === 0n;

/** Reads the identity of the directory at `path`; throws Node's error, ENOTDIR if it is none. */
export function readIdentity(path: string): DirectoryIdentity {
  // The slash makes the kernel refuse what is no directory.
  const stat = statSync(`${path}/`, { bigint: true });
  const above = statSync(`${path}/..`, { bigint: true });
  const { dev, ino, birthtimeNs, ctimeNs } = stat;
  return {
    dev,
    ino,
    bornNs: birthtimeNs,
    isBirthSure: birthtimeNs > 0n && (KNOWS_BIRTHS || birthtimeNs !== ctimeNs),
    isMountPoint: dev !== above.dev,
  };
}

/** Tells whether two looks at a path met the same directory. */
export function sameDirectory(a: DirectoryIdentity, b: DirectoryIdentity): boolean {
  if (a.dev !== b.dev || a.ino !== b.ino) return false;
  return a.bornNs === b.bornNs || !(a.isBirthSure || b.isBirthSure);
}

/** A directory that stands where the trusted one was. */
export interface Stranger {
  readonly identity: DirectoryIdentity;
  /** Monotonic milliseconds of the first look that met it. */
  readonly since: number;
}

export interface DirectoryLook {
  readonly now: number;
  /** The directory whose absences count; undefined before any was read. */
  readonly trusted: DirectoryIdentity | undefined;
  readonly stranger: Stranger | undefined;
  readonly found: DirectoryIdentity;
  /** Vassal files known so far, and those that the directory has now. */
  readonly knownFiles: number;
  readonly listedFiles: number;
  readonly holdMs: number;
}

export type DirectoryVerdict =
  /** The directory that was first opened: what it lacks is missing. */
  | { readonly kind: 'trusted' }
  /** Another one, held for long enough: it counts from now on. */
  | { readonly kind: 'adopted' }
  /** Another one: what it has counts, what it lacks does not. */
  | { readonly kind: 'replaced'; readonly stranger: Stranger }
  /** The mount point without its disk: nothing in it counts. */
  | { readonly kind: 'unmounted'; readonly stranger: Stranger };

/** Decides what the directory that a path leads to now can prove. Pure. */
export function judgeDirectory(look: DirectoryLook): DirectoryVerdict {
  const { now, trusted, found } = look;
  if (!trusted || look.knownFiles === 0 || sameDirectory(trusted, found)) {
    return { kind: 'trusted' };
  }
  const isKnownStranger = look.stranger && sameDirectory(look.stranger.identity, found);
  const stranger: Stranger =
    look.stranger && isKnownStranger ? look.stranger : { identity: found, since: now };
  if (trusted.isMountPoint && !found.isMountPoint) return { kind: 'unmounted', stranger };
  // An empty one is what a lost disk or a slip looks like: it never ends anything.
  const isDue = now - stranger.since >= look.holdMs && look.listedFiles > 0;
  return isDue ? { kind: 'adopted' } : { kind: 'replaced', stranger };
}
