import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  ACTIONS,
  LIFECYCLE,
  LIFECYCLE_EVENTS,
  type LifecycleEvent,
  transition,
} from '../../../src/vassal/lifecycle.ts';
import { VASSAL_STATES, type VassalState } from '../../../src/vassal/state.ts';

const after = (state: VassalState, ...events: LifecycleEvent[]) =>
  events.reduce((now, event) => transition(now, event).to, state);

describe('transition()', () => {
  test('answers for every state and every event', () => {
    for (const state of VASSAL_STATES) {
      for (const event of LIFECYCLE_EVENTS) {
        const { to, actions } = transition(state, event);
        expect(VASSAL_STATES).toContain(to);
        for (const action of actions) expect(ACTIONS).toContain(action);
      }
    }
  });

  test('launches only on the way into starting, so that there is never a second copy', () => {
    for (const state of VASSAL_STATES) {
      for (const event of LIFECYCLE_EVENTS) {
        const { to, actions } = transition(state, event);
        if (actions.includes('launch'))
          expect([state, event, to]).toEqual([state, event, 'starting']);
        if (actions.includes('launch'))
          expect(['running', 'starting', 'frozen']).not.toContain(state);
      }
    }
  });

  test('lets `end` lead to rest from every state', () => {
    for (const state of VASSAL_STATES) {
      expect(['stopped', 'failed']).toContain(after(state, 'end', 'started', 'ended'));
    }
  });

  test('keeps the jail of a crashing command and tries again after the backoff', () => {
    expect(transition('running', 'exited-again')).toEqual({ to: 'backoff', actions: ['schedule'] });
    expect(after('running', 'exited-again', 'retry', 'started')).toBe('running');
  });

  test('notices a command that ends before its start was told, also when it took the place of another', () => {
    for (const state of ['starting', 'reloading'] as const) {
      expect(after(state, 'exited-again', 'started')).toBe('backoff');
      expect(after(state, 'exited-final', 'started')).toBe('stopping');
    }
  });

  test('holds a refused start until something changes', () => {
    expect(after('starting', 'start-refused', 'retry')).toBe('failed');
    expect(after('failed', 'begin')).toBe('starting');
  });

  test('reaches every state from stopped', () => {
    const reached = new Set<VassalState>(['stopped']);
    for (const state of reached) {
      for (const event of LIFECYCLE_EVENTS) reached.add(transition(state, event).to);
    }
    expect([...reached].sort()).toEqual([...VASSAL_STATES].sort());
  });

  test('comes to running from anywhere by `begin`, whatever happened before', () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...LIFECYCLE_EVENTS), { maxLength: 40 }), (events) => {
        const state = after('stopped', ...events);
        const settled = after(state, 'end', 'ended', 'begin', 'started');
        expect(settled).toBe('running');
      }),
    );
  });

  test('has a row for each state', () => {
    expect(Object.keys(LIFECYCLE).sort()).toEqual([...VASSAL_STATES].sort());
  });
});
