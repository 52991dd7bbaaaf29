/** The five fields of a schedule, in their order on a line: what they are called and what they can hold. */

export interface FieldSpec {
  readonly name: string;
  readonly min: number;
  /** As it may be written: a weekday of 7 is Sunday, too. */
  readonly max: number;
  /** Words that stand for `min`, `min + 1`, … */
  readonly names: readonly string[];
}

export const FIELDS = [
  { name: 'minute', min: 0, max: 59, names: [] },
  { name: 'hour', min: 0, max: 23, names: [] },
  { name: 'day', min: 1, max: 31, names: [] },
  {
    name: 'month',
    min: 1,
    max: 12,
    names: ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'],
  },
  {
    name: 'weekday',
    min: 0,
    max: 7,
    names: ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'],
  },
] as const satisfies readonly FieldSpec[];

/** What one field comes to. */
export interface Field {
  /** In ascending order. */
  readonly values: readonly number[];
  /** crontab: begins with `*`. uWSGI: negative. */
  readonly isStar: boolean;
}

const SUNDAY = 0;
const SUNDAY_TOO = 7;

/** Returns the numbers in ascending order, each once; Sunday is 0. */
export function valuesOf(spec: FieldSpec, numbers: readonly number[]): readonly number[] {
  const isThere: boolean[] = [];
  const isWeekday = spec.max === SUNDAY_TOO;
  for (const number of numbers)
    isThere[isWeekday && number === SUNDAY_TOO ? SUNDAY : number] = true;
  const values: number[] = [];
  for (let value = spec.min; value <= spec.max; value += 1) if (isThere[value]) values.push(value);
  return values;
}

/** `minute 0-59` */
export function rangeOf({ name, min, max }: FieldSpec): string {
  return `${name} ${min}-${max}`;
}
