/** Waiting for something to become true, with a deadline. For what no event tells. */
import { patienceMs } from './slowness.ts';

const POLL_MS = 10;
const DEADLINE_MS = 10_000;

/** Resolves to the first result of `probe` that is neither false, null nor undefined. */
export async function until<T>(
  what: string,
  probe: () => T | Promise<T>,
  deadlineMs = DEADLINE_MS,
): Promise<Exclude<T, false | null | undefined>> {
  const limitMs = patienceMs(deadlineMs);
  const deadline = performance.now() + limitMs;
  for (;;) {
    const result = await probe();
    if (result !== false && result !== null && result !== undefined) {
      return result as Exclude<T, false | null | undefined>;
    }
    if (performance.now() > deadline) {
      throw new Error(`waited ${limitMs} ms in vain until ${what}`);
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}
