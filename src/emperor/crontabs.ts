/**
 * The customers' crontabs: which jobs they come to, and what is wrong with them.
 *
 * Theory of operation. A crontab is read by the vassal's init, as the tenant, once for each jail and then whenever init
 * tells of a change. Init tells once for each reading, so how often there is one is decided here: soon after a first
 * change, and more and more seldom while a customer changes it all the time. What cannot be read counts as a crontab
 * without jobs and with a finding; while a process inside holds a lease on it, or init does not answer, what was read
 * last stays and it is tried again. Reading changes nothing that runs.
 */
import { createHash } from 'node:crypto';
import type { Clock } from '../base/clock.ts';
import type { Diagnostic } from '../base/errors.ts';
import { EmperorError, messageOf } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import { Semaphore } from '../base/semaphore.ts';
import {
  type Crontab,
  type CrontabFinding,
  MAX_CRONTAB_BYTES,
  parseCrontab,
} from '../cron/crontab.ts';
import { diagnosticOf } from '../cron/crontab-diagnostics.ts';
import type { CrontabText } from '../jail/init-client.ts';
import { errnoName } from '../linux/errno.ts';
import type { VassalState } from '../vassal/state.ts';

/** The part of an init that crontabs need. */
export interface CrontabInit {
  crontab(home: string): Promise<CrontabText>;
  note(label: string, lines: readonly string[]): Promise<void>;
}

/** A vassal as its crontab sees it. */
export interface CrontabVassal {
  readonly name: string;
  readonly state: VassalState;
  /** Null while it has none. */
  readonly jail: { readonly init: CrontabInit } | null;
}

export interface CrontabsHost {
  readonly clock: Clock;
  readonly log: Log;
  /** The home as the vassal's processes see it; null where its crontab does not count, or nothing is known of it. */
  readonly homeOf: (vassal: string) => string | null;
  /** It says something else than before. */
  readonly onChange: (vassal: string) => void;
}

/** A change is looked at after so long: editors write more than once. */
const FIRST_MS = 100;
/** … and after twice as long each time, up to this, while changes go on; forgotten after as long a rest. */
const LAST_MS = 10_000;
const READ_AT_ONCE = 16;
/** An init that has not answered by then keeps no other from being read. */
const SLOW_MS = 100;
const LABEL = 'crontab';

interface Followed {
  /** That it was read in, or is being. */
  jail: CrontabVassal['jail'];
  crontab: Crontab | null;
  /** What `crontab` was made of; empty: nothing yet. */
  source: string;
  reading: Promise<void>;
  /** Because of a change. */
  readAtMs: number;
  waitMs: number;
  cancel: (() => void) | null;
}

export class Crontabs {
  readonly #host: CrontabsHost;
  readonly #followed = new Map<string, Followed>();
  readonly #limit = new Semaphore(READ_AT_ONCE);

  constructor(host: CrontabsHost) {
    this.#host = host;
  }

  /** Null: it does not count, or has not been read yet. */
  of(vassal: string): Crontab | null {
    return this.#host.homeOf(vassal) === null
      ? null
      : (this.#followed.get(vassal)?.crontab ?? null);
  }

  /** As `status` shows it. */
  diagnosticsOf(vassal: string): readonly Diagnostic[] {
    const file = `${this.#host.homeOf(vassal)}/crontab`;
    return (this.of(vassal)?.findings ?? []).map((finding) => diagnosticOf(file, finding));
  }

  /** Reads it if its jail is a new one; resolves when it has been read, or that was in vain. */
  follow(vassal: CrontabVassal): Promise<void> {
    const known = this.#followed.get(vassal.name);
    if (!vassal.jail || !this.#isReadable(vassal)) return Promise.resolve();
    if (known?.jail === vassal.jail) return known.reading;
    const followed = known ?? unread();
    this.#followed.set(vassal.name, followed);
    return this.#begin(vassal, followed);
  }

  /** Init tells of a change. */
  changed(vassal: CrontabVassal): void {
    const followed = this.#followed.get(vassal.name);
    if (!followed || followed.cancel || followed.jail !== vassal.jail) return;
    const { clock } = this.#host;
    const isFirst = clock.monotonic() - followed.readAtMs >= LAST_MS;
    followed.waitMs = isFirst ? FIRST_MS : Math.min(LAST_MS, followed.waitMs * 2);
    followed.cancel = clock.after(followed.waitMs, () => {
      followed.cancel = null;
      followed.readAtMs = clock.monotonic();
      if (!this.#isCurrent(vassal, followed)) return;
      // The next follow() reads it.
      if (!this.#isReadable(vassal)) followed.jail = null;
      else void this.#begin(vassal, followed);
    });
  }

  forget(vassal: string): void {
    this.#followed.get(vassal)?.cancel?.();
    this.#followed.delete(vassal);
  }

  close(): void {
    for (const vassal of [...this.#followed.keys()]) this.forget(vassal);
  }

  /** Whoever is frozen does not answer, and would keep others waiting. */
  #isReadable({ name, state }: CrontabVassal): boolean {
    return state !== 'frozen' && this.#host.homeOf(name) !== null;
  }

  #isCurrent({ name, jail }: CrontabVassal, followed: Followed): boolean {
    return this.#followed.get(name) === followed && jail !== null && followed.jail === jail;
  }

  #begin(vassal: CrontabVassal, followed: Followed): Promise<void> {
    followed.jail = vassal.jail;
    const pace = { clock: this.#host.clock, atMostMs: SLOW_MS, isUrgent: false };
    followed.reading = this.#limit.pace(() => this.#read(vassal, followed), pace);
    return followed.reading;
  }

  async #read(vassal: CrontabVassal, followed: Followed): Promise<void> {
    const home = this.#host.homeOf(vassal.name);
    const { jail } = followed;
    if (!jail || !this.#isCurrent(vassal, followed)) return;
    if (home === null) {
      followed.jail = null;
      return;
    }
    try {
      const given = await jail.init.crontab(home);
      if (!this.#isCurrent(vassal, followed)) return;
      if ('errno' in given && errnoName(given.errno) === 'EAGAIN') this.changed(vassal);
      else this.#take(vassal.name, followed, given);
    } catch (error) {
      if (!(error instanceof EmperorError)) throw error;
      const { log } = this.#host;
      log.debug({ vassal: vassal.name, error: error.message }, 'its crontab could not be read');
      if (this.#isCurrent(vassal, followed)) this.changed(vassal);
    }
  }

  #take(name: string, followed: Followed, given: CrontabText): void {
    const source = sourceOf(given);
    if (followed.source === source) return;
    followed.source = source;
    followed.crontab = 'text' in given ? parseCrontab(given.text) : unreadable(given.errno);
    this.#host.onChange(name);
    this.#tellCustomer(name, followed);
  }

  /** In the vassal's own log. */
  #tellCustomer(vassal: string, { jail, crontab }: Followed): void {
    const lines = crontab?.findings.map(lineOf) ?? [];
    if (lines.length === 0) return;
    jail?.init.note(LABEL, lines).catch((error: unknown) => {
      // Its init has ended, or is frozen; `status` says the same.
      this.#host.log.debug({ vassal, error: messageOf(error) }, 'its log could not be written to');
    });
  }
}

function unread(): Followed {
  return {
    jail: null,
    crontab: null,
    source: '',
    reading: Promise.resolve(),
    readAtMs: Number.NEGATIVE_INFINITY,
    waitMs: FIRST_MS,
    cancel: null,
  };
}

function sourceOf(given: CrontabText): string {
  if ('errno' in given) return `errno ${given.errno}`;
  return createHash('sha256').update(given.text).digest('hex');
}

const NONE: Crontab = { jobs: [], findings: [] };
const WHY: Readonly<Record<string, string>> = {
  EINVAL: 'it is no regular file',
  ENXIO: 'it is no regular file',
  ELOOP: 'it is a symbolic link',
  EPERM: "it is not owned by the vassal's own user",
  EACCES: "the vassal's own user may not read it",
  EFBIG: `it is larger than ${MAX_CRONTAB_BYTES / 1024} KiB`,
};

/** Init is the tenant's: of what it says only the number is taken. Without a file there is nothing to be said. */
function unreadable(errno: number): Crontab {
  const name = errnoName(errno);
  // ENOSYS: an init that an emperor before crontabs has started.
  if (name === 'ENOENT' || name === 'ENOSYS') return NONE;
  const finding: CrontabFinding = {
    line: 0,
    severity: 'error',
    text: '',
    offset: 0,
    length: 0,
    message: `the crontab cannot be read: ${WHY[name] ?? name}`,
    hint: 'make it a plain file of the user that the vassal runs as; none of its jobs runs',
  };
  return { jobs: [], findings: [finding] };
}

function lineOf({ line, severity, message, hint }: CrontabFinding): string {
  const place = line === 0 ? '' : `line ${line}: `;
  return `${place}${severity}: ${message}; ${hint}`;
}
