/** What happened, for `emperor events`: the last ones are kept, new ones go to whoever listens. */
import type { Clock } from '../base/clock.ts';
import type { EmperorEvent } from './governor.ts';

/** How many past events are kept in memory. */
const KEPT = 5000;

export class EventLog {
  readonly #clock: Clock;
  readonly #past: EmperorEvent[] = [];
  readonly #listeners = new Set<(event: EmperorEvent) => void>();
  readonly #counts = new Map<string, number>();
  #lastId = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  add(
    event: string,
    fields: { readonly vassal?: string; readonly [key: string]: unknown } = {},
  ): void {
    this.#lastId += 1;
    const at = new Date(this.#clock.now()).toISOString();
    const entry: EmperorEvent = { id: this.#lastId, at, event, ...fields };
    this.#past.push(entry);
    this.#counts.set(event, (this.#counts.get(event) ?? 0) + 1);
    if (this.#past.length > 2 * KEPT) this.#past.splice(0, KEPT);
    for (const listener of this.#listeners) listener(entry);
  }

  /** How many there were of each kind in this run of the emperor. */
  counts(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.#counts);
  }

  /** Kept events not older than `since` (ISO 8601), oldest first. */
  since(since?: string): readonly EmperorEvent[] {
    const kept = this.#past.slice(-KEPT);
    if (since === undefined) return kept;
    const from = Date.parse(since);
    return kept.filter((event) => Date.parse(event.at) >= from);
  }

  subscribe(listener: (event: EmperorEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }
}
