/** Exponential backoff with jitter. Pure: time and randomness are arguments. */

export interface BackoffPolicy {
  readonly firstMs: number;
  readonly maxMs: number;
}

/**
 * Returns the wait before attempt number `failures` + 1, in milliseconds: `firstMs` doubled for each
 * failure after the first, at most `maxMs`, with ±20 % jitter from `random` (0 ≤ random < 1).
 */
export function backoffMs(policy: BackoffPolicy, failures: number, random: number): number {
  const doubled = policy.firstMs * 2 ** Math.min(Math.max(failures, 1) - 1, 40);
  return Math.round(Math.min(doubled, policy.maxMs) * (0.8 + 0.4 * random));
}
