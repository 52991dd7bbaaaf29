import { expect, test } from 'vitest';
import { Retry } from '../../../src/vassal/retry.ts';

/** A clock that is moved by hand and holds one timer. */
function retryWithClock() {
  let due: (() => void) | null = null;
  const clock = {
    now: () => 1000,
    monotonic: () => 0,
    after: (_: number, action: () => void) => {
      due = action;
      return () => {
        if (due === action) due = null;
      };
    },
  };
  const backoff = () => ({ firstMs: 500, maxMs: 180_000 });
  return {
    retry: new Retry({ clock, backoff, random: () => 0.5 }),
    ring: () => due?.(),
  };
}

test('Retry waits longer for each failure, and says until when', () => {
  const { retry, ring } = retryWithClock();
  let attempts = 0;
  retry.failures = 3;
  retry.schedule(() => {
    attempts += 1;
  });
  expect(retry.nextAttemptAtMs).toBe(1000 + 2000);
  ring();
  expect([attempts, retry.nextAttemptAtMs]).toEqual([1, null]);
});

test('Retry makes one attempt, however often it was scheduled, and none once cancelled', () => {
  const { retry, ring } = retryWithClock();
  const attempts: string[] = [];
  retry.schedule(() => attempts.push('first'));
  retry.schedule(() => attempts.push('second'));
  ring();
  retry.schedule(() => attempts.push('third'));
  retry.cancel();
  ring();
  expect(attempts).toEqual(['second']);
  expect(retry.nextAttemptAtMs).toBeNull();
});
