/** Which lines of which layer speak of which option; what no option is called, and who may not set it. */

import { didYouMean } from '../base/nearest.ts';
import type { Findings } from './diagnose.ts';
import { abbreviated } from './kinds/kind.ts';
import type { Line } from './line.ts';
import { DIRECTIVES } from './options/directives.ts';
import { namesOf, type Option, type OptionTable } from './options/option.ts';

export type LayerKind = 'emperor' | 'vassal-set' | 'class' | 'file' | 'set' | 'final';

export interface Layer {
  readonly kind: LayerKind;
  readonly lines: readonly Line[];
}

export interface SortSource {
  readonly table: OptionTable;
  /** Keys that may be there and set no option. */
  readonly ignored: readonly string[];
  /** Further keys, for suggestions. */
  readonly known: readonly string[];
  /** Lowest precedence first. */
  readonly layers: readonly Layer[];
  readonly findings: Findings;
}

/** The lines of each option by layer, lowest precedence first; layers without any are left out. */
export type SortedLines = ReadonlyMap<Option, readonly Layer[]>;

export function sortLines(source: SortSource): SortedLines {
  const sorted = new Map<Option, Layer[]>();
  for (const { kind, lines } of source.layers) {
    for (const [option, own] of byOption(lines, source))
      append(sorted, option, { kind, lines: own });
  }
  return sorted;
}

function byOption(
  lines: readonly Line[],
  source: SortSource,
): ReadonlyMap<Option, readonly Line[]> {
  const names = namesOf(source.table);
  const found = new Map<Option, Line[]>();
  for (const line of lines) {
    const option = names.get(line.key);
    if (!option) judgeUnknown(line, source);
    else if (line.trust === 'tenant' && option.trust === 'operator') refuseTenant(line, source);
    else append(found, option, line);
  }
  return found;
}

function judgeUnknown(line: Line, { table, ignored, known, findings }: SortSource): void {
  if (ignored.includes(line.key)) return;
  const key = abbreviated(line.key);
  const directive = DIRECTIVES.find(({ name }) => name === line.key.split(' ')[0]);
  const names = [...namesOf(table).keys(), ...known];
  const hint = findings.isFull ? undefined : didYouMean(line.key, names);
  findings.error(line.keyPlace, {
    code: 'unknown-key',
    message: directive ? `Cannot use \`${key}\` here` : `There is no key \`${key}\``,
    hint: directive
      ? `it stands by itself in ${directive.where === 'emperor' ? '[emperor] of emperor.ini' : 'a file'}`
      : (hint ?? 'docs/options.md lists all keys'),
  });
}

function refuseTenant(line: Line, { findings }: SortSource): void {
  findings.error(line.keyPlace, {
    code: 'operator-only',
    message: `Cannot set \`${line.key}\` here: only the operator's files may`,
    hint: 'leave it out, or ask the operator to set it',
  });
}

function append<K, V>(lists: Map<K, V[]>, key: K, item: V): void {
  const list = lists.get(key);
  if (list) list.push(item);
  else lists.set(key, [item]);
}
