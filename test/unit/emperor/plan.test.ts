import { describe, expect, test } from 'vitest';
import { type Actual, type Desired, planChanges, planVassal } from '../../../src/emperor/plan.ts';
import type { Applied, Wanted } from '../../../src/vassal/vassal.ts';
import { configOf } from '../../support/vassal-config.ts';

const wanted = (text: string, changes = {}): Wanted => ({
  config: configOf('blog', changes),
  hash: `hash of ${text}`,
  sha256: `sha of ${text}`,
});
const applied = (of: Wanted): Applied => ({ ...of, generation: 1 });
const valid = (of: Wanted): Desired => ({ kind: 'valid', wanted: of });
const BROKEN = {
  file: 'blog.ini',
  line: 2,
  column: 1,
  severity: 'error',
  code: 'unknown-key',
  message: 'unknown key',
} as const;
const invalid = (fallback?: Wanted): Desired => ({
  kind: 'invalid',
  diagnostics: [BROKEN],
  fallback,
});
const RUNS: Actual = {
  state: 'running',
  applied: applied(wanted('one')),
  hasJail: true,
  isHeld: false,
  heldSha256: null,
  isFinished: false,
  isWanted: true,
};
const RESTS: Actual = { ...RUNS, state: 'stopped', hasJail: false, isWanted: false };
const plan = (desired: Desired | undefined, actual?: Actual) => planVassal('blog', desired, actual);

describe('planVassal()', () => {
  test('starts a new file', () => {
    expect(plan(valid(wanted('one')))).toMatchObject({ action: 'start', cost: 'jail' });
  });

  test('keeps what is unchanged, and stops what has no file', () => {
    expect(plan(valid(wanted('one')), RUNS)).toMatchObject({ action: 'keep', cost: 'none' });
    expect(plan(undefined, RUNS)).toMatchObject({ action: 'stop' });
  });

  test('D4: names what a change costs and which keys it is about', () => {
    const process = valid(wanted('two', { command: ['sleep', '1'] }));
    expect(plan(process, RUNS)).toMatchObject({
      action: 'change',
      cost: 'process',
      keys: ['command'],
    });
    const jail = valid(wanted('two', { hostname: 'other', stopGraceMs: 1 }));
    expect(plan(jail, RUNS)).toMatchObject({ cost: 'jail', keys: ['hostname', 'stop-grace'] });
    const live = valid(wanted('two', { stopGraceMs: 1 }));
    expect(plan(live, RUNS)).toMatchObject({ cost: 'live' });
  });

  test('D5: an invalid file never touches what runs, or is about to', () => {
    expect(plan(invalid(), RUNS)).toMatchObject({ action: 'keep' });
    expect(plan(invalid(), { ...RESTS, state: 'starting', isWanted: true }).action).toBe('keep');
  });

  test('D5: a broken file after a reboot starts the last good one, and is refused where there is none', () => {
    expect(plan(invalid(wanted('good')), RESTS)).toMatchObject({ action: 'start' });
    expect(plan(invalid(), undefined)).toMatchObject({ action: 'refuse', reason: 'unknown key' });
  });

  test('holds what an operator stopped or what ran to its end, until its file changes', () => {
    for (const held of [{ isHeld: true }, { isFinished: true }]) {
      expect(plan(valid(wanted('one')), { ...RESTS, ...held }).action).toBe('hold');
      expect(plan(valid(wanted('two')), { ...RESTS, ...held }).action).toBe('start');
    }
  });

  test('holds what an operator stopped also where its file, refused then, is valid now', () => {
    const held = { ...RESTS, isHeld: true, heldSha256: wanted('two').sha256 };
    expect(plan(valid(wanted('two')), held).action).toBe('hold');
    expect(plan(valid(wanted('three')), held).action).toBe('start');
  });
});

test('planChanges() covers every name that has a file or runs, in order', () => {
  const desired = new Map([
    ['b', valid(wanted('one'))],
    ['a', valid(wanted('one'))],
  ]);
  const changes = planChanges(desired, new Map([['c', RUNS]]));
  expect(changes.map(({ name, action }) => [name, action])).toEqual([
    ['a', 'start'],
    ['b', 'start'],
    ['c', 'stop'],
  ]);
});
