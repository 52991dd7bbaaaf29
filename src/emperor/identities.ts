/**
 * Who a vassal is: a uid (its gid is the same number), stable by name, out of `uid-range`, never given to
 * another name while the first is remembered or still owns a home. A uid that a vassal's file gives counts too:
 * nobody else gets it, neither from us nor by a file. Pure; the emperor stores `toJson()`.
 */
import { EmperorError } from '../base/errors.ts';

export interface UidRange {
  readonly first: number;
  readonly last: number;
}

export class Identities {
  readonly #range: UidRange;
  readonly #uids = new Map<string, number>();
  readonly #names = new Map<number, string>();
  /** Uids beyond the range that files give: by name, and whose they are. */
  readonly #given = new Map<string, number>();
  readonly #givenTo = new Map<number, string>();
  #cursor: number;

  constructor(range: UidRange) {
    this.#range = range;
    this.#cursor = range.first;
  }

  /** Reads what toJson() wrote; entries that make no sense are left out. */
  restore(json: unknown): void {
    const uids = (json as { uids?: unknown } | undefined)?.uids;
    if (typeof uids !== 'object' || uids === null) return;
    for (const [name, uid] of Object.entries(uids)) {
      if (Number.isInteger(uid)) this.claim(name, Number(uid));
    }
  }

  /** Notes that `name` already owns `uid` (a home, a running init). The first claimant keeps it. */
  claim(name: string, uid: number): void {
    if (!this.#isInRange(uid) || this.#names.has(uid) || this.#uids.has(name)) return;
    this.#uids.set(name, uid);
    this.#names.set(uid, name);
  }

  /**
   * Notes which uid the file of `name` gives, null for none. One within the range stays with the name, as its
   * home does; another one is free again when the file no longer gives it. The first claimant keeps it.
   */
  give(name: string, uid: number | null): void {
    const before = this.#given.get(name);
    if (before !== undefined && before !== uid) {
      this.#given.delete(name);
      this.#givenTo.delete(before);
    }
    if (uid === null || this.ownerOf(uid) !== undefined) return;
    if (this.#isInRange(uid)) {
      this.#names.set(uid, name);
      if (!this.#uids.has(name)) this.#uids.set(name, uid);
    } else {
      this.#given.set(name, uid);
      this.#givenTo.set(uid, name);
    }
  }

  find(name: string): number | undefined {
    return this.#uids.get(name);
  }

  ownerOf(uid: number): string | undefined {
    return this.#names.get(uid) ?? this.#givenTo.get(uid);
  }

  /** Returns the uid of `name`, a new one if it has none. Throws `conflict` when the range is used up. */
  allocate(name: string): number {
    const known = this.#uids.get(name);
    if (known !== undefined) return known;
    const size = this.#range.last - this.#range.first + 1;
    for (let tried = 0; tried < size; tried += 1) {
      const uid = this.#cursor;
      this.#cursor = uid === this.#range.last ? this.#range.first : uid + 1;
      if (this.#names.has(uid)) continue;
      this.claim(name, uid);
      return uid;
    }
    throw new EmperorError(
      'conflict',
      `Cannot give ${name} a uid: all of uid-range ${this.#range.first}-${this.#range.last} are taken; ` +
        'widen uid-range or `emperor purge` vassals that are gone',
    );
  }

  /** Forgets `name`; its uid may be used again. */
  release(name: string): void {
    this.give(name, null);
    this.#uids.delete(name);
    for (const [uid, owner] of this.#names) if (owner === name) this.#names.delete(uid);
  }

  toJson(): { readonly version: 1; readonly uids: Readonly<Record<string, number>> } {
    return { version: 1, uids: Object.fromEntries(this.#uids) };
  }

  #isInRange(uid: number): boolean {
    return uid >= this.#range.first && uid <= this.#range.last;
  }
}
