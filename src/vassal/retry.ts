/** When a vassal that failed is tried again: counts its failures and holds the one timer of its backoff. */
import { type BackoffPolicy, backoffMs } from '../base/backoff.ts';
import type { Clock } from '../base/clock.ts';

export interface RetryHost {
  readonly clock: Clock;
  readonly backoff: () => BackoffPolicy;
  readonly random: () => number;
}

export class Retry {
  readonly #host: RetryHost;
  #cancel: () => void = () => {};
  /** In a row. */
  failures = 0;
  nextAttemptAtMs: number | null = null;

  constructor(host: RetryHost) {
    this.#host = host;
  }

  /** Calls `attempt` once, when as many failures have been waited for. */
  schedule(attempt: () => void): void {
    this.cancel();
    const { clock, backoff, random } = this.#host;
    const waitMs = backoffMs(backoff(), this.failures, random());
    this.nextAttemptAtMs = clock.now() + waitMs;
    this.#cancel = clock.after(waitMs, () => {
      this.nextAttemptAtMs = null;
      attempt();
    });
  }

  cancel(): void {
    this.nextAttemptAtMs = null;
    this.#cancel();
  }
}
