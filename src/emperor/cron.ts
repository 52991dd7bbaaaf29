/**
 * The scheduler: one look at the clock for all jobs of all vassals.
 *
 * Theory of operation. Every few seconds at most, and at each full minute, the minute of now is compared with the last
 * one. If it is another, the jobs that are due are taken from the agenda, and cron-overdue.ts says what becomes of each:
 * run, or missed. Minutes that were lived through are remembered, so that a clock which goes back runs nothing twice;
 * jobs are put where the clock is, and minutes that it skipped for a while are run when they come. cron-runs.ts starts
 * what is to run; cron-journal.ts knows it after us.
 *
 * At the start, minutes that an earlier emperor has begun and not finished are finished; later ones without an emperor
 * are missed.
 */
import { setImmediate } from 'node:timers/promises';
import type { Clock } from '../base/clock.ts';
import { messageOf } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import type { SlotEntry, SlotExit } from '../jail/init-client.ts';
import { Agenda, type Entry, minutesOf } from './cron-agenda.ts';
import type { Job } from './cron-jobs.ts';
import type { CronJournal } from './cron-journal.ts';
import { Minutes } from './cron-minutes.ts';
import { judgeOverdue, STALL_MINUTES } from './cron-overdue.ts';
import { type CronInit, CronRuns, isoMinute, type RunsHost } from './cron-runs.ts';

export interface CronHost extends RunsHost {
  readonly clock: Clock;
  readonly journal: CronJournal;
  readonly log: Log;
}

const MINUTE_MS = 60_000;
/** A clock that is set is noticed within that time. */
const LOOK_MS = 10_000;
/** A minute that was begun so long ago is not finished any more: what is left of it was missed. */
const FINISH_MINUTES = 60;
/** Of missed minutes that are looked for and counted. */
const MISSED_AT_MOST = 1000;
/** Jobs are worked off for at most this long before others get a turn. */
const SLICE_MS = 5;

export class Cron {
  readonly agenda = new Agenda();
  readonly runs: CronRuns;
  readonly #host: CronHost;
  #last: number;
  /** Our first minute. */
  readonly #begunAt: number;
  /** What earlier emperors have lived through. */
  readonly #livedBefore: Minutes;
  /** The last minute of it; there was no job in those that they forgot. */
  readonly #lastLived: number;
  /** Jobs by vassal that they knew, and that have not been set yet. */
  readonly #unseen: ReadonlyMap<string, Set<number>>;
  #isStarted = false;
  #isLooking = false;
  /** Some are due that were not known when it was looked. */
  #hasLate = false;
  #cancel: (() => void) | null = null;
  #isClosed = false;

  constructor(host: CronHost) {
    this.#host = host;
    this.runs = new CronRuns(host);
    this.#begunAt = minuteOf(host.clock.now());
    this.#last = this.#begunAt;
    this.#livedBefore = new Minutes(host.journal.lived.spans);
    this.#lastLived = this.#livedBefore.lastBefore(this.#last) ?? 0;
    const { journal } = host;
    this.#unseen = new Map(
      journal.vassals().map((vassal) => [vassal, new Set(journal.keys(vassal))]),
    );
  }

  // ── vassals ──────────────────────────────────────────────────────────────────────────────────

  /**
   * Sets the jobs of a vassal; those that are the same go on as they were. Where they are not all that it may have, since
   * its crontab has not been read yet, what is known of others is kept.
   */
  set(vassal: string, jobs: readonly Job[], options: { readonly areAll?: boolean } = {}): void {
    const isNothingKnown = this.#host.journal.keys(vassal).length === 0;
    if (jobs.length === 0 && this.agenda.of(vassal).length === 0 && isNothingKnown) return;
    const now = minuteOf(this.#host.clock.now());
    // What an earlier emperor knew of may have been missed since.
    const after = ({ key }: Job) => {
      const isOld = this.#unseen.get(vassal)?.delete(key) ?? false;
      const record = isOld ? this.#host.journal.read(vassal, key) : undefined;
      return record ? Math.max(record.since, this.#lastLived) : now;
    };
    this.agenda.set(vassal, jobs, { now, after });
    this.#recordNew(vassal, jobs);
    if (options.areAll !== false) this.#forgetOthers(vassal, jobs);
    this.runs.rearm(vassal, (key) => this.#job(vassal, key));
    this.#hasLate ||= this.agenda.of(vassal).some(({ lateAt }) => lateAt !== null);
    this.#check();
  }

  /** It is no more, with what is known about its jobs. */
  remove(vassal: string): void {
    this.agenda.set(vassal, [], { now: this.#last, after: () => this.#last });
    for (const key of this.#host.journal.keys(vassal)) this.#host.journal.write(vassal, key, null);
  }

  /** Its jail was made anew: what waits for that is run. */
  booted(vassal: string): void {
    const jobs = this.agenda.of(vassal).map(({ job }) => job);
    this.runs.runOnce(
      minuteOf(this.#host.clock.now()),
      jobs.filter(({ schedule }) => schedule.kind === 'reboot'),
    );
  }

  found(vassal: string, init: CronInit, entries: readonly SlotEntry[]): void {
    this.runs.found(vassal, init, { entries, jobOf: (key) => this.#job(vassal, key) });
  }

  ended(vassal: string, exit: SlotExit): void {
    this.runs.ended(vassal, exit);
  }

  #job(vassal: string, key: number): Job | undefined {
    return this.agenda.find(vassal, key)?.job;
  }

  #recordNew(vassal: string, jobs: readonly Job[]): void {
    const { journal } = this.#host;
    const since = minuteOf(this.#host.clock.now());
    const keys = new Set(jobs.map(({ key }) => key));
    for (const key of keys) {
      if (journal.read(vassal, key)) continue;
      journal.write(vassal, key, { since, runs: 0, failures: 0, last: null });
    }
  }

  #forgetOthers(vassal: string, jobs: readonly Job[]): void {
    const { journal } = this.#host;
    const keys = new Set(jobs.map(({ key }) => key));
    for (const key of journal.keys(vassal)) {
      if (!keys.has(key) && this.runs.runningOf(vassal, key) === 0)
        journal.write(vassal, key, null);
    }
  }

  // ── time ─────────────────────────────────────────────────────────────────────────────────────

  /** Begins to look at the clock, once the vassals are known. */
  start(): void {
    const now = minuteOf(this.#host.clock.now());
    this.#isStarted = true;
    this.#finishBegun(now);
    this.#last = now;
    void this.#pass({ now, passed: 1 });
    this.#sleep();
  }

  /** Lets go; what runs goes on. */
  close(): void {
    this.#isClosed = true;
    this.#cancel?.();
    this.runs.close();
    this.#host.journal.close();
  }

  #sleep(): void {
    if (this.#isClosed) return;
    const now = this.#host.clock.now();
    const untilNext = MINUTE_MS - (now % MINUTE_MS);
    this.#cancel = this.#host.clock.after(Math.min(untilNext, LOOK_MS), () => this.#look());
  }

  #look(): void {
    this.#sleep();
    this.#check();
  }

  #check(): void {
    const now = minuteOf(this.#host.clock.now());
    if (!this.#isStarted || this.#isLooking || this.#isClosed) return;
    if (now === this.#last && !this.#hasLate) return;
    this.#hasLate = false;
    const passed = now - this.#last;
    if (passed < 0) this.#goBack(now);
    this.#last = now;
    void this.#pass({ now, passed: Math.max(1, passed) });
  }

  /** The clock was set back: jobs are put where it is now. */
  #goBack(now: number): void {
    const message = `the clock went back by ${this.#last - now} min; minutes that were lived through are not run again`;
    this.#host.log.warn({ minutes: this.#last - now }, message);
    for (const entry of this.agenda.all()) this.agenda.move(entry, now - 1);
  }

  async #pass(at: Passing): Promise<void> {
    this.#isLooking = true;
    try {
      await this.#takeDue(at);
    } catch (error) {
      this.#host.log.error({ error: messageOf(error) }, 'jobs could not be looked at');
    } finally {
      this.#isLooking = false;
      // A minute may have begun meanwhile.
      this.#check();
    }
  }

  async #takeDue(at: Passing): Promise<void> {
    const due = new Map<number, Job[]>();
    let sliceEnd = this.#host.clock.monotonic() + SLICE_MS;
    for (const entry of this.agenda.due(at.now)) {
      if (this.#host.clock.monotonic() > sliceEnd) {
        await setImmediate();
        if (this.#isClosed) return;
        sliceEnd = this.#host.clock.monotonic() + SLICE_MS;
      }
      for (const minute of this.#judge(entry, at)) {
        const jobs = due.get(minute) ?? [];
        jobs.push(entry.job);
        due.set(minute, jobs);
      }
    }
    this.#run(due, at);
  }

  /** A stall is lived through late; what was skipped by more, or missed, may still come. */
  #run(due: ReadonlyMap<number, readonly Job[]>, { now, passed }: Passing): void {
    const first = passed <= STALL_MINUTES ? now - passed + 1 : now;
    for (const [minute, jobs] of [...due].sort(([a], [b]) => a - b)) {
      if (minute >= first) this.runs.begin(minute, jobs);
      else this.runs.runOnce(minute, jobs);
    }
    this.#host.journal.live(first, now);
  }

  /** Moves a job on; returns the minutes for which it is to be run. */
  #judge(entry: Entry, at: Passing): readonly number[] {
    const { job, next, lateAt } = entry;
    this.agenda.move(entry, at.now);
    if (next === null || job.schedule.kind !== 'times') return [];
    const { journal } = this.#host;
    const last = journal.read(job.vassal, job.key)?.last;
    const range = { first: next, last: at.now, atMost: MISSED_AT_MOST };
    const isDone = (minute: number) =>
      (lateAt !== null && minute <= lateAt ? this.#livedBefore : journal.lived).has(minute);
    const minutes = minutesOf(job, range).filter(
      (minute) => !isDone(minute) && last?.minute !== minute,
    );
    const { isWildcard } = job.schedule;
    const { catchesUp } = job;
    // Or it ran, and did not know of the job yet.
    const [first = at.now] = minutes;
    const wasAway = first < this.#begunAt || journal.lived.has(first);
    const verdict = judgeOverdue({ ...at, minutes, isWildcard, catchesUp, wasAway });
    if (verdict.missed.length > 0) this.#tellMissed(job, verdict.missed);
    return verdict.run;
  }

  #tellMissed({ vassal, label, command }: Job, minutes: readonly number[]): void {
    const [first = 0] = minutes;
    const many = minutes.length === MISSED_AT_MOST ? 'at least ' : '';
    const message = `${many}${minutes.length} missed, the first for ${isoMinute(first)}`;
    const newest = isoMinute(minutes.at(-1) ?? first);
    this.#host.note('cron-missed', {
      vassal,
      label,
      message,
      command,
      count: minutes.length,
      newest,
    });
  }

  /** An emperor died while it started these: what it has not started is started now. */
  #finishBegun(now: number): void {
    const { journal } = this.#host;
    for (const minute of journal.begun) {
      const left = this.agenda
        .all()
        .map(({ job }) => job)
        .filter((job) => minute <= now && this.#isOwed(job, minute));
      if (left.length > 0 && minute >= now - FINISH_MINUTES) this.runs.begin(minute, left);
      else {
        for (const job of left) this.#tellMissed(job, [minute]);
        journal.finish(minute);
      }
    }
  }

  #isOwed(job: Job, minute: number): boolean {
    const record = this.#host.journal.read(job.vassal, job.key);
    if ((record?.since ?? minute) >= minute || record?.last?.minute === minute) return false;
    return minutesOf(job, { first: minute, last: minute, atMost: 1 }).length > 0;
  }
}

interface Passing {
  readonly now: number;
  /** Minutes since the last look that found another one. */
  readonly passed: number;
}

function minuteOf(ms: number): number {
  return Math.floor(ms / MINUTE_MS);
}
