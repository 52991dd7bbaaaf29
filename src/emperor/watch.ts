/**
 * Watches the directories of vassal files and reports every change once, as sightings. Where two directories
 * have a file of the same name, the directory that stands first in emperor.ini wins, and a condition names
 * the other. Who calls it: emperor/run.ts. How a directory is watched: watch-directory.ts.
 */
import type { Clock } from '../base/clock.ts';
import type { Log } from '../base/log.ts';
import { MASS_REMOVAL, type RemovalPolicy } from './mass-removal.ts';
import type { Sighting } from './sighting.ts';
import type { ConditionKind } from './watch-conditions.ts';
import { WatchedDirectory } from './watch-directory.ts';
import { Shadows } from './watch-shadows.ts';

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
  readonly #shadows: Shadows;
  /** Changes of the directories, one after another. */
  #change: Promise<void> = Promise.resolve();
  #isClosed = false;

  constructor(options: VassalWatchOptions) {
    this.#options = options;
    this.#shadows = new Shadows((directory, active, message) =>
      options.onCondition({ kind: 'duplicate-name', directory, message, active }),
    );
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
    // One that could not be read may well hold their files: each such has to show that it does not.
    const unread = this.#directories.filter((one) => !one.hasEvidence);
    const places = unread.length > 0 ? unread : this.#directories.slice(0, 1);
    for (const place of places) place.expect(orphans);
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
  setDirectories(paths: readonly string[]): Promise<void> {
    this.#change = this.#change.then(() => this.#exchange(new Set(paths)));
    return this.#change;
  }

  async #exchange(wanted: ReadonlySet<string>): Promise<void> {
    const shared = this.#shadows.names();
    const open = new Map(this.#all().map((directory) => [directory.path, directory]));
    this.#directories = [...wanted].map((path) => open.get(path) ?? this.#open(path));
    this.#retired = [...open.values()].filter(({ path }) => !wanted.has(path));
    for (const directory of this.#directories) {
      directory.retire(false);
      await directory.scan();
    }
    // Not before: a file that was moved from one directory to another never vanished.
    for (const directory of this.#retired) directory.retire(true);
    await Promise.all(this.#retired.map((directory) => directory.scan()));
    this.#dropEmpty();
    await this.#revealWinners(shared);
  }

  /** The order may have changed: each name that several have is told anew by the directory that wins now. */
  async #revealWinners(shared: readonly string[]): Promise<void> {
    const looks: Promise<void>[] = [];
    for (const name of new Set([...shared, ...this.#shadows.names()])) {
      const winner = this.#directories.find((directory) => directory.has(name));
      winner?.reveal(name);
      if (winner) looks.push(winner.look(name));
      this.#settleShadow(name);
    }
    this.#shadows.tell();
    await Promise.all(looks);
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
    const told = batch.filter((sighting) => this.#counts(from, sighting));
    for (const { name } of batch) this.#settleShadow(name);
    this.#shadows.tell();
    if (told.length > 0) this.#options.onSightings(told);
    this.#dropEmpty();
  }

  #counts(from: WatchedDirectory, { kind, name }: Sighting): boolean {
    const winner = this.#all().find((directory) => directory.has(name));
    if (kind !== 'gone') return winner === from;
    if (winner && this.#precedes(from, winner)) winner.reveal(name);
    return !winner && !this.#all().some((directory) => directory.expects(name));
  }

  #precedes(a: WatchedDirectory, b: WatchedDirectory): boolean {
    const all = this.#all();
    return all.indexOf(a) < all.indexOf(b);
  }

  #settleShadow(name: string): void {
    const holders = this.#directories.filter((directory) => directory.has(name));
    this.#shadows.settle(
      name,
      holders.map(({ path }) => path),
    );
  }

  #dropEmpty(): void {
    for (const directory of this.#retired) if (directory.isEmpty) directory.close();
    this.#retired = this.#retired.filter((directory) => !directory.isEmpty);
  }
}
