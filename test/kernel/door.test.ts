/** The door: a customer's way in by ssh, as the one user of the host that it admits, and everybody else. */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  closeSync,
  copyFileSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
} from 'node:fs';
import { constants } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { type Door, setDoor } from '../../src/jail/door.ts';
import { TAG, VERB } from '../../src/jail/wire.ts';
import { Poller } from '../../src/linux/poller.ts';
import { listenUnix } from '../../src/linux/unix-socket.ts';
import { BOOKWORM } from '../support/emperor.ts';
import { socketOf, type TestJail } from '../support/jail.ts';
import { useJails } from '../support/jails.ts';
import { childrenOf, commandOf } from '../support/proc.ts';
import { patienceMs } from '../support/slowness.ts';
import { until } from '../support/wait.ts';
import type { World } from '../support/world.ts';

const KNOCKS = readFileSync(resolve(import.meta.dirname, '../fixtures/knocks.py'), 'utf8');
const CUSTOMER = 812_345;
const SOMEBODY = 812_346;
const { EPERM, EALREADY, ESRCH, EINVAL } = constants.errno;

let w: World;
let poller: Poller;
let program: string;
let jail: TestJail;
let doors = 0;

const { vassal } = useJails('d', (given) => {
  w = given;
});
beforeAll(async () => {
  program = join(w.directory, 'emperor-login');
  copyFileSync((await w.launcher()).program, program);
  chmodSync(program, 0o755);
  // mkdtemp keeps everybody out.
  chmodSync(w.directory, 0o711);
  mkdirSync(join(w.directory, 'doors'), { mode: 0o711 });
  w.settle();
});

beforeEach(async () => {
  poller = Poller.start();
  jail = await vassal({ distro: join(BOOKWORM, 'bookworm'), shell: '/bin/bash' });
});
afterEach(() => poller.close());

const patience = () => ({ poller, clock: systemClock, deadlineMs: 5000 });
const initSocket = () => socketOf(w, jail.plan.name);

/** Has the vassal open a door as the emperor does; returns its path. */
async function open(changes: Partial<Door> = {}, mode = 0o600): Promise<string> {
  const path = join(w.directory, 'doors', `${++doors}.sock`);
  const home = `/home/${jail.plan.name}`;
  const env = ['PATH=/usr/bin:/bin', `HOME=${home}`, 'FROM=the emperor'];
  const door = { uid: CUSTOMER, cwd: home, env, shell: '/bin/bash', ...changes };
  const fd = listenUnix(path, { mode, passesCredentials: false });
  chownSync(path, door.uid, 0);
  try {
    await setDoor(initSocket(), { door, fd }, patience());
  } finally {
    closeSync(fd);
  }
  return path;
}

function as(uid: number, ...command: readonly string[]): readonly string[] {
  return ['setpriv', `--reuid=${uid}`, `--regid=${uid}`, '--clear-groups', ...command];
}

/** What sshd starts for a customer, with what it tells in the environment. */
function loginLine(door: string, uid = CUSTOMER): readonly string[] {
  return as(uid, program, '-c', `door ${door}`);
}

function login(door: string, command: string | null, env: NodeJS.ProcessEnv = {}): ChildProcess {
  const [file = '', ...args] = loginLine(door);
  const asked = command === null ? {} : { SSH_ORIGINAL_COMMAND: command };
  return spawn(file, args, { env: { PATH: process.env.PATH, ...asked, ...env } });
}

/** The same on a terminal, which `setting` sets up; its keys are what is written to stdin. */
function onTerminal(door: string, setting = 'true'): ChildProcess {
  const line = loginLine(door)
    .map((word) => `'${word}'`)
    .join(' ');
  return spawn('script', ['-qefc', `${setting}; exec ${line}`, '/dev/null'], {
    env: { ...process.env, SHELL: '/bin/sh', TERM: 'vt100' },
  });
}

interface Outcome {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function run(
  door: string,
  command: string | null,
  options: {
    readonly input?: string | Buffer;
    readonly env?: NodeJS.ProcessEnv;
    uid?: number;
  } = {},
): Outcome {
  const [file = '', ...args] = loginLine(door, options.uid);
  const asked = command === null ? {} : { SSH_ORIGINAL_COMMAND: command };
  const env = { PATH: process.env.PATH, ...asked, ...options.env };
  const input = options.input ?? '';
  const { status, stdout, stderr } = spawnSync(file, args, {
    ...{ input, env, encoding: 'utf8', timeout: patienceMs(20_000) },
  });
  return { status, stdout, stderr };
}

function knock(door: string, ...frames: readonly string[]): string {
  const [file = '', ...args] = as(CUSTOMER, '/usr/bin/python3', '-c', KNOCKS, door, ...frames);
  const { stdout, stderr } = spawnSync(file, args, { encoding: 'utf8' });
  return `${stdout}${stderr}`.trim();
}

function heard(child: ChildProcess): (text: string | RegExp) => Promise<void> {
  let all = '';
  child.stdout?.on('data', (chunk: Buffer) => {
    all += chunk.toString();
  });
  child.stderr?.on('data', (chunk: Buffer) => {
    all += chunk.toString();
  });
  const isHeard = (text: string | RegExp) =>
    typeof text === 'string' ? all.includes(text) : text.test(all);
  return async (text) => {
    try {
      await until(`${text} is heard`, () => isHeard(text));
    } catch (cause) {
      throw new Error(`${text} was not heard in ${JSON.stringify(all)}`, { cause });
    }
  };
}

const ended = (child: ChildProcess) =>
  new Promise<number | null>((done) => child.once('close', (code) => done(code)));
const nobodyIsLeft = () =>
  until('nobody is left', () => w.membership.payloadPids(jail.plan.name).length === 0);

describe('a login', () => {
  test('runs one command: output and errors apart, its status, its input', async () => {
    const door = await open();
    expect(run(door, 'echo out; echo err >&2; exit 42')).toEqual({
      ...{ status: 42, stdout: 'out\n', stderr: 'err\n' },
    });
    expect(run(door, 'kill -KILL $$').status).toBe(128 + constants.signals.SIGKILL);
    expect(run(door, 'wc -c', { input: 'x'.repeat(300_000) }).stdout.trim()).toBe('300000');
    expect(run(door, 'none').status).toBe(127);
  });

  test('is 8-bit clean both ways', async () => {
    const bytes = randomBytes(5 << 20);
    const child = login(await open(), 'tee >(sha256sum >&2) | cat');
    const came = createHash('sha256');
    let errors = '';
    child.stdout?.on('data', (chunk: Buffer) => void came.update(chunk));
    child.stderr?.on('data', (chunk: Buffer) => {
      errors += chunk.toString();
    });
    child.stdin?.end(bytes);
    expect(await ended(child)).toBe(0);
    const sum = createHash('sha256').update(bytes).digest('hex');
    expect([came.digest('hex'), errors.slice(0, 64)]).toEqual([sum, sum]);
  });

  test('is a login shell at home as the tenant, with the environment of the vassal', async () => {
    const script = 'shopt -q login_shell && echo login; id -u; pwd; echo $FROM; env';
    const env = { SECRET: 'of the host', SSH_CONNECTION: '1 2 3 4', TERM: 'xterm' };
    const { stdout } = run(await open(), null, { input: script, env });
    const lines = stdout.split('\n');
    const uid = jail.plan.steps.flatMap((step) => (step.op === 'drop' ? [step.uid] : []))[0];
    expect(lines.slice(0, 4)).toEqual([
      ...['login', String(uid), `/home/${jail.plan.name}`, 'the emperor'],
    ]);
    expect(lines).toContain('SSH_CONNECTION=1 2 3 4');
    expect(stdout).not.toContain('of the host');
  });

  test('begins elsewhere when there is no home to begin in', async () => {
    expect(run(await open({ cwd: '/no' }), 'pwd').stdout).toBe('/\n');
  });

  test('has a terminal of the vassal if it came with one, set and sized as that', async () => {
    const child = onTerminal(await open(), 'stty cols 100 rows 30 erase ^H -ixon');
    const isHeard = heard(child);
    child.stdin?.write('PS1=; stty size; stty -a; tty; echo $TERM\r');
    await isHeard(/\r30 100\r\n[\s\S]*erase = \^H[\s\S]* -ixon [\s\S]*\/dev\/pts\/0\r\nvt100\r\n/);
    const [pid] = childrenOf(child.pid ?? 0);
    child.stdin?.write('trap "stty size" WINCH; echo set; \r');
    await isHeard(/\rset\r\n/);
    execFileSync('stty', ['-F', readlinkSync(`/proc/${pid}/fd/0`), 'cols', '77', 'rows', '11']);
    await isHeard(/\r?11 77\r\n/);
    child.stdin?.write('exit 5\r');
    expect(await ended(child)).toBe(5);
  });

  test.each(['internal-sftp', '/usr/lib/openssh/sftp-server -l INFO'])(
    'for %s starts the sftp-server of the vassal, and says so where there is none',
    async (command) => {
      const script = '#!/bin/sh\necho "I am it: $#"\n';
      const bare = await open({ env: ['PATH=/usr/bin:/bin'] });
      const has = 'test -x /usr/lib/openssh/sftp-server';
      if (run(bare, has).status !== 0) {
        expect(run(bare, command)).toMatchObject({
          ...{ status: 127, stdout: '', stderr: expect.stringContaining('no sftp-server') },
        });
        await open({ env: ['PATH=/tmp:/usr/bin:/bin'] }).then((path) => {
          run(path, 'cat > /tmp/sftp-server; chmod +x /tmp/sftp-server', { input: script });
          expect(run(path, command).stdout).toBe('I am it: 0\n');
        });
      } else {
        // A client that says nothing: the server ends in order.
        expect(run(bare, command)).toEqual({ status: 0, stdout: '', stderr: '' });
      }
    },
  );

  test('ends with 125 and a word where the system does not run', async () => {
    const { status, stderr } = run(join(w.directory, 'doors/none.sock'), 'true');
    expect([status, stderr]).toEqual([125, expect.stringMatching(/this system is not running/)]);
  });

  test('goes nowhere unless sshd_config says where', () => {
    for (const args of [[], ['-c', '/bin/sh'], ['-c', 'door'], ['-c', 'door /x', 'more']]) {
      const [file = '', ...line] = as(CUSTOMER, program, ...args);
      const { status, stderr } = spawnSync(file, line, { encoding: 'utf8' });
      expect([status, stderr]).toEqual([125, expect.stringContaining('ForceCommand')]);
    }
  });
});

describe('whoever goes while a session runs', () => {
  const IGNORES = "trap '' HUP; echo set; while :; do sleep 1; done";

  test('ends it within a grace, with or without a terminal, with all that it started; other sessions stay', async () => {
    const door = await open();
    const child = login(door, `sleep 1000 & setsid sleep 2000 & bash -c "${IGNORES}"`);
    const typist = onTerminal(door);
    typist.stdin?.write(`${IGNORES}\r`);
    await Promise.all([heard(child)('set'), heard(typist)(/\rset\r\n/)]);
    const others = () => w.membership.payloadPids(jail.plan.name).map(commandOf);
    // They are what they are to be, and so in the session that they are to be in.
    await until('both sleep', () =>
      ['sleep 1000', 'sleep 2000'].every((command) => others().includes(command)),
    );
    const since = performance.now();
    child.kill('SIGKILL');
    // Its terminal goes, as when sshd loses its client.
    typist.kill('SIGKILL');
    await until('only the other session is there', () => others().join() === 'sleep 2000');
    expect(performance.now() - since).toBeGreaterThan(2000);
  });

  test('is noticed without a terminal when nobody reads any more', async () => {
    const child = login(await open(), 'echo set; sleep 1000');
    await heard(child)('set');
    child.stdout?.destroy();
    child.stderr?.destroy();
    expect(await ended(child)).toBe(128 + constants.signals.SIGHUP);
    await nobodyIsLeft();
  });
});

describe('nobody else comes in', () => {
  test('another user: by the rights of the socket, and by init where those are lost', async () => {
    const door = await open();
    expect(run(door, 'true', { uid: SOMEBODY })).toMatchObject({
      ...{ status: 125, stderr: expect.stringContaining('Permission denied') },
    });
    chmodSync(door, 0o666);
    expect(run(door, 'true', { uid: SOMEBODY })).toMatchObject({
      ...{ status: 125, stderr: expect.stringContaining("another account's") },
    });
    expect(run(door, 'echo yes').stdout).toBe('yes\n');
  });

  test('root: neither by its program nor by hand', async () => {
    const door = await open();
    const { status, stderr } = spawnSync(program, ['-c', `door ${door}`], { encoding: 'utf8' });
    expect([status, stderr]).toEqual([125, expect.stringContaining('root stays on the host')]);
    const knocked = spawnSync('/usr/bin/python3', ['-c', KNOCKS, door, `${VERB.START}`], {
      encoding: 'utf8',
    });
    expect(knocked.stderr).toContain('hung up');
  });

  test('nor is there a door for root', async () => {
    await expect(open({ uid: 0 })).rejects.toThrow(/EINVAL/);
  });

  test('whoever is in can have a session of his own and nothing else', async () => {
    const door = await open();
    const { slot } = await jail.start(['/bin/sleep', '1000']);
    const denied = [
      ...[VERB.HELLO, VERB.LIST, VERB.ACK, VERB.GO, VERB.META, VERB.STOP, VERB.FETCH, VERB.DOOR],
      ...[VERB.PUT, VERB.GET, 999],
    ];
    expect(knock(door, ...denied.map((verb) => `${verb}:${TAG.SLOT}=${slot}`))).toBe(
      denied.map((verb) => `${verb} ${VERB.ERROR} ${EPERM}`).join('\n'),
    );
    const signal = `${VERB.SIGNAL}:${TAG.SLOT}=${slot}:${TAG.SIGNAL}=9`;
    const start = `${VERB.START}:${TAG.SLOT}=${slot}:${TAG.KIND}=command:${TAG.ARG}=sleep 1000`;
    expect(
      knock(door, signal, start, start, `${VERB.SIGNAL}:${TAG.SIGNAL}=99`).split('\n'),
    ).toEqual([
      `${VERB.SIGNAL} ${VERB.ERROR} ${ESRCH}`,
      `${VERB.START} ${VERB.STARTED}`,
      `${VERB.START} ${VERB.ERROR} ${EALREADY}`,
      `${VERB.SIGNAL} ${VERB.ERROR} ${EINVAL}`,
    ]);
    // The command lives, and no session took its slot or kind.
    const list = await jail.init.list();
    expect(list.filter(({ kind }) => kind === 'command')).toEqual([
      expect.objectContaining({ slot, state: 'running', argv: ['/bin/sleep', '1000'] }),
    ]);
  });

  test('a crowd at the door keeps neither the emperor nor exec out', async () => {
    const door = await open();
    const script = `import socket,sys
all = []
for _ in range(300):
    s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); all.append(s)
print('all', flush=True)
sys.stdin.read()`;
    const [file = '', ...args] = as(CUSTOMER, '/usr/bin/python3', '-c', script, door);
    const crowd = spawn(file, args);
    await heard(crowd)('all');
    expect(knock(door, `${VERB.LIST}`)).toMatch(/hung up$/);
    const { program: init } = await w.launcher();
    expect(spawnSync(init, ['attach', initSocket(), '/', '--', '/bin/true']).status).toBe(0);
    const left = ended(crowd);
    crowd.stdin?.end();
    await left;
    expect(await until('there is room', () => run(door, 'echo in').stdout)).toBe('in\n');
  });
});

describe('the emperor changes the door', () => {
  test('to another user: who was in is hung up; with the same one sessions go on', async () => {
    const door = await open();
    const child = login(door, "trap 'echo bye; exit 3' HUP; echo set; while :; do sleep 0.1; done");
    const isHeard = heard(child);
    const end = ended(child);
    await isHeard('set');
    const next = await open({ env: ['FROM=a new line'] });
    expect(run(next, 'echo $FROM').stdout).toBe('a new line\n');
    expect(child.exitCode).toBe(null);
    expect(run(door, 'true').status).toBe(125);
    const other = await open({ uid: SOMEBODY });
    await isHeard('bye');
    expect(await end).toBe(125);
    expect(run(next, 'true').status).toBe(125);
    expect(run(other, 'id -u', { uid: SOMEBODY }).status).toBe(0);
    await nobodyIsLeft();
  });

  test('to none', async () => {
    const door = await open();
    expect(run(door, 'true').status).toBe(0);
    await setDoor(initSocket(), null, patience());
    expect(run(door, 'true').status).toBe(125);
  });
});

test('sessions beyond what a vassal takes are refused with a word, and half of the slots stays', async () => {
  const door = await open();
  const script = `import subprocess,sys
all = [subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(128)]
for one in all: one.stdin.write(b'x'); one.stdin.flush()
for one in all: one.stdout.read(1)
print('all', flush=True)
sys.stdin.read()`;
  const [file = '', ...args] = as(
    CUSTOMER,
    '/usr/bin/python3',
    '-c',
    script,
    program,
    '-c',
    `door ${door}`,
  );
  const crowd = spawn(file, args, {
    env: { PATH: process.env.PATH, SSH_ORIGINAL_COMMAND: 'exec cat' },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  await heard(crowd)('all');
  expect(run(door, 'true').status).toBe(125);
  expect((await jail.run(['/bin/true'])).status).toBe(0);
  const left = ended(crowd);
  crowd.stdin?.end();
  await left;
  await until('all have gone', async () => (await jail.init.list()).length === 0);
  expect(run(door, 'true').status).toBe(0);
});
