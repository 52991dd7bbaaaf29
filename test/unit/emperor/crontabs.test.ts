import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { EmperorError } from '../../../src/base/errors.ts';
import { silentLog } from '../../../src/base/log.ts';
import { type CrontabInit, Crontabs, type CrontabVassal } from '../../../src/emperor/crontabs.ts';
import type { CrontabText } from '../../../src/jail/init-client.ts';
import type { VassalState } from '../../../src/vassal/state.ts';
import { ManualClock } from '../../support/manual-clock.ts';

const EAGAIN = 11;
const ELOOP = 40;
const ENOENT = 2;

/** What its file says, how often it was asked, and what was written to the log. */
class FakeJail {
  says: CrontabText | 'nothing' | Promise<CrontabText> = { errno: ENOENT };
  reads = 0;
  readonly log: string[] = [];
  readonly init: CrontabInit = {
    crontab: async () => {
      this.reads += 1;
      if (this.says === 'nothing') throw new EmperorError('timeout', 'none came');
      return this.says;
    },
    note: async (label, lines) => void this.log.push(...lines.map((line) => `${label} ${line}`)),
  };
}

let clock: ManualClock;
let crontabs: Crontabs;
let home: string | null;
let changes: number;
let vassal: { -readonly [Key in keyof CrontabVassal]: CrontabVassal[Key] };
let jail: FakeJail;

beforeEach(() => {
  clock = new ManualClock();
  home = '/home/blog';
  changes = 0;
  jail = new FakeJail();
  vassal = { name: 'blog', state: 'running' as VassalState, jail };
  crontabs = new Crontabs({
    ...{ clock, log: silentLog },
    homeOf: () => home,
    onChange: () => {
      changes += 1;
    },
  });
});
afterEach(() => crontabs.close());

const commands = () => crontabs.of('blog')?.jobs.map(({ command }) => command);

/** A change that init tells, and the reading that follows, `ms` later at most. */
async function edit(text: string, ms = 200): Promise<void> {
  jail.says = { text };
  crontabs.changed(vassal);
  await clock.pass(ms);
}

describe('a crontab', () => {
  test('is read once for a jail, and again for the next one', async () => {
    jail.says = { text: '* * * * * one\n' };
    expect(crontabs.of('blog')).toBeNull();
    await Promise.all([crontabs.follow(vassal), crontabs.follow(vassal)]);
    expect([commands(), jail.reads, changes]).toEqual([['one'], 1, 1]);
    vassal.jail = jail = new FakeJail();
    expect(commands()).toEqual(['one']);
    await crontabs.follow(vassal);
    expect([commands(), jail.reads, changes]).toEqual([[], 1, 2]);
  });

  test('that is edited is read within a fraction of a second, and the same text changes nothing', async () => {
    await crontabs.follow(vassal);
    await edit('* * * * * two\n');
    expect([commands(), changes]).toEqual([['two'], 2]);
    await clock.pass(60_000);
    await edit('* * * * * two\n');
    expect([jail.reads, changes]).toEqual([3, 2]);
  });

  test('that is changed all the time is read more and more seldom', async () => {
    await crontabs.follow(vassal);
    for (let second = 0; second < 600; second += 1) {
      crontabs.changed(vassal);
      crontabs.changed(vassal);
      await clock.pass(100);
    }
    expect(jail.reads).toBeLessThan(14);
    await clock.pass(30_000);
    await edit('* * * * * calm\n');
    expect(commands()).toEqual(['calm']);
  });

  test('with bad lines has the good ones, and tells the customer once in its log and the operator in status', async () => {
    jail.says = { text: '* * * * * good\n99 * * * * bad\nMAILTO=me@x\n' };
    await crontabs.follow(vassal);
    expect(commands()).toEqual(['good']);
    expect(jail.log).toEqual([
      expect.stringMatching(/^crontab line 2: error: there is no minute `99`; /),
      expect.stringMatching(/^crontab line 3: warning: no mail is sent; /),
    ]);
    expect(crontabs.diagnosticsOf('blog')).toMatchObject([
      { file: '/home/blog/crontab', line: 2, column: 1, severity: 'error', text: '99 * * * * bad' },
      { line: 3, severity: 'warning' },
    ]);
    await clock.pass(60_000);
    crontabs.changed(vassal);
    await clock.pass(1000);
    expect([jail.reads, jail.log.length]).toEqual([2, 2]);
  });

  test('that cannot be read has no jobs, and says why', async () => {
    await edit('', 0);
    jail.says = { errno: ELOOP };
    await crontabs.follow(vassal);
    expect(commands()).toEqual([]);
    expect(crontabs.diagnosticsOf('blog')).toMatchObject([
      { line: 0, message: 'the crontab cannot be read: it is a symbolic link' },
    ]);
    expect(jail.log).toEqual([expect.stringMatching(/^crontab error: .* symbolic link; /)]);
  });

  test.each([
    ['under a lease', { errno: EAGAIN } as const],
    ['of an init that does not answer', 'nothing' as const],
  ])('%s stays as it was and is tried again', async (_, says) => {
    jail.says = { text: '* * * * * one\n' };
    await crontabs.follow(vassal);
    jail.says = says;
    crontabs.changed(vassal);
    await clock.pass(200);
    expect([commands(), jail.reads]).toEqual([['one'], 2]);
    jail.says = { text: '* * * * * two\n' };
    await clock.pass(10_000);
    expect(commands()).toEqual(['two']);
  });

  test('that a hundred inits do not tell keeps no other from being read', async () => {
    for (let number = 0; number < 100; number += 1) {
      const silent = new FakeJail();
      silent.says = new Promise(() => {});
      void crontabs.follow({ name: `mallory${number}`, state: 'running', jail: silent });
    }
    jail.says = { text: '* * * * * one\n' };
    void crontabs.follow(vassal);
    for (let turn = 0; turn < 10; turn += 1) await clock.pass(100);
    expect(commands()).toEqual(['one']);
  });

  test('of a frozen vassal waits for its thaw', async () => {
    await crontabs.follow(vassal);
    crontabs.changed(vassal);
    vassal.state = 'frozen';
    await clock.pass(60_000);
    await crontabs.follow(vassal);
    expect(jail.reads).toBe(1);
    vassal.state = 'running';
    await crontabs.follow(vassal);
    expect(jail.reads).toBe(2);
  });

  test('that does not count is not read, and has no jobs', async () => {
    jail.says = { text: '* * * * * one\n' };
    await crontabs.follow(vassal);
    home = null;
    expect(crontabs.of('blog')).toBeNull();
    await edit('* * * * * two\n');
    expect(jail.reads).toBe(1);
    home = '/home/blog';
    await crontabs.follow(vassal);
    expect(commands()).toEqual(['two']);
  });
});
