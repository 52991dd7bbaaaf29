/** The one home of time. Everything else gets a Clock as an argument, so that tests can hold it. */

export interface Clock {
  /** Wall clock, milliseconds since 1970. For what people read, never for durations. */
  now(): number;
  /** Monotonic milliseconds; jumps of the wall clock do not touch it. */
  monotonic(): number;
  /** Calls `action` once after `ms`; returns what cancels it. */
  after(ms: number, action: () => void): () => void;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(ms, action) {
    const timer = setTimeout(action, Math.min(ms, 2 ** 31 - 1));
    return () => clearTimeout(timer);
  },
};

/** Resolves after `ms` on `clock`. */
export function delay(clock: Clock, ms: number): Promise<void> {
  return new Promise((resolve) => void clock.after(ms, resolve));
}
