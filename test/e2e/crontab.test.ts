/** Issue 4, customers' crontabs under a whole emperor: what is edited counts within a second, and nothing restarts. */
import { spawnSync } from 'node:child_process';
import {
  chownSync,
  existsSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { CronJobStatus, EmperorEvent, VassalStatus } from '../../src/emperor/governor.ts';
import { BINARY, TestEmperor, until } from '../support/emperor.ts';
import { patienceMs } from '../support/slowness.ts';

const SECOND_MS = 1000;
const FAR = '0 0 1 1 *';
let emperor: TestEmperor;

beforeAll(async () => {
  emperor = new TestEmperor();
  await emperor.start();
});
afterAll(() => emperor.close());

function apply(name: string, ...lines: readonly string[]): VassalStatus {
  emperor.apply(name, ['[vassal]', 'stop-grace = 1s', ...lines, ''].join('\n'));
  return emperor.status(name);
}

const homeOf = (name: string) => join(emperor.directory, 'homes', name);
const crontabOf = (name: string) => join(homeOf(name), 'crontab');

/** As the customer's editor does it. */
function edit(name: string, text: string): void {
  const { uid, gid } = statSync(homeOf(name));
  const file = `${crontabOf(name)}.new`;
  writeFileSync(file, text);
  chownSync(file, uid, gid);
  renameSync(file, crontabOf(name));
}

const jobsOf = (name: string) => emperor.json<readonly CronJobStatus[]>('cron', 'ls', name);
const commandsOf = (name: string) =>
  jobsOf(name).map(({ option, line, command }) => [option, line, command]);
const jobCount = (name: string) => emperor.status(name).crontab?.jobs;

function linesOf(name: string, file: string): readonly string[] {
  const path = join(homeOf(name), file);
  return existsSync(path) ? readFileSync(path, 'utf8').trimEnd().split('\n') : [];
}

function eventsOf(name: string): readonly EmperorEvent[] {
  const { stdout } = emperor.cli('events', '--json');
  const all = stdout.split('\n').filter((line) => line !== '');
  return all.map((line): EmperorEvent => JSON.parse(line)).filter(({ vassal }) => vassal === name);
}

test('an edit counts within a second, beside the jobs of the file; nothing restarts', async () => {
  const { pid, generation } = apply('blog', 'command = sleep 1000', `cron = ${FAR} of-the-file`);
  expect(emperor.status('blog').crontab).toEqual({ jobs: 0, diagnostics: [] });
  edit('blog', `# mine\n${FAR} one\n`);
  await until('it is known', () => jobCount('blog') === 1, SECOND_MS);
  expect(commandsOf('blog')).toEqual([
    ['cron', null, 'of-the-file'],
    ['crontab', 2, 'one'],
  ]);
  edit('blog', `${FAR} one\n${FAR} two\n`);
  await until('so is the next', () => jobCount('blog') === 2, SECOND_MS);
  rmSync(crontabOf('blog'));
  await until('it is gone', () => jobCount('blog') === 0);
  expect(emperor.status('blog')).toMatchObject({ pid, generation, restarts: 0 });
});

test('a bad line is told with its number in status, cron ls and the log; the good ones go on', async () => {
  apply('bad');
  edit('bad', `MAILTO=me@example.org\n${FAR} good\n99 * * * * bad\n`);
  await until('it is read', () => jobCount('bad') === 1, SECOND_MS);
  expect(commandsOf('bad')).toEqual([['crontab', 2, 'good']]);
  expect(emperor.status('bad').crontab?.diagnostics).toMatchObject([
    { file: '/home/bad/crontab', line: 1, severity: 'warning', message: 'no mail is sent' },
    { file: '/home/bad/crontab', line: 3, severity: 'error' },
  ]);
  const told = /^\/home\/bad\/crontab:3:1: error\[bad-crontab\]: there is no minute `99`$/m;
  expect(emperor.cli('status', 'bad').stdout).toMatch(told);
  expect(emperor.cli('status', 'bad').stdout).toMatch(/^ +crontab +1 job, 1 not understood$/m);
  expect(emperor.cli('cron', 'ls').stdout).toMatch(told);
  await until('the customer hears of it', () =>
    / stderr F crontab line 3: error: there is no minute `99`; /.test(emperor.log('bad')),
  );
  expect(emperor.log('bad')).toMatch(/ stderr F crontab line 1: warning: no mail is sent; /);
  expect(eventsOf('bad')).toContainEqual(
    expect.objectContaining({ event: 'crontab-read', jobs: 1, errors: 1 }),
  );
});

test("what stands there instead of a file is told, and reaches nobody else's files", async () => {
  apply('evil');
  expect(emperor.cli('exec', 'evil', '--', 'sh', '-c', 'ln -s /etc/passwd ~/crontab').status).toBe(
    0,
  );
  await until(
    'it is refused',
    () => emperor.status('evil').crontab?.diagnostics.length === 1,
    SECOND_MS,
  );
  expect(emperor.cli('status', 'evil').stdout).toMatch(
    /^\/home\/evil\/crontab: error\[bad-crontab\]: the crontab cannot be read: it is a symbolic link$/m,
  );
  emperor.cli('exec', 'evil', '--', 'sh', '-c', 'rm ~/crontab; mkfifo ~/crontab');
  await until('so is a FIFO', () =>
    /no regular file/.test(emperor.status('evil').crontab?.diagnostics[0]?.message ?? ''),
  );
});

test('jobs run with the crontab’s SHELL, environment, input and home, also after a new start (@reboot)', async () => {
  apply('jobs', 'chdir = /tmp', 'env = A=file', 'env = B=file');
  const say = 'echo "$A $B $SHELL $BASH $PWD $(id -un)"; cat';
  edit(
    'jobs',
    `SHELL=/bin/bash\nA = "of the crontab"\n@reboot (${say}) > ~/said%one%two \\% three\n`,
  );
  await until('it is read', () => jobCount('jobs') === 1, SECOND_MS);
  expect(linesOf('jobs', 'said')).toEqual([]);
  expect(emperor.cli('restart', 'jobs').status).toBe(0);
  await until('it has run', () => jobsOf('jobs')[0]?.last?.code === 0);
  expect(linesOf('jobs', 'said')).toEqual([
    'of the crontab file /bin/bash /bin/bash /home/jobs jobs',
    'one',
    'two % three',
  ]);
});

test('U43: a crontab with steps, lists, ranges, nicknames, PATH and MAILTO has jobs that come and run as it says', async () => {
  apply('real');
  const schedules = [
    '*/5 * * * *',
    '0,30 9-17 * * 1-5',
    '10-50/20 4 1-7 jan,jul sun',
    ...['@hourly', '@daily', '@midnight', '@weekly', '@monthly', '@yearly', '@annually'],
  ];
  const text = [
    'MAILTO=me@example.org',
    'PATH=/home/real/bin:/usr/bin:/bin',
    ...schedules.map((schedule) => `${schedule} poll`),
    '@reboot poll once',
  ];
  edit('real', `${text.join('\n')}\n`);
  await until('it is read', () => jobCount('real') === schedules.length + 1);
  const now = Date.now();
  const jobs = jobsOf('real');
  expect(jobs.map(({ schedule }) => schedule)).toEqual([...schedules, '@reboot']);
  const next = new Map(jobs.map((job) => [job.schedule, Date.parse(job.next ?? '')]));
  const within = (schedule: string) => ((next.get(schedule) ?? 0) - now) / 60_000;
  expect([within('*/5 * * * *') <= 5, within('@hourly') <= 60]).toEqual([true, true]);
  expect(next.get('@daily')).toBe(next.get('@midnight'));
  expect(next.get('@yearly')).toBe(next.get('@annually'));
  for (const schedule of schedules) expect(within(schedule)).toBeGreaterThan(0);
  const told = emperor.status('real').crontab?.diagnostics.map(({ message }) => message);
  expect(told).toEqual(['no mail is sent']);

  const poll = 'mkdir bin; printf \'#!/bin/sh\\necho "$1" $PATH\\n\' > bin/poll; chmod +x bin/poll';
  expect(emperor.cli('exec', 'real', '--', 'sh', '-c', poll).status).toBe(0);
  expect(emperor.cli('restart', 'real').status).toBe(0);
  await until('it has run', () => jobsOf('real').at(-1)?.last?.code === 0);
  expect(emperor.log('real')).toMatch(
    / stdout F cron-poll once \/home\/real\/bin:\/usr\/bin:\/bin$/m,
  );
});

test('`crontab = no` has its jobs run no more, and again with `yes`', async () => {
  apply('off');
  edit('off', `${FAR} one\n`);
  await until('it is read', () => jobCount('off') === 1, SECOND_MS);
  const { pid } = apply('off', 'crontab = no');
  expect([commandsOf('off'), emperor.status('off').crontab]).toEqual([[], null]);
  edit('off', `${FAR} one\n${FAR} two\n`);
  apply('off', 'crontab = yes');
  await until('it is read again', () => jobCount('off') === 2);
  expect(emperor.status('off').pid).toBe(pid);
});

test('`cron set` writes as the customer what is understood as a whole, and nothing else', async () => {
  apply('set', 'env = HOME=/tmp', 'chdir = /tmp');
  const set = (input: string) => emperor.cliWith({ input }, 'cron', 'set', 'set');
  const text = `MAILTO=x@y\n${FAR} ärger %% 'quoted' "$HOME"\n`;
  const done = set(text);
  expect([done.status, done.stdout]).toEqual([0, '1 job\n']);
  await until('it counts', () => jobCount('set') === 1, SECOND_MS);
  expect(readFileSync(crontabOf('set'), 'utf8')).toBe(text);
  const refused = set(`${FAR} x\n* * * * 9 y\n`);
  expect(refused.status).toBe(78);
  expect(refused.stderr).toMatch(/^-:2:9: error\[bad-crontab\]: /m);
  expect(refused.stderr).toMatch(
    /^emperor: Cannot set the crontab of set: .*nothing was written$/m,
  );
  expect(readFileSync(crontabOf('set'), 'utf8')).toBe(text);
  emperor.cli('exec', 'set', '--', 'sh', '-c', 'cd /home/set; rm crontab; mkdir crontab');
  const inTheWay = set(`${FAR} x\n`);
  expect(inTheWay.status).toBe(1);
  expect(inTheWay.stderr).toMatch(
    /Cannot write \/home\/set\/crontab inside the vassal: .*directory/,
  );
  const left = emperor.cli('exec', 'set', '--', 'sh', '-c', 'ls -A /home/set /home/set/crontab');
  expect(left.stdout).not.toMatch(/new|\.crontab/);
  expect(emperor.cliWith({ input: '' }, 'cron', 'set', 'nobody').status).toBe(4);
});

test('`cron edit` opens it in an editor, and keeps what is not understood for the next try', async () => {
  apply('edit');
  edit('edit', `${FAR} one\n`);
  await until('it is read', () => jobCount('edit') === 1, SECOND_MS);
  const withEditor = (editor: string) =>
    spawnSync(BINARY, ['--ini', emperor.ini, 'cron', 'edit', 'edit'], {
      encoding: 'utf8',
      env: { ...process.env, VISUAL: editor, NO_COLOR: '1' },
    });
  expect(withEditor('sed -i s/one/two/').status).toBe(0);
  await until('it counts', () => jobsOf('edit')[0]?.command === 'two', SECOND_MS);
  expect(withEditor('true').stderr).toBe('emperor: nothing was changed\n');
  const refused = withEditor('sed -i s/^0/99/');
  expect(refused.status).toBe(78);
  const kept = /kept in (\S+)/.exec(refused.stderr)?.[1] ?? '';
  expect(readFileSync(kept, 'utf8')).toBe('99 0 1 1 * two\n');
  rmSync(dirname(kept), { recursive: true });
  expect(readFileSync(crontabOf('edit'), 'utf8')).toBe(`${FAR} two\n`);
});

test('jobs and their history outlive the emperor; what was edited meanwhile counts at once', {
  timeout: patienceMs(120_000),
}, async () => {
  const { pid } = apply('kept');
  edit('kept', `* * * * * date +\\%s >> ~/each\n${FAR} two\n`);
  await until('it is read', () => jobCount('kept') === 2, SECOND_MS);
  // The one whole minute of this file: it runs within its minute, over an emperor that is killed before and after.
  await until('it has run', () => linesOf('kept', 'each').length === 1, 70 * SECOND_MS);
  const [ranAt] = linesOf('kept', 'each').map(Number);
  expect((ranAt ?? 0) % 60).toBeLessThan(10);
  await emperor.signal('SIGKILL');
  edit('kept', `# moved down\n* * * * * date +\\%s >> ~/each\n${FAR} three\n`);
  await emperor.start();
  expect(commandsOf('kept')).toEqual([
    ['crontab', 2, 'date +%s >> ~/each'],
    ['crontab', 3, 'three'],
  ]);
  expect(jobsOf('kept')[0]).toMatchObject({ runs: 1, failures: 0, last: { code: 0 } });
  edit('kept', `${FAR} four\n`);
  await until('it still hears of edits', () => jobCount('kept') === 1, SECOND_MS);
  expect(emperor.status('kept').pid).toBe(pid);
  expect(linesOf('kept', 'each')).toHaveLength(1);
});

test('`crontab` is there for whom knows it: lists, takes, edits and removes the jobs of the home', async () => {
  apply('shim', 'env = HOME=/tmp');
  const crontab = (input: string, ...words: readonly string[]) =>
    emperor.cliWith({ input }, 'exec', 'shim', '--', ...words);
  expect(crontab('', 'crontab', '-l')).toMatchObject({
    status: 1,
    stderr: 'crontab: there is none\n',
  });
  expect(crontab(`${FAR} one\n`, 'crontab', '-')).toMatchObject({ status: 0, stderr: '' });
  await until('it is read', () => jobCount('shim') === 1);
  expect(crontab('', 'crontab', '-l').stdout).toBe(`${FAR} one\n`);
  const append = `echo "${FAR} two" >>"$1"`;
  const editor = `cd /home/shim; printf '%s\\n' '#!/bin/sh' '${append}' >edit; chmod +x edit; EDITOR=./edit crontab -e`;
  expect(crontab('', 'sh', '-c', editor)).toMatchObject({ status: 0, stderr: '' });
  await until('it is read again', () => jobCount('shim') === 2);
  expect(commandsOf('shim').map(([, , command]) => command)).toEqual(['one', 'two']);
  const failed = crontab('', 'sh', '-c', 'EDITOR=false crontab -e');
  expect(failed).toMatchObject({
    status: 1,
    stderr: expect.stringContaining('nothing was changed'),
  });
  expect(crontab('', 'crontab', '-l').stdout).toBe(`${FAR} one\n${FAR} two\n`);
  expect(crontab('', 'crontab', '-x').status).toBe(2);
  expect(crontab('', 'crontab', 'missing').status).not.toBe(0);
  expect(crontab('', 'crontab', '-r').status).toBe(0);
  await until('it is gone', () => jobCount('shim') === 0);
  const inTheWay = crontab(`${FAR} x\n`, 'sh', '-c', 'mkdir /home/shim/crontab; crontab -');
  expect(inTheWay).toMatchObject({ status: 1, stderr: expect.stringContaining('directory') });
  expect(crontab('', 'ls', '-A', '/home/shim', '/home/shim/crontab').stdout).not.toContain(
    '.crontab',
  );
  for (const attempt of [
    'echo x >>/run/vassal/bin/crontab',
    'rm -f /run/vassal/bin/crontab',
    'mv /run/vassal /run/mine',
  ]) {
    expect(crontab('', 'sh', '-c', attempt).stderr).toMatch(/Permission denied|not permitted/);
  }
});
