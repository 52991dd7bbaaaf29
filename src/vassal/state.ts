/** The states of a vassal, in the order in which they are counted and shown. */

export const VASSAL_STATES = [
  'stopped',
  'starting',
  'running',
  'reloading',
  'backoff',
  'stopping',
  'frozen',
  'failed',
] as const;

export type VassalState = (typeof VASSAL_STATES)[number];

/** Whether nothing of a vassal is left in that state. */
export function isAtRest(state: VassalState): boolean {
  return state === 'stopped' || state === 'failed';
}
