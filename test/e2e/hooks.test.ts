/** Hooks of each phase under a whole emperor: their order, who they are, their time limit, and what a failure does. */
import { existsSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { TestEmperor, until } from '../support/emperor.ts';
import { signal } from '../support/proc.ts';

let emperor: TestEmperor;
/** Hooks on the host write here. */
let notes: string;
const status = (name: string) => emperor.status(name);
const path = (name: string) => join(emperor.directory, name);

beforeAll(async () => {
  emperor = new TestEmperor();
  notes = path('notes');
  const program = path('stop-hook');
  writeFileSync(
    program,
    `#!/bin/sh
echo "stop $1 $EMPEROR_VASSAL" >> ${notes}
echo "$1 says goodbye"
[ "$1" != slow-stop ] || exec sleep 3003
[ "$1" != grumpy ] || exit 5
`,
    { mode: 0o755 },
  );
  emperor.writeIni({
    ini: `emperor-throttle = 20
emperor-max-throttle = 100
hook-timeout = 700ms
vassals-start-hook = [ "$1" != refused ] || { echo you may not; exit 3; }
vassals-start-hook = [ "$1" != slow-start ] || sleep 3004
vassals-start-hook = echo "start $1 $VASSAL_UID $VASSAL_HOME" >> ${notes}
vassals-stop-hook = ${program}`,
  });
  await emperor.start();
});
afterAll(() => emperor.close());
beforeEach(() => writeFileSync(notes, ''));

const noted = () => readFileSync(notes, 'utf8').trim().split('\n');
const ownLog = () => readFileSync(path('log/emperor.log'), 'utf8');
const textOf = (lines: readonly string[]) =>
  ['[vassal]', 'stop-grace = 1s', ...lines, ''].join('\n');
const apply = (name: string, ...lines: readonly string[]) => emperor.apply(name, textOf(lines));
const write = (name: string, ...lines: readonly string[]) => emperor.write(name, textOf(lines));
const logged = (name: string) =>
  emperor
    .log(name)
    .split('\n')
    .filter((line) => line.split(' ')[3] === 'hook');

test('M40: they run in their order, each as who it is for and in its log, and those of a life once for each jail', async () => {
  apply(
    'all',
    `exec-pre-jail = echo "pre-jail $(id -u) $(hostname)" >> ${notes}; echo all is prepared`,
    `exec-as-root = echo "as-root $(id -u) $(hostname)" >> ${notes}`,
    `exec-as-root = echo "$(readlink /proc/self/ns/net) $(grep CapEff /proc/self/status)" >> ${notes}`,
    'exec-as-root = echo as root; echo not so >&2',
    'exec-post-app = echo "post-app $(id -u) $PWD $(grep CapEff /proc/self/status)" > ~/post-app; echo done',
    'exec-post-app = cat /home/all/post-app',
    'command = sleep 1000',
  );
  const { uid, pid } = status('all');
  const host = readFileSync('/proc/sys/kernel/hostname', 'utf8').trim();
  expect(noted()).toEqual([
    `start all ${uid} ${path('homes/all')}`,
    `pre-jail 0 ${host}`,
    'as-root 0 all',
    expect.stringMatching(/^net:\[\d+\] CapEff:\t0*[1-9a-f]/),
  ]);
  expect(noted()[3]).toContain(readlinkSync(`/proc/${pid}/ns/net`));
  await until('the host has said so', () => ownLog().includes('all is prepared'));
  await until('all lines', () => logged('all').length === 4);
  expect(logged('all').map((line) => line.split(' ').slice(1).join(' '))).toEqual([
    'stdout F hook as root',
    'stderr F hook not so',
    'stdout F hook done',
    `stdout F hook post-app ${uid} /home/all CapEff:\t0000000000000000`,
  ]);

  signal(status('all').processes[0]?.pid, 'SIGKILL');
  await until('post-app once more', () => logged('all').length === 6);
  expect(noted()).toHaveLength(4);

  await emperor.signal('SIGKILL');
  await emperor.start();
  emperor.wait('all', 'running');
  emperor.remove('all');
  emperor.wait('all', 'gone');
  expect(noted().slice(4)).toEqual(['stop all all']);
  await until('the host has said so', () => ownLog().includes('all says goodbye'));
  expect(logged('all')).toHaveLength(6);
});

test('M40: exec-as-root that fails is the last, ends the start, and says why', async () => {
  write(
    'fatal',
    `exec-as-root = echo first >> ${notes}`,
    'exec-as-root = echo because >&2; exit 4',
    `exec-as-root = echo third >> ${notes}`,
    `command = touch /home/fatal/ran`,
  );
  await until('it failed', () => status('fatal').failures >= 1);
  expect(status('fatal').lastError).toMatch(/run the hook `echo because .*exit status 4/);
  expect(logged('fatal')[0]).toMatch(/ stderr F hook because$/);
  emperor.remove('fatal');
  emperor.wait('fatal', 'gone');
  expect(noted().filter((line) => /first|third/.test(line))).not.toContain('third');
  expect(noted()).toContain('first');
  expect(existsSync(path('homes/fatal/ran'))).toBe(false);
});

test('each phase has its time, whatever hangs in it', async () => {
  write('slow-start', 'command = sleep 1000');
  write('slow-root', 'exec-as-root = sleep 3005', 'command = sleep 1000');
  await until('the first was late', () =>
    /not done after/.test(status('slow-start').lastError ?? ''),
  );
  expect(status('slow-start').lastError).toMatch(/^Cannot run vassals-start-hook .*0\.7 s$/);
  await until('so was the second', () =>
    /not done within 0\.7 s/.test(status('slow-root').lastError ?? ''),
  );
  for (const name of ['slow-start', 'slow-root']) {
    emperor.remove(name);
    emperor.wait(name, 'gone');
  }
  apply('slow-stop', 'command = sleep 1000');
  emperor.remove('slow-stop');
  emperor.wait('slow-stop', 'gone', '10s');
  const told = emperor.cli('events', '--json').stdout;
  expect(told).toMatch(/"event":"hook-failed".*"vassal":"slow-stop".*not done after 0\.7 s/);
});

test('a start hook that fails keeps a vassal from starting, with its last words; the stop hook is not run', async () => {
  write('refused', 'command = sleep 1000');
  await until('it was tried twice', () => status('refused').failures >= 2);
  await until('it waits again', () => status('refused').state === 'backoff');
  expect(status('refused').pid).toBe(null);
  expect(status('refused').lastError).toMatch(
    /^Cannot run vassals-start-hook `\[ .*`: exit status 3: you may not$/,
  );
  emperor.remove('refused');
  emperor.wait('refused', 'gone');
  expect(noted()).toEqual(['']);
});

test('exec-pre-jail that fails is tried again later, and its cure needs no change of the file', async () => {
  const flag = path('mounted');
  write('waits', `exec-pre-jail = test -e ${flag}`, 'command = sleep 1000');
  await until('it failed', () => status('waits').failures >= 1);
  expect(status('waits').lastError).toContain(
    `Cannot run exec-pre-jail \`test -e ${flag}\`: exit status 1`,
  );
  writeFileSync(flag, '');
  emperor.wait('waits', 'running');
  // Each failed attempt was announced to nobody; the one that worked was.
  expect(noted().filter((line) => line.startsWith('stop'))).toEqual([]);
});

test('one that hangs is killed with what it started, after hook-timeout; an end of the vassal does not wait for it', async () => {
  write(
    'hangs',
    `exec-pre-jail = sleep 3000 & echo $! > ${path('pid')}; wait`,
    'command = sleep 1000',
  );
  await until('it was late', () => /not done after 0.7 s/.test(status('hangs').lastError ?? ''));
  const pid = readFileSync(path('pid'), 'utf8').trim();
  await until('it is killed', () => !existsSync(`/proc/${pid}`));

  emperor.writeIni({ ini: 'hook-timeout = 1h' });
  emperor.rescan();
  write(
    'stuck',
    `exec-pre-jail = sleep 3001 & echo $! > ${path('stuck')}; wait`,
    'command = sleep 1000',
  );
  await until(
    'it hangs',
    () => existsSync(path('stuck')) && readFileSync(path('stuck'), 'utf8') !== '',
  );
  emperor.remove('hangs');
  emperor.remove('stuck');
  emperor.wait('stuck', 'gone', '5s');
  emperor.wait('hangs', 'gone');
  await until(
    'it is killed',
    () => !existsSync(`/proc/${readFileSync(path('stuck'), 'utf8').trim()}`),
  );
});

test('exec-post-app waits for `ready`; one that fails or hangs restarts the command, with the reason', async () => {
  emperor.writeIni({
    ini: 'emperor-throttle = 20\nemperor-max-throttle = 100\nhook-timeout = 500ms',
  });
  emperor.rescan();
  apply('late', 'ready = path:go', 'exec-post-app = echo after', 'command = sleep 1000');
  expect(logged('late')).toEqual([]);
  emperor.cli('exec', 'late', '--', 'touch', '/home/late/go');
  await until('the hook', () => logged('late').length === 1);

  write('fails', 'exec-post-app = exit 7', 'exec-post-app = echo never', 'command = sleep 1000');
  await until('restarts', () => status('fails').restarts >= 2);
  expect(status('fails').lastError).toBe('exec-post-app `exit 7` failed: exit 7');
  expect(logged('fails')).toEqual([]);
  write('slow', 'exec-post-app = sleep 3002', 'command = sleep 1000');
  await until('a restart', () => status('slow').restarts >= 1);
  expect(status('slow').lastError).toBe('exec-post-app `sleep 3002` failed: not done after 0.5 s');
  for (const name of ['fails', 'slow']) {
    emperor.remove(name);
    emperor.wait(name, 'gone');
  }
});

test('a stop hook that fails is an event, and keeps nothing from ending', () => {
  emperor.writeIni({ ini: `vassals-stop-hook = ${path('stop-hook')}` });
  emperor.rescan();
  apply('grumpy', 'command = sleep 1000');
  emperor.remove('grumpy');
  emperor.wait('grumpy', 'gone');
  expect(noted()).toEqual(['stop grumpy grumpy']);
  const events = emperor.cli('events', '--json').stdout;
  expect(events).toMatch(/"event":"hook-failed".*"vassal":"grumpy".*exit status 5/);
});
