/** Moments as people write them, ISO 8601, and back; one without an offset is the time of a zone. Pure but for Intl. */
import { zoneOf } from '../../cron/zone.ts';

const MOMENT =
  /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?)(Z|[+-]\d\d:?\d\d)?)?$/i;
const MINUTE_MS = 60_000;

/**
 * Returns milliseconds since 1970, undefined for what is no moment. Of a local time that comes twice it is the first;
 * one that is left out counts on from before the change.
 */
export function parseMoment(text: string, zone: string): number | undefined {
  const [whole, date = '', time = '00:00', offset] = MOMENT.exec(text) ?? [];
  if (whole === undefined || !isDate(date)) return undefined;
  const suffix = offset?.toUpperCase().replace(/^(...)(\d\d)$/, '$1:$2') ?? 'Z';
  const ms = Date.parse(`${date}T${time}${suffix}`);
  if (Number.isNaN(ms)) return undefined;
  return offset === undefined ? atLocal(ms, zone) : ms;
}

/** The engine takes a 30th of February for the 2nd of March. */
function isDate(date: string): boolean {
  const day = new Date(`${date}T00:00Z`);
  return !Number.isNaN(day.getTime()) && day.toISOString().startsWith(date);
}

function atLocal(localMs: number, name: string): number {
  const zone = zoneOf(name);
  const offsets = [-1, 1].map((days) => zone.offsetAt(localMs + days * 86_400_000));
  const all = offsets.map((offset) => localMs - offset);
  const real = all.filter((ms) => ms + zone.offsetAt(ms) === localMs);
  return Math.min(...(real.length > 0 ? real : [Math.max(...all)]));
}

/** `2026-03-29T03:00:00+02:00`; `Z` where the zone is UTC. */
export function formatMoment(ms: number, name: string): string {
  if (name === 'UTC') return `${new Date(ms).toISOString().slice(0, 19)}Z`;
  const offset = zoneOf(name).offsetAt(ms);
  // ISO 8601 knows no seconds in an offset; zones had them before there were time zones.
  const minutes = Math.trunc(offset / MINUTE_MS);
  const shown = new Date(ms + minutes * MINUTE_MS).toISOString().slice(0, 19);
  const two = (number: number) => String(number).padStart(2, '0');
  const size = Math.abs(minutes);
  return `${shown}${minutes < 0 ? '-' : '+'}${two(Math.floor(size / 60))}:${two(size % 60)}`;
}
