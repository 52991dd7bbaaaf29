/** `emperor cron next` as people and scripts call it, without a daemon. */
import { spawnSync } from 'node:child_process';
import { resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { answerLine } from '../../../src/cli/commands/cron-next.ts';
import { formatMoment, parseMoment } from '../../../src/cli/cron/moment.ts';

const PROGRAM = resolve(import.meta.dirname, '../../../bin/emperor');

function cronNext(words: readonly string[], input = '') {
  const done = spawnSync(PROGRAM, ['cron', 'next', ...words], { input, encoding: 'utf8' });
  return { status: done.status, stdout: done.stdout, stderr: done.stderr };
}

describe('emperor cron next', () => {
  test("takes uWSGI's negative numbers, in one word or in five, and options anywhere", () => {
    const answer = {
      status: 0,
      stdout: '2026-01-03T00:00:00Z\n2026-01-03T00:05:00Z\n',
      stderr: '',
    };
    const options = ['-n', '2', '--from', '2026-01-01', '--tz', 'UTC'];
    expect(cronNext(['-5 -1 -1 -1 6', ...options])).toEqual(answer);
    expect(cronNext([...options, '-5', '-1', '-1', '-1', '6'])).toEqual(answer);
  });

  test('exits with 1 and says why for what is no schedule', () => {
    expect(cronNext(['0 */5 * * * *'])).toEqual({
      status: 1,
      stdout: '',
      stderr:
        'emperor: `*` is too much; there are five fields, minute to weekday; the minute is the finest, there are no seconds\n',
    });
  });

  test('prints JSON, and an empty list for never', () => {
    const options = ['--from', '2026-03-28T12:00', '--tz', 'Europe/Berlin', '--json'];
    expect(JSON.parse(cronNext(['30 2 * * *', ...options]).stdout)).toEqual([
      '2026-03-29T03:00:00+02:00',
    ]);
    expect(JSON.parse(cronNext(['0 0 30 2 *', ...options]).stdout)).toEqual([]);
  });

  test('answers each line of a batch', () => {
    const lines = [
      '2026-01-01T00:00:00Z\tAsia/Kolkata\t*/5 9 * * *',
      '2026-01-01T00:00\tAmerica/St_Johns\t@reboot',
      '2026-01-01\tUTC\t61 * * * *',
    ];
    expect(cronNext(['-'], `${lines.join('\n')}\n`)).toEqual({
      status: 1,
      stdout: '2026-01-01T09:00:00+05:30\nnever\nerror: there is no minute `61`\n',
      stderr: '',
    });
  });
});

describe('answerLine()', () => {
  const setting = { zone: 'UTC', nowMs: Date.parse('2026-05-05T05:05Z') };
  test.each([
    ['\t\t* * * * *', '2026-05-05T05:06:00Z'],
    ['2026-02-30\tUTC\t* * * * *', 'error: 2026-02-30 is no ISO 8601 time'],
    ['now\tUTC\t* * * * *', 'error: now is no ISO 8601 time'],
    ['2026-01-01\tMars\t* * * * *', 'error: there is no time zone Mars'],
    ['* * * * *', 'error: a line is FROM<TAB>ZONE<TAB>EXPR'],
    ['2026-01-01\tUTC\tCRON_TZ=Asia/Tokyo 0 9 * * *', '2026-01-02T09:00:00+09:00'],
    ['2026-01-01\tUTC\t\u001b[2J', 'error: it ends before the hour'],
  ])('answers %j', (line, answer) => {
    expect(answerLine(line, setting)).toBe(answer);
  });
});

describe('parseMoment() and formatMoment()', () => {
  test.each([
    ['2026-03-29T02:30', '2026-03-29T03:30:00+02:00'],
    ['2026-10-25T02:30', '2026-10-25T02:30:00+02:00'],
    ['2026-10-25T02:30+01:00', '2026-10-25T02:30:00+01:00'],
    ['2026-10-25 02:30:15.5', '2026-10-25T02:30:15+02:00'],
    ['2026-07-01', '2026-07-01T00:00:00+02:00'],
    ['2026-07-01T00:00Z', '2026-07-01T02:00:00+02:00'],
    ['2026-07-01T00:00-0330', '2026-07-01T05:30:00+02:00'],
  ])('reads %s by the clocks of Berlin', (text, shown) => {
    expect(formatMoment(parseMoment(text, 'Europe/Berlin') ?? 0, 'Europe/Berlin')).toBe(shown);
  });
});
