/**
 * Watches one directory of vassal files and reports what changed in it.
 *
 * Theory of operation. Events of fs.watch only say where to look; a scan every few seconds (lstat of every
 * file, content only where that differs) finds what events lost. Both put names into `ready`; one loop, the
 * only one that touches the state, takes them out a slice at a time, so that the event loop is never held
 * for longer than a slice. A look at a name ends in one of:
 *
 *   content   read under a lease, and not written in place within the settle time: reported if it differs
 *   busy      a writer has it open: again in 20, 40, … 200 ms
 *   refused   reported once, with the fix
 *   missing   believed only after `absenceMs` (editors rename a file away and write it anew), only if the
 *             path still leads to the directory that was first opened, and, where many vanish at once, only
 *             after a hold (mass-removal.ts)
 *
 * The directory itself. Unreadable or missing: nothing is believed, a condition says so. Replaced by another
 * directory: its files are believed at once, absences only when it has been there for the hold time and has
 * at least one vassal file; then it is adopted as the identity. Unmounted (a mount point before, none now):
 * nothing is believed until the disk is back. No descriptor is kept open, so that the operator can unmount.
 *
 * Bounded: files and milliseconds a slice, one timer a directory, one read buffer. Left out: who may write
 * what (config/trust.ts), and names that two directories share (watch.ts).
 */
import { type FSWatcher, watch as watchPath } from 'node:fs';
import { basename } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Clock } from '../base/clock.ts';
import { messageOf } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import { vassalNameOfFile } from '../config/names.ts';
import { judgeRemovals, type RemovalPolicy, recentRemovals } from './mass-removal.ts';
import {
  type FileReading,
  type FileSignature,
  lookAtFile,
  readVassalFile,
  sameSignature,
} from './read-vassal-file.ts';
import type { FileOwner, Sighting } from './sighting.ts';
import {
  type DirectoryIdentity,
  judgeDirectory,
  readIdentity,
  readNames,
  type Stranger,
  sameDirectory,
} from './watch-identity.ts';

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

/** A file that is, or was a moment ago, in the directory. */
interface Known {
  readonly signature: FileSignature | undefined;
  /** Of the last accepted content; undefined for a refused file and for one that is still busy. */
  readonly sha256: string | undefined;
  readonly owner: FileOwner | undefined;
  /** What was reported as the reason of a refusal. */
  readonly refusal: string | undefined;
  /** Whether it was only met so far, left by an earlier emperor, or reported. */
  readonly standing: 'met' | 'expected' | 'reported';
  /** Written so shortly before the look that a second write might have left the same signature. */
  readonly isRacy: boolean;
}

const MET: Known = {
  signature: undefined,
  sha256: undefined,
  owner: undefined,
  refusal: undefined,
  standing: 'met',
  isRacy: false,
};

const SLICE_MS = 3;
const READS_PER_SLICE = 64;
const LOOKS_PER_SLICE = 250;
const MIN_ABSENCE_MS = 30;
const FIRST_RETRY_MS = 20;
const LAST_RETRY_MS = 200;
/** Timestamps of files move in ticks of up to 10 ms. */
const RACY_MS = 50;
/** The kernel's queue of events holds 16,384 by default and drops the rest silently. */
const BURST_EVENTS = 4096;
const AFTER_BURST_MS = 200;
/** Somebody who writes without a pause must not keep an operator's command waiting. */
const LONGEST_WAIT_MS = 2000;
const LONG_BUSY_TRIES = 60;

export class WatchedDirectory {
  readonly path: string;
  readonly #options: DirectoryOptions;
  readonly #absenceMs: number;
  readonly #known = new Map<string, Known>();
  /** Names to look at now, oldest first. */
  readonly #ready = new Set<string>();
  /** Names to look at again. */
  readonly #later = new Map<string, Later>();
  /** Names that were there and are not, with the time of the first look that missed them. */
  readonly #missing = new Map<string, number>();
  readonly #conditions = new Map<ConditionKind, string>();
  #identity: DirectoryIdentity | undefined;
  #stranger: Stranger | undefined;
  #hasEvidence = false;
  #watcher: FSWatcher | undefined;
  #watched: DirectoryIdentity | undefined;
  #heldUntil: number | undefined;
  #isHoldServed = false;
  #acted: readonly number[] = [];
  #scanAt = Infinity;
  #judgeAt = Infinity;
  #events = 0;
  /** The file of the last event, if that was a rename, and what may have been renamed from what. */
  #renamed: string | null = null;
  readonly #movedFrom = new Map<string, string>();
  #cancelAlarm: (() => void) | undefined;
  #isRunning = false;
  #isScheduled = false;
  #isRetired = false;
  #isClosed = false;
  #waiting: (() => boolean)[] = [];

  constructor(options: DirectoryOptions) {
    this.path = options.path;
    this.#options = options;
    this.#absenceMs = Math.max(options.settleMs, MIN_ABSENCE_MS);
  }

  /** Whether its last scan read the directory that was first opened, to its end. */
  get hasEvidence(): boolean {
    return this.#hasEvidence;
  }

  get isEmpty(): boolean {
    return this.#known.size === 0;
  }

  /** Whether a file of that name was reported and not reported gone. */
  has(name: string): boolean {
    return this.#known.get(name)?.standing === 'reported';
  }

  /** Whether a file of that name is known at all, also one that is still being written. */
  knows(name: string): boolean {
    return this.#known.has(name);
  }

  /** Reads the whole directory; resolves when everything it found has been reported. */
  async scan(): Promise<void> {
    this.#scanAt = 0;
    await this.#until(() => this.#scanAt !== 0 && this.#isSettled());
  }

  /** Looks at one name; resolves when what is there has been reported (a busy file is not waited for). */
  async look(name: string): Promise<void> {
    this.#ready.add(name);
    await this.#until(
      () =>
        !this.#ready.has(name) &&
        this.#later.get(name)?.why !== 'settle' &&
        !this.#isUnjudged(this.#missing.get(name)),
    );
  }

  /** Reports `name` again as if it were new: it was shadowed by another directory. */
  reveal(name: string): void {
    const known = this.#known.get(name);
    if (!known) return;
    this.#known.set(name, { ...known, sha256: undefined, refusal: undefined });
    this.#ready.add(name);
    this.#schedule();
  }

  /** Takes names for known that an earlier emperor left running and that no scan found. */
  expect(names: readonly string[]): void {
    for (const name of names) {
      if (this.#known.has(name)) continue;
      this.#known.set(name, { ...MET, standing: 'expected' });
      this.#missing.set(name, this.#now() - this.#absenceMs);
    }
    this.#judgeAt = 0;
    this.#schedule();
  }

  /** No longer configured: everything in it counts as removed. */
  retire(isRetired: boolean): void {
    if (this.#isRetired === isRetired) return;
    this.#isRetired = isRetired;
    if (isRetired) this.#unwatch();
    this.#scanAt = 0;
    this.#schedule();
  }

  close(): void {
    this.#isClosed = true;
    this.#unwatch();
    this.#cancelAlarm?.();
    if (this.#isRetired) for (const kind of [...this.#conditions.keys()]) this.#clear(kind);
    this.#wake();
  }

  // ── the loop ─────────────────────────────────────────────────────────────────────────────────

  #now(): number {
    return this.#options.clock.monotonic();
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
      this.#promote(now);
      if (this.#scanAt <= now) await this.#scanNow();
      else if (this.#judgeAt <= now) await this.#judge();
      else if (this.#ready.size > 0) this.#lookSlice();
      else break;
      this.#wake();
      if (this.#ready.size > 0) await nextTurn();
    }
    this.#isRunning = false;
    this.#wake();
    this.#setAlarm();
  }

  #promote(now: number): void {
    for (const [name, { at }] of this.#later) if (at <= now) this.#ready.add(name);
  }

  #setAlarm(): void {
    if (this.#isClosed) return;
    let at = Math.min(this.#scanAt, this.#judgeAt);
    for (const later of this.#later.values()) at = Math.min(at, later.at);
    if (at === Infinity) return;
    this.#cancelAlarm = this.#options.clock.after(
      Math.ceil(Math.max(0, at - this.#now())),
      () => void this.#run(),
    );
  }

  #until(isDone: () => boolean): Promise<void> {
    const deadline = this.#now() + LONGEST_WAIT_MS;
    return new Promise((resolve) => {
      this.#waiting.push(() => {
        const isOver = this.#isClosed || isDone() || this.#now() > deadline;
        if (isOver) resolve();
        return isOver;
      });
      this.#schedule();
    });
  }

  #wake(): void {
    if (this.#waiting.length > 0) this.#waiting = this.#waiting.filter((isOver) => !isOver());
  }

  #isSettled(): boolean {
    if (this.#ready.size > 0) return false;
    for (const { why } of this.#later.values()) if (why === 'settle') return false;
    for (const since of this.#missing.values()) if (this.#isUnjudged(since)) return false;
    return true;
  }

  /** Too young to be judged, or due to be judged at once. */
  #isUnjudged(since: number | undefined): boolean {
    return since !== undefined && this.#judgeAt <= Math.max(since + this.#absenceMs, this.#now());
  }

  // ── looking at files ─────────────────────────────────────────────────────────────────────────

  #lookSlice(): void {
    const end = this.#now() + SLICE_MS;
    const batch: Sighting[] = [];
    let reads = 0;
    for (const name of this.#ready) {
      if (reads >= READS_PER_SLICE || this.#now() > end) break;
      reads += 1;
      this.#ready.delete(name);
      const sighting = this.#lookAt(name);
      if (sighting) batch.push(sighting);
    }
    if (batch.length > 0) this.#options.onSightings(batch);
    if (this.#missing.size === 0) this.#endHold();
  }

  #lookAt(name: string): Sighting | undefined {
    const tries = this.#later.get(name)?.tries ?? 0;
    const movedFrom = this.#movedFrom.get(name);
    this.#later.delete(name);
    this.#movedFrom.delete(name);
    if (this.#isRetired || this.#conditions.has('directory-unmounted')) return undefined;
    const file = this.#fileOf(name);
    const reading = readVassalFile(file);
    if (reading.kind === 'missing') {
      this.#miss(name);
      return undefined;
    }
    this.#missing.delete(name);
    if (reading.kind === 'busy') {
      this.#retry(name, tries);
      return undefined;
    }
    if (reading.kind === 'refused') return this.#refuse(name, reading);
    const isMoved =
      movedFrom !== undefined && lookAtFile(`${this.path}/${movedFrom}`) === 'missing';
    const waitMs = isMoved && reading.leased ? 0 : this.#settleMs(name, reading);
    if (waitMs === 0) return this.#accept(name, reading);
    this.#remember(name, {});
    this.#later.set(name, { at: this.#now() + waitMs, why: 'settle', tries });
    return undefined;
  }

  #retry(name: string, tries: number): void {
    if (tries === LONG_BUSY_TRIES) {
      this.#options.log.warn(
        { file: this.#fileOf(name) },
        'a writer has held this vassal file open for more than 10 s; it is read when closed',
      );
    }
    const waitMs = Math.min(FIRST_RETRY_MS * 2 ** Math.min(tries, 10), LAST_RETRY_MS);
    this.#remember(name, {});
    this.#later.set(name, { at: this.#now() + waitMs, why: 'busy', tries: tries + 1 });
  }

  /**
   * How long a file must still rest. One that changed after it was written was renamed into place, or
   * closed and given its times (cp -p); one written in place may be about to be written again. Where there
   * are no leases, time since the last change is the only sign that its writer is done.
   */
  #settleMs(name: string, reading: Extract<FileReading, { kind: 'content' }>): number {
    const { mtimeNs, ctimeNs } = reading.signature;
    if (this.#known.get(name)?.sha256 === reading.sha256) return 0;
    if (reading.leased && ctimeNs > mtimeNs) return 0;
    const age = this.#ageMs(ctimeNs);
    // A clock that was set back must not make a file wait for hours.
    return age < 0 ? 0 : Math.max(0, Math.ceil(this.#options.settleMs - age));
  }

  #ageMs(ns: bigint): number {
    return this.#options.clock.now() - Number(ns / 1000n) / 1000;
  }

  #accept(name: string, reading: Extract<FileReading, { kind: 'content' }>): Sighting | undefined {
    const { text, sha256, owner, signature } = reading;
    const before = this.#known.get(name);
    const isSame = before?.sha256 === sha256 && sameOwner(before.owner, owner);
    const isTouched = isSame && timesMoved(before.signature, signature);
    this.#known.set(name, {
      signature,
      sha256,
      owner,
      refusal: undefined,
      standing: 'reported',
      isRacy: this.#ageMs(signature.ctimeNs) < RACY_MS,
    });
    if (isSame && !isTouched) return undefined;
    const file = this.#fileOf(name);
    return { kind: 'present', name, file, text, sha256, owner, touched: isTouched };
  }

  #refuse(name: string, reading: Extract<FileReading, { kind: 'refused' }>): Sighting | undefined {
    const { diagnostics, signature } = reading;
    const refusal = JSON.stringify(diagnostics);
    const isSame = this.#known.get(name)?.refusal === refusal;
    this.#known.set(name, { ...MET, signature, refusal, standing: 'reported' });
    if (isSame) return undefined;
    return { kind: 'refused', name, file: this.#fileOf(name), diagnostics };
  }

  #remember(name: string, change: Partial<Known>): void {
    this.#known.set(name, { ...(this.#known.get(name) ?? MET), ...change });
  }

  #fileOf(name: string): string {
    return `${this.path}/${name}.ini`;
  }

  // ── scanning ─────────────────────────────────────────────────────────────────────────────────

  async #scanNow(): Promise<void> {
    this.#scanAt = Infinity;
    this.#events = 0;
    const listed = this.#isRetired ? new Set<string>() : await this.#list();
    this.#hasEvidence = listed !== undefined;
    if (listed) {
      await this.#compare(listed);
      for (const name of this.#known.keys()) if (!listed.has(name)) this.#miss(name);
      // What a replaced directory lacks was held and said for as long as a mass removal is.
      if (this.#isHoldServed) this.#heldUntil = this.#now();
      this.#isHoldServed = false;
      if (this.#missing.size > 0) await this.#judge();
    }
    // A request that came meanwhile stays.
    this.#scanAt = Math.min(this.#scanAt, this.#now() + this.#options.rescanMs, this.#adoptAt());
  }

  /** When a replaced directory may count. */
  #adoptAt(): number {
    const at = (this.#stranger?.since ?? Infinity) + this.#options.massRemoval.holdMs;
    return at > this.#now() ? at : Infinity;
  }

  /** Lists the vassals' files; undefined if what is there now proves no absence. */
  async #list(): Promise<ReadonlySet<string> | undefined> {
    const listed = new Set<string>();
    let found: DirectoryIdentity;
    try {
      found = readIdentity(this.path);
      // Before the listing, so that nothing comes in between.
      this.#watch(found);
      for (const file of await readNames(this.path)) {
        const name = vassalNameOfFile(file);
        if (name !== undefined) listed.add(name);
      }
      if (!sameDirectory(found, readIdentity(this.path))) return undefined;
    } catch (error) {
      // Whatever it is (ENOENT, EACCES, EIO, ESTALE): the directory proves nothing now.
      this.#unwatch();
      this.#say('directory-unreadable', unreadableMessage(this.path, error));
      return undefined;
    }
    if (this.#isClosed || this.#isRetired) return undefined;
    this.#clear('directory-unreadable');
    if (this.#isTrusted(found, listed.size)) return listed;
    if (!this.#conditions.has('directory-unmounted')) await this.#compare(listed);
    return undefined;
  }

  /** Whether the directory that was read is one whose absences count. */
  #isTrusted(found: DirectoryIdentity, listedFiles: number): boolean {
    const now = this.#now();
    const { holdMs } = this.#options.massRemoval;
    const verdict = judgeDirectory({
      now,
      trusted: this.#identity,
      stranger: this.#stranger,
      found,
      knownFiles: this.#known.size,
      listedFiles,
      holdMs,
    });
    switch (verdict.kind) {
      case 'unmounted':
        this.#stranger = verdict.stranger;
        this.#say('directory-unmounted', unmountedMessage(this.path, this.#known.size));
        return false;
      case 'replaced':
        this.#stranger = verdict.stranger;
        this.#say('directory-replaced', replacedMessage(this.path, listedFiles, holdMs));
        return false;
      case 'adopted':
        this.#isHoldServed = true;
    }
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
      if (this.#later.has(name) || !this.#differs(name)) continue;
      this.#ready.add(name);
    }
  }

  #differs(name: string): boolean {
    const known = this.#known.get(name);
    if (!known?.signature || known.isRacy || this.#missing.has(name)) return true;
    const look = lookAtFile(this.#fileOf(name));
    return typeof look !== 'object' || !sameSignature(look, known.signature);
  }

  // ── absences ─────────────────────────────────────────────────────────────────────────────────

  #miss(name: string): void {
    const known = this.#known.get(name);
    if (!known) return;
    if (known.standing === 'met') {
      this.#known.delete(name);
      return;
    }
    if (this.#missing.has(name)) return;
    const now = this.#now();
    this.#missing.set(name, now);
    this.#judgeAt = Math.min(this.#judgeAt, now + this.#absenceMs);
  }

  async #judge(): Promise<void> {
    this.#judgeAt = Infinity;
    await this.#dropReturned();
    if (this.#missing.size === 0) return this.#endHold();
    // Without proof they wait; every scan comes back to them.
    if (!this.#isProven()) return;
    const now = this.#now();
    const vanished = [...this.#missing.keys()].filter((name) => !this.#options.isElsewhere(name));
    const times = vanished.map((name) => this.#missing.get(name) ?? now);
    const verdict = judgeRemovals(
      {
        now,
        known: this.#known.size,
        missing: vanished.length,
        // They stand in the order in which they were missed.
        oldest: times[0] ?? now,
        youngest: times.at(-1) ?? now,
        acted: this.#acted,
        heldUntil: this.#heldUntil,
      },
      this.#options.massRemoval,
    );
    if (verdict.act === 'wait') {
      this.#judgeAt = verdict.until;
      return;
    }
    if (verdict.act === 'hold') return this.#hold(verdict.until, vanished.length);
    this.#remove(now);
    if (this.#missing.size === 0) this.#endHold();
  }

  /** Forgets absences whose file is there again. */
  async #dropReturned(): Promise<void> {
    if (this.#isRetired) return;
    let looks = 0;
    for (const name of [...this.#missing.keys()]) {
      looks += 1;
      if (looks % LOOKS_PER_SLICE === 0) {
        await nextTurn();
        if (this.#isClosed) return;
      }
      if (lookAtFile(this.#fileOf(name)) === 'missing') continue;
      this.#missing.delete(name);
      this.#ready.add(name);
    }
  }

  #isProven(): boolean {
    if (this.#isRetired) return true;
    try {
      const identity = readIdentity(this.path);
      return this.#identity !== undefined && sameDirectory(this.#identity, identity);
    } catch {
      // Whatever keeps it from being looked at, the next scan says it.
      return false;
    }
  }

  #hold(until: number, count: number): void {
    this.#judgeAt = until;
    if (this.#heldUntil === undefined) {
      this.#heldUntil = until;
      // The files may still be vanishing: said with the count of a whole scan.
      this.#scanAt = 0;
      return;
    }
    if (this.#conditions.has('mass-removal')) return;
    const seconds = Math.ceil((until - this.#now()) / 1000);
    this.#say(
      'mass-removal',
      `${count} of ${this.#known.size} vassal files vanished at once from ${this.path}; ` +
        `their vassals are stopped in ${seconds} s unless the files come back`,
    );
  }

  #endHold(): void {
    this.#heldUntil = undefined;
    this.#clear('mass-removal');
  }

  #remove(now: number): void {
    const isHeld = this.#heldUntil !== undefined;
    const batch: Sighting[] = [];
    const acted = [...recentRemovals(this.#acted, now)];
    for (const [name, since] of this.#missing) {
      if (now - since < this.#absenceMs && !this.#isRetired) {
        this.#judgeAt = Math.min(this.#judgeAt, since + this.#absenceMs);
        continue;
      }
      this.#missing.delete(name);
      this.#known.delete(name);
      this.#later.delete(name);
      batch.push({ kind: 'gone', name, file: this.#fileOf(name) });
      if (!isHeld && !this.#options.isElsewhere(name)) acted.push(now);
    }
    this.#acted = acted;
    if (batch.length > 0) this.#options.onSightings(batch);
  }

  // ── events and conditions ────────────────────────────────────────────────────────────────────

  #watch(identity: DirectoryIdentity): void {
    if (this.#watcher && this.#watched && sameDirectory(this.#watched, identity)) return;
    this.#unwatch();
    try {
      const watcher = watchPath(this.path, (type, file) => this.#event(type, file));
      watcher.on('error', () => this.#unwatch());
      this.#watcher = watcher;
      this.#watched = identity;
      this.#clear('no-file-events');
    } catch (error) {
      // ENOSPC, EMFILE: the limits of inotify. ENOENT: gone again. The scans go on without it.
      this.#say(
        'no-file-events',
        `Cannot watch ${this.path}: ${messageOf(error)}; changes are found by a scan every ` +
          `${this.#options.rescanMs / 1000} s (raise fs.inotify.max_user_watches and _instances)`,
      );
    }
  }

  #unwatch(): void {
    this.#watcher?.close();
    this.#watcher = undefined;
    this.#watched = undefined;
  }

  #event(type: 'rename' | 'change', file: string | null): void {
    if (this.#isClosed) return;
    this.#events += 1;
    const name = file === null ? undefined : vassalNameOfFile(file);
    // A rename within the directory comes as two events in a row: old name, new name.
    const from = this.#renamed;
    this.#renamed = type === 'rename' ? file : null;
    if (name !== undefined) {
      this.#ready.add(name);
      if (type === 'rename' && from !== null && from !== file) this.#movedFrom.set(name, from);
    }
    // The directory itself was moved, removed or unmounted, or the kernel dropped events.
    else if (file === null || file === basename(this.path)) {
      // The next scan watches what is there now, were it a directory with the same numbers.
      this.#unwatch();
      this.#scanAt = 0;
    }
    if (this.#events === BURST_EVENTS) {
      this.#scanAt = Math.min(this.#scanAt, this.#now() + AFTER_BURST_MS);
    }
    if (name !== undefined || this.#scanAt === 0) this.#schedule();
  }

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

interface Later {
  /** Monotonic milliseconds. */
  readonly at: number;
  readonly why: 'busy' | 'settle';
  readonly tries: number;
}

function sameOwner(a: FileOwner | undefined, b: FileOwner): boolean {
  return a?.uid === b.uid && a.gid === b.gid && a.mode === b.mode;
}

/** A touch moves the time of writing or puts an equal file in place; a new hard link does neither. */
function timesMoved(before: FileSignature | undefined, after: FileSignature): boolean {
  if (!before) return false;
  return before.mtimeNs !== after.mtimeNs || before.ino !== after.ino || before.dev !== after.dev;
}

function unreadableMessage(path: string, error: unknown): string {
  return `Cannot read ${path}: ${messageOf(error)}; its vassals stay as they are`;
}

function unmountedMessage(path: string, count: number): string {
  return (
    `${path} is no longer mounted; its ${count} vassals stay as they are until it is back ` +
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
