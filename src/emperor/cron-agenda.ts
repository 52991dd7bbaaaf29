/**
 * Who is next: all jobs of all vassals in buckets, one a minute. Looking for what is due costs by the number of
 * buckets, moving a job on by one look at its calendar. Pure but for Intl.
 */
import { nextTime } from '../cron/next-times.ts';
import { zoneOf } from '../cron/zone.ts';
import type { Job } from './cron-jobs.ts';

const MINUTE_MS = 60_000;

export interface Entry {
  readonly job: Job;
  /** Minutes since 1970 of its next run; null for none. */
  next: number | null;
  /** It came when `next` was over: the minute of its coming; null from its first move on. */
  lateAt: number | null;
}

export class Agenda {
  /** Vassal → key → entry. */
  readonly #vassals = new Map<string, ReadonlyMap<number, Entry>>();
  readonly #buckets = new Map<number, Set<Entry>>();

  of(vassal: string): readonly Entry[] {
    return [...(this.#vassals.get(vassal)?.values() ?? [])];
  }

  find(vassal: string, key: number): Entry | undefined {
    return this.#vassals.get(vassal)?.get(key);
  }

  vassals(): Iterable<string> {
    return this.#vassals.keys();
  }

  /** Replaces the jobs of a vassal: those that are the same keep their place, new ones begin behind the minute `after`. */
  set(
    vassal: string,
    jobs: readonly Job[],
    { now, after }: { readonly now: number; readonly after: (job: Job) => number },
  ): void {
    const before = this.#vassals.get(vassal) ?? new Map<number, Entry>();
    for (const entry of before.values()) this.#unlist(entry);
    const entries = jobs.map((job): Entry => {
      const known = before.get(job.key);
      if (known) return { ...known, job };
      const next = nextMinute(job, after(job));
      return { job, next, lateAt: next !== null && next <= now ? now : null };
    });
    for (const entry of entries) this.#list(entry);
    if (entries.length === 0) this.#vassals.delete(vassal);
    else this.#vassals.set(vassal, new Map(entries.map((entry) => [entry.job.key, entry])));
  }

  /** Those whose next run is in `minute` or before. */
  due(minute: number): readonly Entry[] {
    const minutes = [...this.#buckets.keys()]
      .filter((each) => each <= minute)
      .sort((a, b) => a - b);
    return minutes.flatMap((each) => [...(this.#buckets.get(each) ?? [])]);
  }

  /** Has the job wait for its first minute after `minute`. */
  move(entry: Entry, minute: number): void {
    this.#unlist(entry);
    entry.lateAt = null;
    entry.next = nextMinute(entry.job, minute);
    this.#list(entry);
  }

  all(): readonly Entry[] {
    return [...this.#vassals.values()].flatMap((entries) => [...entries.values()]);
  }

  #list(entry: Entry): void {
    if (entry.next === null) return;
    const bucket = this.#buckets.get(entry.next) ?? new Set();
    bucket.add(entry);
    this.#buckets.set(entry.next, bucket);
  }

  #unlist(entry: Entry): void {
    if (entry.next === null) return;
    const bucket = this.#buckets.get(entry.next);
    bucket?.delete(entry);
    if (bucket?.size === 0) this.#buckets.delete(entry.next);
  }
}

/** The job's first minute after `minute`; null for none, and for one that waits for no time. */
export function nextMinute({ schedule, zone }: Job, minute: number): number | null {
  if (schedule.kind === 'reboot') return null;
  const ms = nextTime(schedule, zoneOf(zone), (minute + 1) * MINUTE_MS - 1);
  return ms === undefined ? null : Math.floor(ms / MINUTE_MS);
}

/**
 * Its minutes from `first` to `last`, of more than `atMost` the newest. Looked for backwards, further each time, since
 * a clock that was wrong may have left out decades.
 */
export function minutesOf(
  job: Job,
  {
    first,
    last,
    atMost,
  }: { readonly first: number; readonly last: number; readonly atMost: number },
): readonly number[] {
  for (let span = atMost; ; span *= 2) {
    const from = Math.max(first, last - span + 1);
    const found: number[] = [];
    for (let at = nextMinute(job, from - 1); at !== null && at <= last; at = nextMinute(job, at))
      found.push(at);
    if (found.length >= atMost || from === first) return found.slice(-atMost);
  }
}
