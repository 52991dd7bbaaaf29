/** Tries the values that emperor.ini has for vassals, as if a vassal used them. */
import type { Budget } from './budget.ts';
import type { Findings } from './diagnose.ts';
import type { KindContext } from './kinds/kind.ts';
import type { Line } from './line.ts';
import { IGNORED_KEYS, VASSAL_KEYS } from './options/directives.ts';
import { VASSAL_OPTIONS } from './options/vassal.ts';
import { resolveOptions } from './resolve.ts';
import type { LayerKind } from './sort-lines.ts';
import type { Defaults } from './vassal-defaults.ts';

export interface TrySource extends Omit<KindContext, 'directory'> {
  readonly file: string;
  readonly env: (name: string) => string | undefined;
  readonly findings: Findings;
  readonly budget: Budget;
}

/** Tells `findings` of every value that no vassal could use. */
export function tryDefaults(defaults: Omit<Defaults, 'inherited'>, source: TrySource): void {
  const attempt = (kind: LayerKind, lines: readonly Line[]) =>
    resolveOptions({
      ...source,
      name: 'example',
      table: VASSAL_OPTIONS,
      ignored: IGNORED_KEYS,
      known: VASSAL_KEYS,
      layers: [{ kind, lines: lines.filter((line) => !dependsOnVassal(line)) }],
    });
  attempt('vassal-set', defaults.vassalSet);
  attempt('final', defaults.finals);
  for (const lines of Object.values(defaults.classes)) {
    for (const line of lines) if (line.key === 'class') refuseNesting(line, source.findings);
    attempt('class', lines);
  }
}

/** `%(key)` may have a value only in the vassals that use it. */
function dependsOnVassal({ value }: Line): boolean {
  return /%\((?!_\))/.test(value);
}

function refuseNesting(line: Line, findings: Findings): void {
  findings.error(line.keyPlace, {
    code: 'bad-value',
    message: 'Cannot use `class` here: a class cannot belong to another',
    hint: 'use `include` for what classes have in common',
  });
}
