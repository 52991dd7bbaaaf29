import { existsSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { EmperorStats, PlannedChange } from '../../src/emperor/governor.ts';
import { TestEmperor, until } from '../support/emperor.ts';
import { isAlive } from '../support/proc.ts';

const SLEEP = '[vassal]\ncommand = sleep 1000\n';

describe('a file becomes a caged process', () => {
  let emperor: TestEmperor;
  const status = (name: string) => emperor.status(name);

  beforeAll(async () => {
    emperor = new TestEmperor();
    await emperor.start();
  });
  afterAll(() => emperor.close());

  test('M15: a new file is deployed, and `wait --for applied` tells the panel', () => {
    emperor.apply('blog', SLEEP);
    const blog = status('blog');
    expect(blog).toMatchObject({
      state: 'running',
      generation: 1,
      ready: true,
      distro: 'bookworm',
    });
    expect(blog.processes).toMatchObject([{ kind: 'command', state: 'running' }]);
    expect(isAlive(blog.pid ?? 0)).toBe(true);
  });

  test('its parent is PID 1 of the vassal, whose parent is the launcher, the only child of the emperor', () => {
    const parentOf = (pid: number) =>
      Number(/^PPid:\t(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
    const { pid, processes } = status('blog');
    const launcher = emperor.json<EmperorStats>('stats').launcher.pid;
    expect(parentOf(processes[0]?.pid ?? 0)).toBe(pid);
    expect(parentOf(pid ?? 0)).toBe(launcher);
    const children = readdirSync(`/proc/${emperor.pid}/task`)
      .flatMap((task) =>
        readFileSync(`/proc/${emperor.pid}/task/${task}/children`, 'utf8').split(' '),
      )
      .filter(Boolean);
    expect(children).toEqual([String(launcher)]);
  });

  test('partly M35: it runs in five namespaces of its own', () => {
    const { pid } = status('blog');
    for (const kind of ['mnt', 'ipc', 'uts', 'net', 'pid']) {
      const link = readlinkSync(`/proc/${pid}/ns/${kind}`);
      expect(link).not.toBe(readlinkSync(`/proc/${emperor.pid}/ns/${kind}`));
      const inside = emperor.cli('exec', 'blog', '--', 'readlink', `/proc/self/ns/${kind}`);
      expect(inside.stdout).toBe(`${link}\n`);
    }
  });

  test('exec streams to init and returns exit codes and output exactly', () => {
    expect(emperor.cli('exec', 'blog', '--', 'sh', '-c', 'echo out; echo err >&2; exit 7')).toEqual(
      {
        status: 7,
        stdout: 'out\n',
        stderr: 'err\n',
      },
    );
    expect(emperor.cliWith({ input: 'hello' }, 'exec', 'blog', '--', 'cat').stdout).toBe('hello');
    expect(emperor.cli('exec', 'blog', '--', 'no-such-command').status).toBe(127);
    expect(emperor.cli('exec', 'blog', '--', '/etc/passwd').status).toBe(126);
    expect(emperor.cli('exec', 'blog', '--', 'sh', '-c', 'kill -TERM $$').status).toBe(143);
    expect(emperor.cli('exec', 'nobody-there', '--', 'true').status).toBe(125);
  });

  test('M16: a changed file is applied, with the smallest change that does it', () => {
    const before = status('blog');
    emperor.apply('blog', '[vassal]\ncommand = sleep 2000\n');
    const after = status('blog');
    expect(after.generation).toBe(before.generation + 1);
    expect(after.pid).toBe(before.pid);
    expect(after.processes.map(({ command }) => command.join(' '))).toEqual(['sleep 2000']);

    emperor.apply('blog', '[vassal]\ncommand = sleep 2000\nhostname = other\n');
    expect(status('blog').pid).not.toBe(before.pid);
    expect(emperor.cli('exec', 'blog', '--', 'hostname').stdout).toBe('other\n');
  });

  test('a change that neither command nor jail needs is applied to what runs', () => {
    const before = status('blog');
    const text =
      '[vassal]\ncommand = sleep 2000\nhostname = other\nstop-grace = 3s\nrestart = never\n';
    const candidate = `${emperor.directory}/blog.ini`;
    writeFileSync(candidate, text);
    expect(emperor.json<readonly PlannedChange[]>('plan', candidate)).toMatchObject([
      { name: 'blog', action: 'change', cost: 'live' },
    ]);
    emperor.apply('blog', text);
    expect(status('blog')).toMatchObject({
      pid: before.pid,
      processes: before.processes,
      generation: before.generation + 1,
    });
  });

  test('D5: an invalid file does not touch what runs, and says where it is wrong', () => {
    const before = status('blog');
    emperor.write('blog', '[vassal]\ncomand = sleep 1\n');
    const answer = emperor.cli('wait', 'blog', '--for', 'applied', '--timeout', '10s');
    expect(answer.status).toBe(1);
    expect(answer.stderr + answer.stdout).toMatch(/blog\.ini:2:1: error\[.*command/s);
    expect(status('blog')).toMatchObject({
      pid: before.pid,
      state: 'running',
      config: { valid: false },
    });
    emperor.apply('blog', SLEEP);
  });

  test('logs shows what the command printed', async () => {
    emperor.apply('talker', `[vassal]\ncommand = sh -c 'echo hello from $HOME; sleep 1000'\n`);
    await until('the line', () =>
      emperor.cli('logs', 'talker').stdout.includes('hello from /home/talker'),
    );
  });

  test('partly M49: a command that fails is held back, and nobody else', async () => {
    emperor.write('fails', '[vassal]\ncommand = false\n');
    await until('two failures', () => status('fails').failures >= 2);
    expect(status('fails')).toMatchObject({
      state: 'backoff',
      lastExit: { code: 1, reason: 'exit' },
    });
    expect(status('blog').state).toBe('running');
    emperor.remove('fails');
    emperor.wait('fails', 'gone');
  });

  test('D3: vassals outlive SIGKILL of the emperor; the next one adopts them, applies what changed and ends what is gone', async () => {
    emperor.apply('kept', SLEEP);
    emperor.apply('changed', SLEEP);
    emperor.apply('deleted', SLEEP);
    const pids = new Map(
      ['kept', 'changed', 'deleted'].map((name) => [name, status(name).pid ?? 0]),
    );
    await emperor.signal('SIGKILL');
    for (const pid of pids.values()) expect(isAlive(pid)).toBe(true);
    emperor.write('changed', '[vassal]\ncommand = sleep 3000\n');
    emperor.remove('deleted');
    await emperor.start();
    emperor.wait('kept', 'running');
    emperor.wait('changed', 'applied');
    emperor.wait('deleted', 'gone');
    expect(status('kept').pid).toBe(pids.get('kept'));
    expect(status('changed').pid).toBe(pids.get('changed'));
    expect(status('changed').processes[0]?.command).toEqual(['sleep', '3000']);
    expect(isAlive(pids.get('deleted') ?? 0)).toBe(false);
  });

  test('M17, D10: a removed file is stopped and nothing of it is left', () => {
    const pid = status('blog').pid ?? 0;
    emperor.remove('blog');
    emperor.wait('blog', 'gone');
    expect(isAlive(pid)).toBe(false);
    expect(emperor.cli('status', 'blog').status).toBe(4);
    expect(existsSync(`${emperor.directory}/run/vassals/blog`)).toBe(false);
  });
});
