/** How much of its `daily-cpu` a vassal has used since midnight, and when to look again. Pure. */
import type { Limits } from '../cgroup/limits.ts';

/** What was seen last; plain JSON, it is stored for the next emperor. Times are milliseconds since 1970. */
export interface CpuReading {
  readonly atMs: number;
  /** Processor time in the day of `atMs`. */
  readonly usedMs: number;
  /** What the kernel had counted since the jail was made, and when that was. */
  readonly counterMs: number;
  readonly startedAtMs: number;
  /** It has used what it may. */
  readonly isSpent: boolean;
}

export type CpuCounter = Pick<CpuReading, 'atMs' | 'counterMs' | 'startedAtMs'>;

/** What is left to whoever has used its budget, where others want processors as well. */
export const SPENT_WEIGHT = 1;
/** The budget may be exceeded by what is used in so long: in 1 % of it, within these bounds. */
const SHORTEST_LOOK_MS = 1000;
const LONGEST_SHORTEST_LOOK_MS = 60_000;
/** Somebody may set the clock. */
export const LONGEST_LOOK_MS = 3_600_000;

/**
 * What there is to know after the kernel has counted `counter`. Nothing counts that was used before anybody looked;
 * what was used since a look before `midnightMs` counts by the share of that time that belongs to today.
 */
export function readingAfter(
  before: CpuReading | undefined,
  counter: CpuCounter,
  { midnightMs, budgetMs }: { readonly midnightMs: number; readonly budgetMs: number },
): CpuReading {
  if (!before) return { ...counter, usedMs: 0, isSpent: false };
  const isSameJail = before.startedAtMs === counter.startedAtMs;
  const addedMs = Math.max(0, counter.counterMs - (isSameJail ? before.counterMs : 0));
  const sinceMs = isSameJail ? before.atMs : counter.startedAtMs;
  const share = sinceMs >= midnightMs ? 1 : shareAfter(midnightMs, sinceMs, counter.atMs);
  const usedMs = usedOn(before, midnightMs) + addedMs * share;
  return { ...counter, usedMs, isSpent: usedMs >= budgetMs };
}

/** How much of a reading belongs to the day that began at `midnightMs`. */
export function usedOn({ atMs, usedMs }: CpuReading, midnightMs: number): number {
  return atMs >= midnightMs ? usedMs : 0;
}

/** Whether there is nothing left of the day that began at `midnightMs`. */
export function isSpentOn(reading: CpuReading | undefined, midnightMs: number): boolean {
  return reading !== undefined && reading.atMs >= midnightMs && reading.isSpent;
}

function shareAfter(midnightMs: number, fromMs: number, toMs: number): number {
  return Math.min(1, Math.max(0, (toMs - midnightMs) / (toMs - fromMs)));
}

/** In how long the budget can be used up at the earliest, or the day is over. */
export function nextLookMs(
  { usedMs, atMs, isSpent }: CpuReading,
  day: {
    readonly budgetMs: number;
    readonly processors: number;
    readonly nextMidnightMs: number;
  },
): number {
  const untilMidnightMs = Math.max(0, day.nextMidnightMs - atMs);
  const shortestMs = clamp(day.budgetMs / 100, SHORTEST_LOOK_MS, LONGEST_SHORTEST_LOOK_MS);
  const leftMs = Math.max(shortestMs, (day.budgetMs - usedMs) / day.processors);
  return Math.min(LONGEST_LOOK_MS, untilMidnightMs, isSpent ? untilMidnightMs : leftMs);
}

function clamp(value: number, min: number, max: number): number {
  return Math.min(max, Math.max(min, value));
}

/** The limits of one that has used its budget. */
export function limitsOfSpent(limits: Limits): Limits {
  return { ...limits, cpuWeight: SPENT_WEIGHT };
}
