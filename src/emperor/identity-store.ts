/**
 * The identities of vassals on disk: state-dir/identities.json, with the owners of homes as second witness. So a
 * vassal need not wait for the disk: whatever a crash leaves of it is its home, which tells its uid.
 */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '../base/clock.ts';
import { prepareStateFile, readStateFile, writeStateFile } from '../base/state-file.ts';
import type { VassalConfig } from '../config/vassal-config.ts';
import { Identities, type UidRange } from './identities.ts';
import { listDirectories } from './listing.ts';

/** One write for all identities that are given out within this time. */
const SAVE_AFTER_MS = 1000;

export class IdentityStore {
  readonly #file: string;
  readonly #clock: Clock;
  readonly #identities: Identities;
  readonly #writeDown: (write: () => void) => void;
  #cancelSave: (() => void) | null = null;
  #savesAtOnce = 0;
  /** Those that wait for the disk in another thread, one after another. */
  #background: Promise<void> = Promise.resolve();

  constructor(options: {
    readonly stateDirectory: string;
    readonly homesDirectory: string;
    readonly uidRange: UidRange;
    readonly clock: Clock;
    /** Calls `write`, and says what keeps it from the disk; else save() throws that. */
    readonly writeDown?: (write: () => void) => void;
  }) {
    this.#file = join(options.stateDirectory, 'identities.json');
    this.#clock = options.clock;
    this.#writeDown = options.writeDown ?? ((write) => write());
    this.#identities = new Identities(options.uidRange);
    this.#identities.restore(readStateFile(this.#file));
    for (const name of listDirectories(options.homesDirectory)) {
      if (this.#identities.find(name) !== undefined) continue;
      this.#identities.claim(name, statSync(join(options.homesDirectory, name)).uid);
    }
  }

  /** Uid and gid of a vassal: those it is given by its file, else a pair of its own. */
  of(name: string, config: Pick<VassalConfig, 'uid' | 'gid'>): { uid: number; gid: number } {
    if (config.uid !== null) return { uid: config.uid, gid: config.gid ?? config.uid };
    const known = this.#identities.find(name);
    const uid = known ?? this.#identities.allocate(name);
    if (known === undefined) this.#saveSoon();
    return { uid, gid: config.gid ?? uid };
  }

  find(name: string): number | undefined {
    return this.#identities.find(name);
  }

  ownerOf(uid: number): string | undefined {
    return this.#identities.ownerOf(uid);
  }

  /** Notes that a running init of `name` has `uid`, or that its file gives it; null: that it gives none. */
  give(name: string, uid: number | null): void {
    const known = this.#identities.find(name);
    this.#identities.give(name, uid);
    if (this.#identities.find(name) !== known) this.#saveSoon();
  }

  release(name: string): void {
    this.#identities.release(name);
    this.#saveSoon();
  }

  /** Saves at once, and waits for the disk: for an emperor that leaves. */
  save(): void {
    this.#cancelSave?.();
    this.#cancelSave = null;
    this.#savesAtOnce += 1;
    this.#writeDown(() => writeStateFile(this.#file, this.#identities.toJson()));
  }

  #saveSoon(): void {
    this.#cancelSave ??= this.#clock.after(SAVE_AFTER_MS, () => {
      this.#cancelSave = null;
      const before = this.#savesAtOnce;
      this.#background = this.#background.then(() => this.#saveInBackground(before));
    });
  }

  /** Leaves it to a save at once that came meanwhile, after which nothing may be written. */
  async #saveInBackground(savesBefore: number): Promise<void> {
    if (savesBefore !== this.#savesAtOnce) return;
    const put = await prepareStateFile(this.#file, this.#identities.toJson()).catch(throwing);
    if (savesBefore === this.#savesAtOnce) this.#writeDown(put);
  }
}

/** What could not be prepared says so where it would have been put in place. */
function throwing(error: unknown): () => void {
  return () => {
    throw error;
  };
}
