/** `emperor-init attach`, the streaming client of exec: its streams, signals, statuses and its end. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { closeSync, openSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { socketOf, type TestJail } from '../support/jail.ts';
import { useJails } from '../support/jails.ts';
import { childrenOf } from '../support/proc.ts';
import { patienceMs } from '../support/slowness.ts';
import { until } from '../support/wait.ts';
import type { World } from '../support/world.ts';

const { signals } = constants;

let w: World;
let program: string;
let jail: TestJail;

const { vassal } = useJails('a', (given) => {
  w = given;
});
beforeAll(async () => {
  program = (await w.launcher()).program;
});
beforeEach(async () => {
  jail = await vassal();
});

interface Options {
  readonly cwd?: string;
  /** Options of attach. */
  readonly with?: readonly string[];
  /** Descriptors of ours, or pipes. */
  readonly stdio?: readonly ('pipe' | 'ignore' | number)[];
  readonly socket?: string;
}

function commandOf(argv: readonly string[], options: Options = {}): readonly string[] {
  const socket = options.socket ?? socketOf(w, jail.plan.name);
  return [program, 'attach', socket, options.cwd ?? '/', ...(options.with ?? []), '--', ...argv];
}

function attach(argv: readonly string[], options: Options = {}): ChildProcess {
  const [file = '', ...args] = commandOf(argv, options);
  return spawn(file, args, { stdio: [...(options.stdio ?? ['pipe', 'pipe', 'pipe'])] });
}

interface Outcome {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Gathers what comes and how it ends. */
async function outcome(child: ChildProcess): Promise<Outcome> {
  const texts = { stdout: '', stderr: '' };
  for (const stream of ['stdout', 'stderr'] as const) {
    child[stream]?.on('data', (chunk: Buffer) => {
      texts[stream] += chunk.toString();
    });
  }
  const status = await new Promise<number | null>((resolve) => child.on('close', resolve));
  return { status, ...texts };
}

async function run(argv: readonly string[], options: Options = {}, input = ''): Promise<Outcome> {
  const child = attach(argv, options);
  // A command that reads nothing closes the pipe.
  child.stdin?.on('error', () => {});
  child.stdin?.end(input);
  return outcome(child);
}

/** Returns what resolves when `text` has come from the child's output. */
function heard(child: ChildProcess): (text: string | RegExp) => Promise<void> {
  let all = '';
  child.stdout?.on('data', (chunk: Buffer) => {
    all += chunk.toString();
  });
  return (text) =>
    until(`${text} is heard in ${all}`, () =>
      typeof text === 'string' ? all.includes(text) : text.test(all),
    ).then(() => undefined);
}

describe('a status', () => {
  test.each([0, 1, 42, 125, 126, 127, 255])('of the command, %i, is ours', async (code) => {
    expect((await run(['/bin/ends', 'exit', String(code)])).status).toBe(code);
  });

  test.each(['SIGKILL', 'SIGTERM', 'SIGSEGV', 'SIGPIPE'] as const)(
    'is 128 and the number of %s',
    async (name) => {
      const signo = signals[name];
      expect((await run(['/bin/ends', 'signal', String(signo)])).status).toBe(128 + signo);
    },
  );

  test.each([
    [
      '127 for a command that is not there',
      ['/bin/none'],
      {},
      127,
      /Cannot run \/bin\/none: No such file/,
    ],
    ['127 for a name that PATH does not have', ['none'], {}, 127, /Cannot run none: No such file/],
    ['126 for a file that is not executable', ['/etc/hosts'], {}, 126, /denied/],
    ['126 for a directory', ['/etc'], {}, 126, /denied/],
    [
      '126 for a directory that cannot be entered',
      ['/bin/ends'],
      { cwd: '/no' },
      126,
      /directory \/no:/,
    ],
    [
      '125 for a vassal that is not there',
      ['/bin/ends'],
      { socket: '/no/init.sock' },
      125,
      /Cannot reach/,
    ],
    [
      '126 for words that are too long',
      ['/bin/ends', 'x'.repeat(130_000), 'x'.repeat(130_000), 'x'.repeat(130_000)],
      {},
      126,
      /longer than/,
    ],
  ] as const)('is %s, with a word on stderr', async (_, argv, options, status, message) => {
    const ended = await run(argv, options);
    expect(ended).toMatchObject({ status, stdout: '' });
    expect(ended.stderr).toMatch(message);
    expect(ended.stderr.trim().split('\n')).toHaveLength(1);
  });

  test('is 125 when the vassal ends first, and what was said before comes through', async () => {
    const child = attach(['/bin/forever']);
    const isHeard = heard(child);
    const ended = outcome(child);
    await isHeard('running');
    process.kill(jail.pid, 'SIGKILL');
    expect(await ended).toMatchObject({ status: 125, stderr: expect.stringContaining('ended') });
  });

  test('tells how the command ended that a stop of the vassal killed', async () => {
    const child = attach(['/bin/ignores-sigterm']);
    const isHeard = heard(child);
    const ended = outcome(child);
    await isHeard('running');
    await jail.init.stop({ graceMs: 0 });
    expect((await ended).status).toBe(128 + signals.SIGKILL);
  });
});

describe('streams', () => {
  test('are kept apart', async () => {
    const { stdout, stderr } = await run(['/bin/says', 'out', '-e', 'err', '-o', 'again']);
    expect([stdout, stderr]).toEqual(['out\nagain\n', 'err\n']);
  });

  test('carry 100 MB of any bytes unchanged', async () => {
    const child = attach(['/bin/cat']);
    const sent = createHash('sha256');
    const came = createHash('sha256');
    let length = 0;
    child.stdout?.on('data', (chunk: Buffer) => {
      came.update(chunk);
      length += chunk.length;
    });
    const ended = outcome(child);
    for (let i = 0; i < 100; i++) {
      const bytes = randomBytes(1 << 20);
      sent.update(bytes);
      if (child.stdin?.write(bytes) === false) {
        await new Promise((resolve) => child.stdin?.once('drain', resolve));
      }
    }
    child.stdin?.end();
    expect((await ended).status).toBe(0);
    expect(length).toBe(100 << 20);
    expect(came.digest('hex')).toBe(sent.digest('hex'));
  });

  test('come from and go to files as well', async () => {
    const from = join(w.directory, 'input');
    const to = join(w.directory, 'output');
    writeFileSync(from, 'x'.repeat(300_000));
    const stdio = [openSync(from, 'r'), openSync(to, 'w'), 'pipe'] as const;
    expect((await run(['/bin/cat'], { stdio })).status).toBe(0);
    for (const fd of stdio) if (typeof fd === 'number') closeSync(fd);
    expect(readFileSync(to, 'utf8')).toBe('x'.repeat(300_000));
  });

  test('may be closed or /dev/null', async () => {
    expect(await run(['/bin/cat'], { stdio: ['ignore', 'pipe', 'pipe'] })).toMatchObject({
      status: 0,
      stdout: '',
    });
    const line = commandOf(['/bin/ends', 'exit', '9']).join(' ');
    for (const closed of ['<&-', '>&-', '2>&-', '<&- >&- 2>&-']) {
      const child = spawn('sh', ['-c', `${line} ${closed}`]);
      expect([closed, (await outcome(child)).status]).toEqual([closed, 9]);
    }
  });

  test('end for the command when ours does: it gets EOF', async () => {
    expect((await run(['/bin/hears'], {}, 'hello\n')).stdout).toMatch(/line hello\nend\n$/);
  });

  test('end for the command when nobody reads ours: it gets SIGPIPE', async () => {
    const child = attach(['/bin/floods', 'bytes']);
    child.stdout?.once('data', () => child.stdout?.destroy());
    const { status } = await outcome(child);
    expect(status).toBe(128 + signals.SIGPIPE);
  });

  test('of a command that reads nothing do not hold us', async () => {
    const child = attach(['/bin/ends', 'exit', '3']);
    child.stdin?.on('error', () => {});
    // More than the pipes hold, and no end.
    child.stdin?.write(randomBytes(4 << 20));
    expect((await outcome(child)).status).toBe(3);
  });

  test('do not wait for each other: stderr flows while nobody reads stdout', async () => {
    const child = attach(['/bin/says', '-b', '1000000', '-e', 'late']);
    const early = attach(['/bin/says', '-e', 'early', '-o', '-b', '1000000']);
    let text = '';
    early.stderr?.on('data', (chunk: Buffer) => {
      text += chunk.toString();
    });
    await until('stderr is there', () => text === 'early\n');
    const [one, other] = await Promise.all([outcome(child), outcome(early)]);
    expect([one.stdout.length, one.stderr]).toEqual([1_000_000, 'late\n']);
    expect(other.stdout.length).toBe(1_000_000);
  });

  test('lose nothing that was written before the exit, however late it is read', async () => {
    const hasEnded = new Promise<void>((resolve) => {
      jail.init.onExit(({ label }) => label === 'late' && resolve());
    });
    const may = join(w.directory, `may-read-${jail.plan.name}`);
    // What the pipes between hold, so that the command ends while nobody reads.
    const line = commandOf(['/bin/says', '-b', '80000', 'end'], { with: ['--label', 'late'] });
    const reader = `{ until test -e ${may}; do sleep 0.02; done; cat; }`;
    const ended = outcome(spawn('sh', ['-c', `${line.join(' ')} | ${reader}`]));
    await hasEnded;
    // Longer than what attach waits for others that hold the pipe.
    await new Promise((resolve) => setTimeout(resolve, 1500));
    writeFileSync(may, '');
    const { stdout } = await ended;
    expect([stdout.length, stdout.slice(-4)]).toEqual([80_004, 'end\n']);
  });

  test.each([
    ['that is silent', []],
    ['that floods', ['floods']],
  ] as const)('held by a grandchild %s do not hold us', async (_, argv) => {
    const before = performance.now();
    const { status, stdout } = await run(['/bin/lingers', ...argv]);
    expect(status).toBe(7);
    expect(stdout).toMatch(/^parent\n/);
    expect(performance.now() - before).toBeLessThan(patienceMs(3000));
  });

  test('of 50 at once stay apart', async () => {
    const all = await Promise.all(
      Array.from({ length: 50 }, (_, index) =>
        run(['/bin/cat'], { with: ['--label', `n${index}`] }, `${index} `.repeat(10_000)),
      ),
    );
    for (const [index, { status, stdout }] of all.entries()) {
      expect(status).toBe(0);
      expect(stdout).toBe(`${index} `.repeat(10_000));
    }
  });
});

describe('the command', () => {
  test('gets exactly its environment, directory and three descriptors', async () => {
    const { stdout } = await run(['looks'], {
      cwd: `/home/${jail.plan.name}`,
      with: ['--env', 'A=1', '--label', 'x', '--env', 'PATH=/bin'],
    });
    const lines = stdout.split('\n');
    expect(lines.filter((line) => line.startsWith('env '))).toEqual(['env A=1', 'env PATH=/bin']);
    expect(lines.filter((line) => line.startsWith('fd '))).toEqual(['fd 0', 'fd 1', 'fd 2']);
    expect(lines).toContain(`cwd /home/${jail.plan.name}`);
  });

  test('is listed with label and kind while it runs, and forgotten then', async () => {
    const child = attach(['/bin/cat'], { with: ['--label', 'mine', '--kind', 'session'] });
    const [entry] = await until('it is listed', async () => {
      const entries = await jail.init.list();
      return entries.length === 1 && entries;
    });
    expect(entry).toMatchObject({ label: 'mine', kind: 'session', argv: ['/bin/cat'] });
    child.stdin?.end();
    expect((await outcome(child)).status).toBe(0);
    expect(await jail.init.list()).toEqual([]);
  });

  test.each(['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2'] as const)(
    'gets %s when we do',
    async (name) => {
      const child = attach(['/bin/hears']);
      const isHeard = heard(child);
      const ended = outcome(child);
      await isHeard('ready');
      child.kill(name);
      await isHeard(`signal ${signals[name]}\n`);
      child.stdin?.end();
      expect((await ended).status).toBe(0);
    },
  );

  test('is not sent what we were started to ignore', async () => {
    const line = commandOf(['/bin/hears']).join(' ');
    const child = spawn('sh', ['-c', `trap '' HUP; exec ${line}`]);
    const isHeard = heard(child);
    const ended = outcome(child);
    await isHeard('ready');
    child.kill('SIGHUP');
    child.kill('SIGUSR1');
    await isHeard(`signal ${signals.SIGUSR1}\n`);
    child.stdin?.end();
    expect((await ended).stdout).not.toContain(`signal ${signals.SIGHUP}\n`);
  });

  test('is hung up when we die', async () => {
    const child = attach(['/bin/hears']);
    const isHeard = heard(child);
    await isHeard('ready');
    child.kill('SIGKILL');
    // It hears SIGHUP, and reads the end of its input.
    await until('it is gone', () => w.membership.payloadPids(jail.plan.name).length === 0);
  });

  test('that cannot begin, as the payload is frozen, lets itself be given up', async () => {
    w.membership.setFrozen(jail.plan.name, true);
    const child = attach(['/bin/forever']);
    await until('it waits', () => w.membership.payloadPids(jail.plan.name).length === 1);
    expect((await jail.init.hello()).state).toBe('running');
    child.kill('SIGINT');
    expect((await outcome(child)).status).toBe(128 + signals.SIGINT);
    w.membership.setFrozen(jail.plan.name, false);
    await until('it is gone', () => w.membership.payloadPids(jail.plan.name).length === 0);
  });
});

describe('a terminal', () => {
  /** Runs a shell line on a terminal of its own, whose keys are what is written to stdin. */
  function terminal(line: string): ChildProcess {
    return spawn('script', ['-qefc', line, '/dev/null'], {
      env: { ...process.env, SHELL: '/bin/sh' },
    });
  }
  const hears = () => commandOf(['/bin/hears'], { with: ['--tty'] }).join(' ');

  test('is given to the command, with our size, and follows ours', async () => {
    const child = terminal(`stty cols 100 rows 30; exec ${hears()}`);
    const isHeard = heard(child);
    await isHeard(/terminals 111\r\nsize 100 30\r\nready/);
    const [pid] = childrenOf(child.pid ?? 0);
    execFileSync('stty', ['-F', readlinkSync(`/proc/${pid}/fd/0`), 'cols', '77', 'rows', '11']);
    await isHeard(/signal 28\r\nsize 77 11/);
    child.stdin?.write('\u0004');
    expect((await outcome(child)).status).toBe(0);
  });

  test('sends keys, not signals of ours', async () => {
    const child = terminal(`exec ${hears()}`);
    const isHeard = heard(child);
    await isHeard('ready');
    child.stdin?.write('\u0003');
    await isHeard(`signal ${signals.SIGINT}`);
    child.stdin?.write('hi\r');
    await isHeard('line hi');
    child.stdin?.write('\u0004');
    expect((await outcome(child)).status).toBe(0);
  });

  test('is left as it was found', async () => {
    const child = terminal(`stty -g; ${hears()}; echo status $?; stty -g`);
    const isHeard = heard(child);
    await isHeard('ready');
    const ended = outcome(child);
    child.stdin?.write('\u0004');
    await isHeard('status 0');
    const { stdout } = await ended;
    const after = stdout.trim().split('\r\n').at(-1);
    expect(after).toMatch(/^[0-9a-f:]+$/);
    const fresh = spawn('script', ['-qefc', 'stty -g', '/dev/null']);
    expect(after).toBe((await outcome(fresh)).stdout.trim());
  });

  test('can be asked for without having one: the end of input is the end for the command', async () => {
    const child = attach(['/bin/hears'], { with: ['--tty'] });
    const isHeard = heard(child);
    const ended = outcome(child);
    // Before that, the terminal's echo could come between the command's own words.
    await isHeard('ready');
    child.stdin?.end('one\ntwo');
    const { status, stdout } = await ended;
    expect(status).toBe(0);
    expect(stdout).toMatch(/size 80 24\r\nready\r\n.*line one\r\n.*two.*end\r\n$/s);
  });

  test('hangs up with us: what runs on it gets SIGHUP', async () => {
    const child = terminal(`exec ${hears()}`);
    const isHeard = heard(child);
    await isHeard('ready');
    const [pid] = childrenOf(child.pid ?? 0);
    process.kill(Number(pid), 'SIGKILL');
    await until('it is gone', () => w.membership.payloadPids(jail.plan.name).length === 0);
  });
});

describe('many sessions', () => {
  test('are bounded by the terminals of a vassal: the 65th is told so, and there is room again', async () => {
    const all = Array.from({ length: 64 }, () => attach(['/bin/hears'], { with: ['--tty'] }));
    const ends = all.map((child) => outcome(child));
    await Promise.all(all.map((child) => heard(child)('ready')));
    const { status, stderr } = await run(['/bin/hears'], { with: ['--tty'] });
    expect([status, stderr]).toEqual([
      ...[125, expect.stringMatching(/all terminals of this vassal are in use; close a session/)],
    ]);
    // What needs no terminal has room.
    expect((await run(['/bin/ends', 'exit', '4'])).status).toBe(4);
    for (const child of all) child.stdin?.end();
    expect((await Promise.all(ends)).map((end) => end.status)).toEqual(Array(64).fill(0));
    expect((await run(['/bin/hears'], { with: ['--tty'] })).status).toBe(0);
    expect(await jail.init.list()).toEqual([]);
  });

  test('200 over ten vassals come and go, and nothing is left', async () => {
    const jails = [jail];
    while (jails.length < 10) jails.push(await vassal());
    const sessions = jails.flatMap(({ plan }) => Array<string>(20).fill(socketOf(w, plan.name)));
    const open = async (socket: string) => {
      const child = attach(['/bin/hears'], { with: ['--tty', '--kind', 'session'], socket });
      const end = outcome(child);
      await heard(child)('ready');
      return { child, end };
    };
    const opened = await Promise.all(sessions.map(open));
    for (const { init } of jails) expect(await init.list()).toHaveLength(20);
    for (const { child } of opened) child.stdin?.end();
    for (const { end } of opened) expect((await end).status).toBe(0);
    for (const { init, plan } of jails) {
      expect(await init.list()).toEqual([]);
      expect(w.membership.payloadPids(plan.name)).toEqual([]);
    }
  });
});
