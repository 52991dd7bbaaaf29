/** Hooks of each phase under a whole emperor: their order, who they are, their time limit, and what a failure does. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
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
    `#!/bin/sh\necho "stop $1 $EMPEROR_VASSAL" >> ${notes}\n[ "$1" != grumpy ] || exit 5\n`,
    { mode: 0o755 },
  );
  emperor.writeIni({
    ini: `emperor-throttle = 20
emperor-max-throttle = 100
hook-timeout = 700ms
vassals-start-hook = [ "$1" != refused ] || { echo you may not; exit 3; }
vassals-start-hook = echo "start $1 $VASSAL_UID $VASSAL_HOME" >> ${notes}
vassals-stop-hook = ${program}`,
  });
  await emperor.start();
});
afterAll(() => emperor.close());
beforeEach(() => writeFileSync(notes, ''));

const noted = () => readFileSync(notes, 'utf8').trim().split('\n');
const textOf = (lines: readonly string[]) =>
  ['[vassal]', 'stop-grace = 1s', ...lines, ''].join('\n');
const apply = (name: string, ...lines: readonly string[]) => emperor.apply(name, textOf(lines));
const write = (name: string, ...lines: readonly string[]) => emperor.write(name, textOf(lines));
const logged = (name: string) =>
  emperor
    .log(name)
    .split('\n')
    .filter((line) => line.split(' ')[3] === 'hook');

test('they run in their order, each as who it is for, and those of a life once for each jail', async () => {
  apply(
    'all',
    `exec-pre-jail = echo "pre-jail $(id -u) $(hostname)" >> ${notes}`,
    `exec-as-root = echo "as-root $(id -u) $(hostname)" >> ${notes}`,
    'exec-post-app = echo "post-app $(id -u) $PWD" > ~/post-app; echo done',
    'exec-post-app = cat /home/all/post-app',
    'command = sleep 1000',
  );
  const { uid } = status('all');
  const host = readFileSync('/proc/sys/kernel/hostname', 'utf8').trim();
  expect(noted()).toEqual([
    `start all ${uid} ${path('homes/all')}`,
    `pre-jail 0 ${host}`,
    'as-root 0 all',
  ]);
  await until('both lines', () => logged('all').length === 2);
  expect(logged('all')[1]).toMatch(new RegExp(`post-app ${uid} /home/all$`));

  signal(status('all').processes[0]?.pid, 'SIGKILL');
  await until('post-app once more', () => logged('all').length === 4);
  expect(noted()).toHaveLength(3);

  await emperor.signal('SIGKILL');
  await emperor.start();
  emperor.wait('all', 'running');
  emperor.remove('all');
  emperor.wait('all', 'gone');
  expect(noted().slice(3)).toEqual(['stop all all']);
  expect(logged('all')).toHaveLength(4);
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
