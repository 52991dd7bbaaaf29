/**
 * The lifecycle of a vassal: a total table, state × event → state and actions. Pure; vassal.ts runs it.
 *
 * Theory. A vassal is a jail (init and its namespaces) and, in it, the command. `backoff` keeps the jail
 * where there still is one, so that a customer can look inside while the command crashes. What the vassal
 * should be (its wanted configuration, or nothing) is not part of the state: whoever enters `running`
 * compares what runs with what is wanted and raises a change event; whoever reaches the end of `stopping`
 * asks whether the vassal is wanted and raises `ended` or `ended-wanted`. So a change that comes at an
 * awkward moment is never lost and needs no extra state.
 * A pair that the table leaves out is `ignore`: state and world stay as they are.
 */
import type { VassalState } from './state.ts';

export const LIFECYCLE_EVENTS = [
  'begin', // it shall run: new or changed file, touch, start, restart
  'refuse', // there is no configuration it could run with
  'started', // jail and command are there
  'start-failed', // trying again may help
  'start-refused', // only a change can help
  'exited-again', // the command ended and `restart` says: again
  'exited-final', // the command ended and that was that
  'died', // init ended though nobody asked it to
  'end', // it shall not run: file removed, stop
  'ended', // nothing of it is left, and it is not wanted
  'ended-wanted', // nothing of it is left, but it is wanted
  'retry', // the backoff is over
  'change-live',
  'change-process',
  'change-jail',
  'freeze',
  'thaw',
] as const;
export type LifecycleEvent = (typeof LIFECYCLE_EVENTS)[number];

export const ACTIONS = [
  'launch', // make the jail if there is none, then start the command
  'end', // stop the jail; raises ended or ended-wanted
  'clean', // remove what a dead jail left
  'schedule', // raise retry after the backoff
  'unschedule',
  'apply-live',
  'restart-command', // raises started or start-failed
  'freeze',
  'thaw',
] as const;
export type Action = (typeof ACTIONS)[number];

export interface Transition {
  readonly to: VassalState;
  readonly actions: readonly Action[];
}

type Row = Partial<Record<LifecycleEvent, Transition>>;

const go = (to: VassalState, ...actions: readonly Action[]): Transition => ({ to, actions });

export const LIFECYCLE: Readonly<Record<VassalState, Row>> = {
  stopped: {
    begin: go('starting', 'launch'),
    refuse: go('failed'),
  },
  starting: {
    started: go('running'),
    'start-failed': go('backoff', 'schedule'),
    'start-refused': go('failed', 'clean'),
    'exited-again': go('backoff', 'schedule'),
    'exited-final': go('stopping', 'end'),
    died: go('backoff', 'clean', 'schedule'),
    end: go('stopping', 'end'),
  },
  running: {
    'exited-again': go('backoff', 'schedule'),
    'exited-final': go('stopping', 'end'),
    died: go('backoff', 'clean', 'schedule'),
    end: go('stopping', 'end'),
    'change-live': go('running', 'apply-live'),
    'change-process': go('reloading', 'restart-command'),
    'change-jail': go('reloading', 'end'),
    freeze: go('frozen', 'freeze'),
  },
  reloading: {
    started: go('running'),
    'start-failed': go('backoff', 'schedule'),
    'exited-again': go('backoff', 'schedule'),
    'exited-final': go('stopping', 'end'),
    died: go('backoff', 'clean', 'schedule'),
    end: go('stopping', 'end'),
    ended: go('stopped'),
    'ended-wanted': go('starting', 'launch'),
  },
  backoff: {
    retry: go('starting', 'launch'),
    begin: go('starting', 'unschedule', 'launch'),
    died: go('backoff', 'clean'),
    end: go('stopping', 'unschedule', 'end'),
    'change-jail': go('reloading', 'unschedule', 'end'),
  },
  stopping: {
    ended: go('stopped'),
    'ended-wanted': go('starting', 'launch'),
  },
  frozen: {
    thaw: go('running', 'thaw'),
    died: go('backoff', 'clean', 'schedule'),
    'exited-again': go('backoff', 'thaw', 'schedule'),
    'exited-final': go('stopping', 'thaw', 'end'),
    end: go('stopping', 'thaw', 'end'),
    'change-live': go('frozen', 'apply-live'),
    'change-process': go('reloading', 'thaw', 'restart-command'),
    'change-jail': go('reloading', 'thaw', 'end'),
  },
  failed: {
    begin: go('starting', 'launch'),
    end: go('stopped'),
  },
};

/** Returns what `event` means in `state`; an unlisted pair changes nothing. */
export function transition(state: VassalState, event: LifecycleEvent): Transition {
  return LIFECYCLE[state][event] ?? { to: state, actions: [] };
}
