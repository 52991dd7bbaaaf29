/**
 * What would have to happen: files on disk against what runs. Pure and printable (`emperor plan`);
 * emperor.ts and the vassals do it.
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
  /** What the file was when an operator stopped it. */
  readonly heldSha256: string | null;
  /** Its command ended and is not to run again. */
  readonly isFinished: boolean;
  /** It has a configuration that it is meant to run with. */
  readonly isWanted: boolean;
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
    if (actual?.hasJail || actual?.isWanted) {
      return change('keep', `invalid file, the last good one stays in force: ${reason}`);
    }
    if (desired.fallback) {
      return change('start', `invalid file, starting the last good one: ${reason}`, 'jail');
    }
    return change('refuse', reason);
  }
  const { wanted } = desired;
  if (!actual?.hasJail || !actual.applied) {
    const isSameFile = actual?.applied?.sha256 === wanted.sha256;
    const isHeldFile = isSameFile || actual?.heldSha256 === wanted.sha256;
    if (actual?.isHeld && isHeldFile) return change('hold', 'stopped by an operator');
    if (actual?.isFinished && isSameFile) return change('hold', 'its command has ended');
    return change('start', actual?.applied ? `it is ${actual.state}` : 'new file', 'jail');
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
