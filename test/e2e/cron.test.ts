/** M3, M70-M74: jobs of vassals under a whole emperor, with a real clock: so this takes two minutes. */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { CronJobStatus, EmperorEvent } from '../../src/emperor/governor.ts';
import { TestEmperor, until } from '../support/emperor.ts';
import { patienceMs } from '../support/slowness.ts';

const MINUTE_MS = 60_000;
const DAY_MS = 1440 * MINUTE_MS;
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

const SCRIPT = `#!/bin/sh
echo "$WHO $(id -un) $PWD, by a child of $(cut -d' ' -f4 /proc/$PPID/stat)"
cat /proc/self/cgroup
for kind in mnt ipc uts net pid; do readlink /proc/self/ns/$kind; done
echo bad >&2
exit 3
`;

test('M3: a script runs inside as the tenant, its output is in the log, its end in `cron ls`, events and metrics', async () => {
  apply('boot', 'env = WHO=me', 'cron = @reboot ./script');
  await until('there was none', () => (jobsOf('boot')[0]?.last ?? null) !== null);
  const write = 'cat > script; chmod +x script';
  emperor.cliWith({ input: SCRIPT }, 'exec', 'boot', '--', 'sh', '-c', write);
  emperor.cli('restart', 'boot');
  await until('it has run', () => jobsOf('boot')[0]?.last?.code === 3);
  expect(jobsOf('boot')).toMatchObject([
    { schedule: '@reboot', next: null, running: 0, runs: 2, failures: 2 },
  ]);

  const said = (stream: string) =>
    emperor
      .log('boot')
      .split('\n')
      .flatMap((line) => line.split(` ${stream} F cron-script `)[1] ?? []);
  const { pid } = emperor.status('boot');
  const namespaces = ['mnt', 'ipc', 'uts', 'net', 'pid'];
  const limited = emperor.cli('exec', 'boot', '--', 'cat', '/proc/self/cgroup').stdout;
  expect(limited).toMatch(/\/boot\/payload$/m);
  expect(said('stdout')).toEqual([
    'me boot /home/boot, by a child of 1',
    ...limited.trimEnd().split('\n'),
    ...namespaces.map((kind) => readlinkSync(`/proc/${pid}/ns/${kind}`)),
  ]);
  expect(said('stderr').at(-1)).toBe('bad');

  const told = events().filter(
    ({ vassal, event }) => vassal === 'boot' && event.startsWith('cron-'),
  );
  expect(told.map(({ event, code, durationMs }) => [event, code, durationMs])).toEqual([
    ['cron-started', undefined, undefined],
    ['cron-exited', 127, expect.any(Number)],
    ['cron-started', undefined, undefined],
    ['cron-exited', 3, expect.any(Number)],
  ]);
  expect(emperor.cli('cron', 'ls').stdout).toMatch(/^boot +@reboot .* at start .* 3 +\.\/script/m);
  const metrics = execFileSync('curl', [
    ...['-sS', '--unix-socket', emperor.socket, 'http://emperor/metrics'],
  ]).toString();
  expect(metrics.match(/^emperor_cron_\w+\{vassal="boot"\} .*$/gm)).toEqual([
    'emperor_cron_jobs{vassal="boot"} 1',
    'emperor_cron_running{vassal="boot"} 0',
    'emperor_cron_runs{vassal="boot"} 2',
    'emperor_cron_failures{vassal="boot"} 2',
    expect.stringMatching(/^emperor_cron_last_duration_seconds\{vassal="boot"\} 0\.\d+$/),
  ]);
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

test('M74: classic lines are jobs, and what is not understood is a diagnostic, and never one', () => {
  const classic = [
    '*/5 * * * *',
    '0,30 8-18/2 1,15 jan-mar,dec *',
    '15 4 * * Mon-Fri',
    '5 4 * * sun',
    '@hourly',
    '@daily',
  ];
  apply('classic', ...classic.map((schedule) => `cron = CRON_TZ=UTC ${schedule} true`));
  expect(jobsOf('classic').map(({ schedule }) => schedule)).toEqual(classic);
  const nexts = jobsOf('classic').map(({ next }) => new Date(next ?? 0));
  const [five, many, workday, sunday, hour, day] = nexts;
  expect((five?.getUTCMinutes() ?? 1) % 5).toBe(0);
  expect([1, 15]).toContain(many?.getUTCDate());
  expect([0, 1, 2, 11]).toContain(many?.getUTCMonth());
  expect([1, 2, 3, 4, 5]).toContain(workday?.getUTCDay());
  expect([sunday?.getUTCDay(), sunday?.toISOString().slice(11, 16)]).toEqual([0, '04:05']);
  expect(hour?.getUTCMinutes()).toBe(0);
  expect(day?.toISOString().slice(11)).toBe('00:00:00.000Z');

  emperor.write(
    'typo',
    '[vassal]\ncron = 1-70 * * * * x\ncron = 0 */5 * * * * y\ncron = @often z\n',
  );
  const { status, stdout } = emperor.cli('check', join(emperor.vassals, 'typo.ini'));
  expect(status).toBe(1);
  expect(stdout).toMatch(/typo\.ini:2:10: error\[bad-value\].*there is no minute `70`/);
  expect(stdout).toMatch(/typo\.ini:3:20: error\[bad-value\].*one field too many/);
  expect(stdout).toMatch(/typo\.ini:4:8: error\[bad-value\].*`@often` is no time/);
  emperor.rescan();
  expect([emperor.status('typo').config.valid, jobsOf('typo')]).toEqual([false, []]);
  emperor.remove('typo');
});

test('a vassal that is frozen, stopped or waits after a failure says that its jobs do not run', async () => {
  const heldBack = (name: string) => jobsOf(name)[0]?.heldBack;
  apply('still', 'command = sleep 1000', 'cron = * * * * * true');
  expect(heldBack('still')).toBe(null);
  emperor.cli('freeze', 'still');
  expect(heldBack('still')).toBe('the vassal is frozen');
  emperor.cli('thaw', 'still');
  emperor.cli('stop', 'still');
  expect(heldBack('still')).toBe('the vassal is stopped');
  expect(emperor.cli('cron', 'ls', 'still').stdout).toMatch(/ the vassal is stopped$/m);
  apply('sick', 'command = false', 'cron = * * * * * true');
  await until('it waits', () => heldBack('sick') === 'the vassal is backoff');
  emperor.remove('sick');
  emperor.remove('still');
});

test(
  'M72: each minute once, inside and as the tenant, however many lines there are: over edits, a frozen vassal, and an emperor that is killed again and again',
  async () => {
    const each =
      'cron = * * * * * echo $(date +%%s) $(id -u) $(readlink /proc/self/ns/net) >> ~/each';
    const lines = [
      'command = sleep 1000',
      each,
      `cron = CRON_TZ=UTC * * ${dayOf(0)},${dayOf(1)} * ${weekdayOf(3)} date +%%s >> ~/either`,
      `cron = CRON_TZ=UTC * * ${dayOf(3)} * ${weekdayOf(3)} echo >> ~/neither`,
      `for = ${Array.from({ length: 1000 }, (_, index) => `n${index}`).join(' ')}`,
      'cron = CRON_TZ=UTC 0 0 29 2 */7 echo %(_) >> ~/neither',
      'endfor',
    ];
    // Whole before a minute begins, so that it is known which is its first.
    const left = MINUTE_MS - (Date.now() % MINUTE_MS);
    if (left < patienceMs(10_000)) await sleep(left);
    const first = Math.floor(Date.now() / MINUTE_MS) + 1;
    apply('many', ...lines, 'unique-cron = -1 -1 -1 -1 -1 echo once >> ~/unique; sleep 100');
    apply('cold', 'command = sleep 1000', 'cron = * * * * * date >> ~/each');
    const { pid, uid } = emperor.status('many');
    expect(emperor.cli('freeze', 'cold').status).toBe(0);
    expect(jobsOf('cold')[0]?.heldBack).toBe('the vassal is frozen');

    await killAround(first * MINUTE_MS);
    await until('the first minute has run', () => linesOf('many', 'each').length > 0);
    const second =
      'cron2 = minute=-1,timezone=UTC,harakiri=1 echo in >> ~/harakiri; sleep 30; echo out >> ~/harakiri';
    apply('many', ...lines, second);
    await killAround((first + 1) * MINUTE_MS);
    await until('the second has, too', () => linesOf('many', 'each').length > 1);
    await until('it is killed', () => jobsOf('many').at(-1)?.last?.signal === 'SIGKILL');
    await sleep(Math.max(0, (first + 1) * MINUTE_MS + 5000 - Date.now()));

    const minutesIn = (file: string) =>
      linesOf('many', file).map((line) => Math.floor(Number.parseInt(line, 10) / 60));
    const last = Math.floor(Date.now() / MINUTE_MS);
    const all = Array.from({ length: last - first + 1 }, (_, index) => first + index);
    expect([minutesIn('each'), minutesIn('either'), minutesIn('neither')]).toEqual([all, all, []]);
    const place = `${uid} ${readlinkSync(`/proc/${pid}/ns/net`)}`;
    for (const line of linesOf('many', 'each'))
      expect(line.split(' ').slice(1).join(' ')).toBe(place);
    expect(linesOf('many', 'unique')).toEqual(['once']);
    expect(linesOf('many', 'harakiri')).toEqual(['in']);
    expect(linesOf('cold', 'each')).toEqual([]);
    expect(emperor.status('many').pid).toBe(pid);
    const jobs = jobsOf('many');
    expect(jobs[0]).toMatchObject({ runs: all.length, failures: 0, last: { code: 0 } });
    expect(jobs).toHaveLength(1004);
    expect(jobs.at(-1)).toMatchObject({ runs: 1, failures: 1, last: { signal: 'SIGKILL' } });
  },
  4 * MINUTE_MS,
);

/** Day of the month, or of the week, so many days from now. */
const dayOf = (days: number) => new Date(Date.now() + days * DAY_MS).getUTCDate();
const weekdayOf = (days: number) => new Date(Date.now() + days * DAY_MS).getUTCDay();

/** Kills and starts the emperor from shortly before that moment until shortly after it. */
async function killAround(momentMs: number): Promise<void> {
  await sleep(Math.max(0, momentMs - 4000 - Date.now()));
  while (Date.now() < momentMs + 3000) {
    await emperor.signal('SIGKILL');
    await emperor.start();
    await sleep(Math.random() * 300);
  }
}
