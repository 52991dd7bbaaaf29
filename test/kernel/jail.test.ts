/** The C program against the real kernel: gate, processes, exit statuses, log, stop; nothing stays. */
import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { InitClient } from '../../src/jail/init-client.ts';
import { launchToGate, logLines, socketOf, type TestJail } from '../support/jail.ts';
import { useJails } from '../support/jails.ts';
import { childrenOf, switchesOf } from '../support/proc.ts';
import { patienceMs } from '../support/slowness.ts';
import { until } from '../support/wait.ts';
import type { World } from '../support/world.ts';

const { signals } = constants;
/** Signals whose default action does not end a process. */
const HARMLESS = [signals.SIGCHLD, signals.SIGCONT, signals.SIGURG, signals.SIGWINCH];
const STOPPING = [signals.SIGSTOP, signals.SIGTSTP, signals.SIGTTIN, signals.SIGTTOU];
/** The C library keeps 32 and 33 for itself. */
const DEADLY = Array.from({ length: 64 }, (_, index) => index + 1).filter(
  (signo) => ![...HARMLESS, ...STOPPING, 32, 33].includes(signo),
);

let w: World;
const { freshName, vassal, gate, own } = useJails('v', (given) => {
  w = given;
});

const linesOf = (jail: TestJail) => logLines(w.logOf(jail.plan.name));

describe('the gate', () => {
  test('shows who waits there, and nothing runs yet', async () => {
    const jail = await gate();
    const welcome = await jail.init.hello();
    expect(welcome).toMatchObject({
      version: 1,
      name: jail.plan.name,
      generation: 1,
      hash: 'test',
      startTime: jail.startTime,
      state: 'gate',
    });
    expect(w.membership.payloadPids(jail.plan.name)).toEqual([]);
    await expect(jail.start(['/bin/forever'])).rejects.toMatchObject({ code: 'start-failed' });
    await jail.init.go(jail.plan);
  });

  test('lets init end by itself when who greeted it hangs up', async () => {
    const jail = await gate();
    await jail.init.hello();
    jail.init.close();
    expect(await jail.ended).toMatchObject({ status: 0, name: jail.plan.name });
  });

  test('lets init end by itself when nobody says go in time', async () => {
    const plan = w.plan(freshName());
    const steps = plan.steps.map((step) =>
      step.op === 'gate' ? { ...step, timeoutMs: 200 } : step,
    );
    const jail = own(await launchToGate(w, { ...plan, steps }));
    expect(await jail.ended).toMatchObject({ status: 0 });
  });

  test('is passed once; afterwards init reports that it runs', async () => {
    const jail = await vassal();
    expect((await jail.init.hello()).state).toBe('running');
    await jail.init.meta({ generation: 7, hash: 'other' });
    expect(await jail.init.hello()).toMatchObject({ generation: 7, hash: 'other' });
    await expect(jail.init.go()).rejects.toMatchObject({ code: 'jail-failed' });
  });
});

describe('a process inside', () => {
  test('lives in namespaces of its own', async () => {
    const jail = await vassal();
    const seen = await jail.look();
    for (const kind of ['ipc', 'mnt', 'net', 'pid', 'uts']) {
      const [inside] = seen.get(`ns ${kind}`) ?? [];
      expect(inside).toMatch(new RegExp(`^${kind}:\\[\\d+\\]$`));
      expect(inside).not.toBe(readlinkSync(`/proc/self/ns/${kind}`));
      expect(inside).toBe(readlinkSync(`/proc/${jail.pid}/ns/${kind}`));
    }
    expect(seen.get('hostname')).toEqual([jail.plan.name]);
    expect(seen.get('net')?.filter((line) => /^\s*\w+:/.test(line))).toEqual([
      expect.stringMatching(/^\s*lo:/),
    ]);
  });

  test('M41: has the tenant’s uid and gid, no capability, no new privileges and nothing more', async () => {
    const jail = await vassal();
    const seen = await jail.look();
    const drop = jail.plan.steps.find((step) => step.op === 'drop');
    const status = new Map(
      seen.get('status')?.map((line) => line.split(':\t') as [string, string]),
    );
    expect(seen.get('uid')).toEqual([String(drop?.uid)]);
    expect(seen.get('gid')).toEqual([String(drop?.gid)]);
    expect(seen.get('groups')).toEqual(['0']);
    expect(seen.get('umask')).toEqual(['22']);
    for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb']) {
      expect(status.get(set)).toBe('0000000000000000');
    }
    expect(status.get('NoNewPrivs')).toBe('1');
    expect(status.get('Seccomp')).toBe('2');
    expect(status.get('SigBlk')).toBe('0000000000000000');
    expect(status.get('SigIgn')).toBe('0000000000000000');
    expect(seen.get('fd')?.toSorted()).toEqual(['0', '1', '2']);
  });

  test('gets exactly the environment and directory it is given', async () => {
    const jail = await vassal();
    const home = `/home/${jail.plan.name}`;
    const changes = { env: ['A=1', 'EMPTY=', 'B=x y=z'], cwd: home };
    await jail.run(['/bin/looks'], changes);
    const texts = linesOf(jail).map(({ text }) => text);
    expect(texts.filter((text) => text.startsWith('env '))).toEqual([
      'env A=1',
      'env EMPTY=',
      'env B=x y=z',
    ]);
    expect(texts).toContain(`cwd ${home}`);
  });

  test('can write to its home and temporary directories, and nowhere else', async () => {
    const jail = await vassal();
    const name = jail.plan.name;
    const writable = [`/home/${name}`, '/tmp', '/var/tmp', '/run', '/dev/shm'];
    const readOnly = ['/', '/bin', '/etc', '/home', '/opt', '/var/log', '/var/log/vassal'];
    const forbidden = ['/dev', '/dev/.emperor', '/dev/pts', '/proc', '/proc/sys'];
    const seen = await jail.look(...writable, ...readOnly, ...forbidden);
    for (const path of writable) expect([path, seen.get(`write ${path}`)]).toEqual([path, ['ok']]);
    for (const path of [...readOnly, ...forbidden]) {
      expect([path, seen.get(`write ${path}`)?.[0]]).toEqual([
        path,
        expect.stringMatching(/^errno/),
      ]);
    }
  });

  test('sees the distro as its root, and no mount of the host', async () => {
    const jail = await vassal();
    const seen = await jail.look();
    expect(seen.get('root')?.toSorted()).toEqual(readdirSync(w.tinyDistro()).toSorted());
    const points = seen.get('mount')?.map((line) => line.split(' ')[4] ?? '') ?? [];
    for (const point of points) {
      expect(point).toMatch(/^\/($|proc|dev|tmp|var\/tmp|run|home|etc\/|var\/log)/);
    }
    expect(seen.get('mount')?.[0]).toMatch(/^\S+ \S+ \S+ \S+ \/ ro,nosuid,nodev/);
    expect(seen.get('dev')?.toSorted()).toEqual(
      [
        ...['fd', 'full', 'mqueue', 'null', 'ptmx', 'pts', 'random', 'shm'],
        ...['stderr', 'stdin', 'stdout', 'tty', 'urandom', 'zero'],
      ].toSorted(),
    );
  });

  test('leads a session of its own and is in the payload cgroup', async () => {
    const jail = await vassal();
    const { pid } = await jail.start(['/bin/forever']);
    const [host = 0] = await until('it is in the payload', () => {
      const pids = w.membership.payloadPids(jail.plan.name);
      return pids.length === 1 && pids;
    });
    expect(nsPid(host)).toBe(pid);
    const [, , , , group, session] = statFields(host);
    expect([group, session]).toEqual([String(host), String(host)]);
  });

  test('is in it from its first instruction, as init is in its own, and a hook is in no other', async () => {
    const jail = await gate({ hooks: ['cat /proc/self/cgroup'] });
    const where = (pid: number | 'self') => readFileSync(`/proc/${pid}/cgroup`, 'utf8');
    const leaf = (name: string) => new RegExp(`/${jail.plan.name}/${name}$`, 'm');
    expect(where(jail.pid)).toMatch(leaf('init'));
    expect(
      linesOf(jail)
        .map(({ text }) => text)
        .join('\n'),
    ).toMatch(new RegExp(`/${jail.plan.name}/`));
    await jail.init.hello({ subscribe: true });
    await jail.init.go(jail.plan);
    for (let i = 0; i < 20; i++) {
      expect((await jail.look()).get('cgroup')?.join('\n')).toMatch(leaf('payload'));
    }
  });

  test('is started once, however often its slot is asked for', async () => {
    const jail = await vassal();
    const first = await jail.start(['/bin/forever'], { slot: 7n });
    const second = await jail.start(['/bin/forever'], { slot: 7n });
    expect(second.pid).toBe(first.pid);
    expect(w.membership.payloadPids(jail.plan.name)).toHaveLength(1);
  });

  test('can be started by name through PATH', async () => {
    const jail = await vassal();
    const exit = await jail.run(['ends', 'exit', '5'], { env: ['PATH=/nowhere:/bin'] });
    expect(exit.status >> 8).toBe(5);
  });

  test.each([
    ['a command that does not exist', { argv: ['/bin/none'] }, constants.errno.ENOENT],
    ['a name that is not in PATH', { argv: ['none'], env: ['PATH=/bin'] }, constants.errno.ENOENT],
    ['a file that is not executable', { argv: ['/etc/hosts'] }, constants.errno.EACCES],
    ['a directory that does not exist', { cwd: '/nowhere' }, constants.errno.ENOENT],
  ])('cannot be %s', async (_, changes, errno) => {
    const jail = await vassal();
    const start = jail.start(['/bin/forever'], changes);
    await expect(start).rejects.toMatchObject({ code: 'start-failed', errno });
    await until('it is gone', () => w.membership.payloadPids(jail.plan.name).length === 0);
    // The slot is free again.
    expect((await jail.run(['/bin/ends', 'exit', '0'], { slot: 99n })).status).toBe(0);
  });

  test('is listed until its exit is acknowledged', async () => {
    const jail = await vassal();
    const forever = await jail.start(['/bin/forever'], { label: 'web' });
    const ended = await jail.start(['/bin/ends', 'exit', '3']);
    await ended.exit;
    const before = await jail.init.list();
    expect(before).toHaveLength(2);
    expect(before.find(({ slot }) => slot === forever.slot)).toMatchObject({
      state: 'running',
      label: 'web',
      kind: 'command',
      pid: forever.pid,
      exit: null,
    });
    expect(before.find(({ slot }) => slot === ended.slot)).toMatchObject({
      state: 'ended',
      exit: { status: 0x300 },
    });
    await jail.init.ack(ended.slot);
    expect((await jail.init.list()).map(({ slot }) => slot)).toEqual([forever.slot]);
  });
});

describe('an exit status', () => {
  test('is exact for every code', async () => {
    const jail = await vassal();
    for (const code of [0, 1, 2, 42, 126, 127, 128, 137, 254, 255]) {
      const exit = await jail.run(['/bin/ends', 'exit', String(code)]);
      expect([code, exit.status]).toEqual([code, code << 8]);
    }
  });

  test('is exact for every signal', async () => {
    const jail = await vassal();
    for (const signo of DEADLY) {
      const exit = await jail.run(['/bin/ends', 'signal', String(signo)]);
      expect([signo, exit.status & 0x7f]).toEqual([signo, signo]);
    }
  });

  test('is exact for every signal that is sent through init', async () => {
    const jail = await vassal();
    for (const signo of DEADLY) {
      const started = await jail.start(['/bin/forever']);
      await jail.init.signal(started.slot, signo);
      const exit = await started.exit;
      expect([signo, exit.status & 0x7f]).toEqual([signo, signo]);
      await jail.init.ack(started.slot);
    }
  });

  test('comes with times, memory and the moment', async () => {
    const jail = await vassal();
    const before = Date.now();
    const exit = await jail.run(['/bin/eats-memory', '32']);
    expect(exit.endedAtMs).toBeGreaterThanOrEqual(before - 1);
    expect(exit.endedAtMs).toBeLessThanOrEqual(Date.now() + 1);
    expect(exit.maxRssKb).toBeGreaterThan(30 * 1024);
    expect(exit.maxRssKb).toBeLessThan(40 * 1024);
    expect(exit.userTimeUs + exit.systemTimeUs).toBeGreaterThan(0);
    expect((exit.userTimeUs + exit.systemTimeUs) / 1000).toBeLessThan(patienceMs(1000));
  });

  test('is told to a client that comes later', async () => {
    const jail = await vassal();
    jail.init.close();
    const later = await InitClient.connect(socketOf(w, jail.plan.name));
    const exit = new Promise((resolve) => later.onExit(resolve));
    await later.hello({ subscribe: true });
    const request = { slot: 1n, kind: 'command', label: 'c', argv: ['/bin/ends', 'exit', '9'] };
    await later.start({ ...request, env: [], cwd: '/' });
    expect(await exit).toMatchObject({ status: 9 << 8 });
    await later.stop({ graceMs: 0 });
    await jail.ended;
    later.close();
  });
});

describe('the log', () => {
  test('has time, stream, flag, label and text of every line', async () => {
    const jail = await vassal();
    const before = new Date().toISOString();
    await jail.run(['/bin/says', 'first', '-e', 'second', '-o', 'third  with  spaces'], {
      label: 'web',
    });
    const lines = linesOf(jail).filter(({ label }) => label === 'web');
    expect(lines.map(({ stream, flag, text }) => [stream, flag, text]).toSorted()).toEqual(
      [
        ['stderr', 'F', 'second'],
        ['stdout', 'F', 'first'],
        ['stdout', 'F', 'third  with  spaces'],
      ].toSorted(),
    );
    for (const { time } of lines) expect(time >= before.slice(0, 19)).toBe(true);
  });

  test('cuts a line that is too long into parts, and loses no byte', async () => {
    const jail = await vassal();
    await jail.run(['/bin/says', '-b', '20000', '-n', 'end'], { label: 'web' });
    const lines = linesOf(jail).filter(({ label }) => label === 'web');
    expect(lines.length).toBeGreaterThan(2);
    expect(lines.slice(0, -1).every(({ flag }) => flag === 'P')).toBe(true);
    expect(lines.map(({ text }) => text).join('')).toBe(`${'x'.repeat(20_000)}end`);
  });

  test('belongs to the tenant and rotates, keeping as many files as asked for', async () => {
    const jail = await vassal({ logMaxBytes: 4096, logFiles: 3 });
    for (let i = 0; i < 40; i++) await jail.run(['/bin/says', `line ${i} ${'y'.repeat(500)}`]);
    const directory = join(w.paths.log, jail.plan.name);
    expect(readdirSync(directory).toSorted()).toEqual(['current', 'current.1', 'current.2']);
    for (const file of readdirSync(directory)) {
      expect(statSync(join(directory, file)).size).toBeLessThan(4096 + 1024);
    }
    const kept = linesOf(jail).map(({ text }) => text.split(' ')[1]);
    expect(kept.at(-1)).toBe('39');
    const first = Number(kept[0]);
    expect(kept).toEqual(kept.map((_, index) => String(first + index)));
  });

  test('can be read inside and not changed', async () => {
    const jail = await vassal();
    await jail.run(['/bin/says', 'hello']);
    const seen = await jail.look('/var/log/vassal');
    expect(seen.get('write /var/log/vassal')?.[0]).toMatch(/^errno/);
  });
});

describe('stop', () => {
  test('gives processes time to end by themselves', async () => {
    const jail = await vassal();
    const started = await jail.start(['/bin/forever']);
    await jail.init.stop({ graceMs: 10_000 });
    expect((await started.exit).status).toBe(signals.SIGTERM);
    expect(await jail.ended).toMatchObject({ status: 0 });
  });

  test('sends the signal that is asked for', async () => {
    const jail = await vassal();
    const started = await jail.start(['/bin/forever']);
    await jail.init.stop({ graceMs: 10_000, signal: signals.SIGINT });
    expect((await started.exit).status).toBe(signals.SIGINT);
  });

  test('ends what ignores every signal when its time is over, not earlier', async () => {
    const jail = await vassal();
    await jail.start(['/bin/ignores-sigterm']);
    await until('it ignores signals', () => w.logOf(jail.plan.name).includes('running'));
    const before = performance.now();
    await jail.init.stop({ graceMs: 300 });
    expect((await jail.init.hello().catch(() => null))?.state ?? 'stopping').toBe('stopping');
    await jail.ended;
    const ms = performance.now() - before;
    expect(ms).toBeGreaterThan(290);
    expect(ms).toBeLessThan(patienceMs(2000));
  });

  test('can be hurried', async () => {
    const jail = await vassal();
    await jail.start(['/bin/ignores-sigterm']);
    await until('it ignores signals', () => w.logOf(jail.plan.name).includes('running'));
    await jail.init.stop({ graceMs: 60_000 });
    await jail.init.stop({ graceMs: 0 });
    await jail.ended;
  });

  test('reaches stopped processes and daemons that left their session', async () => {
    const jail = await vassal();
    const stopped = await jail.start(['/bin/forever']);
    await jail.init.signal(stopped.slot, signals.SIGSTOP);
    await jail.run(['/bin/forks-twice']);
    await until('the daemon runs', () => w.logOf(jail.plan.name).includes('daemon'));
    await jail.init.stop({ graceMs: 200 });
    await jail.ended;
    expect(w.membership.isPopulated(jail.plan.name)).toBe(false);
  });
});

describe('PID 1', () => {
  test('partly M39: reaps 5,000 orphans within a second', async () => {
    const jail = await vassal();
    await jail.start(['/bin/orphans', '5000']);
    await until('they are orphans', () => w.logOf(jail.plan.name).includes('orphaned'), 30_000);
    const before = performance.now();
    await until('they are gone', () => childrenOf(jail.pid).length === 1, 5000);
    expect(performance.now() - before).toBeLessThan(patienceMs(1000));
  });

  test('takes no harm from what its own uid can do to it', async () => {
    const jail = await vassal();
    const limits = readFileSync(`/proc/${jail.pid}/limits`, 'utf8');
    const priorities = statFields(jail.pid).slice(17, 19);
    await jail.run(['/bin/attacks-init'], { label: 'attack' });
    expect(readFileSync(`/proc/${jail.pid}/limits`, 'utf8')).toBe(limits);
    expect(statFields(jail.pid).slice(17, 19)).toEqual(priorities);
    const results = linesOf(jail).filter(({ label }) => label === 'attack');
    expect(results.at(-1)?.text).toBe('end');
    for (const { text } of results.slice(0, -1)) expect(text).toMatch(/^\S+ \d+$/);
    expect((await jail.init.hello()).state).toBe('running');
    expect((await jail.run(['/bin/ends', 'exit', '4'])).status).toBe(4 << 8);
  });

  test('ends with all of its processes when the host kills it', async () => {
    const jail = await vassal();
    await jail.start(['/bin/ignores-sigterm']);
    const closed = new Promise<void>((resolve) => jail.init.onClose(resolve));
    process.kill(jail.pid, 'SIGKILL');
    expect(await jail.ended).toMatchObject({ status: signals.SIGKILL, startTime: jail.startTime });
    await closed;
    expect(w.membership.isPopulated(jail.plan.name)).toBe(false);
  });

  test('sleeps while nothing happens', async () => {
    const jail = await vassal();
    await jail.start(['/bin/forever']);
    await until('it runs', () => w.logOf(jail.plan.name).includes('running'));
    await until('it waits', () => /^\d+ /.test(readFileSync(`/proc/${jail.pid}/syscall`, 'utf8')));
    const before = switchesOf(jail.pid);
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(switchesOf(jail.pid) - before).toBe(0);
  });
});

describe('hooks', () => {
  test('partly M40: run as root with the host’s tools, in order, inside the namespaces', async () => {
    const jail = await vassal({
      hooks: [
        'echo first; id -u; hostname',
        'readlink /proc/self/ns/net',
        'readlink /proc/self/ns/mnt >&2',
      ],
    });
    const lines = linesOf(jail).filter(({ label }) => label === 'hook');
    const out = lines.filter(({ stream }) => stream === 'stdout').map(({ text }) => text);
    expect(out).toEqual(['first', '0', jail.plan.name, readlinkSync(`/proc/${jail.pid}/ns/net`)]);
    const err = lines.filter(({ stream }) => stream === 'stderr').map(({ text }) => text);
    expect(err).toEqual([readlinkSync(`/proc/${jail.pid}/ns/mnt`)]);
  });

  test('partly M40: leave no process behind', async () => {
    const jail = await vassal({ hooks: ['sleep 1000 & setsid sleep 1000 & exit 0'] });
    expect(childrenOf(jail.pid)).toEqual([]);
    expect(w.membership.payloadPids(jail.plan.name)).toEqual([]);
  });
});

describe('namespaces that are left out', () => {
  test('are shared with the host; without pid the cgroup is what ends', async () => {
    const jail = await vassal({ namespaces: ['fs', 'ipc', 'uts', 'net'] });
    const started = await jail.start(['/bin/ignores-sigterm']);
    expect(readlinkSync(`/proc/${jail.pid}/ns/pid`)).toBe(readlinkSync('/proc/self/ns/pid'));
    expect(w.membership.payloadPids(jail.plan.name)).toEqual([started.pid]);
  });

  test('without pid the processes of others are hidden all the same', async () => {
    const jail = await vassal({ namespaces: ['fs', 'ipc', 'uts', 'net'] });
    await jail.run(['/bin/looks', '/tmp']);
    const seen = linesOf(jail).map(({ text }) => text);
    expect(seen).toContain('end');
    // Positive control: it is the host's numbering, in which PID 1 is not its init.
    expect(seen.find((line) => line.startsWith('pid '))).not.toBe('pid 2');
    expect(seen).toContain('init errno 2');
  });

  test('without fs a process sees the host’s files', async () => {
    const jail = await vassal({ namespaces: ['ipc', 'uts', 'net', 'pid'] });
    await jail.run(['stat', '--format=root %d:%i', '/'], { env: ['PATH=/usr/bin:/bin'] });
    const { dev, ino } = statSync('/');
    expect(linesOf(jail).map(({ text }) => text)).toContain(`root ${dev}:${ino}`);
  });
});

function statFields(pid: number): readonly string[] {
  const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  return ['', ...text.slice(text.lastIndexOf(')') + 2).split(' ')].flatMap((field, index) =>
    index === 0 ? [String(pid), 'name'] : [field],
  );
}

function nsPid(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/^NSpid:.*\t(\d+)$/m.exec(status)?.[1]);
}
