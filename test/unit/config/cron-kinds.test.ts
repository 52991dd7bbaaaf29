import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type CronJob, cronLine, cronWithOptions } from '../../../src/config/kinds/cron.ts';
import type { Kind } from '../../../src/config/kinds/kind.ts';

const CONTEXT = { directory: '/', lookupUser: () => undefined, lookupGroup: () => undefined };
const cron = cronLine({ isUnique: false });
const NONE = { zone: null, isUnique: false, harakiriMs: null, catchesUp: false };

function read(kind: Kind<CronJob>, text: string): CronJob | readonly string[] {
  const parsed = kind.parse(text, CONTEXT);
  if ('value' in parsed) return parsed.value;
  return [parsed.fault, ...(parsed.more ?? [])].map(
    ({ message, offset }) => `${offset}: ${message}`,
  );
}

describe('cron and unique-cron', () => {
  test('partly M70, M73 and M74: take both spellings', () => {
    expect(read(cron, '59 23 -1 -1 -1 myscript arg1')).toEqual({
      ...NONE,
      expression: '59 23 -1 -1 -1',
      command: 'myscript arg1',
    });
    expect(read(cronLine({ isUnique: true }), "@daily  sh -c 'a; b'")).toEqual({
      ...NONE,
      expression: '@daily',
      command: "sh -c 'a; b'",
      isUnique: true,
    });
  });

  test('partly M74: refuse what never becomes a job', () => {
    expect(read(cron, '1-70 * * * * x')).toEqual(['2: there is no minute `70`']);
    expect(read(cron, '* * * * *')).toEqual(['9: it has no command']);
  });
});

describe('cron2', () => {
  test.each([
    [
      'minute=-2,unique=1,harakiri=130 run me',
      { expression: '-2 -1 -1 -1 -1', isUnique: true, harakiriMs: 130_000, command: 'run me' },
    ],
    ['run every minute', { expression: '-1 -1 -1 -1 -1', command: 'run every minute' }],
    [
      'hour=8\\,20,minute=0,timezone=Asia/Kolkata,catch-up=1 tea',
      { expression: '0 8,20 * * *', zone: 'Asia/Kolkata', catchesUp: true, command: 'tea' },
    ],
    [
      'week=mon-fri,minute=5,harakiri=0 x',
      { expression: '5 * * * mon-fri', harakiriMs: 0, command: 'x' },
    ],
  ])('reads `%s`', (text, job) => {
    expect(read(cronWithOptions, text)).toEqual({ ...NONE, ...job });
  });

  test.each([
    ['minut=5 x', ['0: `minut` is no option of a job']],
    ['legion=a x', ['0: `legion` is no option of a job']],
    ['unique=yes x', ['7: `yes` is neither 0 nor 1']],
    ['minute=70,hour=25 x', ['7: there is no minute `70`', '15: there is no hour `25`']],
    ['minute=-5,week=mon x', ['7: `-5` is no minute']],
    ['minute=1,minute=2 x', ['9: `minute` is given twice']],
    ['unique=1,harakiri=soon x', ['18: `soon` is no time after which to kill it']],
    ['unique=1', ['8: it has no command']],
    ['unique=1 */5 * * * * x', ['9: `*/5` is one field too many']],
    ['timezone=Mars x', ['9: there is no time zone `Mars`']],
    ['hour=8,20 x', ['7: `20` is no option of a job']],
  ])('refuses `%s`', (text, told) => {
    expect(read(cronWithOptions, text)).toEqual(told);
  });
});

test('what is printed reads as the same job', () => {
  const field = fc.constantFrom('*', '*/5', '1', '1,2', '3-5');
  const job = fc.record({
    expression: fc.tuple(field, field, field, field, field).map((fields) => fields.join(' ')),
    zone: fc.constantFrom(null, 'Europe/Berlin'),
    command: fc.constantFrom('x', "sh -c 'a; b'", 'a=1 b', 'x %d'),
    isUnique: fc.boolean(),
    harakiriMs: fc.constantFrom(null, 0, 1500, 60_000),
    catchesUp: fc.boolean(),
  });
  fc.assert(
    fc.property(job, (value) => {
      expect(read(cronWithOptions, cronWithOptions.print(value))).toEqual(value);
      const plain = { ...value, isUnique: false, harakiriMs: null, catchesUp: false };
      expect(read(cron, cron.print(plain))).toEqual(plain);
    }),
  );
});
