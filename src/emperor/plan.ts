/**
 * What would have to happen: files on disk against what runs. Pure and printable (`emperor plan`);
 * reconcile.ts does it.
 */
import type { Diagnostic } from '../base/errors.ts';
import { costOf } from '../config/change-cost.ts';
import type { VassalState } from '../vassal/state.ts';
import type { Applied, Wanted } from '../vassal/vassal.ts';
import type { PlannedChange } from './governor.ts';

/** What the file of a vassal says; undefined where there is no file. */
export type Desired =
  | { readonly kind: 'valid'; readonly wanted: Wanted }
  | {
      readonly kind: 'invalid';
      readonly diagnostics: readonly Diagnostic[];
      /** The last good configuration, which stays in force. */
      readonly fallback: Wanted | undefined;
    };

export interface Actual {
  readonly state: VassalState;
  readonly applied: Applied | null;
  readonly hasJail: boolean;
  readonly isHeld: boolean;
}

/** Returns what has to change for one vassal. */
export function planVassal(
  name: string,
  desired: Desired | undefined,
  actual: Actual | undefined,
): PlannedChange {
  const change = (
    action: PlannedChange['action'],
    reason: string,
    cost: PlannedChange['cost'] = 'none',
    keys: readonly string[] = [],
  ): PlannedChange => ({ name, action, cost, keys, reason });

  if (!desired) return change('stop', 'its file is gone');
  if (desired.kind === 'invalid') {
    const reason = desired.diagnostics[0]?.message ?? 'the file is invalid';
    if (actual?.hasJail) return change('keep', `invalid file, the last good one runs: ${reason}`);
    if (desired.fallback)
      return change('start', `invalid file, starting the last good one: ${reason}`);
    return change('refuse', reason);
  }
  const { wanted } = desired;
  if (!actual?.hasJail || !actual.applied) {
    if (actual?.isHeld && actual.applied?.sha256 === wanted.sha256) {
      return change('hold', 'stopped by an operator');
    }
    return change('start', actual ? `it is ${actual.state}` : 'new file', 'jail');
  }
  if (actual.applied.hash === wanted.hash) return change('keep', 'unchanged');
  const { cost, keys } = costOf(actual.applied.config, wanted.config);
  return change('change', `changed: ${keys.join(', ')}`, cost, keys);
}

/** Plans for all names that have a file or run, in the order of their names. */
export function planChanges(
  desired: ReadonlyMap<string, Desired>,
  actual: ReadonlyMap<string, Actual>,
): readonly PlannedChange[] {
  const names = [...new Set([...desired.keys(), ...actual.keys()])].sort();
  return names.map((name) => planVassal(name, desired.get(name), actual.get(name)));
}
