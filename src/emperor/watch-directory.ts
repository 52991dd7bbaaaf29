/**
 * Watches one directory of vassal files and reports what changed in it.
 *
 * Theory of operation. Events only say where to look; a scan every few seconds (lstat of every file, content
 * only where that differs) finds what events lost. Both put names into `ready`; one loop, the only one that
 * touches the state, takes them out a slice at a time, so that the event loop is never held for longer than
 * a slice. A look at a name (watch-ledger.ts) ends in one of:
 *
 *   news      reported: its content, or the reason why it is refused
 *   busy      a writer has it open: again in 20, 40, … 200 ms
 *   unsettled written in place within the settle time: again when that is over
 *   missing   believed only after `absenceMs`, only if the path still leads to the directory that was first
 *             opened, and, where many vanish at once, only after a hold (watch-absences.ts)
 *
 * The directory itself (watch-identity.ts). Unreadable or missing: nothing is believed. Replaced by another
 * one: its files are believed at once, absences only when it has been there for the hold time and has at
 * least one vassal file. Unmounted (a mount point before, none now): nothing is believed until the disk is
 * back. A condition says each of these. No descriptor is kept open, so that the operator can unmount.
 *
 * Bounded: files and milliseconds a slice, one timer and one inotify watch a directory. Left out: who may
 * write what (config/trust.ts), and names that two directories share (watch.ts).
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Clock } from '../base/clock.ts';
import { messageOf } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import { vassalNameOfFile } from '../config/names.ts';
import type { RemovalPolicy } from './mass-removal.ts';
import type { Sighting } from './sighting.ts';
import { Absences } from './watch-absences.ts';
import { DirectoryEvents } from './watch-events.ts';
import {
  type DirectoryIdentity,
  judgeDirectory,
  readIdentity,
  readNames,
  type Stranger,
  sameDirectory,
} from './watch-identity.ts';
import { FileLedger } from './watch-ledger.ts';

export type ConditionKind =
  | 'mass-removal'
  | 'directory-unreadable'
  | 'directory-replaced'
  | 'directory-unmounted'
  | 'no-file-events';

export interface DirectoryOptions {
  readonly path: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly settleMs: number;
  readonly rescanMs: number;
  readonly massRemoval: RemovalPolicy;
  readonly onSightings: (batch: readonly Sighting[]) => void;
  readonly onCondition: (kind: ConditionKind, active: boolean, message: string) => void;
  /** Whether another directory has a file of that name, so that nothing vanishes with this one. */
  readonly isElsewhere: (name: string) => boolean;
}

/** A look that has to be repeated. */
interface Later {
  /** Monotonic milliseconds. */
  readonly at: number;
  readonly why: 'busy' | 'settle';
  readonly tries: number;
}

const SLICE_MS = 3;
const READS_PER_SLICE = 64;
const LOOKS_PER_SLICE = 250;
const MIN_ABSENCE_MS = 30;
const FIRST_RETRY_MS = 20;
const LAST_RETRY_MS = 200;
const AFTER_BURST_MS = 200;
/** Somebody who writes without a pause must not keep an operator's command waiting. */
const LONGEST_WAIT_MS = 2000;
const LONG_BUSY_TRIES = 60;

export class WatchedDirectory {
  readonly path: string;
  readonly #options: DirectoryOptions;
  readonly #ledger: FileLedger;
  readonly #absences: Absences;
  readonly #events: DirectoryEvents;
  readonly #conditions = new Map<ConditionKind, string>();
  /** Names to look at now, oldest first, with what they may have been renamed from. */
  readonly #ready = new Map<string, string | undefined>();
  readonly #later = new Map<string, Later>();
  /** When the earliest of them is due, or before. */
  #laterAt = Infinity;
  #identity: DirectoryIdentity | undefined;
  #stranger: Stranger | undefined;
  #hasEvidence = false;
  #isHoldServed = false;
  #scanAt = Infinity;
  #cancelAlarm: (() => void) | undefined;
  #isRunning = false;
  #isScheduled = false;
  #isRetired = false;
  #isClosed = false;
  #waiting: readonly (() => boolean)[] = [];

  constructor(options: DirectoryOptions) {
    const { path, clock, settleMs } = options;
    this.path = path;
    this.#options = options;
    this.#ledger = new FileLedger({ path, clock, settleMs });
    this.#absences = new Absences(options.massRemoval, Math.max(settleMs, MIN_ABSENCE_MS));
    this.#events = new DirectoryEvents(path, {
      onName: (name, movedFrom) => this.#enqueue(name, movedFrom),
      onDirectory: () => this.#scanWithin(0),
      onBurst: () => this.#scanWithin(AFTER_BURST_MS),
    });
  }

  /** Whether its last scan read the directory that was first opened, to its end. */
  get hasEvidence(): boolean {
    return this.#hasEvidence;
  }

  get isEmpty(): boolean {
    return this.#ledger.size === 0;
  }

  /** Whether a file of that name was reported and not reported gone. */
  has(name: string): boolean {
    return this.#ledger.standing(name) === 'reported';
  }

  /** Whether a file of that name is known at all, also one that is still being written. */
  knows(name: string): boolean {
    return this.#ledger.standing(name) !== undefined;
  }

  /** Reads the whole directory; resolves when everything it found has been reported. */
  async scan(): Promise<void> {
    this.#scanAt = 0;
    await this.#until(() => this.#scanAt !== 0 && this.#isSettled());
  }

  /** Looks at one name; resolves when what is there has been reported (a busy file is not waited for). */
  async look(name: string): Promise<void> {
    this.#enqueue(name, undefined);
    await this.#until(
      () =>
        !this.#ready.has(name) &&
        this.#later.get(name)?.why !== 'settle' &&
        !this.#absences.isPending(this.#now(), name),
    );
  }

  /** Reports `name` again as if it were new: another directory had the word on it. */
  reveal(name: string): void {
    if (!this.knows(name)) return;
    this.#ledger.unsay(name);
    this.#enqueue(name, undefined);
  }

  /** Takes names for known that an earlier emperor left running and that no scan found. */
  expect(names: readonly string[]): void {
    for (const name of names) {
      this.#ledger.expect(name);
      this.#absences.add(name, this.#now());
    }
    this.#schedule();
  }

  /** No longer configured: everything in it counts as removed; or configured again. */
  retire(isRetired: boolean): void {
    if (this.#isRetired === isRetired) return;
    this.#isRetired = isRetired;
    if (isRetired) this.#events.disarm();
    this.#scanWithin(0);
  }

  close(): void {
    this.#isClosed = true;
    this.#events.disarm();
    this.#cancelAlarm?.();
    if (this.#isRetired) for (const kind of [...this.#conditions.keys()]) this.#clear(kind);
    this.#wake();
  }

  // ── the loop ─────────────────────────────────────────────────────────────────────────────────

  #now(): number {
    return this.#options.clock.monotonic();
  }

  #enqueue(name: string, movedFrom: string | undefined): void {
    if (movedFrom !== undefined || !this.#ready.has(name)) this.#ready.set(name, movedFrom);
    this.#schedule();
  }

  #scanWithin(ms: number): void {
    this.#scanAt = ms === 0 ? 0 : Math.min(this.#scanAt, this.#now() + ms);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#isRunning || this.#isScheduled || this.#isClosed) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      void this.#run();
    });
  }

  async #run(): Promise<void> {
    if (this.#isRunning || this.#isClosed) return;
    this.#isRunning = true;
    this.#cancelAlarm?.();
    while (!this.#isClosed) {
      const now = this.#now();
      if (this.#laterAt <= now) this.#promote(now);
      if (this.#scanAt <= now) await this.#scanNow();
      else if (this.#absences.judgeAt <= now) await this.#judge();
      else if (this.#ready.size > 0) this.#lookSlice();
      else break;
      this.#wake();
      if (this.#ready.size > 0) await nextTurn();
    }
    this.#isRunning = false;
    this.#wake();
    this.#setAlarm();
  }

  /** Makes the looks ready that are due. */
  #promote(now: number): void {
    this.#laterAt = Infinity;
    for (const [name, { at }] of this.#later) {
      if (at <= now) this.#enqueue(name, undefined);
      else this.#laterAt = Math.min(this.#laterAt, at);
    }
  }

  #postpone(name: string, later: Later): void {
    this.#later.set(name, later);
    this.#laterAt = Math.min(this.#laterAt, later.at);
  }

  #setAlarm(): void {
    if (this.#isClosed) return;
    const at = Math.min(this.#scanAt, this.#absences.judgeAt, this.#laterAt);
    if (at === Infinity) return;
    const waitMs = Math.ceil(Math.max(0, at - this.#now()));
    this.#cancelAlarm = this.#options.clock.after(waitMs, () => void this.#run());
  }

  #until(isDone: () => boolean): Promise<void> {
    const deadline = this.#now() + LONGEST_WAIT_MS;
    return new Promise((resolve) => {
      const isOver = () => {
        const isEnd = this.#isClosed || isDone() || this.#now() > deadline;
        if (isEnd) resolve();
        return isEnd;
      };
      this.#waiting = [...this.#waiting, isOver];
      this.#schedule();
    });
  }

  #wake(): void {
    if (this.#waiting.length > 0) this.#waiting = this.#waiting.filter((isOver) => !isOver());
  }

  #isSettled(): boolean {
    if (this.#ready.size > 0 || this.#absences.isPending(this.#now())) return false;
    for (const { why } of this.#later.values()) if (why === 'settle') return false;
    return true;
  }

  // ── looking at files ─────────────────────────────────────────────────────────────────────────

  #lookSlice(): void {
    const end = this.#now() + SLICE_MS;
    const batch: Sighting[] = [];
    let reads = 0;
    for (const [name, movedFrom] of this.#ready) {
      if (reads >= READS_PER_SLICE || this.#now() > end) break;
      reads += 1;
      this.#ready.delete(name);
      const sighting = this.#lookAt(name, movedFrom);
      if (sighting) batch.push(sighting);
    }
    if (batch.length > 0) this.#options.onSightings(batch);
    if (this.#absences.size === 0) this.#endHold();
  }

  #lookAt(name: string, movedFrom: string | undefined): Sighting | undefined {
    const tries = this.#later.get(name)?.tries ?? 0;
    this.#later.delete(name);
    if (this.#isRetired || this.#conditions.has('directory-unmounted')) return undefined;
    const outcome = this.#ledger.look(name, movedFrom);
    if (outcome.kind !== 'missing') this.#absences.drop(name);
    switch (outcome.kind) {
      case 'news':
        return outcome.sighting;
      case 'same':
        return undefined;
      case 'missing':
        this.#miss(name);
        return undefined;
      case 'unsettled':
        this.#postpone(name, { at: this.#now() + outcome.waitMs, why: 'settle', tries });
        return undefined;
      case 'busy':
        this.#retry(name, tries);
    }
    return undefined;
  }

  #retry(name: string, tries: number): void {
    if (tries === LONG_BUSY_TRIES) {
      this.#options.log.warn(
        { file: this.#ledger.fileOf(name) },
        'a writer holds this vassal file open; it is read when the writer has closed it',
      );
    }
    const waitMs = Math.min(FIRST_RETRY_MS * 2 ** Math.min(tries, 10), LAST_RETRY_MS);
    this.#postpone(name, { at: this.#now() + waitMs, why: 'busy', tries: tries + 1 });
  }

  // ── scanning ─────────────────────────────────────────────────────────────────────────────────

  async #scanNow(): Promise<void> {
    this.#scanAt = Infinity;
    this.#events.resetBurst();
    const listed = this.#isRetired ? new Set<string>() : await this.#list();
    this.#hasEvidence = listed !== undefined;
    if (listed) {
      await this.#compare(listed);
      for (const name of this.#ledger.names()) if (!listed.has(name)) this.#miss(name);
      // What a replaced directory lacks was held and said for as long as a mass removal is.
      if (this.#isHoldServed) this.#absences.endHoldAt(this.#now());
      this.#isHoldServed = false;
      if (this.#absences.size > 0) await this.#judge();
    }
    // A request that came meanwhile stays.
    const now = this.#now();
    const adoptAt = (this.#stranger?.since ?? Infinity) + this.#options.massRemoval.holdMs;
    const nextAt = now + this.#options.rescanMs;
    this.#scanAt = Math.min(this.#scanAt, adoptAt > now ? Math.min(adoptAt, nextAt) : nextAt);
  }

  /** Lists the vassals' files; undefined if what is there now proves no absence. */
  async #list(): Promise<ReadonlySet<string> | undefined> {
    const listed = new Set<string>();
    let found: DirectoryIdentity;
    let failure: string | undefined;
    try {
      found = readIdentity(this.path);
      // Before the listing, so that nothing comes in between.
      failure = this.#events.arm(found);
      for (const file of await readNames(this.path)) {
        const name = vassalNameOfFile(file);
        if (name !== undefined) listed.add(name);
      }
      if (!sameDirectory(found, readIdentity(this.path))) {
        this.#scanWithin(AFTER_BURST_MS);
        return undefined;
      }
    } catch (error) {
      // Whatever it is (ENOENT, EACCES, EIO, ESTALE): the directory proves nothing now.
      this.#events.disarm();
      this.#say('directory-unreadable', unreadableMessage(this.path, error));
      return undefined;
    }
    if (this.#isClosed || this.#isRetired) return undefined;
    this.#clear('directory-unreadable');
    if (failure === undefined) this.#clear('no-file-events');
    else this.#say('no-file-events', noEventsMessage(this.path, failure, this.#options.rescanMs));
    if (this.#isTrusted(found, listed.size)) return listed;
    if (!this.#conditions.has('directory-unmounted')) await this.#compare(listed);
    return undefined;
  }

  /** Whether the directory that was read is one whose absences count. */
  #isTrusted(found: DirectoryIdentity, listedFiles: number): boolean {
    const { holdMs } = this.#options.massRemoval;
    const verdict = judgeDirectory({
      now: this.#now(),
      trusted: this.#identity,
      stranger: this.#stranger,
      found,
      knownFiles: this.#ledger.size,
      listedFiles,
      holdMs,
    });
    if (verdict.kind === 'unmounted' || verdict.kind === 'replaced') {
      this.#stranger = verdict.stranger;
      const isUnmounted = verdict.kind === 'unmounted';
      this.#clear(isUnmounted ? 'directory-replaced' : 'directory-unmounted');
      if (isUnmounted) this.#say('directory-unmounted', unmountedMessage(this.path));
      else this.#say('directory-replaced', replacedMessage(this.path, listedFiles, holdMs));
      return false;
    }
    this.#isHoldServed = verdict.kind === 'adopted';
    this.#identity = found;
    this.#stranger = undefined;
    this.#clear('directory-replaced');
    this.#clear('directory-unmounted');
    return true;
  }

  /** Finds the files that differ from what is known, giving way to other work in between. */
  async #compare(listed: ReadonlySet<string>): Promise<void> {
    let end = this.#now() + SLICE_MS;
    let looks = 0;
    for (const name of listed) {
      looks += 1;
      if (looks % LOOKS_PER_SLICE === 0 || this.#now() > end) {
        this.#lookSlice();
        await nextTurn();
        if (this.#isClosed) return;
        end = this.#now() + SLICE_MS;
      }
      if (this.#later.has(name)) continue;
      if (this.#absences.has(name) || this.#ledger.differs(name)) this.#enqueue(name, undefined);
    }
  }

  // ── absences ─────────────────────────────────────────────────────────────────────────────────

  #miss(name: string): void {
    const standing = this.#ledger.standing(name);
    if (standing === 'met') this.#ledger.forget(name);
    else if (standing !== undefined) this.#absences.add(name, this.#now());
  }

  async #judge(): Promise<void> {
    await this.#dropReturned();
    if (this.#absences.size === 0) return this.#endHold();
    // Without proof they wait; every scan comes back to them.
    if (!this.#isProven()) return this.#absences.postpone();
    const verdict = this.#absences.judge({
      now: this.#now(),
      knownFiles: this.#ledger.size,
      isElsewhere: this.#options.isElsewhere,
    });
    if (verdict.kind === 'gone') return this.#remove(verdict.names);
    if (verdict.kind === 'wait') return;
    // Files may still be vanishing: said with the count of a whole scan.
    if (verdict.isNew) return this.#scanWithin(0);
    if (this.#conditions.has('mass-removal')) return;
    const seconds = Math.ceil((verdict.until - this.#now()) / 1000);
    this.#say(
      'mass-removal',
      `${verdict.count} of ${this.#ledger.size} vassal files vanished at once from ${this.path}; ` +
        `their vassals are stopped in ${seconds} s unless the files come back`,
    );
  }

  /** Forgets absences whose file is there again. */
  async #dropReturned(): Promise<void> {
    if (this.#isRetired) return;
    let looks = 0;
    for (const name of this.#absences.names()) {
      looks += 1;
      if (looks % LOOKS_PER_SLICE === 0) {
        await nextTurn();
        if (this.#isClosed) return;
      }
      if (!this.#ledger.exists(name)) continue;
      this.#absences.drop(name);
      this.#enqueue(name, undefined);
    }
  }

  #isProven(): boolean {
    if (this.#isRetired) return true;
    try {
      return this.#identity !== undefined && sameDirectory(this.#identity, readIdentity(this.path));
    } catch {
      // Whatever keeps it from being looked at, the next scan says it.
      return false;
    }
  }

  #remove(names: readonly string[]): void {
    for (const name of names) {
      this.#ledger.forget(name);
      this.#later.delete(name);
    }
    const batch = names.map((name) => ({
      kind: 'gone' as const,
      name,
      file: this.#ledger.fileOf(name),
    }));
    if (batch.length > 0) this.#options.onSightings(batch);
    if (this.#absences.size === 0) this.#endHold();
  }

  #endHold(): void {
    this.#absences.settle();
    this.#clear('mass-removal');
  }

  // ── conditions ───────────────────────────────────────────────────────────────────────────────

  #say(kind: ConditionKind, message: string): void {
    if (this.#conditions.get(kind) === message) return;
    this.#conditions.set(kind, message);
    this.#options.onCondition(kind, true, message);
  }

  #clear(kind: ConditionKind): void {
    const message = this.#conditions.get(kind);
    if (message === undefined) return;
    this.#conditions.delete(kind);
    this.#options.onCondition(kind, false, message);
  }
}

function unreadableMessage(path: string, error: unknown): string {
  return `Cannot read ${path}: ${messageOf(error)}; its vassals stay as they are`;
}

function noEventsMessage(path: string, failure: string, rescanMs: number): string {
  return (
    `Cannot watch ${path}: ${failure}; changes are found by a scan every ${rescanMs / 1000} s ` +
    '(raise fs.inotify.max_user_watches and fs.inotify.max_user_instances)'
  );
}

function unmountedMessage(path: string): string {
  return (
    `${path} is no longer mounted; its vassals stay as they are until it is back ` +
    '(if it was unmounted for good, restart the emperor)'
  );
}

function replacedMessage(path: string, count: number, holdMs: number): string {
  const what = `${path} is another directory than the one first opened`;
  if (count === 0) {
    return `${what} and has no vassal file; vassals stay as they are until it has one`;
  }
  return `${what}; its files are applied, vassals without a file are stopped after ${holdMs / 1000} s`;
}
