/**
 * When a job runs, compiled: what both spellings come to, and all that next-times.ts needs to know. Plain JSON.
 *
 * The two spellings differ in what a line says, never in what was understood: uWSGI's `-5` and crontab's `*` `/5` are
 * different days, and become different sets here.
 */

/** What a job waits for. */
export type Schedule = Reboot | Times;

/** At the start of its vassal. */
export interface Reboot {
  readonly kind: 'reboot';
}

export interface Times {
  readonly kind: 'times';
  /** In ascending order, as are the other sets. 0-59. */
  readonly minutes: readonly number[];
  /** 0-23 */
  readonly hours: readonly number[];
  /** Of the month, 1-31. */
  readonly days: readonly number[];
  /** 1-12 */
  readonly months: readonly number[];
  /** 0-6, from Sunday. */
  readonly weekdays: readonly number[];
  /** A day is one of the job's if day of the month and weekday fit (`both`), or if one of them does (`either`). */
  readonly dayRule: 'both' | 'either';
  /**
   * True where minute or hour is a wildcard: such a job follows the wall clock when that is changed. Another one runs
   * once for each time that it names (see next-times.ts).
   */
  readonly isWildcard: boolean;
}

/** Days of each month in a leap year. */
const MONTH_DAYS = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/** True where no date of any year fits, such as the 30th of February. */
export function isNever({ days, months, dayRule }: Times): boolean {
  if (dayRule === 'either') return false;
  const firstDay = days[0] ?? Number.POSITIVE_INFINITY;
  return !months.some((month) => firstDay <= (MONTH_DAYS[month - 1] ?? 0));
}
