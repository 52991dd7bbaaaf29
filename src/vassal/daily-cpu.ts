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

interface Budget {
  readonly budgetMs: number;
  /** The most that it can use at once. */
  readonly processors: number;
}

/** So that not all wake at midnight. */
const MIDNIGHT_SPREAD_MS = 10_000;
/** Of the budget. */
const WRITTEN_SHARE = 0.01;

export class DailyCpu {
  readonly #name: string;
  readonly #host: DailyCpuHost;
  readonly #onTurn: (isSpent: boolean) => void;
  #budget: Budget | null = null;
  /** When the jail was made; null while there is none. */
  #startedAtMs: number | null = null;
  #reading: CpuReading | undefined;
  #written: CpuReading | undefined;
  #cancel = () => {};

  /** `onTurn` is told when the budget is used up, and when there is a new one. */
  constructor(name: string, host: DailyCpuHost, onTurn: (isSpent: boolean) => void) {
    this.#name = name;
    this.#host = host;
    this.#onTurn = onTurn;
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
    if (!this.#budget || this.#canBeKept()) return [];
    return [{ key: 'daily-cpu', reason: 'the cpu controller of cgroups is not there' }];
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
    const reading = this.#read();
    if (this.#budget && reading) {
      this.#note(reading);
      this.#lookAgain(this.#budget, reading);
    } else this.#forget();
    const isSpent = this.#reading?.isSpent ?? false;
    if (isSpent !== wasSpent) this.#onTurn(isSpent);
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
    if (this.#budget || !this.#reading) return;
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

  #day(): { readonly midnightMs: number; readonly nextMidnightMs: number } {
    const zone = zoneOf(hostZone());
    const nowMs = this.#host.clock.now();
    return {
      midnightMs: midnightBefore(zone, nowMs),
      nextMidnightMs: midnightAfter(zone, nowMs),
    };
  }
}
