/**
 * Tells a customer who leaves from a disk that does: many vassal files that vanish at once are held for a
 * while and said, before anything is stopped. Pure.
 */

export interface RemovalPolicy {
  /** This many files may always vanish at once. */
  readonly minFiles: number;
  /** This share of all files, likewise. */
  readonly fraction: number;
  readonly holdMs: number;
}

export const MASS_REMOVAL: RemovalPolicy = { minFiles: 10, fraction: 0.2, holdMs: 30_000 };

/** Removals that follow each other this quickly are one: `rm` of a thousand files takes a while. */
export const REMOVAL_WINDOW_MS = 1000;

/** More than `minFiles` are judged when no further one has vanished for so long. */
export const REMOVAL_QUIET_MS = 100;

export interface Removals {
  /** Monotonic milliseconds. */
  readonly now: number;
  /** Files known before, those that are missing now included. */
  readonly known: number;
  readonly missing: number;
  /** When the first and the last of them were found missing. */
  readonly oldest: number;
  readonly youngest: number;
  /** When earlier removals were acted upon, oldest first. */
  readonly acted: readonly number[];
  /** Until when removals are held already, if they are. */
  readonly heldUntil: number | undefined;
}

export type RemovalVerdict =
  | { readonly act: 'now' }
  /** Files are still vanishing: judge again then. */
  | { readonly act: 'wait'; readonly until: number }
  | { readonly act: 'hold'; readonly until: number };

/** Decides whether what is missing may be acted upon; a hold once begun ends at its time, not earlier. */
export function judgeRemovals(removals: Removals, policy: RemovalPolicy): RemovalVerdict {
  const { now, heldUntil } = removals;
  if (heldUntil !== undefined) {
    return now >= heldUntil ? { act: 'now' } : { act: 'hold', until: heldUntil };
  }
  const quietAt = Math.min(
    removals.youngest + REMOVAL_QUIET_MS,
    removals.oldest + REMOVAL_WINDOW_MS,
  );
  if (removals.missing > policy.minFiles && now < quietAt) return { act: 'wait', until: quietAt };
  const recent = recentRemovals(removals.acted, now).length;
  const vanished = removals.missing + recent;
  const isMass =
    vanished > policy.minFiles && vanished > policy.fraction * (removals.known + recent);
  return isMass ? { act: 'hold', until: now + policy.holdMs } : { act: 'now' };
}

/** Returns those removals that still count as "at once". */
export function recentRemovals(acted: readonly number[], now: number): readonly number[] {
  return acted.filter((at) => now - at < REMOVAL_WINDOW_MS);
}
