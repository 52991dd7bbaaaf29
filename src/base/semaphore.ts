/** Bounds how many run at once; first come, first served, but for those that somebody waits for. */
import type { Clock } from './clock.ts';

export interface Pace {
  readonly clock: Clock;
  /** Whoever takes longer than this holds up nobody any more. */
  readonly atMostMs: number;
  /** Goes before all that are not. */
  readonly isUrgent: boolean;
}

export class Semaphore {
  #free: number;
  readonly #urgent: (() => void)[] = [];
  readonly #waiting: (() => void)[] = [];

  constructor(permits: number) {
    this.#free = permits;
  }

  /** Runs `work` when a permit is free; it is given back afterwards, also on failure, unless `work` did so before. */
  async run<T>(work: (giveBack: () => void) => Promise<T>): Promise<T> {
    return this.#holding(this.#waiting, work);
  }

  /** The same, but the permit is given back after a while even if `work` goes on. */
  async pace<T>(work: () => Promise<T>, { clock, atMostMs, isUrgent }: Pace): Promise<T> {
    return this.#holding(isUrgent ? this.#urgent : this.#waiting, async (giveBack) => {
      const cancel = clock.after(atMostMs, giveBack);
      try {
        return await work();
      } finally {
        cancel();
      }
    });
  }

  async #holding<T>(queue: (() => void)[], work: (giveBack: () => void) => Promise<T>): Promise<T> {
    await this.#take(queue);
    let isHeld = true;
    const giveBack = () => {
      if (isHeld) this.#giveBack();
      isHeld = false;
    };
    try {
      return await work(giveBack);
    } finally {
      giveBack();
    }
  }

  async #take(queue: (() => void)[]): Promise<void> {
    if (this.#free > 0) this.#free -= 1;
    else await new Promise<void>((resolve) => void queue.push(resolve));
  }

  #giveBack(): void {
    const next = this.#urgent.shift() ?? this.#waiting.shift();
    if (next) next();
    else this.#free += 1;
  }
}

/** Does `work` for all items, `atOnce` of them at a time; returns what it returned, in their order. */
export function inParallel<Item, Result>(
  items: Iterable<Item>,
  atOnce: number,
  work: (item: Item) => Promise<Result>,
): Promise<Result[]> {
  const limit = new Semaphore(atOnce);
  return Promise.all([...items].map((item) => limit.run(() => work(item))));
}
