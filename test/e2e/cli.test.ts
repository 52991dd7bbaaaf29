/** The command line as people and scripts meet it: signals, pipes, permissions, exit statuses. */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { PlannedChange, VassalStatus } from '../../src/emperor/governor.ts';
import { TestEmperor, until } from '../support/emperor.ts';
import { isAlive } from '../support/proc.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const BINARY = join(ROOT, 'bin/emperor');
const SLEEP = '[vassal]\ncommand = sleep 1000\n';
const TALKER = "[vassal]\ncommand = sh -c 'while sleep 0.1; do echo tick; done'\n";

interface Running {
  readonly child: ChildProcess;
  output(): string;
  status(): Promise<number | null>;
}

function start(file: string, args: readonly string[]): Running {
  const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let text = '';
  const note = (chunk: Buffer) => {
    text += chunk.toString();
  };
  child.stdout.on('data', note);
  child.stderr.on('data', note);
  const ended = new Promise<number | null>((done) => child.once('close', (code) => done(code)));
  return { child, output: () => text, status: () => ended };
}

const shell = (script: string) => spawnSync('bash', ['-c', script], { encoding: 'utf8' });

/** Runs the CLI as somebody who is not root; a private checkout, such as one in /root, is shown to them at /mnt. */
function asSomebody(gid: number, args: readonly string[]) {
  const script = `mount --bind "$0" /mnt && exec setpriv --reuid=65534 --regid=${gid} --clear-groups /mnt/bin/emperor "$@"`;
  return spawnSync('unshare', ['-m', 'sh', '-c', script, ROOT, ...args], { encoding: 'utf8' });
}

describe('a running emperor', () => {
  let emperor: TestEmperor;
  let cli: string;
  const cliArgs = (...args: readonly string[]) => ['--ini', emperor.ini, ...args];

  beforeAll(async () => {
    emperor = new TestEmperor();
    cli = `${BINARY} --ini ${emperor.ini}`;
    await emperor.start();
    emperor.apply('blog', SLEEP);
    emperor.apply('talker', TALKER);
  });
  afterAll(() => emperor.close());

  test('a reader that leaves ends a command quietly, with status 0', () => {
    const answer = shell(`set -o pipefail; ${cli} ls | true; echo $?; ${cli} stats | head -1`);
    expect(answer.stdout).toMatch(/^0\nversion/);
    expect(answer.stderr).toBe('');
  });

  test('exec ends as a part of a pipeline does, and passes signals on', async () => {
    expect(shell(`${cli} exec blog -- yes | head -2`).stdout).toBe('y\ny\n');
    const script = 'trap "echo got it; exit 9" TERM; echo set; while :; do sleep 0.05; done';
    const running = start(BINARY, cliArgs('exec', 'blog', '--', 'sh', '-c', script));
    await until('the trap is set', () => running.output().includes('set'));
    running.child.kill('SIGTERM');
    expect(await running.status()).toBe(9);
    expect(running.output().split('\n')).toEqual(expect.arrayContaining(['set', 'got it']));
  });

  test('exec becomes the C program: no Node stays behind it', async () => {
    const running = start(BINARY, cliArgs('exec', 'blog', '--', 'sleep', '1000'));
    const program = () =>
      spawnSync('readlink', [`/proc/${running.child.pid}/exe`]).stdout.toString();
    await until('it is the C program', () => program().includes('emperor-init'));
    running.child.kill('SIGTERM');
    expect(await running.status()).toBe(143);
  });

  test('exec -t has a terminal, and without -t there is none', () => {
    const words = `${cli} exec blog -t -- sh -c "test -t 0 && test -t 1 && echo yes"`;
    const answer = spawnSync('script', ['-qec', words, '/dev/null'], {
      encoding: 'utf8',
      input: '',
    });
    expect(answer.stdout).toMatch(/yes/);
    expect(emperor.cli('exec', 'blog', '--', 'test', '-t', '0').status).toBe(1);
  });

  test('shell is a login shell on a terminal of the vassal, and ends with its status', () => {
    const answer = spawnSync('script', ['-qec', `${cli} shell blog`, '/dev/null'], {
      encoding: 'utf8',
      input: 'tty; pwd; shopt -q login_shell && echo login; exit 3\n',
    });
    expect(answer.stdout).toMatch(/\/dev\/pts\/\d+\r\n\/home\/blog\r\nlogin\r\n/);
    expect(answer.status).toBe(3);
  });

  test('every failure of exec that is ours is 125', () => {
    expect(emperor.cli('exec', 'nobody', '--', 'true').status).toBe(125);
    expect(emperor.cli('exec', 'blog').status).toBe(125);
    expect(emperor.cli('--socket', '/nowhere', 'exec', 'blog', '--', 'true').status).toBe(125);
  });

  test('logs -f goes on, events -f too', async () => {
    const logs = start(BINARY, cliArgs('logs', 'talker', '-f', '-n', '0', '--json'));
    const events = start(BINARY, cliArgs('events', '-f', '--since', '0s', '--json'));
    const count = () => logs.output().split('\n').length - 1;
    await until('lines come', () => count() > 3);
    emperor.apply('event', SLEEP);
    await until('the event comes', () =>
      /"event":"applied".*"vassal":"event"/.test(events.output()),
    );
    for (const line of logs.output().split('\n').slice(0, 3)) {
      expect(JSON.parse(line)).toMatchObject({ label: 'command', stream: 'stdout', text: 'tick' });
    }
    for (const { child } of [logs, events]) child.kill('SIGTERM');
    await Promise.all([logs.status(), events.status()]);
  });

  test('plan tells what a file would cost before it is put into place', () => {
    const candidate = join(emperor.directory, 'blog.ini');
    writeFileSync(candidate, `${SLEEP}hostname = other\n`);
    expect(emperor.json<readonly PlannedChange[]>('plan', candidate)).toMatchObject([
      { name: 'blog', action: 'change', cost: 'jail', keys: ['hostname'] },
    ]);
    writeFileSync(candidate, '[vassal]\ncommand = sleep 2\n');
    expect(emperor.json<readonly PlannedChange[]>('plan', candidate)).toMatchObject([
      { action: 'change', cost: 'process' },
    ]);
    writeFileSync(candidate, '[vassal]\ncomand = x\n');
    expect(emperor.cli('plan', candidate)).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/blog\.ini:2:1: error/),
    });
    expect(emperor.cli('plan', '--jail', 'blog').stdout).toMatch(/^ *\d+ pivot/m);
  });

  test('M52: its API answers any client, as docs/panel.md shows', () => {
    const socket = join(emperor.directory, 'run/emperor.sock');
    const get = (path: string) =>
      execFileSync('curl', ['-s', '--unix-socket', socket, `http://emperor${path}`], {
        encoding: 'utf8',
      });
    expect(JSON.parse(get('/v1/vassals/blog'))).toMatchObject({ name: 'blog', state: 'running' });
    expect(JSON.parse(get('/v1/stats'))).toMatchObject({
      pid: emperor.pid,
      vassals: { running: emperor.list().length, failed: 0 },
      launcher: { pid: expect.any(Number) },
      counters: expect.any(Object),
    });
    expect(get('/metrics')).toMatch(/^# HELP emperor_/m);
    expect(JSON.parse(get('/v1/vassals/nobody'))).toMatchObject({
      error: { code: 'no-such-vassal' },
    });
  });

  test('doctor finds that this machine can do what is needed, and what is wrong', () => {
    const findings = (ini: string) =>
      JSON.parse(
        spawnSync(BINARY, ['--ini', ini, 'doctor', '--json'], { encoding: 'utf8' }).stdout,
      );
    const problems = (ini: string) =>
      findings(ini).filter(({ verdict }: { verdict: string }) => verdict === 'problem');
    expect(problems(emperor.ini)).toEqual([]);
    const kernel = findings(emperor.ini).find(
      ({ topic }: { topic: string }) => topic === 'kernel.kptr_restrict',
    );
    const found = readFileSync('/proc/sys/kernel/kptr_restrict', 'utf8').trim();
    expect(kernel.message.split(':')[0]).toBe(found);
    expect(kernel.verdict).toBe(found === '0' ? 'warning' : 'ok');
    const empty = join(emperor.directory, 'empty.ini');
    writeFileSync(empty, `[emperor]\nvassals = ${emperor.vassals}\ndistros = ${emperor.vassals}\n`);
    expect(problems(empty)).toMatchObject([
      { topic: 'distros', fix: expect.stringMatching(/distro add/) },
    ]);
  });

  test('several names at once: one failure is told, and stops no other', () => {
    emperor.apply('second', SLEEP);
    const answer = emperor.cli('stop', 'nobody', 'second');
    expect(answer.status).toBe(4);
    expect(answer.stderr).toBe('emperor: There is no vassal nobody\n');
    expect(emperor.json<VassalStatus>('status', 'second').state).toBe('stopped');
  });

  test('a wait in vain ends with 124, one for what cannot come at once with 1', () => {
    const wait = (name: string, what: string) =>
      emperor.cli('wait', name, '--for', what, '--timeout', '200ms').status;
    expect(wait('blog', 'running')).toBe(0);
    expect(wait('blog', 'stopped')).toBe(124);
    emperor.write('blog', '[vassal]\ncomand = x\n');
    expect(wait('blog', 'applied')).toBe(1);
    emperor.apply('blog', SLEEP);
  });

  test('whoever may not, is told so: 77', () => {
    const as = (...args: readonly string[]) => asSomebody(65_534, args);
    const socket = join(emperor.directory, 'run/emperor.sock');
    const asked = as('--socket', socket, 'ls');
    expect(asked.stderr).toMatch(/permission denied; use sudo/);
    expect(asked.status).toBe(77);
    const started = as('run', '--ini', emperor.ini);
    expect(started.stderr).toMatch(/must run as root/);
    expect(started.status).toBe(77);
  });

  test('a daemon whose stderr nobody reads any more goes on', async () => {
    emperor.closeOutput();
    emperor.write('typo', '[vassal]\ncomand = x\n');
    expect(emperor.cli('wait', 'typo', '--for', 'applied').status).toBe(1);
    expect(emperor.cli('ls').status).toBe(0);
    const log = execFileSync('cat', [join(emperor.directory, 'log/emperor.log')], {
      encoding: 'utf8',
    });
    expect(log).toMatch(/"level":"warn".*"vassal":"typo"/);
  });

  test('logs can be read while the emperor is dead, and everything else says 69', async () => {
    await emperor.signal('SIGKILL');
    const first = emperor.cli('logs', 'talker', '-n', '1').stdout;
    expect(first).toMatch(/^\S+Z command tick\n$/);
    await until('a later line', () => emperor.cli('logs', 'talker', '-n', '1').stdout > first);
    expect(emperor.cli('logs', 'nobody').status).toBe(4);
    expect(emperor.cli('status', 'talker').status).toBe(69);
    expect(emperor.cli('shutdown').status).toBe(69);
    await emperor.start();
  });

  test('Ctrl-C stops everything and says so', async () => {
    const pid = emperor.json<VassalStatus>('status', 'blog').pid ?? 0;
    expect(isAlive(pid)).toBe(true);
    expect(await emperor.signal('SIGINT')).toBe(0);
    expect(emperor.output).toMatch(/stopping all vassals/);
    expect(isAlive(pid)).toBe(false);
  });
});

test('SIGTERM leaves vassals running, a second Ctrl-C leaves at once', async () => {
  const emperor = new TestEmperor();
  try {
    await emperor.start();
    emperor.apply(
      'stubborn',
      "[vassal]\ncommand = sh -c 'trap : TERM; while :; do sleep 0.1; done'\nstop-grace = 5s\n",
    );
    const pid = emperor.json<VassalStatus>('status', 'stubborn').pid ?? 0;
    expect(await emperor.signal('SIGTERM')).toBe(0);
    expect(isAlive(pid)).toBe(true);
    await emperor.start();
    const first = emperor.signal('SIGINT');
    await until('it says so', () => emperor.output.includes('Ctrl-C again'));
    const second = emperor.signal('SIGINT');
    expect(await Promise.all([first, second])).toEqual([130, 130]);
    expect(isAlive(pid)).toBe(true);
    await emperor.start();
  } finally {
    await emperor.close();
  }
});

test('members of socket-group may use the socket, and others may not', async () => {
  const emperor = new TestEmperor({ ini: 'socket-group = daemon\nsocket-mode = 0660' });
  try {
    chmodSync(emperor.directory, 0o711);
    await emperor.start();
    const run = join(emperor.directory, 'run');
    const words = ['--socket', join(run, 'emperor.sock'), 'ls'];
    const as = (gid: number) => asSomebody(gid, words).status;
    expect(as(statSync(join(run, 'emperor.sock')).gid)).toBe(0);
    expect(as(65_534)).toBe(77);
    expect(statSync(join(run, 'launcher.sock')).mode & 0o777).toBe(0o600);
  } finally {
    await emperor.close();
  }
});

describe('without an emperor', () => {
  const directory = execFileSync('mktemp', ['-d'], { encoding: 'utf8' }).trim();
  const ini = join(directory, 'emperor.ini');
  const run = (...args: readonly string[]) =>
    spawnSync(BINARY, args, { encoding: 'utf8', cwd: directory });
  afterAll(() => execFileSync('rm', ['-rf', directory]));

  test('run refuses a bad emperor.ini with all diagnostics: 78', () => {
    writeFileSync(ini, '[emperor]\nvasals = v\nlog-level = loud\n');
    const answer = run('run');
    expect(answer.status).toBe(78);
    expect(answer.stderr).toMatch(/emperor\.ini:2:1: error.*emperor\.ini:3:13: error/s);
    expect(existsSync('/run/emperor/emperor.lock')).toBe(existsSync('/run/emperor/emperor.sock'));
  });

  test('run without emperor.ini is a usage error, with one that is not there 78', () => {
    execFileSync('rm', ['-f', ini]);
    expect(run('run')).toMatchObject({ status: 2, stderr: expect.stringMatching(/--ini FILE/) });
    expect(run('run', '--ini', 'gone.ini').status).toBe(78);
  });

  test('check judges emperor.ini and every vassal file of its directories', () => {
    execFileSync('mkdir', ['-p', join(directory, 'v'), join(directory, 'd/bookworm')]);
    writeFileSync(ini, '[emperor]\nvassals = v\ndistros = d\n');
    writeFileSync(join(directory, 'v/a.ini'), SLEEP);
    expect(run('check')).toMatchObject({
      status: 0,
      stdout: '',
      stderr: '2 files: 0 errors, 0 warnings\n',
    });
    writeFileSync(join(directory, 'v/b.ini'), '[vassal]\ndistro = bookwrom\n');
    const answer = run('check', '--json');
    expect(answer.status).toBe(1);
    expect(JSON.parse(answer.stdout)).toMatchObject([
      {
        line: 2,
        severity: 'error',
        code: 'unknown-distro',
        hint: expect.stringMatching(/bookworm/),
      },
    ]);
    writeFileSync(ini, '[emperor]\nvassals = v\njunk = 1\n');
    expect(run('check').stdout).toMatch(/emperor\.ini:3:1: error/);
    execFileSync('rm', [ini]);
    expect(run('check', 'v/b.ini').status).toBe(0);
    expect(run('check', 'v/c.ini')).toMatchObject({
      status: 1,
      stdout: expect.stringMatching(/no such file/),
    });
  });

  test('schema needs nothing', () => {
    expect(JSON.parse(run('schema').stdout)).toHaveProperty('properties.command');
  });
});
