/** The launcher: one at a time, a daemon of its own, whose death ends no vassal. */
import { execFileSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { LauncherClient } from '../../src/jail/launcher-client.ts';
import { installProgram, startLauncher } from '../../src/jail/start-launcher.ts';
import { VERB } from '../../src/jail/wire.ts';
import { compileFixture } from '../support/compile.ts';
import { forget, launch, launchToGate } from '../support/jail.ts';
import { switchesOf } from '../support/proc.ts';
import { until } from '../support/wait.ts';
import { type World, world } from '../support/world.ts';

let w: World;
beforeEach(async () => {
  w = await world();
});
afterEach(() => w.close());

async function connect(): Promise<LauncherClient> {
  return LauncherClient.connect(join(w.paths.run, 'launcher.sock'));
}

describe('startLauncher()', () => {
  test('finds the launcher that runs already', async () => {
    const first = await w.launcher();
    const second = await startLauncher(w.launcherSetting);
    expect((await second.client.hello()).pid).toBe((await first.client.hello()).pid);
    expect(second.program).toBe(first.program);
    second.client.close();
  });

  test('starts one launcher, even if it is called several times at once', async () => {
    const started = await Promise.all([
      w.launcher(),
      ...[1, 2, 3].map(() => startLauncher(w.launcherSetting)),
    ]);
    const pids = await Promise.all(started.map(async ({ client }) => (await client.hello()).pid));
    expect(new Set(pids).size).toBe(1);
    for (const { client } of started.slice(1)) client.close();
  });

  test('starts it as a daemon: own session, cwd /, nothing of ours open', async () => {
    await w.launcher();
    const pid = w.launcherPid();
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const [, , , session] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    expect(session).toBe(String(pid));
    expect(readlinkSync(`/proc/${pid}/cwd`)).toBe('/');
    const files = readdirSync(`/proc/${pid}/fd`).map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`));
    for (const file of files.filter((one) => one.startsWith('/'))) {
      // What it opened itself is told by its place below the launcher's base.
      expect(file).toMatch(new RegExp(`^(/host)?(/dev/null|/proc/|${w.directory}/)`));
    }
    expect(readFileSync(`/proc/${pid}/environ`, 'utf8')).not.toContain('VITEST');
  });

  test('starts a new one after the first was killed, whose vassal goes on', async () => {
    const jail = await launch(w, w.plan('blog'));
    await jail.start(['/bin/forever']);
    process.kill(w.launcherPid(), 'SIGKILL');
    const { client } = await until('a new launcher listens', async () => {
      const next = await startLauncher(w.launcherSetting);
      if ((await next.client.hello()).pid !== w.launcherPid()) return next;
      next.client.close();
      return null;
    });
    expect(await client.list()).toEqual([]);
    expect((await jail.init.hello()).state).toBe('running');
    await jail.init.stop({ graceMs: 0 });
    await until('it has ended', () => !w.membership.isPopulated('blog'));
    await forget(w, 'blog');
    await client.quit();
    client.close();
  });
});

test('a vassal at its gate outlives its launcher and can still be let through', async () => {
  const jail = await launchToGate(w, w.plan('blog'));
  process.kill(w.launcherPid(), 'SIGKILL');
  await until('it has ended', () => !existsSync(`/proc/${w.launcherPid()}/exe`));
  await jail.init.go(jail.plan);
  expect((await jail.init.hello()).state).toBe('running');
  await jail.init.stop({ graceMs: 0 });
  await until('init has ended', () => !w.membership.isPopulated('blog'));
  jail.init.close();
});

describe('installProgram()', () => {
  test('installs a program of root that nobody else can read or change', async () => {
    const program = installProgram(w.launcherSetting);
    const { mode, uid, gid } = statSync(program);
    expect([(mode & 0o7777).toString(8), uid, gid]).toEqual(['711', 0, 0]);
    expect(program).toMatch(/\/state\/bin\/[0-9a-f]{16}\/emperor-init$/);
    expect(readdirSync(join(program, '..'))).toEqual(['emperor-init']);
  });

  test('leaves a program that is there alone', async () => {
    const before = statSync(installProgram(w.launcherSetting));
    const after = statSync(installProgram(w.launcherSetting));
    expect([after.ino, after.mtimeMs]).toEqual([before.ino, before.mtimeMs]);
  });
});

describe('the launcher', () => {
  test('keeps an exit until somebody acknowledges it', async () => {
    const { client } = await w.launcher();
    const jail = await launch(w, w.plan('blog'));
    client.close();
    await jail.init.stop({ graceMs: 0 });
    await until('it has ended', () => !w.membership.isPopulated('blog'));
    const later = await connect();
    const [child] = await until('the exit is listed', async () => {
      const children = await later.list();
      return children[0]?.state === 'ended' && children;
    });
    expect(child).toMatchObject({
      name: 'blog',
      pid: jail.pid,
      startTime: jail.startTime,
      exit: { status: 0, pid: jail.pid, startTime: jail.startTime },
    });
    await later.ack(jail.pid);
    expect(await later.list()).toEqual([]);
    later.close();
    jail.init.close();
    await forget(w, 'blog');
  });

  test('tells an exit to every client that greeted it', async () => {
    const jail = await launch(w, w.plan('blog'));
    const other = await connect();
    await other.hello();
    const told = new Promise((resolve) => other.onExit(resolve));
    await jail.stop();
    expect(await told).toMatchObject({ name: 'blog', pid: jail.pid, status: 0 });
    other.close();
  });

  test('starts many vassals at once', async () => {
    const { client } = await w.launcher();
    const plans = Array.from({ length: 20 }, (_, index) => w.plan(`many${index}`));
    const jails = await Promise.all(plans.map((plan) => launch(w, plan)));
    expect(new Set(jails.map(({ pid }) => pid)).size).toBe(20);
    expect(await client.list()).toHaveLength(20);
    await Promise.all(jails.map((jail) => jail.stop()));
    expect(await client.list()).toEqual([]);
  });

  test('lives in a mount namespace of its own', async () => {
    await w.launcher();
    const pid = w.launcherPid();
    expect(readlinkSync(`/proc/${pid}/ns/mnt`)).not.toBe(readlinkSync('/proc/self/ns/mnt'));
  });

  test('has let go of mounts that no vassal needs, and of none in what it must keep', async () => {
    // A mount namespace of the test's own, in which /run is full of what container engines leave.
    const prepare = `mount -t tmpfs none /run
      mkdir -p /run/user/0 "/run/user/kept dir/inside" /run/netns/one /run/elsewhere
      for path in /run/user/0 "/run/user/kept dir/inside" /run/netns/one /run/elsewhere; do
        mount -t tmpfs none "$path" || exit 1
      done
      exec "$@"`;
    const { client } = await startLauncher({
      ...w.launcherSetting,
      keep: [w.directory, '/run/user/kept dir'],
      wrapper: [...w.launcherSetting.wrapper, 'unshare', '--mount', 'sh', '-c', prepare, 'sh'],
    });
    const { pid } = await client.hello();
    const table = readFileSync(`/proc/${pid}/mountinfo`, 'utf8').split('\n');
    const points = table.map((line) => line.split(' ')[4]);
    // The kernel writes a space as \040.
    expect(points).toContain('/run/user/kept\\040dir/inside');
    expect(points).toContain('/run/elsewhere');
    expect(points).not.toContain('/run/user/0');
    expect(points).not.toContain('/run/netns/one');
    await client.quit();
    client.close();
  });

  test('sleeps while nothing happens', async () => {
    await w.launcher();
    const pid = w.launcherPid();
    await until('it waits', () => /^\d+ /.test(readFileSync(`/proc/${pid}/syscall`, 'utf8')));
    const before = switchesOf(pid);
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(switchesOf(pid) - before).toBe(0);
  });

  test('ends when it is told to, and vassals stay', async () => {
    const { client } = await w.launcher();
    const jail = await launch(w, w.plan('blog'));
    const closed = new Promise<void>((resolve) => client.onClose(resolve));
    await client.quit();
    await closed;
    expect((await jail.init.hello()).state).toBe('running');
    await jail.init.stop({ graceMs: 0 });
    await until('it has ended', () => !w.membership.isPopulated('blog'));
    jail.init.close();
  });
});

describe('the descriptors that the launcher keeps', () => {
  let program: string;
  beforeEach(async () => {
    await w.launcher();
    program = join(w.directory, 'keeps');
    compileFixture('keeps', program);
  });
  const ask = (verb: number, name: string, input: 'ignore' | number = 'ignore') =>
    execFileSync(program, [join(w.paths.run, 'launcher.sock'), String(verb), name], {
      encoding: 'utf8',
      stdio: [input, 'pipe', 'inherit'],
    });
  const put = (name: string, text: string) => {
    const file = join(w.directory, `kept-${text}`);
    writeFileSync(file, text);
    const fd = openSync(file, 'r');
    const answer = ask(VERB.PUT, name, fd);
    closeSync(fd);
    rmSync(file);
    return answer;
  };
  const errors = constants.errno;

  test('outlive who gave them, until they are dropped', () => {
    expect(put('emperor0', 'first')).toBe('ok\n');
    expect(put('other', 'second')).toBe('ok\n');
    expect(ask(VERB.GET, 'emperor0')).toBe('ok\nfirst');
    expect(ask(VERB.DROP, 'emperor0')).toBe('ok\n');
    expect(ask(VERB.GET, 'emperor0')).toBe(`${errors.ENOENT}\n`);
    expect(ask(VERB.GET, 'other')).toBe('ok\nsecond');
  });

  test('are replaced by a later one of that name, and closed', () => {
    const before = openFiles();
    put('one', 'first');
    put('one', 'second');
    expect(ask(VERB.GET, 'one')).toBe('ok\nsecond');
    expect(openFiles()).toBe(before + 1);
    ask(VERB.DROP, 'one');
    expect(openFiles()).toBe(before);
  });

  test('must have a name, and there are 64 at most', () => {
    expect(put('', 'x')).toBe(`${errors.EINVAL}\n`);
    for (let i = 0; i < 64; i++) expect(put(`n${i}`, 'x')).toBe('ok\n');
    const before = openFiles();
    expect(put('more', 'x')).toBe(`${errors.ENOSPC}\n`);
    // What was not kept is not left open.
    expect(openFiles()).toBe(before);
    expect(ask(VERB.DROP, 'none')).toBe(`${errors.ENOENT}\n`);
  });

  test('do not get into a vassal', async () => {
    put('secret', 'x');
    const jail = await launch(w, w.plan('blog'));
    const links = readdirSync(`/proc/${jail.pid}/fd`).map((fd) =>
      readlinkSync(`/proc/${jail.pid}/fd/${fd}`),
    );
    expect(links.filter((link) => link.includes('kept-'))).toEqual([]);
    expect((await jail.look()).get('fd')).toEqual(['0', '1', '2']);
    await jail.stop();
  });

  /** Connections that are just being closed are not counted. */
  function openFiles(): number {
    const directory = `/proc/${w.launcherPid()}/fd`;
    const links = readdirSync(directory).map((fd) => readlinkSync(join(directory, fd)));
    return links.filter((link) => !link.startsWith('socket:')).length;
  }
});
