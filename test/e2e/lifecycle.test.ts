/** What runs, when, and that what ended is gone: restart policies, backoff, an operator's stop, D10. */
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { TestEmperor, until } from '../support/emperor.ts';
import { allPids, isAlive, signal } from '../support/proc.ts';
import { patienceMs } from '../support/slowness.ts';

let emperor: TestEmperor;
const status = (name: string) => emperor.status(name);
const vassal = (command: string, more = '') => `[vassal]\ncommand = ${command}\n${more}`;

beforeAll(async () => {
  emperor = new TestEmperor({ ini: 'emperor-throttle = 200\nstart-limit = 1' });
  await emperor.start();
});
afterAll(() => emperor.close());

/** Removes the file and expects that nothing of the vassal is left. */
async function expectGone(name: string, pids: readonly number[]): Promise<void> {
  emperor.remove(name);
  emperor.wait(name, 'gone');
  for (const pid of pids) expect(isAlive(pid)).toBe(false);
  expect(existsSync(join(emperor.directory, 'run/vassals', name))).toBe(false);
  expect(cgroupsOf(name)).toEqual([]);
}

function cgroupsOf(name: string): readonly string[] {
  return ['/sys/fs/cgroup/unified', '/sys/fs/cgroup', '/sys/fs/cgroup/freezer']
    .map((mount) => join(mount, emperor.cgroupParent, name))
    .filter((path) => existsSync(path));
}

/** Host pids of everything in the vassal. */
function pidsOf(name: string): readonly number[] {
  const init = status(name).pid ?? 0;
  const namespace = readNamespace(init);
  return allPids().filter((pid) => readNamespace(pid) === namespace);
}

function readNamespace(pid: number): string | null {
  try {
    return (
      readFileSync(`/proc/${pid}/cgroup`, 'utf8').match(/^0::(.*)\/(init|payload)$/m)?.[1] ?? null
    );
  } catch {
    return null;
  }
}

describe('a vassal', () => {
  test('M47: that ends is started again by `always`, and by `on-failure` only when it failed', async () => {
    emperor.write('again', vassal("sh -c 'exit 0'", 'restart = always\n'));
    await until('two restarts', () => status('again').restarts >= 2);
    emperor.write('fine', vassal("sh -c 'exit 0'", 'restart = on-failure\n'));
    emperor.wait('fine', 'stopped');
    expect(status('fine')).toMatchObject({
      state: 'stopped',
      restarts: 0,
      lastExit: { code: 0, signal: null, reason: 'exit' },
    });
    emperor.write('sour', vassal("sh -c 'exit 3'", 'restart = on-failure\n'));
    await until('two restarts', () => status('sour').restarts >= 2);
    expect(status('sour').lastExit).toMatchObject({ code: 3 });
    for (const name of ['again', 'fine', 'sour']) await expectGone(name, []);
  });

  test('that ran to its end by `never` counts as applied, and is not run again by a restart of the emperor', async () => {
    const count = "sh -c 'echo x >> runs; wc -l < runs'";
    const sha256 = emperor.write('once', vassal(count, 'restart = never\n'));
    emperor.wait('once', `applied=${sha256}`);
    emperor.wait('once', 'stopped');
    await emperor.signal('SIGTERM');
    await emperor.start();
    emperor.wait('once', 'applied');
    expect(status('once').state).toBe('stopped');
    expect(readFileSync(join(emperor.directory, 'homes/once/runs'), 'utf8')).toBe('x\n');
    emperor.cli('start', 'once');
    await until(
      'the second run',
      () => readFileSync(join(emperor.directory, 'homes/once/runs'), 'utf8') === 'x\nx\n',
    );
    await expectGone('once', []);
  });

  test('M49: that fails waits longer each time, and nobody else; a touch of its file, `restart` and SIGURG clear that', async () => {
    emperor.apply('calm', vassal('sleep 1000'));
    const calm = status('calm').processes;
    emperor.write('fails', vassal('false'));
    const waits = new Map<number, number>();
    const waitOfThird = () => {
      const { state, failures, nextAttemptAt, lastExit } = status('fails');
      if (state === 'backoff' && nextAttemptAt && lastExit) {
        waits.set(failures, Date.parse(nextAttemptAt) - Date.parse(lastExit.at));
      }
      return failures >= 3 && state === 'backoff';
    };
    const forgive: Readonly<Record<string, () => void>> = {
      touch: () => utimesSync(emperor.file('fails'), new Date(), new Date()),
      restart: () => void emperor.cli('restart', 'fails'),
      SIGURG: () => process.kill(emperor.pid, 'SIGURG'),
    };
    for (const [what, act] of Object.entries(forgive)) {
      await until('three failures', waitOfThird);
      act();
      await until(`${what} clears the failures`, () => status('fails').failures < 3);
    }
    expect([...waits.keys()]).toContain(3);
    // A fifth is given or taken by chance.
    for (const [failures, waitMs] of waits) {
      expect(waitMs).toBeGreaterThan(200 * 2 ** (failures - 1) * 0.75);
    }
    expect(emperor.cli('events', '--json').stdout).toMatch(
      /"event":"file-touched".*content unchanged|content unchanged.*file-touched/,
    );
    expect(status('calm')).toMatchObject({ restarts: 0, processes: calm });
    for (const name of ['fails', 'calm']) await expectGone(name, []);
  });

  test('partly M53: SIGURG has those tried again that have been given up, and SIGUSR1 tells how many there are', async () => {
    const disk = join(emperor.directory, 'disk');
    emperor.write('given-up', vassal('sleep 1000', `bind = ${disk} /mnt\n`));
    await until('it is given up', () => status('given-up').state === 'failed');
    process.kill(emperor.pid, 'SIGUSR1');
    await until('the states', () => /"failed":1\}.*"msg":"status"/.test(emperor.output));
    mkdirSync(disk);
    process.kill(emperor.pid, 'SIGURG');
    emperor.wait('given-up', 'running');
    await expectGone('given-up', []);
  });

  test('whose command does not exist says so, and `wait --for applied` tells the panel', async () => {
    emperor.write('typo', vassal('no-such-program'));
    const answer = emperor.cli('wait', 'typo', '--for', 'applied', '--timeout', '20s');
    expect(answer.status).toBe(1);
    expect(answer.stderr).toMatch(/no-such-program.*no such command/);
    expect(status('typo').lastError).toMatch(/Cannot start no-such-program: ENOENT/);
    emperor.apply('typo', vassal('sleep 1000'));
    expect(status('typo')).toMatchObject({ state: 'running', lastError: null });
    await expectGone('typo', []);
  });

  test('that an operator stopped stays stopped over a restart of the emperor, until its file changes', async () => {
    emperor.apply('held', vassal('sleep 1000'));
    const { pid } = status('held');
    expect(emperor.cli('stop', 'held').status).toBe(0);
    expect(isAlive(pid ?? 0)).toBe(false);
    expect(emperor.cli('status', 'held').status).toBe(3);
    await emperor.signal('SIGKILL');
    await emperor.start();
    expect(status('held').state).toBe('stopped');
    expect(emperor.cli('wait', 'held', '--for', 'applied').status).toBe(1);
    expect(emperor.cli('start', 'held').status).toBe(0);
    expect(status('held').state).toBe('running');
    emperor.cli('stop', 'held');
    emperor.apply('held', vassal('sleep 2000'));
    expect(status('held').state).toBe('running');
    await expectGone('held', []);
  });

  test('that an operator stopped stays so when its file becomes valid by an include, until the file changes', async () => {
    const more = join(emperor.directory, 'more.ini');
    const text = vassal('sleep 1000', `include = ${more}\n`);
    emperor.apply('kept', vassal('sleep 1000'));
    emperor.write('kept', text);
    await until('it is refused', () => !status('kept').config.valid);
    emperor.cli('stop', 'kept');
    writeFileSync(more, '[vassal]\nhostname = more\n');
    await until('it is valid', () => status('kept').config.valid);
    expect(emperor.cli('wait', 'kept', '--for', 'applied').stderr).toMatch(
      /stopped by an operator/,
    );
    await emperor.signal('SIGTERM');
    await emperor.start();
    expect(status('kept').state).toBe('stopped');
    emperor.apply('kept', `${text}; changed\n`);
    expect(status('kept')).toMatchObject({ state: 'running', hostname: 'more' });
    await expectGone('kept', []);
  });

  test('restarts in a new jail, reloads by its signal, freezes and thaws', async () => {
    const command = `sh -c 'trap "echo reloaded" HUP; while :; do sleep 0.05; done'`;
    emperor.apply('moody', vassal(command, 'reload-signal = HUP\n'));
    const before = status('moody');
    expect(emperor.cli('reload', 'moody').status).toBe(0);
    await until('the signal arrives', () => emperor.log('moody').includes('reloaded'));
    expect(status('moody').processes[0]?.pid).toBe(before.processes[0]?.pid);
    expect(emperor.cli('restart', 'moody').status).toBe(0);
    expect(status('moody').pid).not.toBe(before.pid);
    expect(emperor.cli('freeze', 'moody').status).toBe(0);
    expect(status('moody').state).toBe('frozen');
    expect(emperor.cli('thaw', 'moody').status).toBe(0);
    expect(status('moody').state).toBe('running');
    await expectGone('moody', []);
  });

  test('that ends well when it is asked to is running again after a restart and after a change, also by `on-failure`', async () => {
    const polite = `sh -c 'trap "exit 0" TERM; while :; do sleep 0.05; done'`;
    emperor.apply('polite', vassal(polite, 'restart = on-failure\n'));
    expect(emperor.cli('restart', 'polite').status).toBe(0);
    expect(status('polite')).toMatchObject({ state: 'running', restarts: 0, failures: 0 });
    emperor.apply('polite', vassal(polite, 'restart = on-failure\nhostname = other\n'));
    expect(status('polite')).toMatchObject({ state: 'running', restarts: 0, failures: 0 });
    await expectGone('polite', []);
  });

  test('whose file needs a new jail while its command is being replaced gets that jail', async () => {
    const deaf = `sh -c 'trap "" TERM; echo ready; while :; do sleep 0.05; done'`;
    emperor.apply('twice', vassal(deaf, 'stop-grace = 2s\n'));
    await until('it ignores SIGTERM', () => emperor.log('twice').includes('ready'));
    emperor.write('twice', vassal(deaf, 'stop-grace = 2s\nenv = A=1\n'));
    await until('its command is being stopped', () => status('twice').state === 'reloading');
    emperor.apply('twice', vassal(deaf, 'stop-grace = 2s\nenv = A=1\nhostname = second\n'));
    expect(emperor.cli('exec', 'twice', '--', 'hostname').stdout).toBe('second\n');
    await expectGone('twice', []);
  });

  test('that an operator stops while its command is being replaced starts no other command', async () => {
    const deaf = `sh -c 'trap "" TERM; echo begin; while :; do sleep 0.05; done'`;
    // `stop` has to come before it is over.
    const grace = `stop-grace = ${patienceMs(4000)}ms\n`;
    emperor.apply('halted', vassal(deaf, grace));
    await until('it ignores SIGTERM', () => emperor.log('halted').includes('begin'));
    emperor.write('halted', vassal(deaf, `${grace}env = A=1\n`));
    await until('its command is being stopped', () => status('halted').state === 'reloading');
    expect(emperor.cli('stop', 'halted').status).toBe(0);
    expect(emperor.log('halted').match(/begin/g)).toHaveLength(1);
    await expectGone('halted', []);
  });

  test('D10: is gone when it is gone, whatever it did: ignored SIGTERM, double forks, stopped children, a fork bomb', async () => {
    const habits = {
      deaf: `sh -c 'trap "" TERM HUP INT; while :; do sleep 0.05; done'`,
      forks: `sh -c '(setsid sleep 1000 &); (setsid setsid sleep 1000 &); exec sleep 1000'`,
      sleepy: `sh -c 'sleep 1000 & kill -STOP $!; kill -STOP $$'`,
      bomb: `sh -c 'for i in 1 2 3 4 5 6 7 8; do (while :; do sleep 0.01 & sleep 0.02; done) & done; wait'`,
    };
    for (const [name, command] of Object.entries(habits)) {
      emperor.apply(name, vassal(command, 'stop-grace = 300ms\n'));
    }
    await until('all of its processes', () => pidsOf('forks').length >= 4);
    for (const name of Object.keys(habits)) await expectGone(name, pidsOf(name));
  });

  test('that is slow to stop delays no other', { timeout: patienceMs(90_000) }, async () => {
    emperor.apply(
      'stubborn',
      vassal(`sh -c 'trap "" TERM; while :; do sleep 1; done'`, 'stop-grace = 7s\n'),
    );
    emperor.remove('stubborn');
    await until('it stops', () => status('stubborn').state === 'stopping');
    const begin = performance.now();
    emperor.apply('quick', vassal('sleep 1000'));
    expect(performance.now() - begin).toBeLessThan(patienceMs(6_000));
    expect(status('stubborn').state).toBe('stopping');
    // The file comes back with less patience: nothing is lost, and there is never a second copy.
    emperor.apply('stubborn', vassal('sleep 1000'));
    expect(status('stubborn').processes).toHaveLength(1);
    await expectGone('quick', []);
    await expectGone('stubborn', []);
  });

  test('with slow hooks delays only its like, however many there are', async () => {
    // More than start-limit. Not many more: with those that other tests remove, eleven within a second would be held.
    const slow = ['hooked0', 'hooked1'];
    for (const name of slow) emperor.write(name, '[vassal]\nexec-as-root = sleep 20\n');
    await until('all are seen', () =>
      slow.every((name) => emperor.list().some((one) => one.name === name)),
    );
    emperor.apply('nimble', vassal('sleep 1000'));
    for (const name of slow) expect([name, status(name).state]).toEqual([name, 'starting']);
    for (const name of slow) emperor.remove(name);
    for (const name of slow) emperor.wait(name, 'gone');
    await expectGone('nimble', []);
  });

  test('begins to start once no more than start-limit are being started', async () => {
    const names = ['first', 'second', 'third'];
    const launcher = emperor.stats().launcher.pid;
    const begun = () => readdirSync(join(emperor.directory, 'run/vassals'));
    signal(launcher, 'SIGSTOP');
    try {
      for (const name of names) emperor.write(name, '[vassal]\n');
      await until('all are to start', () =>
        names.every((name) =>
          emperor.list().some((one) => one.name === name && one.state === 'starting'),
        ),
      );
      await until('one is being started', () => begun().length > 0);
      emperor.rescan();
      expect(begun()).toHaveLength(1);
    } finally {
      signal(launcher, 'SIGCONT');
    }
    for (const name of names) emperor.wait(name, 'running');
    for (const name of names) await expectGone(name, []);
  });

  test('is not reloaded from a file with errors, and `reload` says so', async () => {
    emperor.apply('sober', vassal('sleep 1000'));
    emperor.write('sober', '[vassal]\ncomand = x\n');
    const refused = emperor.cli('reload', 'sober');
    expect([refused.status, refused.stderr]).toEqual([78, expect.stringMatching(/unknown-key/)]);
    expect(status('sober')).toMatchObject({ state: 'running', restarts: 0 });
    await expectGone('sober', []);
  });

  test('leaves home, logs and uid until it is purged, and nobody else gets that uid before', async () => {
    emperor.apply('kept', vassal('sleep 1000'));
    const { uid } = status('kept');
    await expectGone('kept', []);
    expect(existsSync(join(emperor.directory, 'homes/kept'))).toBe(true);
    emperor.apply('other', vassal('sleep 1000'));
    expect(status('other').uid).not.toBe(uid);
    expect(emperor.cli('purge', 'other', '--yes').status).toBe(1);
    expect(emperor.cli('purge', 'kept', '--yes').status).toBe(0);
    expect(existsSync(join(emperor.directory, 'homes/kept'))).toBe(false);
    expect(existsSync(join(emperor.directory, 'log/kept'))).toBe(false);
    expect(emperor.cli('purge', 'kept', '--yes').status).toBe(4);
    await expectGone('other', []);
  });

  test('without a command is idle: init alone, running', async () => {
    emperor.apply('idle', '[vassal]\n');
    expect(status('idle')).toMatchObject({ state: 'running', processes: [] });
    expect(emperor.cli('exec', 'idle', '--', 'cat', '/proc/1/comm').stdout).toBe('init\n');
    await expectGone('idle', []);
  });
});
