/** What the router says of itself and its totals, for those who look at all vassals: they do not wait for one router. */
import type { Clock } from '../base/clock.ts';
import type { RouterClient } from '../router/client.ts';
import { NO_TRAFFIC, type Traffic } from '../router/counters.ts';
import type { RouterAbout, RouterCall, RouterCalls, RouterStatus } from '../router/protocol.ts';

/** A router that has not answered by then is left out of what is told. */
const ANSWER_MS = 1000;

/** The router's answer; its last one where it gives none now, null if it never did. */
export interface RouterLook {
  readonly status: RouterStatus | null;
  readonly isNow: boolean;
}

export class RouterLooks {
  readonly #clock: Clock;
  readonly #router: () => RouterClient | null;
  #looking: Promise<RouterLook> | null = null;
  #lastStatus: RouterStatus | null = null;

  /** `router`: the one that runs now. */
  constructor(clock: Clock, router: () => RouterClient | null) {
    this.#clock = clock;
    this.#router = router;
  }

  /** The router's process; null where it does not answer. */
  about(): Promise<RouterAbout | null> {
    return this.#ask('about', null);
  }

  /** What the router says, asked once for all who ask now. */
  look(): Promise<RouterLook> {
    this.#looking ??= this.#look().finally(() => {
      this.#looking = null;
    });
    return this.#looking;
  }

  /** Totals of one vassal; as they were last where the router does not answer, null if it never did. */
  async trafficOf(name: string): Promise<Traffic | null> {
    const told = await this.#ask('traffic', { name });
    if (told !== null) return told;
    return this.#lastStatus && (this.#lastStatus.traffic[name] ?? NO_TRAFFIC);
  }

  async #look(): Promise<RouterLook> {
    const status = await this.#ask('status', null);
    this.#lastStatus = status ?? this.#lastStatus;
    return { status: this.#lastStatus, isNow: status !== null };
  }

  /** Null where it does not answer. */
  async #ask<Call extends RouterCall>(
    call: Call,
    ask: RouterCalls[Call]['ask'],
  ): Promise<RouterCalls[Call]['answer'] | null> {
    const client = this.#router();
    if (client === null) return null;
    let stopTimer = () => {};
    const late = new Promise<null>((resolve) => {
      stopTimer = this.#clock.after(ANSWER_MS, () => resolve(null));
    });
    try {
      return await Promise.race([client.call(call, ask), late]);
    } catch (error) {
      if (client.isClosed) return null;
      throw error;
    } finally {
      stopTimer();
    }
  }
}
