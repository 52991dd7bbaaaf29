/**
 * Runs of jobs: waiting, being started, running, ended. Whether a job is due is cron.ts's business.
 *
 * Theory of operation. What is due is queued and started a few at a time, so that ten thousand jobs in one minute are
 * a stream and not a flood; a vassal runs so many at once, and what is beyond waits for an end. A job has one run at
 * most that waits: a later one takes its place, and the earlier is reported as skipped. A vassal that is being started
 * or reloaded is waited for; one that is stopped, frozen or in backoff runs nothing, and its runs are skipped.
 *
 * How soon a start is answered is up to the tenant, who may stop the child or hold a lease on its shell. So one that
 * takes long holds up nobody but its own vassal. Where no answer came at all, the run may have begun: it is asked for
 * again by the same slot, which init does not start twice.
 */
import type { Clock } from '../base/clock.ts';
import { EmperorError, messageOf } from '../base/errors.ts';
import { type SlotEntry, type SlotExit, StartError } from '../jail/init-client.ts';
import { exitOf } from '../vassal/exit.ts';
import type { VassalState } from '../vassal/state.ts';
import type { Job } from './cron-jobs.ts';
import type { CronJournal, JobRecord, LastRun } from './cron-journal.ts';
import { processOf } from './cron-process.ts';
import { runOfSlot, slotOf } from './cron-slot.ts';

/** The part of an init that jobs need. */
export interface CronInit {
  start(request: {
    readonly slot: bigint;
    readonly kind: string;
    readonly label: string;
    readonly argv: readonly string[];
    readonly env: readonly string[];
    readonly cwd: string;
    readonly input?: string;
  }): Promise<unknown>;
  signal(slot: bigint, signo: number): Promise<void>;
  ack(slot: bigint): Promise<void>;
}

/** A vassal as its jobs see it. */
export interface CronVassal {
  readonly state: VassalState;
  /** Null while it has no jail. */
  readonly init: CronInit | null;
  /** What its processes find; may throw where its distro is gone. */
  readonly surroundings: () => { readonly env: readonly string[]; readonly cwd: string };
}

export interface RunsHost {
  readonly clock: Clock;
  readonly journal: CronJournal;
  readonly vassal: (name: string) => CronVassal | undefined;
  readonly note: (
    event: string,
    fields: { readonly vassal: string; readonly [key: string]: unknown },
  ) => void;
}

export const CRON_KIND = 'cron';
const STARTING_AT_ONCE = 16;
/** A start that has not been answered by then is no longer one of these … */
const SLOW_START_MS = 1000;
/** … but one of so many that a vassal may have. */
const UNANSWERED_PER_VASSAL = 4;
/** Of init's 256 slots. */
const RUNNING_PER_VASSAL = 64;
/** A vassal that is being started or reloaded, or has no room, is tried again after so long … */
const AGAIN_MS = 500;
/** … and given up after so long; a full vassal is not, since its jobs end some time. */
const PATIENCE_MS = 60_000;
const SIGKILL = 9;
const EAGAIN = 11;
const ESHUTDOWN = 108;

interface Waiting {
  readonly job: Job;
  readonly minute: number;
  readonly sinceMs: number;
  /** Its minute is done when this is decided. */
  readonly isOfMinute: boolean;
}

interface Running {
  readonly slot: bigint;
  readonly key: number;
  readonly minute: number;
  readonly label: string;
  readonly startedAtMs: number;
  readonly init: CronInit;
  /** Its start has been answered, so that it is on record. */
  isRecorded: boolean;
  /** Its exit, if that came before. */
  early: SlotExit | null;
  cancelHarakiri: () => void;
}

export class CronRuns {
  readonly #host: RunsHost;
  /** In the order of their coming. */
  readonly #ready: Waiting[] = [];
  /** Those that wait for their vassal, by its name and by job. */
  readonly #held = new Map<string, Map<number, Waiting>>();
  /** Vassal → slot → run. */
  readonly #running = new Map<string, Map<bigint, Running>>();
  /** Minute → how many of its runs have not been decided. */
  readonly #open = new Map<number, number>();
  /** Vassal → why its jobs do not run, as it was told. */
  readonly #heldBack = new Map<string, string>();
  #starting = 0;
  #cancelAgain: (() => void) | null = null;
  #isClosed = false;

  constructor(host: RunsHost) {
    this.#host = host;
  }

  // ── questions ────────────────────────────────────────────────────────────────────────────────

  runningOf(vassal: string, key: number): number {
    return this.#runsOf(vassal).filter((run) => run.key === key).length;
  }

  /** A run of the job waits for its vassal. */
  isHeld(vassal: string, key: number): boolean {
    return this.#held.get(vassal)?.has(key) ?? false;
  }

  // ── orders ───────────────────────────────────────────────────────────────────────────────────

  /** Has the jobs run for that minute, which counts as done when each has been started or skipped. */
  begin(minute: number, jobs: readonly Job[]): void {
    if (jobs.length === 0) return;
    this.#host.journal.begin(minute);
    this.#open.set(minute, (this.#open.get(minute) ?? 0) + jobs.length);
    this.#queueAll(minute, jobs, true);
  }

  /** Has the jobs run now, for a minute that others may still live through. */
  runOnce(minute: number, jobs: readonly Job[]): void {
    this.#queueAll(minute, jobs, false);
  }

  #queueAll(minute: number, jobs: readonly Job[], isOfMinute: boolean): void {
    const sinceMs = this.#host.clock.monotonic();
    for (const job of jobs) this.#queue({ job, minute, sinceMs, isOfMinute });
    this.#pump();
  }

  /** An exit that init tells. */
  ended(vassal: string, exit: SlotExit): void {
    // The next emperor will find it with its init.
    if (this.#isClosed) return;
    const run = this.#running.get(vassal)?.get(exit.slot);
    // Init is the tenant's: nothing is written down of what nobody has started.
    if (!run) return;
    if (!run.isRecorded) {
      run.early = exit;
      return;
    }
    const { code, signal } = exitOf(exit.status);
    this.#noteEnd(vassal, run, { endedAtMs: exit.endedAtMs, code, signal });
    this.#forget(vassal, exit.slot);
    this.#ack(vassal, exit.slot);
    this.#release(vassal, 1);
  }

  /** Runs of an earlier emperor, found in an adopted init. */
  found(
    vassal: string,
    init: CronInit,
    {
      entries,
      jobOf,
    }: {
      readonly entries: readonly SlotEntry[];
      readonly jobOf: (key: number) => Job | undefined;
    },
  ): void {
    for (const entry of entries) {
      const id = runOfSlot(entry.slot);
      if (!id) continue;
      const startedAtMs = entry.startedAtMs ?? this.#host.clock.now();
      const { slot, label } = entry;
      const run = this.#add(vassal, { ...id, slot, label, init, startedAtMs });
      run.isRecorded = true;
      // One that has started before another one that is on record is on record, too.
      const { last } = this.#recordOf(vassal, id.key);
      if (last === null || last.minute < id.minute) this.#noteStart(vassal, { ...id, startedAtMs });
      if (entry.exit) this.ended(vassal, entry.exit);
      else this.#armHarakiri(vassal, run, jobOf(id.key));
    }
  }

  /** The harakiri of jobs may have changed. */
  rearm(vassal: string, jobOf: (key: number) => Job | undefined): void {
    for (const run of this.#runsOf(vassal)) this.#armHarakiri(vassal, run, jobOf(run.key));
  }

  /** Its jail is another one, or none: what ran there has ended with it. */
  lostJail(vassal: string): void {
    const runs = this.#runsOf(vassal);
    if (runs.length === 0) return;
    const current = this.#host.vassal(vassal)?.init ?? null;
    for (const run of runs) {
      if (run.init === current) continue;
      this.#forget(vassal, run.slot);
      if (!run.isRecorded) continue;
      const endedAtMs = this.#host.clock.now();
      this.#noteEnd(vassal, run, { endedAtMs, code: null, signal: 'SIGKILL' });
    }
  }

  /** The vassal has changed its state, which runs may wait for. */
  wake(vassal: string): void {
    this.#release(vassal, Number.POSITIVE_INFINITY);
  }

  /** The emperor lets go. */
  close(): void {
    this.#isClosed = true;
    this.#cancelAgain?.();
    for (const runs of this.#running.values())
      for (const run of runs.values()) run.cancelHarakiri();
  }

  // ── queue ────────────────────────────────────────────────────────────────────────────────────

  #queue(item: Waiting): void {
    const { vassal, key } = item.job;
    const before = this.#held.get(vassal)?.get(key);
    if (before) {
      this.#unhold(before);
      this.#skip(before, 'its next run came before there was room for it');
    }
    this.#ready.push(item);
  }

  #pump(): void {
    while (this.#starting < STARTING_AT_ONCE && !this.#isClosed) {
      const item = this.#ready.shift();
      if (!item) return;
      this.#consider(item);
    }
  }

  #consider(item: Waiting): void {
    const { vassal: name, key, isUnique } = item.job;
    const vassal = this.#host.vassal(name);
    if (!vassal?.init || vassal.state !== 'running') {
      this.#considerLater(item, vassal?.state);
      return;
    }
    const others = this.#runsOf(name).filter((run) => run.slot !== slotOfItem(item));
    if (isUnique && others.some((run) => run.key === key)) this.#skip(item, 'it still runs');
    else if (isFull(others)) this.#hold(item);
    else this.#start(item, vassal, vassal.init);
  }

  #considerLater(item: Waiting, state: VassalState | undefined): void {
    const isComing = state === 'starting' || state === 'reloading';
    if (isComing) this.#holdFor(item, `the vassal is ${state}`);
    else this.#skipAll(item, `the vassal is ${state ?? 'gone'}, so its jobs do not run`);
  }

  #holdFor(item: Waiting, why: string): void {
    const waitedMs = this.#host.clock.monotonic() - item.sinceMs;
    if (waitedMs < PATIENCE_MS) this.#hold(item);
    else this.#skip(item, `${why}, for a minute`);
  }

  #hold(item: Waiting): void {
    const { vassal, key } = item.job;
    const held = this.#held.get(vassal) ?? new Map<number, Waiting>();
    const before = held.get(key);
    if (before) this.#skip(before, 'its next run came before there was room for it');
    held.set(key, item);
    this.#held.set(vassal, held);
    this.#cancelAgain ??= this.#host.clock.after(AGAIN_MS, () => this.#again());
  }

  #unhold({ job }: Waiting): void {
    const held = this.#held.get(job.vassal);
    held?.delete(job.key);
    if (held?.size === 0) this.#held.delete(job.vassal);
  }

  /** Looks at all that wait once more. */
  #again(): void {
    this.#cancelAgain = null;
    for (const vassal of [...this.#held.keys()]) {
      const room = RUNNING_PER_VASSAL - (this.#running.get(vassal)?.size ?? 0);
      const isRunning = this.#host.vassal(vassal)?.state === 'running';
      this.#release(vassal, isRunning ? room : Number.POSITIVE_INFINITY);
    }
    if (this.#held.size === 0 || this.#isClosed) return;
    this.#cancelAgain ??= this.#host.clock.after(AGAIN_MS, () => this.#again());
  }

  /** Has so many of a vassal's be considered, those that wait longest first. */
  #release(vassal: string, count: number): void {
    const all = this.#held.get(vassal)?.values() ?? [];
    const chosen: Waiting[] = [];
    for (const item of all) {
      if (chosen.length >= count) break;
      chosen.push(item);
    }
    for (const item of chosen) this.#unhold(item);
    this.#ready.push(...chosen);
    this.#pump();
  }

  #skip(item: Waiting, why: string): void {
    const { vassal, label, command } = item.job;
    const minute = isoMinute(item.minute);
    this.#host.note('cron-skipped', { vassal, label, message: why, command, minute });
    this.#decided(item);
  }

  /** The vassal runs nothing, which is told once, for all of its jobs. */
  #skipAll(item: Waiting, why: string): void {
    const { vassal } = item.job;
    if (this.#heldBack.get(vassal) !== why)
      this.#host.note('cron-held-back', { vassal, message: why });
    this.#heldBack.set(vassal, why);
    this.#decided(item);
  }

  #decided(item: Waiting): void {
    const { job, minute, isOfMinute } = item;
    const run = this.#running.get(job.vassal)?.get(slotOfItem(item));
    if (run && !run.isRecorded) this.#forget(job.vassal, run.slot);
    if (!isOfMinute) return;
    const left = (this.#open.get(minute) ?? 0) - 1;
    if (left > 0) {
      this.#open.set(minute, left);
      return;
    }
    this.#open.delete(minute);
    this.#host.journal.finish(minute);
  }

  // ── starting ─────────────────────────────────────────────────────────────────────────────────

  #start(item: Waiting, vassal: CronVassal, init: CronInit): void {
    const { job, minute } = item;
    const slot = slotOfItem(item);
    const startedAtMs = this.#host.clock.now();
    const { key, label } = job;
    const run =
      this.#running.get(job.vassal)?.get(slot) ??
      this.#add(job.vassal, { key, minute, slot, label, init, startedAtMs });
    const request = { slot, kind: CRON_KIND, label };
    const start = async () => init.start({ ...request, ...processOf(job, vassal.surroundings()) });
    const giveBack = this.#takePlace();
    start()
      .then(
        () => this.#started(item, run),
        (error: unknown) => this.#startFailed(item, run, error),
      )
      .finally(giveBack);
  }

  /** One of those that are starting; returns what gives it back, which happens by itself after a while. */
  #takePlace(): () => void {
    let isHeld = true;
    this.#starting += 1;
    const giveBack = () => {
      cancel();
      if (isHeld) this.#starting -= 1;
      isHeld = false;
      this.#pump();
    };
    const cancel = this.#host.clock.after(SLOW_START_MS, giveBack);
    return giveBack;
  }

  #started(item: Waiting, run: Running): void {
    // Init knows of it, and the next emperor will ask.
    if (this.#isClosed) return;
    const { job, minute } = item;
    const { vassal, label, command } = job;
    this.#heldBack.delete(vassal);
    this.#noteStart(vassal, run);
    run.isRecorded = true;
    this.#host.note('cron-started', { vassal, label, command, minute: isoMinute(minute) });
    this.#decided(item);
    this.#armHarakiri(vassal, run, job);
    if (run.early) this.ended(vassal, run.early);
    else this.#release(vassal, 1);
  }

  #startFailed(item: Waiting, run: Running, error: unknown): void {
    if (this.#isClosed) return;
    // Whether it has begun is not known then.
    if (!isCode(error, 'timeout')) this.#forget(item.job.vassal, run.slot);
    if (isPassing(error)) this.#holdFor(item, messageOf(error));
    else this.#noteFailure(item, messageOf(error));
  }

  #noteFailure(item: Waiting, message: string): void {
    const { vassal, key, label, command } = item.job;
    const record = this.#recordOf(vassal, key);
    const atMs = this.#host.clock.now();
    const last: LastRun = {
      minute: item.minute,
      startedAtMs: atMs,
      endedAtMs: atMs,
      code: null,
      signal: null,
      error: message,
    };
    this.#host.journal.write(vassal, key, { ...record, failures: record.failures + 1, last });
    this.#host.note('cron-failed', { vassal, label, message, command });
    this.#decided(item);
    this.#release(vassal, 1);
  }

  #add(
    vassal: string,
    run: Pick<Running, 'slot' | 'key' | 'minute' | 'label' | 'startedAtMs' | 'init'>,
  ): Running {
    const runs = this.#running.get(vassal) ?? new Map<bigint, Running>();
    const added: Running = { ...run, isRecorded: false, early: null, cancelHarakiri: () => {} };
    runs.set(run.slot, added);
    this.#running.set(vassal, runs);
    return added;
  }

  #armHarakiri(vassal: string, run: Running, job: Job | undefined): void {
    run.cancelHarakiri();
    if (!job || job.harakiriMs === 0) return;
    const livedMs = Math.max(0, this.#host.clock.now() - run.startedAtMs);
    run.cancelHarakiri = this.#host.clock.after(Math.max(0, job.harakiriMs - livedMs), () => {
      const message = `it ran longer than its harakiri of ${job.harakiriMs / 1000} s`;
      this.#host.note('cron-harakiri', { vassal, label: job.label, message });
      run.init.signal(run.slot, SIGKILL).catch(() => {
        // It has ended meanwhile; its exit is on the way, or its init is lost.
      });
    });
  }

  // ── ending ───────────────────────────────────────────────────────────────────────────────────

  #noteStart(
    vassal: string,
    { key, minute, startedAtMs }: Pick<Running, 'key' | 'minute' | 'startedAtMs'>,
  ): void {
    const record = this.#recordOf(vassal, key);
    const last = { minute, startedAtMs, endedAtMs: null, code: null, signal: null, error: null };
    this.#host.journal.write(vassal, key, { ...record, runs: record.runs + 1, last });
  }

  #noteEnd(
    vassal: string,
    run: Pick<Running, 'key' | 'minute' | 'label' | 'startedAtMs'>,
    end: Pick<LastRun, 'code' | 'signal'> & { readonly endedAtMs: number },
  ): void {
    const record = this.#recordOf(vassal, run.key);
    const failures = record.failures + (end.code === 0 ? 0 : 1);
    const { minute, startedAtMs } = run;
    // Of several at once the latest is shown.
    const isLast = (record.last?.minute ?? minute) <= minute;
    const last = isLast ? { minute, startedAtMs, ...end, error: null } : record.last;
    this.#host.journal.write(vassal, run.key, { ...record, failures, last });
    const durationMs = Math.max(0, end.endedAtMs - startedAtMs);
    this.#host.note('cron-exited', {
      vassal,
      label: run.label,
      minute: isoMinute(minute),
      code: end.code,
      signal: end.signal,
      durationMs,
    });
  }

  #recordOf(vassal: string, key: number): JobRecord {
    const since = Math.floor(this.#host.clock.now() / 60_000);
    return this.#host.journal.read(vassal, key) ?? { since, runs: 0, failures: 0, last: null };
  }

  #ack(vassal: string, slot: bigint): void {
    this.#host
      .vassal(vassal)
      ?.init?.ack(slot)
      .catch(() => {
        // The init has ended; its records went with it.
      });
  }

  #forget(vassal: string, slot: bigint): void {
    const runs = this.#running.get(vassal);
    runs?.get(slot)?.cancelHarakiri();
    runs?.delete(slot);
    if (runs?.size === 0) this.#running.delete(vassal);
  }

  #runsOf(vassal: string): readonly Running[] {
    return [...(this.#running.get(vassal)?.values() ?? [])];
  }
}

function isPassing(error: unknown): boolean {
  if (error instanceof StartError) return error.errno === EAGAIN || error.errno === ESHUTDOWN;
  return isCode(error, 'not-reachable') || isCode(error, 'timeout');
}

function isCode(error: unknown, code: EmperorError['code']): boolean {
  return error instanceof EmperorError && error.code === code;
}

/** A vassal with these runs takes no other. */
function isFull(runs: readonly Running[]): boolean {
  const unanswered = runs.filter(({ isRecorded }) => !isRecorded).length;
  return runs.length >= RUNNING_PER_VASSAL || unanswered >= UNANSWERED_PER_VASSAL;
}

function slotOfItem({ job, minute }: Waiting): bigint {
  return slotOf({ key: job.key, minute });
}

export function isoMinute(minute: number): string {
  return new Date(minute * 60_000).toISOString();
}
