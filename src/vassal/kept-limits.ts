/**
 * The limits of one vassal while it runs: sets them, watches where they are met, follows its budget of processor time,
 * and tries again what could not be set because more is used than that.
 */
import type { Log } from '../base/log.ts';
import type { Unmet } from '../cgroup/controllers.ts';
import { type Limit, type Limits, shownLimits } from '../cgroup/limits.ts';
import { type Alarm, Alarms, type AlarmsHost } from './alarms.ts';
import { DailyCpu, type DailyCpuHost, type DailyCpuUse } from './daily-cpu.ts';
import { Retry } from './retry.ts';

export interface KeptLimitsHost extends AlarmsHost, DailyCpuHost {
  readonly log: Log;
  /** Why `ksm` has no effect; null where it has. */
  readonly ksmFailure: () => string | null;
}

/** A limit that is not kept, or is again. */
export interface UnmetNews {
  readonly key: string;
  readonly message: string;
  readonly isMet: boolean;
}

export interface LimitsListener {
  readonly onAlarm: (alarm: Alarm) => void;
  /** The budget of the day is used up, or there is a new one. */
  readonly onDailyCpu: (isSpent: boolean) => void;
  readonly onUnmet: (news: UnmetNews) => void;
}

/** How soon a limit is tried again that was below what is used. */
const AGAIN = { firstMs: 1000, maxMs: 60_000 };

export class KeptLimits {
  readonly #name: string;
  readonly #host: KeptLimitsHost;
  readonly #listener: LimitsListener;
  readonly #dailyCpu: DailyCpu;
  readonly #retry: Retry;
  #limits: Limits | null = null;
  #isRunning = false;
  /** What could not be set. */
  #unset: readonly Unmet[] = [];
  #unmetHome: readonly Unmet[] = [];
  #hasHomeSize = false;
  #told: readonly Unmet[] = [];

  readonly alarms: Alarms;

  constructor(name: string, host: KeptLimitsHost, listener: LimitsListener) {
    this.#name = name;
    this.#host = host;
    this.#listener = listener;
    this.alarms = new Alarms(name, host, listener.onAlarm);
    const { clock, random } = host;
    this.#retry = new Retry({ clock, random, backoff: () => AGAIN });
    this.#dailyCpu = new DailyCpu(name, host, {
      onTurn: (isSpent) => {
        listener.onDailyCpu(isSpent);
        this.#set();
      },
      onUnmet: () => this.#tellNews(),
    });
  }

  /** Those that are not kept. */
  get unmet(): readonly Unmet[] {
    return [...this.#unset, ...this.#unmetHome, ...this.#dailyCpu.unmet(), ...this.#unmetKsm()];
  }

  /** Null without `daily-cpu`. */
  get dailyCpu(): DailyCpuUse | null {
    return this.#dailyCpu.use();
  }

  /** What a jail begins with that is made by `limits`. */
  first(limits: Limits): Limits {
    this.#limits = limits;
    return this.#dailyCpu.limitsOf(limits);
  }

  /** Watches a jail that has its limits, made at `startedAtMs`. */
  watch(limits: Limits, startedAtMs: number): void {
    this.#limits = limits;
    this.#isRunning = true;
    this.alarms.follow(limits);
    this.#dailyCpu.follow(limits, startedAtMs);
  }

  /** Sets the limits of a jail that runs, and watches it. */
  apply(limits: Limits, startedAtMs: number): void {
    this.#retry.failures = 0;
    this.watch(limits, startedAtMs);
    this.#set();
  }

  stop(): void {
    this.#isRunning = false;
    this.alarms.stop();
    this.#dailyCpu.stop();
    this.#retry.cancel();
  }

  /** Takes what could not be set. */
  note(unset: readonly Unmet[]): void {
    this.#unset = unset;
    this.#tellNews();
    this.#tryAgain();
  }

  /** Takes what is not kept of its home's size, which others see to. */
  noteHome(unmet: readonly Unmet[], homeSize: Limit | null): void {
    this.#unmetHome = unmet;
    this.#hasHomeSize = typeof homeSize === 'number';
    this.#tellNews();
  }

  #tellNews(): void {
    const [before, now] = [this.#told, this.unmet];
    this.#told = now;
    for (const one of now) if (!before.some((other) => isSame(one, other))) this.#tell(one);
    const keys = new Set(now.map(({ key }) => key));
    for (const key of new Set(before.map((one) => one.key))) {
      const message = `\`${key}\` is kept now`;
      const isMet = !keys.has(key) && this.#isWanted(key);
      if (isMet) this.#listener.onUnmet({ key, message, isMet });
    }
  }

  /** What is no longer asked for is not kept either. */
  #isWanted(key: string): boolean {
    if (key === 'home-size') return this.#hasHomeSize;
    if (key === 'ksm') return this.#limits?.ksm ?? false;
    return this.#limits !== null && key in shownLimits(this.#limits);
  }

  #unmetKsm(): readonly Unmet[] {
    const reason = this.#limits?.ksm ? this.#host.ksmFailure() : null;
    return reason === null ? [] : [{ key: 'ksm', reason }];
  }

  #set(): void {
    if (!this.#isRunning || !this.#limits) return;
    const limits = this.#dailyCpu.limitsOf(this.#limits);
    this.note(this.#host.controllers.apply(this.#name, limits));
  }

  #tell({ key, reason }: Unmet): void {
    const message = `\`${key}\` is not kept: ${reason}`;
    this.#host.log.warn({ vassal: this.#name, key }, message);
    this.#listener.onUnmet({ key, message, isMet: false });
  }

  #tryAgain(): void {
    this.#retry.cancel();
    if (!this.#unset.some(({ isPassing }) => isPassing)) return;
    this.#retry.failures += 1;
    this.#retry.schedule(() => this.#set());
  }
}

function isSame(one: Unmet, other: Unmet): boolean {
  return one.key === other.key && one.reason === other.reason;
}
