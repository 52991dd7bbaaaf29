/** What emperor.ini says about vassals: `vassal-set`, `[class NAME]`, `final`, and its own `distro` and `dns`. */
import { columnAt, trimBlanks } from './characters.ts';
import type { Findings } from './diagnose.ts';
import type { Line } from './line.ts';

export interface Defaults {
  /** Of the emperor's own keys that vassals inherit. */
  readonly inherited: readonly Line[];
  readonly vassalSet: readonly Line[];
  readonly classes: Readonly<Record<string, readonly Line[]>>;
  readonly finals: readonly Line[];
}

export interface SplitLines {
  /** Lines about the emperor itself. */
  readonly own: readonly Line[];
  readonly vassalSet: readonly Line[];
  readonly finals: readonly Line[];
}

const FINAL = 'final ';

/** Tells lines about the emperor from lines about vassals. */
export function splitDefaults(lines: readonly Line[], findings: Findings): SplitLines {
  const isFinal = ({ key }: Line) => key === 'final' || key.startsWith(FINAL);
  const isSet = ({ key }: Line) => key === 'vassal-set';
  return {
    own: lines.filter((line) => !isFinal(line) && !isSet(line)),
    vassalSet: lines.filter(isSet).flatMap((line) => setLine(line, findings)),
    finals: lines.filter(isFinal).flatMap((line) => finalLine(line, findings)),
  };
}

/** `vassal-set = KEY=VALUE` as the line `KEY = VALUE`. */
function setLine(line: Line, findings: Findings): readonly Line[] {
  const equals = line.value.indexOf('=');
  if (equals < 1) {
    const state = line.value === '' ? 'it has no value' : `\`${line.value}\` is no KEY=VALUE`;
    findings.error(line.valuePlace, {
      code: 'bad-value',
      message: `Cannot use \`vassal-set\`: ${state}`,
      hint: 'write for instance `vassal-set = stop-grace=30s`',
    });
    return [];
  }
  const rest = line.value.slice(equals + 1);
  const start = equals + 1 + Math.max(rest.search(/[^ \t]/), 0);
  const column = line.valuePlace.column + columnAt(line.value, start) - 1;
  return [
    {
      ...line,
      key: trimBlanks(line.value.slice(0, equals)),
      value: trimBlanks(rest),
      keyPlace: line.valuePlace,
      valuePlace: { ...line.valuePlace, column },
      origin: `vassal-set (${line.origin})`,
    },
  ];
}

/** `final KEY = VALUE` as the line `KEY = VALUE`. */
function finalLine(line: Line, findings: Findings): readonly Line[] {
  const key = line.key.slice(FINAL.length);
  if (key !== '') return [{ ...line, key, origin: `final (${line.origin})` }];
  findings.error(line.keyPlace, {
    code: 'bad-line',
    message: 'Cannot use `final`: it names no key',
    hint: 'write for instance `final log-files = 3`',
  });
  return [];
}

/** The lines of each class, with the class as their origin. */
export function classLines(
  classes: ReadonlyMap<string, readonly Line[]>,
): Readonly<Record<string, readonly Line[]>> {
  return Object.fromEntries(
    [...classes].map(([name, lines]) => [
      name,
      lines.map((line) => ({ ...line, origin: `class ${name} (${line.origin})` })),
    ]),
  );
}
