import { expect, test } from 'vitest';
import { judgeWait, type WaitView } from '../../../src/emperor/waiting.ts';

const VIEW: WaitView = {
  state: 'running',
  isReady: true,
  isApplied: true,
  isHeld: false,
  sha256: 'new',
  appliedSha256: 'new',
  diagnostics: [],
  lastError: null,
};
const BROKEN = {
  file: 'x.ini',
  line: 1,
  column: 1,
  severity: 'error',
  code: 'unknown-key',
  message: 'unknown key `comand`',
} as const;

test('`applied` is met when the file on disk is what runs', () => {
  const request = { conditions: ['applied'], timeoutMs: 1 } as const;
  expect(judgeWait(VIEW, request)).toEqual({ outcome: 'met', condition: 'applied' });
  expect(judgeWait({ ...VIEW, appliedSha256: 'old' }, request)).toBeUndefined();
});

test('`applied=SHA` waits for that very content', () => {
  const request = { conditions: ['applied'], sha256: 'newer', timeoutMs: 1 } as const;
  expect(judgeWait(VIEW, request)).toBeUndefined();
  expect(judgeWait({ ...VIEW, sha256: 'newer', appliedSha256: 'newer' }, request)).toBeDefined();
});

test('`applied` is refused with the diagnostics of a file that is not valid', () => {
  const request = { conditions: ['applied'], timeoutMs: 1 } as const;
  const view = { ...VIEW, appliedSha256: 'old', isApplied: false, diagnostics: [BROKEN] };
  expect(judgeWait(view, request)).toEqual({
    outcome: 'refused',
    diagnostics: [BROKEN],
    message: BROKEN.message,
  });
});

test('`gone` is met once nothing is known of the name, and `running` waits for a name to come', () => {
  expect(judgeWait(null, { conditions: ['gone'], timeoutMs: 1 })?.outcome).toBe('met');
  expect(judgeWait(VIEW, { conditions: ['gone'], timeoutMs: 1 })).toBeUndefined();
  expect(judgeWait(null, { conditions: ['running'], timeoutMs: 1 })).toBeUndefined();
});

test('`applied` is refused while an operator holds it, and when its command cannot be started', () => {
  const request = { conditions: ['applied'], timeoutMs: 1 } as const;
  const held = { ...VIEW, state: 'stopped', isApplied: false, isHeld: true } as const;
  expect(judgeWait(held, request)).toMatchObject({ outcome: 'refused' });
  const lastError = 'Cannot start nope: ENOENT';
  const hopeless = { ...VIEW, state: 'backoff', isApplied: false, lastError } as const;
  expect(judgeWait(hopeless, request)).toMatchObject({ outcome: 'refused', message: lastError });
});
