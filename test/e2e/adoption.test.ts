/** D3: vassals outlive the emperor, and the next one takes over exactly what runs, whatever the moment of its death. */
import { spawn } from 'node:child_process';
import {
  appendFileSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { parseSealed, sealedJson } from '../../src/base/sealed-json.ts';
import type { VassalStatus } from '../../src/emperor/governor.ts';
import { TestEmperor, until } from '../support/emperor.ts';
import { allPids, commandOf, isAlive, signal } from '../support/proc.ts';
import { readIfThere } from '../support/remains.ts';
import { patienceMs } from '../support/slowness.ts';

let emperor: TestEmperor;
const status = (name: string) => emperor.status(name);
const SLEEP = '[vassal]\ncommand = sleep 1000\n';

beforeEach(async () => {
  emperor = new TestEmperor();
  await emperor.start();
});
afterEach(() => emperor.close());

/** Inits of this emperor's vassals, by the names in their cgroups. */
function runningInits(): readonly string[] {
  return allPids()
    .map((pid) => readIfThere(`/proc/${pid}/cgroup`))
    .flatMap(
      (text) => new RegExp(`/${emperor.cgroupParent}/([^/]+)/init$`, 'm').exec(text)?.[1] ?? [],
    );
}

/** Processes of a vassal besides its init. */
function payloadPids(name: string): readonly number[] {
  const procs = readIfThere(join(emperor.cgroup, name, 'payload/cgroup.procs'));
  return procs.split('\n').filter(Boolean).map(Number);
}

/** What runs in each vassal by the kernel's account, all of its commands joined. */
function commandsOf(names: readonly string[]): readonly string[] {
  return names.map((name) => payloadPids(name).map(commandOf).join(' and '));
}

describe('the next emperor', () => {
  test('adopts after SIGTERM, which leaves every vassal running', async () => {
    emperor.apply('blog', SLEEP);
    const before = status('blog');
    expect(await emperor.signal('SIGTERM')).toBe(0);
    expect(isAlive(before.pid ?? 0)).toBe(true);
    expect(emperor.cli('ls').status).toBe(69);
    await emperor.start();
    expect(status('blog')).toMatchObject({
      pid: before.pid,
      generation: before.generation,
      startedAt: before.startedAt,
      processes: before.processes,
    });
  });

  test('knows the exits that came while nobody ruled, and starts the command again', async () => {
    emperor.apply('mortal', SLEEP);
    const [command] = status('mortal').processes;
    await emperor.signal('SIGKILL');
    signal(command?.pid, 'SIGTERM');
    await until('the command ends', () => !isAlive(command?.pid ?? 0));
    await emperor.start();
    emperor.wait('mortal', 'running');
    const after = status('mortal');
    expect(after.lastExit).toMatchObject({ signal: 'SIGTERM', reason: 'signal' });
    expect(after.processes[0]?.pid).not.toBe(command?.pid);
  });

  test('starts a vassal again that died as a whole meanwhile', async () => {
    emperor.apply('fragile', SLEEP);
    const { pid } = status('fragile');
    await emperor.signal('SIGKILL');
    signal(pid, 'SIGKILL');
    await until('init ends', () => !isAlive(pid ?? 0));
    await emperor.start();
    emperor.wait('fragile', 'running');
    expect(status('fragile').pid).not.toBe(pid);
  });

  test('goes on with a backoff that its predecessor had begun', async () => {
    emperor.write('fails', '[vassal]\ncommand = false\n');
    await until('the backoff', () => status('fails').state === 'backoff');
    await emperor.signal('SIGKILL');
    await emperor.start();
    await until('it is tried again', () => status('fails').failures >= 2);
    expect(runningInits()).toEqual(['fails']);
  });

  test('finds a frozen vassal frozen', async () => {
    emperor.apply('iced', SLEEP);
    emperor.cli('freeze', 'iced');
    await emperor.signal('SIGKILL');
    await emperor.start();
    expect(status('iced').state).toBe('frozen');
    expect(emperor.cli('thaw', 'iced').status).toBe(0);
  });

  test('never makes a second copy, whatever the moment of the kill', {
    timeout: patienceMs(120_000),
  }, async () => {
    const names = Array.from({ length: 12 }, (_, i) => `v${i}`);
    for (let round = 0; round < 8; round += 1) {
      const want = `sleep ${1000 + round}`;
      for (const name of names) emperor.write(name, `[vassal]\ncommand = ${want}\n`);
      // A different moment of the burst each time: as soon as so many have changed.
      const target = (round * 5) % names.length;
      const changed = () => commandsOf(names).filter((command) => command === want).length;
      await until(`${target} have changed`, () => changed() >= target);
      await emperor.signal('SIGKILL');
      await emperor.start();
      await until('all are applied', () => commandsOf(names).every((command) => command === want));
      expect([...runningInits()].sort()).toEqual([...names].sort());
    }
  });

  test('never makes a second jail, whatever the moment of the kill', {
    timeout: patienceMs(120_000),
  }, async () => {
    const names = Array.from({ length: 12 }, (_, i) => `v${i}`);
    for (let round = 0; round < 8; round += 1) {
      const want = `sleep ${1000 + round}`;
      // A host name costs a new jail.
      const text = `[vassal]\ncommand = ${want}\nhostname = h${round}\n`;
      for (const name of names) emperor.write(name, text);
      await new Promise((resolve) => setTimeout(resolve, round * 9));
      await emperor.signal('SIGKILL');
      await emperor.start();
      await until('all are applied', () => commandsOf(names).every((command) => command === want));
      expect([...runningInits()].sort()).toEqual([...names].sort());
    }
  });

  test('gives everybody the uid of the home, where the state directory is lost', async () => {
    emperor.apply('gone', SLEEP);
    emperor.apply('here', SLEEP);
    const [gone, here] = [status('gone').uid, status('here').uid];
    emperor.remove('gone');
    emperor.wait('gone', 'gone');
    expect(emperor.cli('shutdown', '--stop-vassals').status).toBe(0);
    rmSync(join(emperor.directory, 'state'), { recursive: true });
    await until('the emperor ends', () => !isAlive(emperor.pid));
    await emperor.start();
    emperor.apply('new', SLEEP);
    emperor.wait('here', 'running');
    expect(status('here').uid).toBe(here);
    expect([gone, here]).not.toContain(status('new').uid);
    emperor.apply('gone', SLEEP);
    expect(status('gone').uid).toBe(gone);
  });

  test('replaces a launcher of another version, whose vassals go on', async () => {
    emperor.apply('old', SLEEP);
    const { pid } = status('old');
    const launcher = emperor.stats().launcher.pid ?? 0;
    await emperor.signal('SIGTERM');
    const program = readlinkSync(`/proc/${launcher}/exe`);
    signal(launcher, 'SIGKILL');
    await until('the launcher ends', () => !isAlive(launcher));
    const other = join(emperor.directory, 'emperor-init');
    copyFileSync(program, other);
    const socket = join(emperor.directory, 'run/launcher.sock');
    spawn(other, ['launcher', socket, emperor.directory], { stdio: 'ignore' });
    await until('it listens', () => existsSync(socket));
    await emperor.start();
    const now = emperor.stats().launcher.pid ?? 0;
    expect(readlinkSync(`/proc/${now}/exe`)).toBe(program);
    expect(status('old')).toMatchObject({ pid, state: 'running' });
    emperor.apply('new', SLEEP);
  });

  test('keeps its vassals when the launcher dies, and starts new ones by a new launcher', async () => {
    emperor.apply('old', SLEEP);
    const { pid } = status('old');
    const launcher = emperor.stats().launcher.pid ?? 0;
    signal(launcher, 'SIGKILL');
    await until('a new launcher', () => {
      const { pid: now } = emperor.stats().launcher;
      return now !== null && now !== launcher;
    });
    expect(status('old')).toMatchObject({ pid, state: 'running' });
    emperor.apply('new', SLEEP);
    emperor.remove('old');
    emperor.wait('old', 'gone');
    expect(isAlive(pid ?? 0)).toBe(false);
  });
});

describe('after a reboot', () => {
  test('D5: everybody runs as before, with the same uid; a file that is broken by its last good text, which is said', async () => {
    emperor.apply('blog', SLEEP);
    emperor.apply('shop', '[vassal]\ncommand = sleep 2000\nhostname = till\n');
    emperor.write('shop', '[vassal]\ncomand = sleep 3000\n');
    await until('the broken file is seen', () => !status('shop').config.valid);
    const before = ['blog', 'shop'].map(status);
    await emperor.reboot();
    for (const { name } of before) emperor.wait(name, 'running');
    const after = ['blog', 'shop'].map(status);
    const lasting = ({ name, uid, gid, hostname, config }: VassalStatus) => {
      const { sha256, appliedSha256, valid } = config;
      return { name, uid, gid, hostname, sha256, appliedSha256, valid };
    };
    expect(after.map(lasting)).toEqual(before.map(lasting));
    expect(after.map(({ config }) => config.valid)).toEqual([true, false]);
    expect(commandsOf(['blog', 'shop'])).toEqual(['sleep 1000', 'sleep 2000']);
    for (const [at, { pid }] of after.entries()) expect(pid).not.toBe(before[at]?.pid);
    expect(emperor.output).toMatch(/refused.*comand/);
    expect([...runningInits()].sort()).toEqual(['blog', 'shop']);
  });

  test('a broken emperor.ini starts nothing and is told with its line; mended, everybody runs as before', async () => {
    emperor.writeIni({ sections: '[class small]\nhostname = tiny\n' });
    await until('the class is known', () => 'emperor-ini-applied' in emperor.stats().counters);
    emperor.apply('blog', `${SLEEP}class = small\n`);
    const { uid } = status('blog');
    emperor.writeIni({ ini: 'vasals = nowhere' });
    await expect(emperor.reboot()).rejects.toThrow(/emperor\.ini:\d+:1: error.*`vasals`/);
    expect(runningInits()).toEqual([]);
    emperor.writeIni({ sections: '[class small]\nhostname = tiny\n' });
    await emperor.start();
    emperor.wait('blog', 'running');
    expect(status('blog')).toMatchObject({ hostname: 'tiny', uid });
  });

  test('what had run to its end runs again, what an operator stopped does not', async () => {
    emperor.apply('once', "[vassal]\ncommand = sh -c 'echo x >> runs'\nrestart = never\n");
    emperor.wait('once', 'stopped');
    emperor.apply('held', SLEEP);
    expect(emperor.cli('stop', 'held').status).toBe(0);
    const runs = () => readFileSync(join(emperor.directory, 'homes/once/runs'), 'utf8');
    expect(runs()).toBe('x\n');
    await emperor.reboot();
    await until('it has run again', () => runs() === 'x\nx\n');
    emperor.wait('once', 'stopped');
    expect(status('held')).toMatchObject({ state: 'stopped', pid: null });
    expect(emperor.cli('start', 'held').status).toBe(0);
    emperor.wait('held', 'running');
  });

  test('a file that was removed meanwhile is not run, and its uid stays its own', async () => {
    emperor.apply('gone', SLEEP);
    const { uid } = status('gone');
    const file = readFileSync(emperor.file('gone'), 'utf8');
    await emperor.signal('SIGKILL');
    emperor.remove('gone');
    await emperor.reboot();
    emperor.apply('new', SLEEP);
    expect(emperor.list().map(({ name }) => name)).toEqual(['new']);
    expect(status('new').uid).not.toBe(uid);
    emperor.apply('gone', file);
    expect(status('gone').uid).toBe(uid);
  });
});

test('a second emperor on the same run-dir refuses clearly', async () => {
  const answer = emperor.cli('run');
  expect(answer.status).toBe(75);
  expect(answer.stderr).toMatch(/another emperor holds .*run.*emperor shutdown/s);
});

test('`shutdown --stop-vassals` ends vassals and launcher, and leaves nothing', async () => {
  emperor.apply('blog', SLEEP);
  const { pid } = status('blog');
  const launcher = emperor.stats().launcher.pid ?? 0;
  expect(emperor.cli('shutdown', '--stop-vassals').status).toBe(0);
  await until('all end', () => !isAlive(pid ?? 0) && !isAlive(launcher));
  expect(runningInits()).toEqual([]);
  expect(existsSync(emperor.cgroup)).toBe(false);
});

test('SIGINT, as Ctrl-C on a terminal sends it, stops everything and says so', async () => {
  emperor.apply('blog', SLEEP);
  const { pid } = status('blog');
  expect(await emperor.signal('SIGINT')).toBe(0);
  expect(isAlive(pid ?? 0)).toBe(false);
  expect(emperor.output).toMatch(/stopp/i);
});

describe('an emperor that was killed at an awkward moment', () => {
  /** Has the journal say of a vassal what it says when the emperor dies before it does what it wrote. */
  function writeDown(name: string, changes: object): void {
    const journal = join(emperor.directory, 'state/vassals.jsonl');
    const lines = readFileSync(journal, 'utf8')
      .split('\n')
      .filter(Boolean)
      .map((line) => parseSealed(line) as { readonly name: string; readonly record: object });
    const last = lines.findLast((line) => line.name === name);
    const record = { ...last?.record, ...changes };
    appendFileSync(journal, `\n${sealedJson({ ...last, record })}\n`);
  }

  test('ends what an operator had just told it to stop', async () => {
    emperor.apply('held', SLEEP);
    const { pid } = status('held');
    await emperor.signal('SIGKILL');
    writeDown('held', { isHeld: true });
    await emperor.start();
    emperor.wait('held', 'stopped');
    expect(isAlive(pid ?? 0)).toBe(false);
  });

  test('ends the jail of a command that had run to its end', async () => {
    emperor.apply('once', '[vassal]\ncommand = sleep 1000\nrestart = never\n');
    await emperor.signal('SIGKILL');
    const bootId = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
    const [command] = payloadPids('once');
    signal(command, 'SIGKILL');
    await until('the command ends', () => payloadPids('once').length === 0);
    writeDown('once', { finishedInBoot: bootId });
    await emperor.start();
    emperor.wait('once', 'stopped');
    expect(runningInits()).toEqual([]);
  });

  test('removes what a purge had put aside', async () => {
    await emperor.signal('SIGTERM');
    const left = ['homes', 'log'].map((place) => join(emperor.directory, place, '.purged-1-blog'));
    for (const path of left) mkdirSync(join(path, 'deep'), { recursive: true });
    await emperor.start();
    await until('both are removed', () => !left.some((path) => existsSync(path)));
  });
});

test('a stopped vassal whose file went while no emperor ran is forgotten: a new file of that name runs', async () => {
  emperor.apply('blog', SLEEP);
  expect(emperor.cli('stop', 'blog').status).toBe(0);
  await emperor.signal('SIGTERM');
  emperor.remove('blog');
  await emperor.start();
  await until('it is forgotten', () => emperor.cli('status', 'blog').status === 4);
  emperor.apply('blog', SLEEP);
  expect(status('blog').state).toBe('running');
});
