/** A clock that stands until a test moves it: wall and monotonic clock go together, until somebody sets the wall clock. */
import type { Clock } from '../../src/base/clock.ts';

export class ManualClock implements Clock {
  #wallMs: number;
  #monotonicMs = 0;
  readonly #timers = new Map<() => void, number>();

  constructor(wallMs = 0) {
    this.#wallMs = wallMs;
  }

  now(): number {
    return this.#wallMs;
  }

  monotonic(): number {
    return this.#monotonicMs;
  }

  after(ms: number, action: () => void): () => void {
    const fire = () => action();
    this.#timers.set(fire, this.#monotonicMs + ms);
    return () => void this.#timers.delete(fire);
  }

  /** Somebody sets the wall clock; time does not pass. */
  jump(ms: number): void {
    this.#wallMs += ms;
  }

  /** Time passes, timer by timer, with what follows from each. */
  async pass(ms: number): Promise<void> {
    const end = this.#monotonicMs + ms;
    for (;;) {
      const [next] = [...this.#timers].filter(([, at]) => at <= end).sort((a, b) => a[1] - b[1]);
      if (!next) break;
      const [fire, at] = next;
      this.#advance(Math.max(this.#monotonicMs, at));
      this.#timers.delete(fire);
      fire();
      await settled();
    }
    this.#advance(end);
    await settled();
  }

  get timers(): number {
    return this.#timers.size;
  }

  #advance(to: number): void {
    this.#wallMs += to - this.#monotonicMs;
    this.#monotonicMs = to;
  }
}

/** Resolves when every promise that can go on has done so. */
export function settled(): Promise<void> {
  return new Promise((resolve) => void setImmediate(resolve));
}
