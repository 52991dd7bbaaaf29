/** M4, M76: attached daemons under a whole emperor, beside the command and never in its way. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { PlannedChange } from '../../src/emperor/governor.ts';
import { TestEmperor, until } from '../support/emperor.ts';
import { commandOf, isAlive, signal } from '../support/proc.ts';
import { patienceMs } from '../support/slowness.ts';

let emperor: TestEmperor;
const status = (name: string) => emperor.status(name);

beforeAll(async () => {
  emperor = new TestEmperor({ ini: 'emperor-throttle = 20\nemperor-max-throttle = 200' });
  await emperor.start();
});
afterAll(() => emperor.close());

const textOf = (lines: readonly string[]) =>
  ['[vassal]', 'stop-grace = 3s', ...lines, ''].join('\n');
const apply = (name: string, ...lines: readonly string[]) => emperor.apply(name, textOf(lines));

/** Host's pids of what runs in a vassal, by label. */
const pidsOf = (name: string): Readonly<Record<string, number>> =>
  Object.fromEntries(
    status(name)
      .processes.filter(({ state }) => state === 'running')
      .map(({ label, pid }) => [label, pid]),
  );

/** Resolves with the pids once exactly these labels run. */
async function running(name: string, ...labels: readonly string[]) {
  const found = () => Object.keys(pidsOf(name)).sort().join(' ');
  const wanted = [...labels].sort().join(' ');
  await until(`${wanted} run in ${name}`, () => found() === wanted);
  return pidsOf(name);
}

const logged = (name: string, label: string) =>
  emperor
    .log(name)
    .split('\n')
    .filter((line) => line.split(' ')[3] === label);

test('they start after the command, with labels of their own, and each line of the file can change alone', async () => {
  const first = 'attach-daemon = sleep 1001';
  const second = `attach-daemon2 = cmd=sh -c "echo I am; sleep 1002",name=talker`;
  apply('many', 'command = sleep 1000', first, first, second);
  const before = await running('many', 'command', 'sleep', 'sleep-2', 'talker');
  await until('the line', () => logged('many', 'talker').some((line) => line.endsWith('I am')));
  expect(status('many').processes.map(({ kind }) => kind)).toEqual([
    'command',
    'daemon',
    'daemon',
    'daemon',
  ]);

  const changed = ['command = sleep 1000', first, 'attach-daemon = sleep 1003', second];
  expect(planOf('many', changed)).toMatchObject([{ cost: 'live', keys: ['attach-daemon'] }]);
  apply('many', ...changed);
  await until('the changed one', () => commandsOf('many').includes('sleep 1003'));
  const after = await running('many', 'command', 'sleep', 'sleep-2', 'talker');
  expect({ ...after, 'sleep-2': 0 }).toEqual({ ...before, 'sleep-2': 0 });
  expect(after['sleep-2']).not.toBe(before['sleep-2']);

  apply('many', 'command = sleep 1000', second);
  expect(await running('many', 'command', 'talker')).toEqual({
    command: before.command,
    talker: before.talker,
  });
});

const commandsOf = (name: string) => status(name).processes.map(({ command }) => command.join(' '));

function planOf(name: string, lines: readonly string[]): readonly PlannedChange[] {
  const candidate = join(emperor.directory, `${name}.ini`);
  writeFileSync(candidate, textOf(lines));
  return emperor.json('plan', candidate);
}

test('one that fails is started again ever later, harms nobody, and says why', async () => {
  apply('sick', 'command = sleep 1000', 'attach-daemon = false', 'attach-daemon = no-such-program');
  await until('failures', () => status('sick').daemons.every(({ failures }) => failures >= 3));
  const { state, failures, restarts, daemons, processes } = status('sick');
  expect({ state, failures, restarts }).toEqual({ state: 'running', failures: 0, restarts: 0 });
  expect(daemons.map(({ label, lastError }) => [label, lastError])).toEqual([
    ['false', 'it ended: exit 1'],
    ['no-such-program', expect.stringContaining('ENOENT, there is no such command')],
  ]);
  expect(processes.filter(({ kind }) => kind === 'command')).toHaveLength(1);
  expect(emperor.json('stats')).toMatchObject({
    counters: { 'daemon-failed': expect.any(Number) },
  });
  emperor.remove('sick');
  emperor.wait('sick', 'gone');
});

test('one that is killed comes back, and the command does not notice', async () => {
  apply('mortal', 'command = sleep 1000', 'attach-daemon = sleep 1001');
  const before = await running('mortal', 'command', 'sleep');
  signal(before.sleep, 'SIGKILL');
  await until('another', () => ![before.sleep, undefined].includes(pidsOf('mortal').sleep));
  expect(pidsOf('mortal').command).toBe(before.command);
});

test('a control daemon takes the command with it, which is started again', async () => {
  apply('ruled', 'command = sleep 1000', 'attach-daemon2 = cmd=sleep 1001,control=1');
  const before = await running('ruled', 'command', 'sleep');
  signal(before.sleep, 'SIGKILL');
  await until('a restart', () => status('ruled').restarts === 1);
  await until('another', () => ![before.command, undefined].includes(pidsOf('ruled').command));
  await running('ruled', 'command', 'sleep');
  expect(status('ruled')).toMatchObject({
    state: 'running',
    lastError: 'its control daemon sleep failed: it ended: SIGKILL (killed)',
  });
});

test('a smart one is found by its pid file, outlives a reload of the command and an emperor, and is restarted', async () => {
  const smart = `smart-attach-daemon = /run/smart.pid 5 sh -c 'echo begin; sleep 1001 & echo $! > /run/smart.pid'`;
  const plain = 'attach-daemon = sleep 1002';
  apply('wise', 'command = sleep 1000', smart, plain);
  const before = await running('wise', 'command', 'sh', 'sleep');
  await until('it is in the background', () => commandOf(pidsOf('wise').sh ?? 0) === 'sleep 1001');
  const smartPid = pidsOf('wise').sh;

  apply('wise', 'command = sleep 1000', 'env = A=1', smart, plain);
  await until('the other two', () => pidsOf('wise').sleep !== before.sleep);
  const reloaded = await running('wise', 'command', 'sh', 'sleep');
  expect(reloaded.sh).toBe(smartPid);
  expect(reloaded.command).not.toBe(before.command);

  await emperor.signal('SIGKILL');
  await emperor.start();
  emperor.wait('wise', 'running');
  expect(await running('wise', 'command', 'sh', 'sleep')).toEqual(reloaded);

  signal(smartPid, 'SIGTERM');
  await until('another', () => ![smartPid, undefined].includes(pidsOf('wise').sh));
  await until('it was started twice', () => logged('wise', 'sh').length === 2);
});

test('a smart one that never goes into the background is no error, and one without a pid file is', async () => {
  apply(
    'foolish',
    'smart-attach-daemon = /run/none.pid sleep 1001',
    'smart-attach-daemon = /run/none.pid 1 true',
  );
  await running('foolish', 'sleep');
  // It is forgotten with the next attempt.
  const reason = () => status('foolish').daemons[1]?.lastError ?? '';
  await until('the reason', () => reason().includes('/run/none.pid names no living process'));
});

test('an emperor that was killed finds its daemons, starts none twice, and ends what is no longer wanted', async () => {
  apply('kept', 'command = sleep 1000', 'attach-daemon = sleep 1001', 'attach-daemon = sleep 1002');
  const before = await running('kept', 'command', 'sleep', 'sleep-2');
  await emperor.signal('SIGKILL');
  signal(before.command, 'SIGKILL');
  emperor.write('kept', textOf(['command = sleep 1000', 'attach-daemon = sleep 1002']));
  await emperor.start();
  const after = await running('kept', 'command', 'sleep-2');
  expect(after['sleep-2']).toBe(before['sleep-2']);
  expect(after.command).not.toBe(before.command);
});

test('a modified file restarts one by its stop signal, at once and without a failure', async () => {
  const daemon = `cmd=sh -c "trap 'echo got it; exit 0' INT; while :; do sleep 0.05; done",stopsignal=INT,touch=flag,name=touched`;
  apply('touchy', `attach-daemon2 = ${daemon}`);
  const before = await running('touchy', 'touched');
  const touch = () => emperor.cli('exec', 'touchy', '--', 'touch', '/home/touchy/flag');
  await until('another', () => {
    touch();
    return ![before.touched, undefined].includes(pidsOf('touchy').touched);
  });
  expect(logged('touchy', 'touched')[0]).toMatch(/got it$/);
  expect(status('touchy').daemons).toMatchObject([{ failures: 0, lastError: null }]);
});

test('M76: plain ones end with their vassal, smart ones survive a reload, and attach-daemon2 does what each key says', async () => {
  const keys = [
    `cmd=sh -c "trap 'echo reloads' USR1; trap 'echo stops; exit 0' INT; pwd; id -u; id -g; while :; do sleep 0.05; done"`,
    'name=keys,freq=1,touch=flag,stopsignal=INT,reloadsignal=USR1,chdir=sub,uid=312345,gid=312345',
  ];
  apply(
    'all',
    'uid = 312345',
    'command = sleep 1000',
    'attach-daemon = sleep 1001',
    `smart-attach-daemon = /run/smart.pid 5 sh -c 'sleep 1002 & echo $! > /run/smart.pid'`,
    `attach-daemon2 = ${keys.join()}`,
    'attach-daemon2 = cmd=sleep 1003,name=ruler,control=1',
  );
  const labels = ['command', 'sleep', 'sh', 'keys', 'ruler'];
  const inside = (line: string) => emperor.cli('exec', 'all', '--', 'sh', '-c', line);
  const said = () => logged('all', 'keys').map((line) => line.replace(/^.* keys /, ''));
  expect(inside('mkdir sub').status).toBe(0);
  await running('all', ...labels);
  await until('it is in the background', () => commandOf(pidsOf('all').sh ?? 0) === 'sleep 1002');
  await until('it has said who it is', () => said().length === 3);
  expect(said()).toEqual(['/home/all/sub', '312345', '312345']);

  const before = pidsOf('all');
  expect(emperor.cli('reload', 'all').status).toBe(0);
  await until('the others are new', () =>
    ['command', 'sleep', 'ruler'].every(
      (one) => ![before[one], undefined].includes(pidsOf('all')[one]),
    ),
  );
  expect(pidsOf('all')).toMatchObject({ keys: before.keys, sh: before.sh });
  // The group has the signal: dash tells the end of its `sleep` too, on the other stream.
  await until('it has heard of it', () => said().includes('reloads'));

  inside('touch flag');
  await until('it looks each second, and is new', () => {
    inside('touch flag');
    return ![before.keys, undefined].includes(pidsOf('all').keys);
  });
  await until('it has stopped as it was told', () => said().includes('stops'));

  const ruled = await running('all', ...labels);
  process.kill(ruled.ruler ?? 0, 'SIGKILL');
  await until('the command goes with its ruler', () => status('all').restarts === 1);
  const last = await running('all', ...labels);
  expect([last.command === ruled.command, last.sh]).toEqual([false, ruled.sh]);
  expect(emperor.cli('stop', 'all').status).toBe(0);
  expect(Object.values(last).filter(isAlive)).toEqual([]);
});

test('they end with their vassal, the last one first and the command last, whatever one of them does', async () => {
  const says = (what: string) =>
    `sh -c "trap 'echo ${what} ends; exit' TERM; while :; do sleep 0.02; done"`;
  apply(
    'ordered',
    `command = ${says('command')}`,
    `attach-daemon2 = cmd=${says('first')},name=first`,
    `attach-daemon2 = cmd=${says('second')},name=second`,
    `attach-daemon2 = cmd=sh -c "trap '' TERM; while :; do sleep 0.02; done",name=stubborn`,
  );
  const pids = await running('ordered', 'command', 'first', 'second', 'stubborn');
  const since = performance.now();
  expect(emperor.cli('stop', 'ordered').status).toBe(0);
  expect(performance.now() - since).toBeLessThan(patienceMs(9000));
  expect(Object.values(pids).filter(isAlive)).toEqual([]);
  const ends = emperor
    .log('ordered')
    .split('\n')
    .filter((line) => line.endsWith('ends'));
  expect(ends.map((line) => line.split(' ')[3])).toEqual(['second', 'first', 'command']);
});

test('a frozen vassal starts none; thawed, it does', async () => {
  apply('iced', 'command = sleep 1000');
  emperor.cli('freeze', 'iced');
  emperor.write('iced', textOf(['command = sleep 1000', 'attach-daemon = sleep 1001']));
  emperor.wait('iced', 'applied');
  expect(Object.keys(pidsOf('iced'))).toEqual(['command']);
  emperor.cli('thaw', 'iced');
  await running('iced', 'command', 'sleep');
});
