/** One `key = value` on its way to an option: what stands where, who wrote it, what its loop item is. */
import { dirname } from 'node:path';
import { type Place, wholeFile } from './diagnose.ts';
import type { Entry } from './ini.ts';

export type Trust = 'operator' | 'tenant';

export interface Line {
  readonly key: string;
  /** As written; placeholders are replaced when the option is resolved. */
  readonly value: string;
  readonly keyPlace: Place;
  readonly valuePlace: Place;
  /** The file that `%p` and relative paths go by. */
  readonly file: string;
  readonly trust: Trust;
  /** What `%(_)` stands for. */
  readonly item: string | null;
  /** Depth of includes; an outer line wins over an inner one. */
  readonly depth: number;
  /** Which reading of which file: the same key twice in one reading is a mistake. */
  readonly reading: number;
  /** Where the value comes from, as `emperor cat --resolved` shows it. */
  readonly origin: string;
  /** True where nothing is to be replaced any more. */
  readonly isLiteral: boolean;
}

/** Which reading of which file an entry was found in. */
export type Reading = Pick<Line, 'file' | 'trust' | 'depth' | 'reading'>;

export function lineOf(entry: Entry, reading: Reading, item: string | null): Line {
  const origin = `${entry.keyPlace.file}:${entry.keyPlace.line}`;
  return { ...entry, ...reading, item, origin, isLiteral: false };
}

/** A line that stands in no file: a built-in default, `--set`. */
export function madeLine(
  line: Pick<Line, 'key' | 'value' | 'file' | 'origin'> & { readonly isLiteral?: boolean },
  place: Place,
): Line {
  return {
    isLiteral: false,
    ...line,
    keyPlace: place,
    valuePlace: place,
    trust: 'operator',
    item: null,
    depth: 0,
    reading: -1,
  };
}

export function directoryOf(line: Line): string {
  return dirname(line.file);
}

/** Where the value of `key` stands last; the whole file where it stands nowhere. */
export function valuePlaceOf(lines: readonly Line[], key: string, file: string): Place {
  return lines.findLast((line) => line.key === key)?.valuePlace ?? wholeFile(file);
}
