/** Kinds of numbers: integers, durations, sizes, ranges of uids, file modes, signals. */
import { constants } from 'node:os';
import { parseDurationMs, parseSizeBytes } from '../../base/units.ts';
import { type Kind, plainKind, unlike } from './kind.ts';

export interface Bounds {
  readonly min: number;
  readonly max: number;
}

export interface Range {
  readonly first: number;
  readonly last: number;
}

/** The largest uid; 2³² - 1 means "none" to the kernel. */
export const MAX_ID = 2 ** 32 - 2;

export function integer(bounds: Bounds): Kind<number> {
  const expects = `a whole number from ${bounds.min} to ${bounds.max}`;
  const described = { name: 'number', expects, schema: { pattern: '^[0-9]+$' } };
  return boundedKind(described, bounds, decimal, String);
}

/** A span of time; its value is in milliseconds. */
export function duration(bounds: Bounds): Kind<number> {
  const span = `from ${printDuration(bounds.min)} to ${printDuration(bounds.max)}`;
  const expects = `a duration ${span}, such as \`500ms\`, \`10s\` or \`1m30s\``;
  return boundedKind({ name: 'duration', expects }, bounds, parseDurationMs, printDuration);
}

/** An amount of memory or disk; its value is in bytes, and units are powers of 1024. */
export function size(bounds: Bounds): Kind<number> {
  const span = `from ${printSize(bounds.min)} to ${printSize(bounds.max)}`;
  const expects = `a size ${span}, such as \`512K\`, \`64M\` or \`1G\``;
  return boundedKind({ name: 'size', expects }, bounds, parseSizeBytes, printSize);
}

/** A kind of number that is told when it is too small or too large. */
function boundedKind(
  described: Pick<Kind<number>, 'name' | 'expects'> & { readonly schema?: Kind<number>['schema'] },
  { min, max }: Bounds,
  read: (text: string) => number | undefined,
  print: (value: number) => string,
): Kind<number> {
  return {
    schema: {},
    ...described,
    parse(text) {
      const value = read(text);
      if (value === undefined) return unlike(text, described);
      const rounded = Math.round(value);
      if (rounded >= min && rounded <= max) return { value: rounded };
      const message = `\`${text}\` is too ${rounded < min ? 'small' : 'large'}`;
      return { fault: { message, hint: `it takes ${described.expects}` } };
    },
    print,
  };
}

function printDuration(ms: number): string {
  if (ms % 1000 !== 0) return `${ms}ms`;
  const seconds = ms / 1000;
  return seconds > 0 && seconds % 3600 === 0 ? `${seconds / 3600}h` : `${seconds}s`;
}

function printSize(bytes: number): string {
  const units = ['', 'K', 'M', 'G', 'T'];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && value % 1024 === 0 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${value}${units[unit]}`;
}

/** `FIRST-LAST`, both included. */
export function range(bounds: Bounds): Kind<Range> {
  return plainKind(
    {
      name: 'range',
      expects: `a range within ${bounds.min}-${bounds.max}, such as \`200000-265535\``,
    },
    (text) => {
      const match = /^(\d+)\s*-\s*(\d+)$/.exec(text);
      const first = within(bounds, decimal(match?.[1] ?? ''));
      const last = within(bounds, decimal(match?.[2] ?? ''));
      if (first === undefined || last === undefined || first > last) return undefined;
      return { first, last };
    },
    ({ first, last }) => `${first}-${last}`,
  );
}

/** Permission bits, octal as chmod(1) takes them. */
export const octalMode: Kind<number> = plainKind(
  {
    name: 'file mode',
    expects: 'octal permission bits, such as `0660`',
    schema: { pattern: '^0?[0-7]{1,3}$' },
  },
  (text) => (/^0?[0-7]{1,3}$/.test(text) ? Number.parseInt(text, 8) : undefined),
  (mode) => `0${mode.toString(8).padStart(3, '0')}`,
);

const SIGNALS: ReadonlyMap<string, number> = new Map(Object.entries(constants.signals));
const MAX_SIGNAL = 64;

/** A signal by name, with or without `SIG`, or by number; its value is the number (signal(7)). */
export const signal: Kind<number> = plainKind(
  { name: 'signal', expects: 'a signal, such as `SIGTERM`, `HUP` or `15`' },
  (text) => {
    const upper = text.toUpperCase();
    const named = SIGNALS.get(upper) ?? SIGNALS.get(`SIG${upper}`);
    return named ?? within({ min: 1, max: MAX_SIGNAL }, decimal(text));
  },
  (value) => [...SIGNALS].find(([, number]) => number === value)?.[0] ?? String(value),
);

function decimal(text: string): number | undefined {
  return /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

function within({ min, max }: Bounds, value: number | undefined): number | undefined {
  return value !== undefined && value >= min && value <= max ? value : undefined;
}
