import fc from 'fast-check';
import { expect, test } from 'vitest';
import { backoffMs } from '../../../src/base/backoff.ts';
import {
  formatBytes,
  formatDuration,
  parseDurationMs,
  parseSizeBytes,
} from '../../../src/base/units.ts';

test('parseDurationMs() reads durations as people write them', () => {
  expect(parseDurationMs('10s')).toBe(10_000);
  expect(parseDurationMs('1m30s')).toBe(90_000);
  expect(parseDurationMs('500ms')).toBe(500);
  expect(parseDurationMs('0.5')).toBe(500);
  for (const bad of ['', 's', '10 s', '-1s', '1x', '1e3'])
    expect(parseDurationMs(bad)).toBeUndefined();
});

test('parseSizeBytes() reads sizes in powers of 1024', () => {
  expect(parseSizeBytes('64K')).toBe(65_536);
  expect(parseSizeBytes('1.5G')).toBe(1.5 * 1024 ** 3);
  expect(parseSizeBytes('1GiB')).toBe(1024 ** 3);
  expect(parseSizeBytes('12')).toBe(12);
  for (const bad of ['', 'M', '1X', '-1', '9e9']) expect(parseSizeBytes(bad)).toBeUndefined();
});

test('the parsers are total', () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      parseDurationMs(text);
      parseSizeBytes(text);
    }),
  );
});

test('backoffMs() doubles to the longest wait and stays within a fifth of it', () => {
  const policy = { firstMs: 500, maxMs: 180_000 };
  expect([1, 2, 3, 9, 10, 1000].map((failures) => backoffMs(policy, failures, 0.5))).toEqual([
    500, 1000, 2000, 128_000, 180_000, 180_000,
  ]);
  expect(backoffMs(policy, 1, 0)).toBe(400);
  expect(backoffMs(policy, 1, 0.999_999)).toBe(600);
});

test('formatting is short', () => {
  expect([0, 1023, 1536, 64 << 20].map(formatBytes)).toEqual(['0B', '1023B', '1.5K', '64.0M']);
  expect([850, 9000, 125_000, 3_600_000 * 100].map(formatDuration)).toEqual([
    '850ms',
    '9s',
    '2m05s',
    '4d4h',
  ]);
});
