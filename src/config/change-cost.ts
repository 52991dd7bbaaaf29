/** What applying a change costs a vassal, by the reload policy of the options that differ. Pure. */
import { isDeepStrictEqual } from 'node:util';
import type { VassalReload } from './options/option.ts';
import { INHERITED, VASSAL_OPTIONS } from './options/vassal.ts';
import type { VassalConfig } from './vassal-config.ts';

export type ChangeCost = 'none' | VassalReload;

export interface Change {
  readonly cost: ChangeCost;
  /** Keys that differ, in the order of the table. */
  readonly keys: readonly string[];
}

const COSTS: readonly ChangeCost[] = ['none', 'live', 'process', 'jail'];

const OPTIONS = { ...VASSAL_OPTIONS, ...INHERITED };
const FIELDS = Object.keys(OPTIONS) as readonly (keyof typeof OPTIONS)[];

/** The dearest of all options that differ decides. */
export function costOf(before: VassalConfig, after: VassalConfig): Change {
  const differs = (field: keyof typeof OPTIONS) =>
    !isDeepStrictEqual(
      before[field] === undefined ? unsaid(after[field]) : before[field],
      after[field],
    );
  const options = FIELDS.filter(differs).map((field) => OPTIONS[field]);
  const dearest = Math.max(0, ...options.map(({ reload }) => COSTS.indexOf(reload)));
  return { cost: COSTS[dearest] ?? 'jail', keys: options.map(({ name }) => name) };
}

/**
 * A field that an older emperor did not know was as if nothing had been said, so that an upgrade restarts nobody. That is
 * true of options without a default: a test says so of all that cost something, but for those that every record has.
 */
function unsaid(value: unknown): unknown {
  return Array.isArray(value) ? [] : null;
}
