import { afterEach, describe, expect, test } from 'vitest';
import { minutesOf } from '../../../src/emperor/cron-agenda.ts';
import { slotOf } from '../../../src/emperor/cron-slot.ts';
import { CronWorld, exitOf, jobsIn } from '../../support/cron-world.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

let world: CronWorld | undefined;

function worldAt(start: string): CronWorld {
  world = new CronWorld(start);
  return world;
}

afterEach(() => {
  world?.close();
  world = undefined;
});

/** Events of that kind, without the kind. */
function told({ events }: CronWorld, kind: string): readonly string[] {
  return events
    .filter((event) => event.startsWith(`${kind} `))
    .map((event) => event.slice(kind.length + 1));
}

describe('Cron', () => {
  test('partly M72: runs a job once in each matching minute', async () => {
    const cron = worldAt('2026-01-01T00:00:30Z');
    const init = cron.add(
      'blog',
      'cron = CRON_TZ=UTC */2 * * * * even',
      'cron = CRON_TZ=UTC * * * * * each',
    );
    cron.cron.start();
    await cron.clock.pass(10 * MINUTE);
    expect(init.started.filter((command) => command === 'each')).toHaveLength(10);
    expect(init.started.filter((command) => command === 'even')).toHaveLength(5);
    expect(init.slots.size).toBe(0);
  });

  test('M70: `59 23 -1 -1 -1 myscript arg1` runs at one minute to midnight, any day', async () => {
    const cron = worldAt('2026-01-01T23:58:30Z');
    const init = cron.add('blog', 'cron = CRON_TZ=UTC 59 23 -1 -1 -1 myscript arg1');
    cron.cron.start();
    await cron.clock.pass(29_000);
    expect(init.started).toEqual([]);
    await cron.clock.pass(2000);
    expect(init.started).toEqual(['myscript arg1']);
    await cron.clock.pass(DAY - 3000);
    expect(init.started).toHaveLength(1);
    await cron.clock.pass(2 * DAY);
    expect(init.started).toHaveLength(3);
  });

  test('M71: `-5 -1 -1 -1 6` runs each five minutes of a Saturday, and of no other day', async () => {
    const friday = '2026-01-02T12:00:30Z';
    const cron = worldAt(friday);
    const init = cron.add('blog', 'cron = CRON_TZ=UTC -5 -1 -1 -1 6 x');
    cron.cron.start();
    await cron.clock.pass(12 * HOUR - 31_000);
    expect(init.started).toHaveLength(0);
    await cron.clock.pass(1000);
    expect(init.started).toHaveLength(1);
    await cron.clock.pass(5 * MINUTE - 1000);
    expect(init.started).toHaveLength(1);
    await cron.clock.pass(1000);
    expect(init.started).toHaveLength(2);
    await cron.clock.pass(2 * DAY);
    expect(init.started).toHaveLength((24 * 60) / 5);
  });

  test('starts within the first second of the minute', async () => {
    const cron = worldAt('2026-01-01T00:00:59Z');
    const init = cron.add('blog', 'cron = * * * * * x');
    cron.cron.start();
    await cron.clock.pass(999);
    expect(init.started).toEqual([]);
    await cron.clock.pass(2);
    expect(init.started).toEqual(['x']);
  });

  test('does not run a job in the minute in which it is written, and keeps the others as they are', async () => {
    const cron = worldAt('2026-01-01T00:00:30Z');
    const init = cron.add('blog', 'cron = * * * * * a');
    cron.cron.start();
    await cron.clock.pass(MINUTE);
    cron.add('blog', 'cron = * * * * * a', 'cron = * * * * * b');
    const later = cron.vassals.get('blog')?.init;
    await cron.clock.pass(10_000);
    expect([init.started, later?.started]).toEqual([['a'], []]);
    await cron.clock.pass(MINUTE);
    expect(later?.started.toSorted()).toEqual(['a', 'b']);
  });

  test('does not run a job again for a minute that it was taken out and put back in', async () => {
    const cron = worldAt('2026-01-01T00:00:30Z');
    const init = cron.add('blog', 'cron = * * * * * x');
    init.isQuick = false;
    cron.cron.start();
    await cron.clock.pass(3 * MINUTE);
    const jobs = cron.vassals.get('blog')?.jobs ?? [];
    cron.cron.set('blog', []);
    cron.cron.set('blog', jobs);
    await cron.clock.pass(10);
    expect(init.started).toHaveLength(3);
    expect(told(cron, 'cron-missed')).toEqual([]);
    await cron.clock.pass(MINUTE);
    expect(init.started).toHaveLength(4);
  });

  test('partly M73: does not start a unique job that still runs; another runs beside itself', async () => {
    const cron = worldAt('2026-01-01T00:00:30Z');
    const init = cron.add('blog', 'unique-cron = * * * * * one', 'cron = * * * * * many');
    init.isQuick = false;
    cron.cron.start();
    await cron.clock.pass(3 * MINUTE);
    expect(init.started.toSorted()).toEqual(['many', 'many', 'many', 'one']);
    expect(told(cron, 'cron-skipped')).toEqual(['blog it still runs', 'blog it still runs']);
  });

  test('partly M73: kills a job after its harakiri, also one that an earlier emperor started', async () => {
    const cron = worldAt('2026-01-01T00:00:59Z');
    const init = cron.add('blog', 'cron2 = harakiri=90,timezone=UTC,minute=1 slow');
    init.isQuick = false;
    cron.cron.start();
    await cron.clock.pass(31_000);
    await cron.crash({ awayMs: 30_000 });
    expect([init.started, init.killed]).toEqual([['slow'], []]);
    await cron.clock.pass(29_000);
    expect(init.killed).toEqual([]);
    await cron.clock.pass(2000);
    expect(init.killed).toHaveLength(1);
    expect(init.started).toEqual(['slow']);
  });

  test('says once that a vassal which does not run has no jobs', async () => {
    const cron = worldAt('2026-01-01T00:00:30Z');
    const init = cron.add('blog', 'cron = * * * * * x');
    const vassal = cron.vassals.get('blog');
    if (!vassal) throw new Error('no vassal');
    cron.cron.start();
    for (const state of ['frozen', 'backoff', 'stopped'] as const) {
      vassal.state = state;
      await cron.clock.pass(2 * MINUTE);
    }
    expect(init.started).toEqual([]);
    expect(told(cron, 'cron-held-back')).toEqual(
      ['frozen', 'backoff', 'stopped'].map(
        (state) => `blog the vassal is ${state}, so its jobs do not run`,
      ),
    );
    vassal.state = 'running';
    await cron.clock.pass(MINUTE);
    expect(init.started).toEqual(['x']);
  });

  test('waits for a vassal that is being reloaded', async () => {
    const cron = worldAt('2026-01-01T00:00:30Z');
    const init = cron.add('blog', 'cron = * * * * * x');
    const vassal = cron.vassals.get('blog');
    if (!vassal) throw new Error('no vassal');
    cron.cron.start();
    vassal.state = 'reloading';
    await cron.clock.pass(35_000);
    expect(init.started).toEqual([]);
    vassal.state = 'running';
    await cron.clock.pass(1000);
    expect(init.started).toEqual(['x']);
  });

  test('tries again where the vassal has no room for a process, and tells of a job that cannot start', async () => {
    const cron = worldAt('2026-01-01T00:00:30Z');
    const init = cron.add('blog', 'cron = * * * * * x');
    cron.cron.start();
    init.errno = 11;
    await cron.clock.pass(40_000);
    init.errno = null;
    await cron.clock.pass(5000);
    expect(init.started).toEqual(['x']);
    init.errno = 2;
    await cron.clock.pass(MINUTE);
    expect(told(cron, 'cron-failed')).toEqual(['blog Cannot start it']);
  });

  test('runs what waits for the start of its vassal', async () => {
    const cron = worldAt('2026-01-01T00:00:30Z');
    const init = cron.add('blog', 'cron = @reboot boot');
    cron.cron.start();
    await cron.clock.pass(DAY);
    expect(init.started).toEqual([]);
    cron.cron.booted('blog');
    await cron.clock.pass(10);
    expect(init.started).toEqual(['boot']);
  });
});

describe('a storm', () => {
  test('of 10,000 jobs in one minute is a stream, bounded in each vassal, and none is lost', async () => {
    const cron = worldAt('2026-01-01T00:00:30Z');
    const inits = Array.from({ length: 10 }, (_, index) => {
      const lines = Array.from({ length: 1000 }, (__, job) => `cron = * * * * * job ${job}`);
      return cron.add(`v${index}`, ...lines);
    });
    for (const init of inits) init.isQuick = false;
    cron.cron.start();
    let most = 0;
    for (let second = 0; second < 55; second += 1) {
      await cron.clock.pass(second === 0 ? 31_000 : 1000);
      for (const init of inits) {
        const running = [...init.slots.values()].filter(({ endedAtMs }) => endedAtMs === null);
        most = Math.max(most, running.length);
        for (const { slot } of running) init.end(slot, 0);
      }
    }
    expect(most).toBe(64);
    for (const init of inits) expect(new Set(init.started).size).toBe(1000);
    for (const init of inits) expect(init.started).toHaveLength(1000);
    expect(told(cron, 'cron-skipped')).toEqual([]);
  }, 60_000);
});

describe('an init that its tenant has taken over', () => {
  test('and that answers no start delays no other vassal', async () => {
    const cron = worldAt('2026-01-01T00:00:30Z');
    const lines = Array.from({ length: 200 }, (_, job) => `cron = * * * * * job ${job}`);
    cron.add('mallory', ...lines).isSilent = true;
    const blog = cron.add('blog', 'cron = * * * * * x');
    cron.cron.start();
    await cron.clock.pass(30_000);
    for (let minutes = 1; minutes <= 5; minutes += 1) {
      await cron.clock.pass(1500);
      expect(blog.started).toHaveLength(minutes);
      await cron.clock.pass(MINUTE - 1500);
    }
  });

  test('cannot have an end written down of what nobody has started', () => {
    const cron = worldAt('2026-01-01T00:00:30Z');
    cron.add('blog', 'cron = * * * * * x');
    const before = cron.journal.keys('blog');
    for (let key = 0; key < 100; key += 1) {
      const slot = { slot: slotOf({ key, minute: key }), command: '', startedAtMs: 0 };
      cron.cron.ended('blog', exitOf({ ...slot, label: 'forged', endedAtMs: 1, status: 0 }));
    }
    expect(cron.journal.keys('blog')).toEqual(before);
    expect(told(cron, 'cron-exited')).toEqual([]);
  });
});

test('a run whose start was never answered, and which has ended, is known and not started again', async () => {
  const cron = worldAt('2026-01-01T00:00:30Z');
  const init = cron.add('blog', 'unique-cron = 1 0 * * * x');
  init.isSilent = true;
  cron.cron.start();
  await cron.clock.pass(35_000);
  init.isSilent = false;
  await cron.clock.pass(10_000);
  expect(init.started).toEqual(['x']);
  expect(init.slots.size).toBe(0);
  expect(told(cron, 'cron-exited')).toHaveLength(1);
});

describe('an emperor that dies', () => {
  test('within a minute leaves each of its jobs to be run once, whatever had become of it', async () => {
    const cron = worldAt('2026-01-01T00:00:30Z');
    const lines = Array.from({ length: 200 }, (_, job) => `cron = * * * * * job ${job}`);
    const init = cron.add('blog', ...lines);
    init.isQuick = false;
    cron.cron.start();
    await cron.clock.pass(30_001);
    // 64 run; some end and are acknowledged, some end when nobody listens.
    const [first, second, third, ...others] = [...init.slots.keys()];
    if (first === undefined || second === undefined || third === undefined)
      throw new Error('64 run');
    init.end(first, 0);
    await cron.crash({ awayMs: 0 });
    init.end(second, 0);
    await cron.crash({ awayMs: 2000 });
    init.end(third, 0);
    for (const slot of others) init.end(slot, 0);
    init.isQuick = true;
    await cron.clock.pass(10_000);
    expect(init.started).toHaveLength(200);
    expect(new Set(init.started).size).toBe(200);
  });

  test.each([0, 1, 20_000, 29_000])(
    '%i ms in, and is back at once, costs and doubles no minute',
    async (ms) => {
      const cron = worldAt('2026-01-01T00:00:30Z');
      const init = cron.add('blog', 'cron = * * * * * x');
      cron.cron.start();
      await cron.clock.pass(30_000 + ms);
      await cron.crash({ awayMs: 100 });
      await cron.clock.pass(5 * MINUTE);
      expect(init.started).toHaveLength(6);
    },
  );

  test('and is away for minutes: they are reported and not run, but the newest for `catch-up`', async () => {
    const cron = worldAt('2026-01-01T00:00:30Z');
    const init = cron.add(
      'blog',
      'cron = CRON_TZ=UTC * * * * * plain',
      'cron2 = minute=2,timezone=UTC,catch-up=1 late',
      'cron = CRON_TZ=UTC 0 5 * * * later',
    );
    cron.cron.start();
    await cron.clock.pass(MINUTE);
    await cron.crash({ awayMs: 10 * MINUTE });
    await cron.clock.pass(10);
    expect(init.started).toEqual(['plain', 'late', 'plain']);
    expect(told(cron, 'cron-missed')).toEqual([
      'blog 9 missed, the first for 2026-01-01T00:02:00.000Z',
    ]);
    await cron.crash({ awayMs: 20 });
    await cron.clock.pass(10);
    expect(init.started).toHaveLength(3);
  });

  test('has the next one know which jobs of the minute have run, though an earlier run still goes on', async () => {
    const cron = worldAt('2026-01-01T00:00:30Z');
    const init = cron.add('blog', 'cron = * * * * * x');
    // One whose start is not answered: its minute is not finished.
    cron.add('busy', 'cron = CRON_TZ=UTC 2 0 * * * y').isSilent = true;
    init.isQuick = false;
    cron.cron.start();
    await cron.clock.pass(90_500);
    const [, second] = init.slots.keys();
    if (second !== undefined) init.end(second, 0);
    await cron.crash({ awayMs: 100 });
    await cron.clock.pass(1000);
    expect(init.started).toEqual(['x', 'x']);
  });

  test('with its machine, and is away for hours, has the jobs of its last minute reported as well', async () => {
    const cron = worldAt('2026-01-01T00:00:30Z');
    const line = 'cron = CRON_TZ=UTC 1 0 * * * x';
    cron.add('blog', line).isSilent = true;
    cron.cron.start();
    await cron.clock.pass(31_000);
    const init = cron.reboot('blog');
    await cron.crash({ awayMs: 2 * HOUR });
    await cron.clock.pass(MINUTE);
    expect(init.started).toEqual([]);
    expect(told(cron, 'cron-missed')).toEqual([
      'blog 1 missed, the first for 2026-01-01T00:01:00.000Z',
    ]);
  });

  test('has the next one run, or report, what a crontab says that it could not read before', async () => {
    const lines = ['cron = CRON_TZ=UTC 2 0 * * * early', 'cron = CRON_TZ=UTC 3 0 * * * now'];
    const cron = worldAt('2026-01-01T00:00:30Z');
    cron.add('blog', ...lines);
    cron.cron.start();
    await cron.clock.pass(MINUTE);
    cron.vassals.delete('blog');
    await cron.crash({ awayMs: 100 });
    // Its jail is there, and its jobs are known, two minutes later.
    await cron.clock.pass(100_000);
    const init = cron.add('blog', ...lines);
    await cron.clock.pass(10);
    expect(init.started).toEqual(['now']);
    expect(told(cron, 'cron-missed')).toEqual([
      'blog 1 missed, the first for 2026-01-01T00:02:00.000Z',
    ]);
    await cron.clock.pass(5 * MINUTE);
    expect(init.started).toEqual(['now']);
  });

  test('knows what it has missed also of a vassal that starts later', async () => {
    const cron = worldAt('2026-01-01T00:00:30Z');
    cron.add('blog', 'cron2 = hour=1,minute=0,timezone=UTC,catch-up=1 late');
    cron.cron.start();
    await cron.clock.pass(MINUTE);
    const vassal = cron.vassals.get('blog');
    cron.vassals.delete('blog');
    await cron.crash({ awayMs: 2 * HOUR });
    expect(vassal).toBeDefined();
    const init = cron.add('blog', 'cron2 = hour=1,minute=0,timezone=UTC,catch-up=1 late');
    await cron.clock.pass(2 * MINUTE);
    expect(init.started).toEqual(['late']);
  });
});

describe('a clock that is set', () => {
  const JUMPS = [1000, 30_000, MINUTE, 4 * MINUTE, HOUR, 5 * HOUR, DAY];

  test.each(JUMPS)('back by %i ms runs no minute again', async (ms) => {
    const cron = worldAt('2026-01-01T00:00:30Z');
    const init = cron.add(
      'blog',
      'cron = CRON_TZ=UTC * * * * * x',
      'cron = CRON_TZ=UTC 2 0 * * * fixed',
    );
    cron.cron.start();
    await cron.clock.pass(5 * MINUTE);
    cron.clock.jump(-ms);
    await cron.clock.pass(Math.ceil(ms / MINUTE) * MINUTE + 3 * MINUTE);
    const fixed = init.started.filter((command) => command === 'fixed').length;
    // Before the start of the world nothing was lived through: those minutes are new.
    const before = Math.max(0, ms - 5.5 * MINUTE) / MINUTE;
    const runs = init.started.length - fixed;
    expect(runs).toBeGreaterThanOrEqual(Math.floor(8 + before) - 1);
    expect(runs).toBeLessThanOrEqual(Math.ceil(8 + before) + 1);
    expect(fixed).toBe(1);
  });

  test.each([1000, 30_000, MINUTE, 4 * MINUTE])('forward by %i ms loses nothing', async (ms) => {
    const cron = worldAt('2026-01-01T00:00:30Z');
    const init = cron.add('blog', 'cron = * * * * * x');
    cron.cron.start();
    await cron.clock.pass(5 * MINUTE);
    cron.clock.jump(ms);
    await cron.clock.pass(5 * MINUTE);
    const minutes = Math.floor((30_000 + 10 * MINUTE + ms) / MINUTE);
    expect(init.started).toHaveLength(minutes);
  });

  test('forward by two hours runs a fixed time once, right after; by a day it is missed', async () => {
    const cron = worldAt('2026-01-01T00:00:30Z');
    const init = cron.add(
      'blog',
      'cron = CRON_TZ=UTC 10,20 1 * * * fixed',
      'cron = CRON_TZ=UTC */30 * * * * wild',
    );
    cron.cron.start();
    await cron.clock.pass(MINUTE);
    cron.clock.jump(2 * HOUR);
    await cron.clock.pass(MINUTE);
    expect(init.started).toEqual(['fixed']);
    cron.clock.jump(DAY);
    await cron.clock.pass(MINUTE);
    expect(init.started).toEqual(['fixed']);
    expect(told(cron, 'cron-missed').length).toBeGreaterThan(0);
  });

  test('from 1970 to now counts no more of the minutes between than it tells of', () => {
    const [job] = jobsIn('blog', ['cron = CRON_TZ=UTC */2 * * * * x']);
    if (job?.schedule.kind !== 'times') throw new Error('no job');
    const { schedule } = job;
    let looks = 0;
    const counted = {
      ...schedule,
      get minutes() {
        looks += 1;
        return schedule.minutes;
      },
    };
    const last = Date.parse('2026-01-01T00:00Z') / MINUTE;
    const found = minutesOf({ ...job, schedule: counted }, { first: 0, last, atMost: 1000 });
    expect([found.length, found[0], found.at(-1)]).toEqual([1000, last - 1998, last]);
    expect(looks).toBeLessThan(10_000);
  });

  test('wrong for a while runs the times that it had skipped when they come', async () => {
    const cron = worldAt('2026-01-01T00:00:30Z');
    const init = cron.add(
      'blog',
      'cron = CRON_TZ=UTC 0 12 * * * noon',
      'cron = CRON_TZ=UTC */10 * * * * often',
    );
    cron.cron.start();
    await cron.clock.pass(MINUTE);
    cron.clock.jump(DAY);
    await cron.clock.pass(5 * MINUTE);
    cron.clock.jump(-DAY);
    await cron.clock.pass(13 * HOUR);
    expect(init.started.filter((command) => command === 'noon')).toHaveLength(1);
    expect(init.started.filter((command) => command === 'often')).toHaveLength(78);
  });
});

describe('a zone that changes its clocks', () => {
  test.each([
    ['forward', '2026-03-28T22:00:30Z', 1, 0],
    ['back', '2026-10-24T22:00:30Z', 1, 4],
  ])('%s has a fixed time run once, and a wildcard follow', async (_, start, fixed, wild) => {
    const cron = worldAt(start);
    const init = cron.add(
      'blog',
      'cron = CRON_TZ=Europe/Berlin 30 2 * * * fixed',
      'cron = CRON_TZ=Europe/Berlin */30 2 * * * wild',
    );
    cron.cron.start();
    await cron.clock.pass(6 * HOUR);
    const count = (command: string) => init.started.filter((one) => one === command).length;
    expect([count('fixed'), count('wild')]).toEqual([fixed, wild]);
  });
});

test('what is known of jobs is kept while a crontab has not been read, and forgotten once they are no more', async () => {
  const world = worldAt('2026-01-01T00:00:30Z');
  world.add('blog', 'cron = CRON_TZ=UTC * * * * * each');
  world.cron.start();
  await world.clock.pass(3 * MINUTE);
  const [job] = world.vassals.get('blog')?.jobs ?? [];
  const runs = () => world.journal.read('blog', job?.key ?? 0)?.runs;
  expect(runs()).toBe(3);
  world.cron.set('blog', [], { areAll: false });
  expect(runs()).toBe(3);
  world.cron.set('blog', job ? [job] : []);
  expect(runs()).toBe(3);
  world.cron.set('blog', []);
  expect(runs()).toBeUndefined();
});
