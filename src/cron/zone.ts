/**
 * Time zones, as ECMAScript's Intl knows them: what is one, and how far its clocks are ahead of UTC at a moment.
 *
 * Intl answers in microseconds where a schedule needs many answers, so offsets at the beginnings of UTC's days are
 * kept, and a change within a day is searched for once. A day with two changes that undo each other has none here;
 * there has been no such day in any zone since clocks are changed by law.
 */
import { type Fault, faultAt, shown, type Word } from '../base/fault.ts';

export const DAY_MS = 86_400_000;
/** Days of offsets that are kept for each zone; then they are asked for again. */
const KEPT_DAYS = 4000;
const KEPT_ZONES = 64;
const MAX_NAME = 64;

/** Clocks are changed. */
export interface Change {
  /** The first moment of the new offset. */
  readonly atMs: number;
  /** How far the clocks go forward; negative for back. */
  readonly byMs: number;
}

/** Says what is wrong with the name of a zone; undefined for one that there is. */
export function zoneFault(word: Word): Fault | undefined {
  if (isZone(word.text)) return undefined;
  const hint = 'it takes a name such as `Europe/Berlin` or `UTC`, see `timedatectl list-timezones`';
  return faultAt(word, `there is no time zone \`${shown(word)}\``, hint);
}

export function isZone(name: string): boolean {
  // Offsets such as +01:00 are names to newer engines only.
  if (name.length > MAX_NAME || !/^[A-Za-z]/.test(name)) return false;
  try {
    new Intl.DateTimeFormat('en-US', { timeZone: name });
    return true;
  } catch (error) {
    if (error instanceof RangeError) return false;
    throw error;
  }
}

/** The zone of the machine. */
export function hostZone(): string {
  return new Intl.DateTimeFormat().resolvedOptions().timeZone;
}

const zones = new Map<string, Zone>();

/** Returns the zone of that name, which isZone() is true of. */
export function zoneOf(name: string): Zone {
  const known = zones.get(name);
  if (known) return known;
  // A customer may name all 600 of them.
  if (zones.size >= KEPT_ZONES) zones.clear();
  const zone = new Zone(name);
  zones.set(name, zone);
  return zone;
}

export class Zone {
  readonly #format: Intl.DateTimeFormat;
  readonly #days = new Map<number, number>();
  readonly #changes = new Map<number, Change | null>();

  constructor(name: string) {
    this.#format = new Intl.DateTimeFormat('en-US', {
      timeZone: name,
      hourCycle: 'h23',
      era: 'short',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    });
  }

  /** What the clocks show at `ms` minus UTC, in milliseconds; whole seconds. */
  offsetAt(ms: number): number {
    const day = Math.floor(ms / DAY_MS);
    const change = this.changeIn(day);
    return change && ms >= change.atMs ? this.#atStart(day + 1) : this.#atStart(day);
  }

  /** The change of clocks in UTC's day number `day` since 1970, up to the first moment of the next. */
  changeIn(day: number): Change | null {
    const before = this.#atStart(day);
    const after = this.#atStart(day + 1);
    if (before === after) return null;
    const known = this.#changes.get(day);
    if (known !== undefined) return known;
    const change = { atMs: this.#search(day, after), byMs: after - before };
    this.#changes.set(day, change);
    return change;
  }

  /** The first second of that day with the offset `after`. */
  #search(day: number, after: number): number {
    let low = (day * DAY_MS) / 1000;
    let high = low + DAY_MS / 1000;
    while (high - low > 1) {
      const middle = Math.floor((low + high) / 2);
      if (this.#ask(middle * 1000) === after) high = middle;
      else low = middle;
    }
    return high * 1000;
  }

  #atStart(day: number): number {
    const known = this.#days.get(day);
    if (known !== undefined) return known;
    if (this.#days.size >= KEPT_DAYS) {
      this.#days.clear();
      this.#changes.clear();
    }
    const offset = this.#ask(day * DAY_MS);
    this.#days.set(day, offset);
    return offset;
  }

  #ask(ms: number): number {
    const [month, day, year, era, hour, minute, second] = this.#format.format(ms).split(/[\s/,:]+/);
    const fullYear = era === 'BC' ? 1 - Number(year) : Number(year);
    const shownMs = new Date(0);
    shownMs.setUTCFullYear(fullYear, Number(month) - 1, Number(day));
    shownMs.setUTCHours(Number(hour), Number(minute), Number(second));
    return shownMs.getTime() - Math.floor(ms / 1000) * 1000;
  }
}
