import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseCronLine } from '../../../src/cron/cron-line.ts';
import { parseSchedule } from '../../../src/cron/parse-schedule.ts';

/** What a schedule comes to, short; or each thing that is wrong, with the part that it is about. */
function read(text: string): string {
  const parsed = parseSchedule(text);
  if ('faults' in parsed) return faultsOf(text, parsed.faults).join('\n');
  const { schedule } = parsed;
  if (schedule.kind === 'reboot') return 'reboot';
  const { minutes, hours, days, months, weekdays, dayRule, isWildcard } = schedule;
  const sets = [minutes, hours, days, months, weekdays].map(short).join(' ');
  const notes = parsed.warnings.map(({ message }) => `; ${message}`).join('');
  return `${sets} ${dayRule}${isWildcard ? ' wildcard' : ''}${notes}`;
}

interface Told {
  readonly message: string;
  readonly hint: string;
  readonly offset: number;
  readonly length: number;
}

function faultsOf(text: string, faults: readonly Told[]): readonly string[] {
  return faults.map(
    ({ message, hint, offset, length }) =>
      `${offset}:${text.slice(offset, offset + length)}: ${message}; ${hint}`,
  );
}

/** `0,1,2,3,7` → `0-3,7` */
function short(values: readonly number[]): string {
  const runs: string[] = [];
  for (let index = 0; index < values.length; index += 1) {
    const start = index;
    while ((values[index + 1] ?? Number.NaN) === (values[index] ?? 0) + 1) index += 1;
    runs.push(start === index ? `${values[index]}` : `${values[start]}-${values[index]}`);
  }
  return runs.join(',');
}

describe('parseSchedule()', () => {
  test.each([
    // uWSGI: M70, M71, background/uwsgi.md
    ['59 23 -1 -1 -1', '59 23 1-31 1-12 0-6 both'],
    ['-5 -1 -1 -1 6', '0,5,10,15,20,25,30,35,40,45,50,55 0-23 1-31 1-12 6 both wildcard'],
    ['0 0 -2 -3 -2', '0 0 2,4,6,8,10,12,14,16,18,20,22,24,26,28,30 3,6,9,12 0,2,4,6 both'],
    ['0 0 1 -1 7', '0 0 1 1-12 0 either'],
    ['0 0 -1 -1 1', '0 0 1-31 1-12 1 both'],
    // crontab(5)
    ['*/15 0,12 1-7/2 jan-mar mon', '0,15,30,45 0,12 1,3,5,7 1-3 1 either wildcard'],
    ['0 0 */5 * *', '0 0 1,6,11,16,21,26,31 1-12 0-6 both'],
    ['0 0 13 * */2', '0 0 13 1-12 0,2,4,6 both'],
    ['05 04 * * 5-7', '5 4 1-31 1-12 0,5-6 both'],
    ['\t1  2 3 4 5 ', '1 2 3 4 5 either'],
    ['5 4 1 1 1', '5 4 1 1 1 either'],
    ['@daily', '0 0 1-31 1-12 0-6 both'],
    ['@weekly', '0 0 1-31 1-12 0 both'],
    ['@hourly', '0 0-23 1-31 1-12 0-6 both wildcard'],
    ['@annually', '0 0 1 1 0-6 both'],
    ['@reboot', 'reboot'],
  ])('partly M70 and M74: reads `%s` without a word', (text, meaning) => {
    expect(read(text)).toBe(meaning);
  });

  test.each([
    ['-90 -1 -1 -1 -1', '`-90` means minute 0 only'],
    ['*/90 * * * *', 'steps of 90 never get beyond minute 0'],
    ['0 */24 * * *', 'steps of 24 never get beyond hour 0'],
    ['0 0 30 2 *', 'no month that it names has such a day, so it never comes'],
    ['0 0 31 4,6 *', 'no month that it names has such a day, so it never comes'],
  ])('takes `%s`, with a warning', (text, message) => {
    expect(read(text)).toContain(`; ${message}`);
  });

  test.each([
    ['61 * * * *', '0:61: there is no minute `61`; it takes minute 0-59'],
    ['* 24 * * *', '2:24: there is no hour `24`; it takes hour 0-23'],
    ['* * 0 * *', '4:0: there is no day `0`; it takes day 1-31'],
    ['* * * 13 *', '6:13: there is no month `13`; it takes month 1-12'],
    ['* * * * 8', '8:8: there is no weekday `8`; it takes weekday 0-7'],
    [
      '60 -1 -1 -1 -1',
      '0:60: there is no minute `60`; it takes minute 0-59, -1 for any, -N for every one that N divides',
    ],
    [
      '-0 0 -1 -1 -1',
      '0:-0: there is no minute `-0`; it takes minute 0-59, -1 for any, -N for every one that N divides',
    ],
    ['0 0 -32 -1 -1', '4:-32: no day is divisible by 32; `-1` is any day; days end at 31'],
    [
      '-5 * * * *',
      "0:-5: `-5` is no minute; negative numbers are uWSGI's, and then all five fields are numbers; write `*` or `*/N`",
    ],
    ['0 0 ? * *', '4:?: `?` is no day; write `*` for any'],
    [
      '0 0 L * *',
      '4:L: `L` is no day; there is no `L` for the last; let the command find out whether it is the day',
    ],
    [
      '0 0 * * 5#2',
      '8:5#2: `5#2` is no weekday; there is no `W` and no `#`; let the command find out whether it is the day',
    ],
    ['H 0 * * *', '0:H: `H` is no minute; write a number, or `*`; there is no `H`'],
    ['0~30 0 * * *', '0:0~30: `0~30` is no minute; there is no random `~`; write a number'],
    ['0 0 * jab *', '6:jab: `jab` is no month; did you mean `jan`?'],
    [
      '0 0 * * sat-sun',
      '8:sat-sun: `sat-sun` runs backwards; write `sat-sat,sun-sun` if it goes on at the beginning',
    ],
    [
      '50-10 * * * *',
      '0:50-10: `50-10` runs backwards; write `50-59,0-10` if it goes on at the beginning',
    ],
    ['5/15 * * * *', '0:5/15: a step needs a range to go through; write `5-59/15`'],
    ['*/0 * * * *', '2:0: `0` is no step; it takes a whole number from 1'],
    [
      '1,,2 * * * *',
      '2:: the minute has an empty part; a list is numbers with commas between, without blanks',
    ],
    [
      '0 */5 * * * *',
      '12:*: `*` is too much; there are five fields, minute to weekday; the minute is the finest, there are no seconds',
    ],
    [
      '* * * *',
      '7:: it ends before the weekday; it takes five fields (minute, hour, day, month, weekday), or a word such as `@daily`',
    ],
    [
      '',
      '0:: it has no time; it takes five fields (minute, hour, day, month, weekday), or a word such as `@daily`',
    ],
    ['@dayly', '0:@dayly: `@dayly` is no time; did you mean `@daily`?'],
    ['@Daily', '0:@Daily: `@Daily` is no time; did you mean `@daily`?'],
    [
      '1.5 * * * *',
      '0:1.5: `1.5` is no minute; it takes minute 0-59, `*`, lists, ranges and steps',
    ],
    ['* * * * *sun', '8:*sun: `*sun` is no weekday; did you mean `sun`?'],
  ])('partly M74: refuses `%s` and says why', (text, told) => {
    expect(read(text)).toBe(told);
  });

  test('tells every field that is wrong', () => {
    expect(read('60 24 32 13 8').split('\n')).toHaveLength(5);
  });

  test('ends for any text, and a fault lies within it', () => {
    const word = fc.oneof(
      fc.string({ maxLength: 12 }),
      fc.stringMatching(/^[-*/,0-9a-z@?]{0,8}$/),
      fc.constantFrom('*', '-1', '*/5', '1-5', 'mon', '@daily'),
    );
    fc.assert(
      fc.property(fc.array(word, { maxLength: 8 }), (words) => {
        const text = words.join(' ');
        const parsed = parseSchedule(text);
        const told = 'faults' in parsed ? parsed.faults : parsed.warnings;
        if ('faults' in parsed) expect(told.length).toBeGreaterThan(0);
        for (const { offset, length } of told) {
          expect(offset).toBeGreaterThanOrEqual(0);
          expect(offset + length).toBeLessThanOrEqual(text.length);
        }
      }),
      { numRuns: 2000 },
    );
  });
});

describe('parseCronLine()', () => {
  test.each([
    ['59 23 -1 -1 -1 myscript arg1', ['59 23 -1 -1 -1', null, 'myscript arg1']],
    ["*/5 * * * *   sh -c 'a;  b' ", ['*/5 * * * *', null, "sh -c 'a;  b'"]],
    ['@daily backup --all', ['@daily', null, 'backup --all']],
    ['CRON_TZ=Asia/Kolkata 0 3 * * * x', ['0 3 * * *', 'Asia/Kolkata', 'x']],
  ])('splits `%s`', (text, parts) => {
    const parsed = parseCronLine(text);
    if ('faults' in parsed) throw new Error(parsed.faults[0]?.message);
    const { expression, zone, command } = parsed.line;
    expect([expression, zone, command]).toEqual(parts);
  });

  test.each([
    [
      '0 */5 * * * * cmd',
      '12:*: `*` is one field too many; there are five fields, minute to weekday; the minute is the finest, there are no seconds',
    ],
    [
      '0 0 12 1 1 5 cmd',
      '11:5: `5` is one field too many; there are five fields, minute to weekday; the minute is the finest, there are no seconds',
    ],
    ['* * * * *', '9:: it has no command; write what is to be run behind the times'],
    ['@reboot', '7:: it has no command; write what is to be run behind the times'],
    [
      'CRON_TZ=Mars/Base 0 3 * * * x',
      '8:Mars/Base: there is no time zone `Mars/Base`; it takes a name such as `Europe/Berlin` or `UTC`, see `timedatectl list-timezones`',
    ],
    [
      'run this',
      '8:: it ends before the day; it takes five fields (minute, hour, day, month, weekday), or a word such as `@daily`',
    ],
  ])('refuses `%s`', (text, told) => {
    const parsed = parseCronLine(text);
    expect('faults' in parsed && faultsOf(text, parsed.faults)).toEqual([told]);
  });
});
