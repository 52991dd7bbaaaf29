/**
 * Lists a directory of vassal files and tells whether what it lacks is missing: only the directory that was
 * first opened proves that, or one that has stood in its place for long enough (the rules are
 * watch-identity.ts). What is wrong with the directory itself is said here.
 */
import { readdirSync } from 'node:fs';
import type { Clock } from '../base/clock.ts';
import { vassalNameOfFile, whyNoVassal } from '../config/names.ts';
import {
  type DirectoryConditions,
  ignoredMessage,
  noEventsMessage,
  replacedMessage,
  unmountedMessage,
  unreadableMessage,
} from './watch-conditions.ts';
import type { DirectoryEvents } from './watch-events.ts';
import {
  type DirectoryIdentity,
  judgeDirectory,
  readIdentity,
  type Stranger,
  sameDirectory,
} from './watch-identity.ts';

export interface Listing {
  readonly names: ReadonlySet<string>;
  /** Whether a name that it lacks is missing. */
  readonly isProof: boolean;
  /** Whether what it lacks was held, and said, for as long as a mass removal is. */
  readonly isHoldServed: boolean;
}

export interface ListerOptions {
  readonly path: string;
  readonly clock: Clock;
  readonly rescanMs: number;
  readonly holdMs: number;
  readonly events: DirectoryEvents;
  readonly conditions: DirectoryConditions;
}

interface Read {
  readonly found: DirectoryIdentity;
  readonly names: ReadonlySet<string>;
  /** Files that are no vassals, though they look so, and why. */
  readonly ignored: ReadonlyMap<string, string>;
  /** Why there are no events of it, if there are none. */
  readonly eventsFailure: string | undefined;
}

const FIRST_RETRY_MS = 100;

export class Lister {
  readonly #options: ListerOptions;
  #trusted: DirectoryIdentity | undefined;
  #stranger: Stranger | undefined;
  /** Since when it cannot be read; undefined while it can. */
  #failingSince: number | undefined;

  constructor(options: ListerOptions) {
    this.#options = options;
  }

  /** Whether the path leads, now, to the directory whose absences count. */
  isProven(): boolean {
    return this.#leadsTo(this.#trusted);
  }

  /** Whether the path leads, now, to the directory that was listed last. */
  isAsListed(): boolean {
    return this.#leadsTo(this.#stranger?.identity ?? this.#trusted);
  }

  /**
   * When to list it again. A directory that is replaced by two renames is missing for an instant only, and
   * no event tells the end of that.
   */
  nextAt(): number {
    const { clock, rescanMs } = this.#options;
    const now = clock.monotonic();
    if (this.#failingSince === undefined) return now + rescanMs;
    return now + Math.min(Math.max(now - this.#failingSince, FIRST_RETRY_MS), rescanMs);
  }

  /** Reads the directory to its end; undefined if nothing that is there counts. */
  list(knownFiles: number): Listing | undefined {
    const { conditions, clock } = this.#options;
    const read = this.#read();
    if (!read) {
      this.#failingSince ??= clock.monotonic();
      return undefined;
    }
    this.#failingSince = undefined;
    conditions.clear('directory-unreadable');
    this.#sayEvents(read.eventsFailure);
    this.#sayIgnored(read.ignored);
    return this.#judge(read, knownFiles);
  }

  #read(): Read | undefined {
    const { path, events, conditions } = this.#options;
    try {
      const found = readIdentity(path);
      // Before the listing, so that nothing comes in between.
      const eventsFailure = events.arm(found);
      const names = new Set<string>();
      const ignored = new Map<string, string>();
      // Names only: entries with their types cost far more.
      for (const file of readdirSync(path)) {
        const name = vassalNameOfFile(file);
        if (name !== undefined) names.add(name);
        const why = whyNoVassal(file);
        if (why !== undefined) ignored.set(file, why);
      }
      // Exchanged while it was read: the names may be of both.
      return sameDirectory(found, readIdentity(path))
        ? { found, names, ignored, eventsFailure }
        : undefined;
    } catch (error) {
      // Whatever it is (ENOENT, EACCES, EIO, ESTALE): the directory proves nothing now.
      events.disarm();
      conditions.say('directory-unreadable', unreadableMessage(path, error));
      return undefined;
    }
  }

  #judge({ found, names }: Read, knownFiles: number): Listing | undefined {
    const { path, clock, holdMs, conditions } = this.#options;
    const verdict = judgeDirectory({
      now: clock.monotonic(),
      trusted: this.#trusted,
      stranger: this.#stranger,
      found,
      knownFiles,
      listedFiles: names.size,
      holdMs,
    });
    this.#stranger = 'stranger' in verdict ? verdict.stranger : undefined;
    switch (verdict.kind) {
      case 'unmounted':
        conditions.clear('directory-replaced');
        conditions.say('directory-unmounted', unmountedMessage(path));
        return undefined;
      case 'replaced':
        conditions.clear('directory-unmounted');
        conditions.say('directory-replaced', replacedMessage(path, names.size, holdMs));
        return { names, isProof: false, isHoldServed: false };
      case 'adopted':
      case 'trusted':
        this.#trusted = found;
        conditions.clear('directory-replaced', 'directory-unmounted');
        return { names, isProof: true, isHoldServed: verdict.kind === 'adopted' };
    }
  }

  #leadsTo(identity: DirectoryIdentity | undefined): boolean {
    try {
      return identity !== undefined && sameDirectory(identity, readIdentity(this.#options.path));
    } catch {
      // Whatever keeps it from being looked at, the next listing says it.
      return false;
    }
  }

  #sayEvents(failure: string | undefined): void {
    const { path, rescanMs, conditions } = this.#options;
    if (failure === undefined) conditions.clear('no-file-events');
    else conditions.say('no-file-events', noEventsMessage(path, failure, rescanMs));
  }

  #sayIgnored(files: ReadonlyMap<string, string>): void {
    const { path, conditions } = this.#options;
    if (files.size === 0) conditions.clear('ignored-files');
    else conditions.say('ignored-files', ignoredMessage(path, files));
  }
}
