import { expect, test } from 'vitest';
import { exitOf, signalName } from '../../../src/vassal/exit.ts';

test('exitOf() reads exit codes and signals as waitpid() packs them', () => {
  expect(exitOf(0)).toEqual({ code: 0, signal: null, reason: 'exit' });
  expect(exitOf(255 << 8)).toEqual({ code: 255, signal: null, reason: 'exit' });
  expect(exitOf(15)).toEqual({ code: null, signal: 'SIGTERM', reason: 'signal' });
  expect(exitOf(9)).toEqual({ code: null, signal: 'SIGKILL', reason: 'killed' });
  expect(exitOf(11 | 0x80)).toEqual({ code: null, signal: 'SIGSEGV', reason: 'signal' });
});

test('signalName() names real-time signals by number', () => {
  expect(signalName(40)).toBe('SIG40');
});
