/** `emperor wait`: says when a condition holds, or why it never will. Pure; the emperor asks again at each event. */
import type { Diagnostic } from '../base/errors.ts';
import { isAtRest, type VassalState } from '../vassal/state.ts';
import type { WaitCondition, WaitRequest, WaitResult } from './governor.ts';

/** What is known of a name; null where no such vassal is known. */
export interface WaitView {
  readonly state: VassalState;
  readonly isReady: boolean;
  readonly isApplied: boolean;
  readonly isHeld: boolean;
  /** Of the file on disk; null while it is not known. */
  readonly sha256: string | null;
  readonly appliedSha256: string | null;
  readonly diagnostics: readonly Diagnostic[];
  readonly lastError: string | null;
}

/** Returns the answer if there is one already. */
export function judgeWait(view: WaitView | null, request: WaitRequest): WaitResult | undefined {
  const met = request.conditions.find((condition) => holds(condition, view, request));
  if (met) return { outcome: 'met', condition: met };
  if (view && request.conditions.includes('applied')) return refusal(view, request);
  return undefined;
}

function holds(condition: WaitCondition, view: WaitView | null, request: WaitRequest): boolean {
  if (condition === 'gone') return view === null;
  if (!view) return false;
  switch (condition) {
    case 'running':
      return view.state === 'running' || view.state === 'frozen';
    case 'ready':
      return view.isReady;
    case 'stopped':
      return isAtRest(view.state);
    case 'applied':
      return isApplied(view, request);
  }
}

function isApplied(view: WaitView, request: WaitRequest): boolean {
  const wanted = request.sha256 ?? view.sha256;
  return wanted !== null && view.appliedSha256 === wanted && view.isApplied;
}

const HELD = 'it was stopped by an operator; `emperor start` lets it run again';

/** The file that is waited for is on disk, and it will not run as it is. */
function refusal(view: WaitView, request: WaitRequest): WaitResult | undefined {
  if (request.sha256 !== undefined && view.sha256 !== request.sha256) return undefined;
  const invalid = view.diagnostics.find(({ severity }) => severity === 'error');
  const isHopeless =
    view.state === 'failed' || (view.state === 'backoff' && view.lastError !== null);
  if (!invalid && !isHopeless && !view.isHeld) return undefined;
  return {
    outcome: 'refused',
    diagnostics: view.diagnostics,
    message: invalid?.message ?? view.lastError ?? (view.isHeld ? HELD : 'refused'),
  };
}
