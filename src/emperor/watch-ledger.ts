/**
 * What is known of the vassal files of one directory, and what a look at one of them brings. It decides
 * whether a file is news; when to look, and what an absence means, is decided by its callers.
 */
import type { Clock } from '../base/clock.ts';
import type { FileSignature } from '../linux/statx.ts';
import { type FileReading, lookAtFile, readVassalFile, sameSignature } from './read-vassal-file.ts';
import type { FileOwner, Sighting } from './sighting.ts';

export type FileOutcome =
  | { readonly kind: 'news'; readonly sighting: Sighting }
  | { readonly kind: 'same' }
  /** A writer has it open. */
  | { readonly kind: 'busy' }
  /** Written in place a moment ago: look again then. */
  | { readonly kind: 'unsettled'; readonly waitMs: number }
  | { readonly kind: 'missing' };

type Content = Extract<FileReading, { kind: 'content' }>;
type Refusal = Extract<FileReading, { kind: 'refused' }>;

/** A file that is, or was a moment ago, in the directory. */
interface Known {
  readonly signature: FileSignature | undefined;
  /** Of the last accepted content; undefined for a refused file and for one that is still busy. */
  readonly sha256: string | undefined;
  readonly owner: FileOwner | undefined;
  /** What was reported as the reason of a refusal. */
  readonly refusal: string | undefined;
  /** Whether it was only met so far, left by an earlier emperor, or reported. */
  readonly standing: 'met' | 'expected' | 'reported';
  /** Written so shortly before the look that a second write might have left the same signature. */
  readonly isRacy: boolean;
}

const MET: Known = {
  signature: undefined,
  sha256: undefined,
  owner: undefined,
  refusal: undefined,
  standing: 'met',
  isRacy: false,
};

/**
 * How long a file without content must rest: who makes it may have been held up before it opened it to write. No vassal
 * is meant to have such a file.
 */
const EMPTY_SETTLE_MS = 1000;
/** Timestamps of files move in ticks of up to 10 ms. */
const RACY_MS = 50;

export interface LedgerOptions {
  readonly path: string;
  readonly clock: Clock;
  readonly settleMs: number;
}

export class FileLedger {
  readonly #options: LedgerOptions;
  readonly #known = new Map<string, Known>();

  constructor(options: LedgerOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#known.size;
  }

  names(): Iterable<string> {
    return this.#known.keys();
  }

  standing(name: string): Known['standing'] | undefined {
    return this.#known.get(name)?.standing;
  }

  fileOf(name: string): string {
    return `${this.#options.path}/${name}.ini`;
  }

  forget(name: string): void {
    this.#known.delete(name);
  }

  /** Takes a name for known that an earlier emperor left running. */
  expect(name: string): void {
    if (!this.#known.has(name)) this.#known.set(name, { ...MET, standing: 'expected' });
  }

  /** Makes the next look at a known file news, and the next scan look. */
  unsay(name: string): void {
    const standing = this.standing(name);
    if (standing) this.#known.set(name, { ...MET, standing });
  }

  exists(name: string): boolean {
    return lookAtFile(this.fileOf(name)) !== 'missing';
  }

  /** Tells by a statx whether a file must be read again. */
  differs(name: string): boolean {
    const known = this.#known.get(name);
    if (!known?.signature || known.isRacy) return true;
    const look = lookAtFile(this.fileOf(name));
    return typeof look !== 'object' || !sameSignature(look, known.signature);
  }

  /** Reads a file; `movedFrom` is what it may just have been renamed from. */
  look(name: string, movedFrom: string | undefined): FileOutcome {
    const reading = readVassalFile(this.fileOf(name));
    switch (reading.kind) {
      case 'missing':
        return reading;
      case 'busy':
        this.#meet(name);
        return reading;
      case 'refused':
        return this.#refuse(name, reading);
      case 'content': {
        const isMoved = reading.leased && this.#wasMoved(movedFrom);
        const waitMs = isMoved ? 0 : this.#settleMs(name, reading);
        if (waitMs === 0) return this.#accept(name, reading);
        this.#meet(name);
        return { kind: 'unsettled', waitMs };
      }
    }
  }

  #meet(name: string): void {
    if (!this.#known.has(name)) this.#known.set(name, MET);
  }

  #wasMoved(movedFrom: string | undefined): boolean {
    if (movedFrom === undefined) return false;
    return lookAtFile(`${this.#options.path}/${movedFrom}`) === 'missing';
  }

  /**
   * How long a file must still rest. One that changed after it was written was renamed into place, or
   * closed and given its times (cp -p); one written in place may be about to be written again. Where there
   * are no leases, time since the last change is the only sign that its writer is done.
   */
  #settleMs(name: string, reading: Content): number {
    const { mtimeNs, ctimeNs } = reading.signature;
    if (this.#known.get(name)?.sha256 === reading.sha256) return 0;
    if (reading.leased && ctimeNs > mtimeNs) return 0;
    const age = this.#ageMs(ctimeNs);
    const restMs = Math.max(this.#options.settleMs, reading.text === '' ? EMPTY_SETTLE_MS : 0);
    // A clock that was set back must not make a file wait for hours.
    return age < 0 ? 0 : Math.max(0, Math.ceil(restMs - age));
  }

  #ageMs(ns: bigint): number {
    return this.#options.clock.now() - Number(ns / 1000n) / 1000;
  }

  #isRacy({ ctimeNs }: FileSignature): boolean {
    return this.#ageMs(ctimeNs) < RACY_MS;
  }

  #accept(name: string, reading: Content): FileOutcome {
    const { text, sha256, owner, signature } = reading;
    const before = this.#known.get(name);
    const isSame = before?.sha256 === sha256 && sameOwner(before.owner, owner);
    const isTouched = isSame && timesMoved(before.signature, signature);
    const isRacy = this.#isRacy(signature);
    this.#known.set(name, { ...MET, signature, sha256, owner, standing: 'reported', isRacy });
    if (isSame && !isTouched) return { kind: 'same' };
    const file = this.fileOf(name);
    return {
      kind: 'news',
      sighting: { kind: 'present', name, file, text, sha256, owner, touched: isTouched },
    };
  }

  #refuse(name: string, { diagnostics, signature }: Refusal): FileOutcome {
    const refusal = JSON.stringify(diagnostics);
    const isSame = this.#known.get(name)?.refusal === refusal;
    const isRacy = signature !== undefined && this.#isRacy(signature);
    this.#known.set(name, { ...MET, signature, refusal, standing: 'reported', isRacy });
    if (isSame) return { kind: 'same' };
    const file = this.fileOf(name);
    return { kind: 'news', sighting: { kind: 'refused', name, file, diagnostics } };
  }
}

function sameOwner(a: FileOwner | undefined, b: FileOwner): boolean {
  return a?.uid === b.uid && a.gid === b.gid && a.mode === b.mode;
}

/** A touch moves the time of writing or puts an equal file in place; a new hard link does neither. */
function timesMoved(before: FileSignature | undefined, after: FileSignature): boolean {
  if (!before) return false;
  return before.mtimeNs !== after.mtimeNs || before.ino !== after.ino || before.dev !== after.dev;
}
