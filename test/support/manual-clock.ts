/** A clock that stands until a test moves it. */
import type { Clock } from '../../src/base/clock.ts';

export class ManualClock implements Clock {
  #nowMs = 0;
  readonly #timers = new Map<() => void, number>();

  now(): number {
    return this.#nowMs;
  }

  monotonic(): number {
    return this.#nowMs;
  }

  after(ms: number, action: () => void): () => void {
    const fire = () => action();
    this.#timers.set(fire, this.#nowMs + ms);
    return () => void this.#timers.delete(fire);
  }

  /** Has what falls due in `ms` happen, and what follows from it. */
  async pass(ms: number): Promise<void> {
    this.#nowMs += ms;
    for (const [fire, at] of [...this.#timers]) {
      if (at > this.#nowMs || !this.#timers.delete(fire)) continue;
      fire();
    }
    await settled();
  }

  get timers(): number {
    return this.#timers.size;
  }
}

/** Resolves when every promise that can go on has done so. */
export function settled(): Promise<void> {
  return new Promise((resolve) => void setImmediate(resolve));
}
