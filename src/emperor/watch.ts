/**
 * Watches the directories of vassal files and reports every change once, as sightings. Where two directories
 * have a file of the same name, the directory that stands first in emperor.ini wins, and a condition names
 * the other. Who calls it: emperor/run.ts. How a directory is watched: watch-directory.ts.
 */
import type { Clock } from '../base/clock.ts';
import type { Log } from '../base/log.ts';
import { MASS_REMOVAL, type RemovalPolicy } from './mass-removal.ts';
import type { Sighting } from './sighting.ts';
import { type ConditionKind, WatchedDirectory } from './watch-directory.ts';

export interface WatchCondition {
  readonly kind: ConditionKind | 'duplicate-name';
  readonly directory: string;
  readonly message: string;
  readonly active: boolean;
}

export interface VassalWatchOptions {
  readonly directories: readonly string[];
  readonly clock: Clock;
  readonly log: Log;
  readonly settleMs: number;
  readonly rescanMs?: number;
  readonly massRemoval?: RemovalPolicy;
  /** Never holds two sightings of one name that contradict each other out of order. */
  readonly onSightings: (batch: readonly Sighting[]) => void;
  readonly onCondition: (condition: WatchCondition) => void;
}

const RESCAN_MS = 5000;

export class VassalWatch {
  readonly #options: VassalWatchOptions;
  /** In order of precedence; those that are no longer configured stand last until they are empty. */
  #directories: readonly WatchedDirectory[];
  #retired: readonly WatchedDirectory[] = [];
  /** Names that a later directory has in vain, with what was said of them. */
  readonly #shadowed = new Map<string, WatchCondition>();
  #isClosed = false;

  constructor(options: VassalWatchOptions) {
    this.#options = options;
    this.#directories = [...new Set(options.directories)].map((path) => this.#open(path));
  }

  /**
   * Reads all directories; resolves when everything in them has been reported. `expected` are names that an
   * earlier emperor left running: those without a file are reported gone by the same rules as any removal
   * (proof, mass removal), never because a directory could not be read.
   */
  async start(expected: readonly string[] = []): Promise<void> {
    for (const directory of this.#directories) await directory.scan();
    const orphans = expected.filter((name) => !this.#directories.some((one) => one.knows(name)));
    if (orphans.length === 0) return;
    // One that could not be read may well hold their files: there they wait for proof.
    const place = this.#directories.find((one) => !one.hasEvidence) ?? this.#directories[0];
    place?.expect(orphans);
  }

  /** Reads all directories again; resolves when everything that differs has been reported. */
  async rescan(): Promise<void> {
    await Promise.all(this.#all().map((directory) => directory.scan()));
  }

  /** Looks at one vassal's file; resolves when what is there has been reported, unless a writer has it open. */
  async look(name: string): Promise<void> {
    await Promise.all(this.#directories.map((directory) => directory.look(name)));
  }

  /** Follows a change of emperor.ini: what is in a directory no longer named counts as removed. */
  async setDirectories(paths: readonly string[]): Promise<void> {
    const open = new Map(this.#all().map((directory) => [directory.path, directory]));
    const wanted = new Set(paths);
    this.#directories = [...wanted].map((path) => open.get(path) ?? this.#open(path));
    this.#retired = [...open.values()].filter(({ path }) => !wanted.has(path));
    for (const directory of this.#directories) {
      directory.retire(false);
      await directory.scan();
    }
    for (const directory of this.#retired) directory.retire(true);
    await Promise.all(this.#retired.map((directory) => directory.scan()));
    this.#dropEmpty();
    // The order may have changed: each name is told anew by the directory that wins now.
    for (const name of [...this.#shadowed.keys()]) this.#settleShadow(name, true);
  }

  close(): void {
    this.#isClosed = true;
    for (const directory of this.#all()) directory.close();
  }

  #all(): readonly WatchedDirectory[] {
    return [...this.#directories, ...this.#retired];
  }

  #open(path: string): WatchedDirectory {
    const { clock, log, settleMs, onCondition } = this.#options;
    const directory: WatchedDirectory = new WatchedDirectory({
      path,
      clock,
      log,
      settleMs,
      rescanMs: this.#options.rescanMs ?? RESCAN_MS,
      massRemoval: this.#options.massRemoval ?? MASS_REMOVAL,
      onSightings: (batch) => this.#merge(directory, batch),
      onCondition: (kind, active, message) =>
        onCondition({ kind, directory: path, message, active }),
      isElsewhere: (name) => this.#all().some((other) => other !== directory && other.has(name)),
    });
    return directory;
  }

  /** Lets through what the winning directory says of a name. */
  #merge(from: WatchedDirectory, batch: readonly Sighting[]): void {
    if (this.#isClosed) return;
    const told: Sighting[] = [];
    for (const sighting of batch) {
      const { name } = sighting;
      const winner = this.#all().find((directory) => directory.has(name));
      if (sighting.kind === 'gone') {
        if (!winner) told.push(sighting);
        else if (this.#precedes(from, winner)) winner.reveal(name);
      } else if (winner === from) {
        told.push(sighting);
      }
      this.#settleShadow(name, false);
    }
    if (told.length > 0) this.#options.onSightings(told);
    this.#dropEmpty();
  }

  #precedes(a: WatchedDirectory, b: WatchedDirectory): boolean {
    const all = this.#all();
    return all.indexOf(a) < all.indexOf(b);
  }

  #settleShadow(name: string, mustReveal: boolean): void {
    const holders = this.#directories.filter((directory) => directory.has(name));
    const before = this.#shadowed.get(name);
    const [winner, loser] = holders;
    if (winner && mustReveal) winner.reveal(name);
    const message =
      winner && loser
        ? `${loser.path}/${name}.ini is ignored: ${winner.path}/${name}.ini has the same name ` +
          'and its directory stands first; rename or remove one of them'
        : undefined;
    if (before?.message === message) return;
    if (before) this.#options.onCondition({ ...before, active: false });
    if (message === undefined || !loser) {
      this.#shadowed.delete(name);
      return;
    }
    const condition: WatchCondition = {
      kind: 'duplicate-name',
      directory: loser.path,
      message,
      active: true,
    };
    this.#shadowed.set(name, condition);
    this.#options.onCondition(condition);
  }

  #dropEmpty(): void {
    for (const directory of this.#retired) if (directory.isEmpty) directory.close();
    this.#retired = this.#retired.filter((directory) => !directory.isEmpty);
  }
}
