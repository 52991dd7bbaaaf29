/** M3, M70-M74: jobs of vassals under a whole emperor, with a real clock: so this takes two minutes. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { CronJobStatus, EmperorEvent } from '../../src/emperor/governor.ts';
import { TestEmperor, until } from '../support/emperor.ts';

const MINUTE_MS = 60_000;
let emperor: TestEmperor;

beforeAll(async () => {
  emperor = new TestEmperor({ ini: 'emperor-throttle = 20\nemperor-max-throttle = 200' });
  await emperor.start();
});
afterAll(() => emperor.close());

const apply = (name: string, ...lines: readonly string[]) =>
  emperor.apply(name, ['[vassal]', 'stop-grace = 1s', ...lines, ''].join('\n'));

function jobsOf(name: string): readonly CronJobStatus[] {
  return JSON.parse(emperor.cli('cron', 'ls', name, '--json').stdout);
}

function events(): readonly EmperorEvent[] {
  const { stdout } = emperor.cli('events', '--json');
  return stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));
}

function linesOf(name: string, file: string): readonly string[] {
  const path = join(emperor.directory, 'homes', name, file);
  return existsSync(path) ? readFileSync(path, 'utf8').trimEnd().split('\n') : [];
}

test('a job runs inside as the tenant, its output is in the log, its end in `cron ls`, events and metrics', async () => {
  apply('boot', 'env = WHO=me', 'cron = @reboot echo "$WHO $(id -un) $PWD"; echo bad >&2; exit 3');
  await until(
    'it has ended',
    () => jobsOf('boot')[0]?.last?.endedAt !== null && jobsOf('boot')[0]?.last !== null,
  );
  expect(jobsOf('boot')).toMatchObject([
    { schedule: '@reboot', next: null, running: 0, runs: 1, failures: 1, last: { code: 3 } },
  ]);
  const log = emperor.log('boot');
  expect(log).toMatch(/ stdout F cron-echo me boot \/home\/boot$/m);
  expect(log).toMatch(/ stderr F cron-echo bad$/m);
  const told = events().filter(
    ({ vassal, event }) => vassal === 'boot' && event.startsWith('cron-'),
  );
  expect(told.map(({ event, code }) => [event, code])).toEqual([
    ['cron-started', undefined],
    ['cron-exited', 3],
  ]);
  expect(emperor.cli('cron', 'ls').stdout).toMatch(/^boot +@reboot .* at start .* 3 +echo /m);
});

test('three hundred jobs of one moment are a stream: all run once, so many at a time', async () => {
  const numbers = Array.from({ length: 300 }, (_, index) => `n${index}`);
  const job = 'cron = @reboot echo %(_) >> ~/done; ls -d /proc/[0-9]* | wc -l >> ~/processes';
  apply('storm', `for = ${numbers.join(' ')}`, job, 'endfor');
  await until('all have ended', () =>
    jobsOf('storm').every(({ last, running }) => last !== null && running === 0),
  );
  expect(linesOf('storm', 'done').toSorted()).toEqual(numbers.toSorted());
  // A shell and two programs each, and init.
  const most = Math.max(...linesOf('storm', 'processes').map(Number));
  expect(most).toBeLessThanOrEqual(3 * 64 + 1);
});

test('what is not understood is a diagnostic, and never a job (M74)', () => {
  emperor.write('typo', '[vassal]\ncron = 1-70 * * * * x\ncron = 0 */5 * * * * y\n');
  const { status, stdout } = emperor.cli('check', join(emperor.vassals, 'typo.ini'));
  expect(status).toBe(1);
  expect(stdout).toMatch(/typo\.ini:2:10: error\[bad-value\].*there is no minute `70`/);
  expect(stdout).toMatch(/typo\.ini:3:20: error\[bad-value\].*one field too many/);
  emperor.remove('typo');
});

test(
  'each minute once: over edits, a frozen vassal, and an emperor that is killed again and again (M72)',
  async () => {
    const each = 'cron = * * * * * date +%%s >> ~/each';
    apply(
      'many',
      'command = sleep 1000',
      each,
      'unique-cron = -1 -1 -1 -1 -1 echo once >> ~/unique; sleep 100',
    );
    apply('cold', 'command = sleep 1000', 'cron = * * * * * date >> ~/each');
    const before = emperor.status('many').pid;
    expect(emperor.cli('freeze', 'cold').status).toBe(0);
    expect(jobsOf('cold')[0]?.heldBack).toBe('the vassal is frozen');
    const first = Math.floor(Date.now() / MINUTE_MS) + 1;

    await killAround(first * MINUTE_MS);
    await until('the first minute has run', () => linesOf('many', 'each').length > 0);
    const second =
      'cron2 = minute=-1,timezone=UTC,harakiri=1 echo in >> ~/harakiri; sleep 30; echo out >> ~/harakiri';
    apply('many', 'command = sleep 1000', each, second);
    await killAround((first + 1) * MINUTE_MS);
    await sleep(Math.max(0, (first + 1) * MINUTE_MS + 5000 - Date.now()));

    const minutes = linesOf('many', 'each').map((line) => Math.floor(Number(line) / 60));
    const last = Math.floor(Date.now() / MINUTE_MS);
    expect(minutes).toEqual(Array.from({ length: last - first + 1 }, (_, index) => first + index));
    expect(linesOf('many', 'unique')).toEqual(['once']);
    expect(linesOf('many', 'harakiri')).toEqual(['in']);
    expect(linesOf('cold', 'each')).toEqual([]);
    expect(emperor.status('many').pid).toBe(before);
    expect(jobsOf('many')).toMatchObject([
      { runs: last - first + 1, failures: 0, last: { code: 0 } },
      { runs: 1, failures: 1, last: { signal: 'SIGKILL' } },
    ]);
  },
  4 * MINUTE_MS,
);

/** Kills and starts the emperor from shortly before that moment until shortly after it. */
async function killAround(momentMs: number): Promise<void> {
  await sleep(Math.max(0, momentMs - 4000 - Date.now()));
  while (Date.now() < momentMs + 3000) {
    await emperor.signal('SIGKILL');
    await emperor.start();
    await sleep(Math.random() * 300);
  }
}
