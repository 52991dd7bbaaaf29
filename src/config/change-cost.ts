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
  // A field that an older emperor did not know was as if nothing had been said: an upgrade restarts nobody.
  const differs = (field: keyof typeof OPTIONS) =>
    !isDeepStrictEqual(before[field] ?? null, after[field] ?? null);
  const options = FIELDS.filter(differs).map((field) => OPTIONS[field]);
  const dearest = Math.max(0, ...options.map(({ reload }) => COSTS.indexOf(reload)));
  return { cost: COSTS[dearest] ?? 'jail', keys: options.map(({ name }) => name) };
}
