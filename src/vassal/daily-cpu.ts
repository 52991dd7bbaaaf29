/**
 * The soft budget of processor time, `daily-cpu`: who has used it has the lowest weight until midnight. It is not kept
 * from running: what nobody else wants it still gets.
 *
 * Theory of operation. The kernel counts; a look reads that count, and the next comes when the budget can be used up at
 * the earliest, so that an idle vassal costs a look an hour. Readings go to a store that outlives the emperor, by a
 * hundredth of the budget at a time: what was used since is still in the kernel's count if the vassal lives, and the
 * last look comes when its init has ended and its cgroup is still there. A vassal that ends while no emperor runs is
 * forgiven what it used since then.
 */
import type { Clock } from '../base/clock.ts';
import type { Controllers, Unmet } from '../cgroup/controllers.ts';
import type { Limits } from '../cgroup/limits.ts';
import { midnightAfter, midnightBefore } from '../cron/midnight.ts';
import { hostZone, zoneOf } from '../cron/zone.ts';
import {
  type CpuReading,
  isSpentOn,
  LONGEST_LOOK_MS,
  limitsOfSpent,
  nextLookMs,
  readingAfter,
  usedOn,
} from './cpu-day.ts';

/** What outlives the emperor. */
export interface CpuReadings {
  read(name: string): CpuReading | undefined;
  /** Null: there is nothing to know any more. */
  write(name: string, reading: CpuReading | null): void;
}

export interface DailyCpuHost {
  readonly clock: Clock;
  readonly controllers: Controllers;
  readonly cpuReadings: CpuReadings;
  /** Of the machine. */
  readonly processors: number;
  readonly random: () => number;
}

/** For `status`. */
export interface DailyCpuUse {
  readonly budgetMs: number;
  readonly usedMs: number;
  readonly isSpent: boolean;
  readonly renewedAtMs: number;
}

export interface DailyCpuListener {
  /** The budget is used up, or there is a new one. */
  readonly onTurn: (isSpent: boolean) => void;
  /** `unmet()` may have another answer. */
  readonly onUnmet: () => void;
}

interface Budget {
  readonly budgetMs: number;
  /** The most that it can use at once. */
  readonly processors: number;
}

interface Day {
  readonly midnightMs: number;
  readonly nextMidnightMs: number;
}

/** So that not all wake at midnight. */
const MIDNIGHT_SPREAD_MS = 10_000;
const UNCOUNTED = 'the kernel does not tell what it has used (cgroup v1: the cpuacct controller)';
/** Of the budget. */
const WRITTEN_SHARE = 0.01;

export class DailyCpu {
  readonly #name: string;
  readonly #host: DailyCpuHost;
  readonly #listener: DailyCpuListener;
  #budget: Budget | null = null;
  /** When the jail was made; null while there is none. */
  #startedAtMs: number | null = null;
  /** At the last look there was nothing to be read. */
  #isUncounted = false;
  #reading: CpuReading | undefined;
  #written: CpuReading | undefined;
  #cancel = () => {};
  /** The day of the last look. */
  #today: Day = { midnightMs: 0, nextMidnightMs: 0 };

  constructor(name: string, host: DailyCpuHost, listener: DailyCpuListener) {
    this.#name = name;
    this.#host = host;
    this.#listener = listener;
  }

  /** Watches the jail that was made then, if its configuration has a budget. */
  follow(limits: Limits, startedAtMs: number): void {
    this.#take(limits);
    this.#startedAtMs = startedAtMs;
    this.#look();
  }

  /** The jail has ended, and its cgroup can still be read; or the emperor lets go of it. */
  stop(): void {
    this.#cancel();
    const reading = this.#read();
    if (reading) this.#note(reading, { isLast: true });
    this.#startedAtMs = null;
  }

  /** What it may have just now. */
  limitsOf(limits: Limits): Limits {
    this.#take(limits);
    return this.#isSpent() && this.#canBeKept() ? limitsOfSpent(limits) : limits;
  }

  /** Why its budget is not kept, if it has one that is not. */
  unmet(): readonly Unmet[] {
    if (!this.#budget) return [];
    if (!this.#canBeKept()) {
      return [{ key: 'daily-cpu', reason: 'the cpu controller of cgroups is not there' }];
    }
    return this.#isUncounted ? [{ key: 'daily-cpu', reason: UNCOUNTED }] : [];
  }

  use(): DailyCpuUse | null {
    if (!this.#budget) return null;
    const { midnightMs, nextMidnightMs } = this.#day();
    const reading = this.#read() ?? this.#reading;
    return {
      budgetMs: this.#budget.budgetMs,
      usedMs: reading ? usedOn(reading, midnightMs) : 0,
      isSpent: this.#isSpent(),
      renewedAtMs: nextMidnightMs,
    };
  }

  #take({ dailyCpuMs, cpuMax }: Limits): void {
    const { processors, cpuReadings } = this.#host;
    const most = typeof cpuMax === 'number' ? Math.min(cpuMax, processors) : processors;
    const isLimited = typeof dailyCpuMs === 'number';
    this.#budget = isLimited ? { budgetMs: dailyCpuMs, processors: most } : null;
    this.#reading ??= cpuReadings.read(this.#name);
    this.#written ??= this.#reading;
  }

  #look(): void {
    this.#cancel();
    const wasSpent = this.#reading?.isSpent ?? false;
    const wasUncounted = this.#isUncounted;
    const reading = this.#read();
    this.#isUncounted = this.#budget !== null && reading === undefined;
    if (this.#budget && reading) {
      this.#note(reading);
      this.#lookAgain(this.#budget, reading);
    } else if (this.#budget) {
      this.#cancel = this.#host.clock.after(LONGEST_LOOK_MS, () => this.#look());
    } else this.#forget();
    const isSpent = this.#reading?.isSpent ?? false;
    if (isSpent !== wasSpent) this.#listener.onTurn(isSpent);
    if (this.#isUncounted !== wasUncounted) this.#listener.onUnmet();
  }

  #lookAgain(budget: Budget, reading: CpuReading): void {
    const { nextMidnightMs } = this.#day();
    const { clock, random } = this.#host;
    const waitMs = nextLookMs(reading, { ...budget, nextMidnightMs });
    const isToMidnight = reading.atMs + waitMs >= nextMidnightMs;
    const spreadMs = isToMidnight ? random() * MIDNIGHT_SPREAD_MS : 0;
    this.#cancel = clock.after(waitMs + spreadMs, () => this.#look());
  }

  /** What is true now; undefined where there is no jail, no budget, or nothing to be read. */
  #read(): CpuReading | undefined {
    if (!this.#budget || this.#startedAtMs === null) return undefined;
    const cpuSeconds = this.#host.controllers.cpuSeconds(this.#name);
    if (cpuSeconds === null) return undefined;
    const counter = {
      atMs: this.#host.clock.now(),
      counterMs: cpuSeconds * 1000,
      startedAtMs: this.#startedAtMs,
    };
    return readingAfter(this.#reading, counter, { ...this.#budget, ...this.#day() });
  }

  #note(reading: CpuReading, { isLast = false } = {}): void {
    this.#reading = reading;
    const written = this.#written;
    const share = (this.#budget?.budgetMs ?? 0) * WRITTEN_SHARE;
    const isNews =
      written === undefined ||
      isLast ||
      written.isSpent !== reading.isSpent ||
      Math.abs(reading.usedMs - written.usedMs) >= share;
    if (!isNews) return;
    this.#written = reading;
    this.#host.cpuReadings.write(this.#name, reading);
  }

  /** What is used without a budget does not count later. */
  #forget(): void {
    if (!this.#reading) return;
    this.#reading = undefined;
    this.#written = undefined;
    this.#host.cpuReadings.write(this.#name, null);
  }

  #canBeKept(): boolean {
    return this.#host.controllers.available.has('cpu');
  }

  #isSpent(): boolean {
    const reading = this.#reading;
    return this.#budget !== null && isSpentOn(reading, this.#day().midnightMs);
  }

  #day(): Day {
    const nowMs = this.#host.clock.now();
    const { midnightMs, nextMidnightMs } = this.#today;
    // To ask which zone it is costs more than all the rest of a look.
    if (nowMs < midnightMs || nowMs >= nextMidnightMs) this.#today = dayAt(nowMs);
    return this.#today;
  }
}

function dayAt(nowMs: number): Day {
  const zone = zoneOf(hostZone());
  return { midnightMs: midnightBefore(zone, nowMs), nextMidnightMs: midnightAfter(zone, nowMs) };
}
