/**
 * The loop of one watched directory: does one piece of work after another, gives way to the event loop in
 * between, sleeps until the next one is due, and tells those who wait. It knows nothing of files.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Clock } from '../base/clock.ts';

export interface LoopWork {
  /** Does the most urgent piece of work, a few milliseconds of it; false if there is none now. */
  readonly step: () => boolean | Promise<boolean>;
  /** When there will be work though nobody calls schedule(); Infinity for never. */
  readonly nextAt: () => number;
}

/** Somebody who writes without a pause must not keep an operator's command waiting. */
const LONGEST_WAIT_MS = 2000;

export class WorkLoop {
  readonly #clock: Clock;
  readonly #work: LoopWork;
  #cancelAlarm: (() => void) | undefined;
  #isRunning = false;
  #isScheduled = false;
  #isClosed = false;
  #waiting: readonly (() => boolean)[] = [];

  constructor(clock: Clock, work: LoopWork) {
    this.#clock = clock;
    this.#work = work;
  }

  /** There is work to do, or a new time for it. */
  schedule(): void {
    if (this.#isRunning || this.#isScheduled || this.#isClosed) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      void this.#run();
    });
  }

  /** Resolves once `isDone` says so between two steps; `isLate` when that has taken unduly long. */
  until(isDone: (isLate: boolean) => boolean): Promise<void> {
    if (this.#isClosed) return Promise.resolve();
    const lateAt = this.#clock.monotonic() + LONGEST_WAIT_MS;
    return new Promise((resolve) => {
      const isOver = () => {
        const isEnd = this.#isClosed || isDone(this.#clock.monotonic() > lateAt);
        if (isEnd) resolve();
        return isEnd;
      };
      this.#waiting = [...this.#waiting, isOver];
      this.schedule();
    });
  }

  /** Stops before the next step; all who wait go on. */
  close(): void {
    this.#isClosed = true;
    this.#cancelAlarm?.();
    this.#wake();
  }

  async #run(): Promise<void> {
    if (this.#isRunning || this.#isClosed) return;
    this.#isRunning = true;
    this.#cancelAlarm?.();
    while (!this.#isClosed && (await this.#work.step())) {
      this.#wake();
      await nextTurn();
    }
    this.#isRunning = false;
    this.#wake();
    this.#setAlarm();
  }

  #wake(): void {
    if (this.#waiting.length > 0) this.#waiting = this.#waiting.filter((isOver) => !isOver());
  }

  #setAlarm(): void {
    const at = this.#work.nextAt();
    if (this.#isClosed || at === Infinity) return;
    const waitMs = Math.ceil(Math.max(0, at - this.#clock.monotonic()));
    this.#cancelAlarm = this.#clock.after(waitMs, () => void this.#run());
  }
}
