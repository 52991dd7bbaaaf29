/**
 * The names of one directory that have to be looked at: now, oldest first, or later, because a writer has
 * the file open or may not be done yet. Time is an argument.
 */

/** A look that has to be repeated. */
interface Later {
  readonly at: number;
  readonly why: 'busy' | 'unsettled';
  /** When a writer was first met, if one was. */
  readonly busySince: number | undefined;
}

export interface Look {
  readonly name: string;
  /** The file that it may have been renamed from a moment ago. */
  readonly movedFrom: string | undefined;
  readonly busySince: number | undefined;
}

const FIRST_RETRY_MS = 20;
const LAST_RETRY_MS = 200;

export class PendingLooks {
  readonly #ready = new Map<string, string | undefined>();
  readonly #later = new Map<string, Later>();
  /** When the earliest of them is due, or before. */
  #laterAt = Infinity;

  /** How many are to be looked at now. */
  get size(): number {
    return this.#ready.size;
  }

  /** When one of those put off is due. */
  get nextAt(): number {
    return this.#laterAt;
  }

  /** Asks for a look now; an earlier request keeps its turn. */
  add(name: string, movedFrom?: string): void {
    if (movedFrom !== undefined || !this.#ready.has(name)) this.#ready.set(name, movedFrom);
  }

  /** Takes out the next one to look at. */
  take(): Look | undefined {
    const [first] = this.#ready;
    if (!first) return undefined;
    const [name, movedFrom] = first;
    const busySince = this.#later.get(name)?.busySince;
    this.#ready.delete(name);
    this.#later.delete(name);
    return { name, movedFrom, busySince };
  }

  /**
   * A writer has it open. The longer it does, the less it hurts to notice its end late. Returns for how long
   * it has had it.
   */
  retry({ name, busySince }: Look, now: number): number {
    const since = busySince ?? now;
    const waitMs = Math.min(Math.max(FIRST_RETRY_MS, Math.ceil((now - since) / 8)), LAST_RETRY_MS);
    this.#postpone(name, { at: now + waitMs, why: 'busy', busySince: since });
    return now - since;
  }

  /** It was written a moment ago: looks again when that has settled. */
  settle({ name, busySince }: Look, at: number): void {
    this.#postpone(name, { at, why: 'unsettled', busySince });
  }

  #postpone(name: string, later: Later): void {
    this.#later.set(name, later);
    this.#laterAt = Math.min(this.#laterAt, later.at);
  }

  /** Makes those ready that are due. */
  promote(now: number): void {
    if (this.#laterAt > now) return;
    this.#laterAt = Infinity;
    for (const [name, { at }] of this.#later) {
      if (at <= now) this.add(name);
      else this.#laterAt = Math.min(this.#laterAt, at);
    }
  }

  /** Whether a look at it is to come, now or later. */
  has(name: string): boolean {
    return this.#ready.has(name) || this.#later.has(name);
  }

  /** Whether it is to be looked at now. */
  isReady(name: string): boolean {
    return this.#ready.has(name);
  }

  /** Whether it (or anything) has only to settle, which is a matter of milliseconds. */
  isSettling(name?: string): boolean {
    if (name !== undefined) return this.#later.get(name)?.why === 'unsettled';
    for (const { why } of this.#later.values()) if (why === 'unsettled') return true;
    return false;
  }

  forget(name: string): void {
    this.#ready.delete(name);
    this.#later.delete(name);
  }

  clear(): void {
    this.#ready.clear();
    this.#later.clear();
    this.#laterAt = Infinity;
  }
}
