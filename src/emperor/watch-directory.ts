/**
 * Watches one directory of vassal files and reports what changed in it.
 *
 * Theory of operation. Events only say where to look; a scan every few seconds (statx of every file, content
 * only where that differs) finds what events lost. Both ask for looks (watch-looks.ts); one loop
 * (watch-loop.ts), the only one that touches the state, takes them a slice at a time, so that the event loop
 * is never held for longer. A look at a name (watch-ledger.ts) ends in one of:
 *
 *   news      reported: its content, or the reason why it is refused
 *   busy      a writer has it open: again in 20 to 200 ms
 *   unsettled written in place within the settle time: again when that is over
 *   missing   believed only after `absenceMs`, only if the path still leads to the directory that was first
 *             opened, and, where many vanish at once, only after a hold (watch-absences.ts)
 *
 * The directory itself (watch-listing.ts). Unreadable or missing: nothing is believed. Replaced by another
 * one: its files are believed at once, absences only when it has been there for the hold time and has at
 * least one vassal file. Unmounted (a mount point before, none now): nothing is believed until the disk is
 * back. A condition says each of these. No descriptor is kept open, so that the operator can unmount.
 *
 * Bounded: files and milliseconds a slice, one timer and one inotify watch a directory. Left out: who may
 * write what (config/trust.ts), and names that two directories share (watch.ts).
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Clock } from '../base/clock.ts';
import type { Log } from '../base/log.ts';
import type { RemovalPolicy } from './mass-removal.ts';
import type { Sighting } from './sighting.ts';
import { Absences } from './watch-absences.ts';
import { type ConditionKind, DirectoryConditions, massRemovalMessage } from './watch-conditions.ts';
import { DirectoryEvents } from './watch-events.ts';
import { FileLedger } from './watch-ledger.ts';
import { Lister, type Listing } from './watch-listing.ts';
import { type Look, PendingLooks } from './watch-looks.ts';
import { WorkLoop } from './watch-loop.ts';

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

const SLICE_MS = 3;
const READS_PER_SLICE = 64;
const LOOKS_PER_SLICE = 250;
const MIN_ABSENCE_MS = 30;
const AFTER_BURST_MS = 200;
const LONG_BUSY_MS = 10_000;

export class WatchedDirectory {
  readonly path: string;
  readonly #options: DirectoryOptions;
  readonly #ledger: FileLedger;
  readonly #looks = new PendingLooks();
  readonly #absences: Absences;
  readonly #lister: Lister;
  readonly #events: DirectoryEvents;
  readonly #conditions: DirectoryConditions;
  readonly #loop: WorkLoop;
  /** 0 for at once. */
  #scanAt = Infinity;
  #hasEvidence = false;
  /** Names of which it was said that a writer has held them for long. */
  readonly #longBusy = new Set<string>();
  #isRetired = false;
  #isClosed = false;

  constructor(options: DirectoryOptions) {
    const { path, clock, settleMs, rescanMs, massRemoval } = options;
    this.path = path;
    this.#options = options;
    this.#ledger = new FileLedger({ path, clock, settleMs });
    this.#absences = new Absences(massRemoval, Math.max(settleMs, MIN_ABSENCE_MS));
    const conditions = new DirectoryConditions(options.onCondition);
    const events = new DirectoryEvents(path, {
      onName: (name, movedFrom) => this.#lookSoon(name, movedFrom),
      onDirectory: () => this.#scanWithin(0),
      onBurst: () => this.#scanWithin(AFTER_BURST_MS),
    });
    const { holdMs } = massRemoval;
    this.#lister = new Lister({ path, clock, rescanMs, holdMs, events, conditions });
    this.#conditions = conditions;
    this.#events = events;
    this.#loop = new WorkLoop(clock, {
      step: () => this.#step(),
      nextAt: () => Math.min(this.#scanAt, this.#absences.judgeAt, this.#looks.nextAt),
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

  /** Whether it was told to expect that name, and has not found out yet. */
  expects(name: string): boolean {
    return this.#ledger.standing(name) === 'expected';
  }

  /** Whether a file of that name is known at all, also one that is still being written. */
  knows(name: string): boolean {
    return this.#ledger.standing(name) !== undefined;
  }

  /** Reads the whole directory; resolves when everything it found has been reported. */
  async scan(): Promise<void> {
    this.#scanAt = 0;
    await this.#loop.until((isLate) => {
      if (this.#scanAt === 0 || this.#looks.size > 0) return false;
      return isLate || !(this.#looks.isSettling() || this.#absences.isPending());
    });
  }

  /** Looks at one name; resolves when what is there has been reported (a busy file is not waited for). */
  async look(name: string): Promise<void> {
    this.#lookSoon(name);
    await this.#loop.until((isLate) => {
      if (this.#scanAt === 0 || this.#looks.isReady(name)) return false;
      return isLate || !(this.#looks.isSettling(name) || this.#absences.isPending(name));
    });
  }

  /** Reports `name` again as if it were new: another directory had the word on it. */
  reveal(name: string): void {
    if (!this.knows(name)) return;
    this.#ledger.unsay(name);
    this.#lookSoon(name);
  }

  /** Takes names for known that an earlier emperor left running and that no scan found. */
  expect(names: readonly string[]): void {
    for (const name of names) {
      this.#ledger.expect(name);
      this.#absences.add(name, this.#now());
    }
    this.#loop.schedule();
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
    if (this.#isRetired) this.#conditions.clearAll();
    this.#loop.close();
  }

  // ── what to do next ──────────────────────────────────────────────────────────────────────────

  #now(): number {
    return this.#options.clock.monotonic();
  }

  #lookSoon(name: string, movedFrom?: string): void {
    this.#looks.add(name, movedFrom);
    this.#loop.schedule();
  }

  #scanWithin(ms: number): void {
    this.#scanAt = ms === 0 ? 0 : Math.min(this.#scanAt, this.#now() + ms);
    this.#loop.schedule();
  }

  async #step(): Promise<boolean> {
    const now = this.#now();
    this.#looks.promote(now);
    if (this.#scanAt <= now) await this.#scanNow();
    else if (this.#absences.judgeAt <= now) await this.#judge();
    else if (this.#looks.size > 0) this.#lookSlice();
    else return false;
    return true;
  }

  // ── looking at files ─────────────────────────────────────────────────────────────────────────

  #lookSlice(): void {
    if (!this.#isRetired && !this.#lister.isAsListed()) {
      this.#scanFirst();
      return;
    }
    const end = this.#now() + SLICE_MS;
    const batch: Sighting[] = [];
    for (let reads = 0; reads < READS_PER_SLICE && this.#now() <= end; reads += 1) {
      const look = this.#looks.take();
      if (!look) break;
      const sighting = this.#lookAt(look);
      if (sighting) batch.push(sighting);
    }
    if (batch.length > 0) this.#options.onSightings(batch);
    if (this.#absences.size === 0) this.#endHold();
  }

  /** What the path leads to now may be no vassal directory: a scan decides, and finds the same files. */
  #scanFirst(): void {
    this.#looks.clear();
    this.#scanWithin(0);
  }

  #lookAt(look: Look): Sighting | undefined {
    const { name } = look;
    if (this.#isRetired || this.#conditions.has('directory-unmounted')) return undefined;
    const outcome = this.#ledger.look(name, look.movedFrom);
    if (outcome.kind === 'missing') this.#miss(name);
    else this.#absences.drop(name);
    if (outcome.kind !== 'busy') this.#longBusy.delete(name);
    if (outcome.kind === 'news') return outcome.sighting;
    if (outcome.kind === 'unsettled') this.#looks.settle(look, this.#now() + outcome.waitMs);
    if (outcome.kind === 'busy') this.#retry(look);
    return undefined;
  }

  #retry(look: Look): void {
    const busyMs = this.#looks.retry(look, this.#now());
    if (busyMs < LONG_BUSY_MS || this.#longBusy.has(look.name)) return;
    this.#longBusy.add(look.name);
    this.#options.log.warn(
      { file: this.#ledger.fileOf(look.name) },
      'a writer holds this vassal file open; it is read when the writer has closed it',
    );
  }

  // ── scanning ─────────────────────────────────────────────────────────────────────────────────

  async #scanNow(): Promise<void> {
    this.#scanAt = Infinity;
    this.#events.resetBurst();
    const listing = this.#isRetired ? EMPTIED : this.#lister.list(this.#ledger.size);
    this.#hasEvidence = listing?.isProof ?? false;
    if (listing) await this.#compare(listing.names);
    if (listing?.isProof) await this.#missOthers(listing);
    // A request that came meanwhile stays.
    this.#scanAt = Math.min(this.#scanAt, this.#lister.nextAt());
  }

  async #missOthers({ names, isHoldServed }: Listing): Promise<void> {
    for (const name of this.#ledger.names()) if (!names.has(name)) this.#miss(name);
    if (isHoldServed) this.#absences.endHoldAt(this.#now());
    await this.#judge();
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
      if (this.#looks.has(name)) continue;
      if (this.#absences.has(name) || this.#ledger.differs(name)) this.#looks.add(name);
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
    if (!this.#isRetired && !this.#lister.isProven()) return this.#absences.postpone();
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
    const { count, until } = verdict;
    const removal = { count, knownFiles: this.#ledger.size, inMs: until - this.#now() };
    this.#conditions.say('mass-removal', massRemovalMessage(this.path, removal));
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
      this.#looks.add(name);
    }
  }

  #remove(names: readonly string[]): void {
    for (const name of names) {
      this.#ledger.forget(name);
      this.#looks.forget(name);
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
    this.#conditions.clear('mass-removal');
  }
}

/** What a directory that is no longer configured counts as. */
const EMPTIED: Listing = { names: new Set(), isProof: true, isHoldServed: false };
