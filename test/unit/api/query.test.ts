import { describe, expect, test } from 'vitest';
import {
  formatEventsQuery,
  formatWaitQuery,
  parseEventsQuery,
  parseWaitQuery,
} from '../../../src/api/query.ts';

describe('the query of a wait', () => {
  test('reads what the client writes', () => {
    const request = {
      conditions: ['running', 'applied'],
      sha256: 'b'.repeat(64),
      timeoutMs: 1500,
    } as const;
    expect(parseWaitQuery(formatWaitQuery(request))).toEqual(request);
  });

  test('waits 30 s where nothing is said', () => {
    expect(parseWaitQuery({ for: 'gone' })).toEqual({ conditions: ['gone'], timeoutMs: 30_000 });
  });

  test.each([
    [{}],
    [{ for: 'running,never' }],
    [{ for: 'running', timeoutMs: '-1' }],
    [{ for: 'running', timeoutMs: '1e9' }],
    [{ for: 'running', timeoutMs: '86400001' }],
    [{ for: 'applied', sha256: 'abc' }],
  ])('%j is refused', (query) => {
    expect(() => parseWaitQuery(query)).toThrow(expect.objectContaining({ code: 'bad-usage' }));
  });
});

describe('the query of events', () => {
  test.each([
    { since: null, follow: true },
    { since: '2026-01-02T03:04:05.000Z', follow: false },
  ])('reads what the client writes: %j', (request) => {
    expect(parseEventsQuery(formatEventsQuery(request))).toEqual(request);
  });

  test('follows where nothing is said', () => {
    expect(parseEventsQuery({})).toEqual({ since: null, follow: true });
  });
});
