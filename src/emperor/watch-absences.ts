/**
 * Names that were there and are not. An absence is acted upon when it is old enough (editors rename a file
 * away and write it anew) and, where many vanish at once, after a hold. Time is an argument; whether the
 * directory proves anything is judged before by watch-directory.ts.
 */
import { judgeRemovals, type RemovalPolicy, recentRemovals } from './mass-removal.ts';

export interface AbsenceView {
  readonly now: number;
  /** Files known, those that are missing included. */
  readonly knownFiles: number;
  /** Whether another directory has that name, so that nothing vanishes with this one. */
  readonly isElsewhere: (name: string) => boolean;
}

export type AbsenceVerdict =
  | { readonly kind: 'gone'; readonly names: readonly string[] }
  | { readonly kind: 'wait' }
  /** `isNew` at its first verdict. */
  | {
      readonly kind: 'held';
      readonly until: number;
      readonly count: number;
      readonly isNew: boolean;
    };

export class Absences {
  readonly #policy: RemovalPolicy;
  readonly #absenceMs: number;
  /** With the time of the first look that missed them, oldest first. */
  readonly #missing = new Map<string, number>();
  #acted: readonly number[] = [];
  #heldUntil: number | undefined;
  #judgeAt = Infinity;

  constructor(policy: RemovalPolicy, absenceMs: number) {
    this.#policy = policy;
    this.#absenceMs = absenceMs;
  }

  get size(): number {
    return this.#missing.size;
  }

  /** When there is something to judge; Infinity if nothing will ever be without a new look. */
  get judgeAt(): number {
    return this.#judgeAt;
  }

  names(): readonly string[] {
    return [...this.#missing.keys()];
  }

  has(name: string): boolean {
    return this.#missing.has(name);
  }

  add(name: string, now: number): void {
    if (this.#missing.has(name)) return;
    this.#missing.set(name, now);
    this.#judgeAt = Math.min(this.#judgeAt, now + this.#absenceMs);
  }

  /** The file is there again. */
  drop(name: string): void {
    this.#missing.delete(name);
  }

  /** Lets the next verdict be the end of a hold: it was served in another form. */
  endHoldAt(now: number): void {
    this.#heldUntil = now;
  }

  /** Forgets a hold that nothing is left of. */
  settle(): void {
    if (this.#missing.size > 0) return;
    this.#heldUntil = undefined;
    this.#judgeAt = Infinity;
  }

  /** Whether a verdict about a name (or any name) is a matter of milliseconds: neither held nor unproven. */
  isPending(name?: string): boolean {
    if (name !== undefined && !this.#missing.has(name)) return false;
    return this.#judgeAt !== Infinity && this.#heldUntil === undefined;
  }

  /** There is no proof now: no verdict before a look brings one. */
  postpone(): void {
    this.#judgeAt = Infinity;
  }

  /** Decides about what is missing; names that are gone are forgotten here. */
  judge(view: AbsenceView): AbsenceVerdict {
    const { now } = view;
    const vanished = this.names().filter((name) => !view.isElsewhere(name));
    const since = vanished.map((name) => this.#missing.get(name) ?? now);
    const verdict = judgeRemovals(
      {
        now,
        known: view.knownFiles,
        missing: vanished.length,
        oldest: since[0] ?? now,
        youngest: since.at(-1) ?? now,
        acted: this.#acted,
        heldUntil: this.#heldUntil,
      },
      this.#policy,
    );
    if (verdict.act === 'now') return { kind: 'gone', names: this.#takeOld(now, vanished) };
    this.#judgeAt = verdict.until;
    if (verdict.act === 'wait') return { kind: 'wait' };
    const isNew = this.#heldUntil === undefined;
    this.#heldUntil = verdict.until;
    return { kind: 'held', until: verdict.until, count: vanished.length, isNew };
  }

  /** Takes out what has been missing for long enough. */
  #takeOld(now: number, vanished: readonly string[]): readonly string[] {
    const names: string[] = [];
    this.#judgeAt = Infinity;
    for (const [name, since] of this.#missing) {
      if (now - since < this.#absenceMs) {
        this.#judgeAt = Math.min(this.#judgeAt, since + this.#absenceMs);
        continue;
      }
      this.#missing.delete(name);
      names.push(name);
    }
    // After a hold they have been judged; only others count for the next one.
    const counted = this.#heldUntil === undefined ? new Set(vanished) : new Set<string>();
    const acted = names.filter((name) => counted.has(name)).map(() => now);
    this.#acted = [...recentRemovals(this.#acted, now), ...acted];
    this.settle();
    return names;
  }
}
