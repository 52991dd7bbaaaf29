/**
 * What the mounts of a vassal forbid, tried by root in its mount namespace and without the filter, so that nothing but the
 * mount can refuse; and what its processes are limited to. `npm run mutate:hardening` takes each of it away in turn.
 */
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  statfsSync,
  statSync,
} from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { startLauncher } from '../../src/jail/start-launcher.ts';
import { compileFixture } from '../support/compile.ts';
import { launch, type TestJail } from '../support/jail.ts';
import { useJails } from '../support/jails.ts';
import { until } from '../support/wait.ts';
import { type World, world } from '../support/world.ts';

const { EACCES, EROFS } = constants.errno;

let w: World;
const { freshName, own, vassal } = useJails('h', (given) => {
  w = given;
});

/** Puts into `directory` a device, and a program with the bit that makes whoever runs it root. */
function plant(directory: string): void {
  const place = join(directory, 'probe');
  mkdirSync(place);
  execFileSync('mknod', ['-m', '666', join(place, 'device'), 'c', '1', '3']);
  compileFixture('mounted', join(place, 'program'));
  chmodSync(join(place, 'program'), 0o4755);
}

/** What `mounted` finds, WHAT PATH → RESULT, where `enter` leads. */
function tried(enter: readonly string[], paths: readonly string[]): Record<string, string> {
  const [program = '', ...args] = enter;
  const lines = execFileSync(program, [...args, ...paths], { encoding: 'utf8' })
    .trim()
    .split('\n');
  expect(lines.pop()).toBe('end');
  return Object.fromEntries(
    lines.map((line) => [line.replace(/ \S+$/, ''), line.replace(/^.* /, '')]),
  );
}

interface Mount {
  /** Where its files come from: a directory of the host's, or null for what is to be reached in the vassal only. */
  readonly host: string | null;
  readonly path: string;
  readonly flags: readonly ('ro' | 'nodev' | 'noexec')[];
}

const expectedOf = ({ path, flags }: Mount) => {
  const closed = (flag: Mount['flags'][number], otherwise: string) =>
    flags.includes(flag) ? String(EACCES) : otherwise;
  return {
    [`write ${path}`]: flags.includes('ro') ? String(EROFS) : 'ok',
    [`device ${path}`]: closed('nodev', 'ok'),
    [`run ${path}`]: closed('noexec', 'root'),
    [`setuid ${path}`]: closed('noexec', 'nobody'),
  };
};

/** A vassal with a mount of each kind. */
async function furnished(): Promise<{
  readonly jail: TestJail;
  readonly mounts: readonly Mount[];
}> {
  const name = freshName();
  const place = (what: string) => {
    const path = join(w.directory, `${name}-${what}`);
    mkdirSync(path);
    return path;
  };
  const [opt, closed, open, views] = [place('opt'), place('closed'), place('open'), place('views')];
  for (const target of ['srv/open', 'srv/closed'])
    mkdirSync(join(w.tinyDistro(), target), { recursive: true });
  const view = { source: views, target: '/sys/fs/cgroup' };
  const plan = w.plan(name, {
    opt,
    binds: [
      { source: closed, target: '/srv/closed', readOnly: true },
      { source: open, target: '/srv/open', readOnly: false },
    ],
    cgroups: { ...w.membership.create(name), joins: [], views: [view] },
  });
  return {
    jail: own(await launch(w, plan)),
    mounts: [
      { path: '/srv', host: join(w.tinyDistro(), 'srv'), flags: ['ro', 'nodev'] },
      { path: '/opt', host: opt, flags: ['ro', 'nodev'] },
      { path: '/srv/closed', host: closed, flags: ['ro', 'nodev'] },
      { path: '/srv/open', host: open, flags: ['nodev'] },
      { path: `/home/${name}`, host: join(w.paths.homes, name), flags: ['nodev'] },
      { path: '/var/log/vassal', host: join(w.paths.log, name), flags: ['ro', 'nodev', 'noexec'] },
      { path: '/sys/fs/cgroup', host: views, flags: ['ro', 'nodev', 'noexec'] },
      { path: '/dev', host: null, flags: ['noexec'] },
      { path: '/dev/shm', host: null, flags: ['nodev', 'noexec'] },
      { path: '/tmp', host: null, flags: ['nodev'] },
      { path: '/var/tmp', host: null, flags: ['nodev'] },
      { path: '/run', host: null, flags: ['nodev'] },
    ],
  };
}

test('each mount forbids what it should by itself: to write, to open devices, to run programs, and to become root by them', async () => {
  const { jail, mounts } = await furnished();
  const root = `/proc/${jail.pid}/root`;
  // Those that the plan binds from the tmpfs on /dev, which nobody but root can write to.
  const bound = ['home', 'log', 'sys'].map((part) => `${root}/dev/.emperor/${part}`);
  // Somebody else is to get there, on the host as well.
  for (const path of [
    w.directory,
    join(w.paths.homes, jail.plan.name),
    join(w.paths.log, jail.plan.name),
  ])
    chmodSync(path, 0o755);
  for (const { host, path } of mounts) plant(host ?? `${root}${path}`);
  for (const directory of bound) plant(directory);
  const all: readonly Mount[] = [
    ...mounts,
    ...['/home', '/var/log', '/sys'].map(
      (path): Mount => ({ path, host: null, flags: ['ro', 'nodev', 'noexec'] }),
    ),
  ];
  const enter = ['nsenter', '--mount', `--target=${jail.pid}`, '/bin/mounted'];
  const found = tried(
    enter,
    all.map(({ path }) => path),
  );
  expect(found).toEqual(Object.assign({}, ...all.map(expectedOf)));
  // Where the host has them, all of it goes through.
  const outside = mounts.flatMap(({ host }) => host ?? []);
  expect(tried([join(w.tinyDistro(), 'bin/mounted')], outside)).toEqual(
    Object.assign(
      {},
      ...outside.map((path) => ({
        ...expectedOf({ path, host: null, flags: [] }),
        [`setuid ${path}`]: 'root',
      })),
    ),
  );
});

const FILES = ['hosts', 'hostname', 'resolv.conf', 'passwd', 'group'].map((name) => `/etc/${name}`);
/** What this kernel has of them. */
const inProc = (...names: readonly string[]) =>
  names.map((name) => `/proc/${name}`).filter((path) => existsSync(path));

test('files of /etc and what of /proc is the machine’s are read-only, also for root', async () => {
  const { pid } = await vassal();
  const paths = [
    ...FILES,
    ...inProc('sys/kernel/hostname', 'sysrq-trigger', 'irq', 'bus', 'fs', 'pressure'),
  ];
  const enter = ['nsenter', '--mount', `--target=${pid}`, '/bin/mounted'];
  expect(tried(enter, paths)).toEqual(
    Object.fromEntries(paths.map((path) => [`write ${path}`, String(EROFS)])),
  );
});

test('what of /proc tells of the machine is empty, also for root', async () => {
  const { pid } = await vassal();
  const hidden = inProc(
    ...['acpi', 'asound', 'interrupts', 'kallsyms', 'kcore', 'key-users', 'keys', 'latency_stats'],
    ...['sched_debug', 'scsi', 'timer_list', 'timer_stats'],
  );
  expect(hidden.length).toBeGreaterThan(3);
  const sizeOf = (path: string) => {
    if (statSync(path).isDirectory()) return readdirSync(path).length;
    const fd = openSync(path, 'r');
    try {
      return readSync(fd, Buffer.alloc(1));
    } finally {
      closeSync(fd);
    }
  };
  const sizes = hidden.map((path) => [path, sizeOf(`/proc/${pid}/root${path}`)]);
  expect(sizes).toEqual(hidden.map((path) => [path, 0]));
});

test('what it can write to in memory is bounded, in bytes and in files', async () => {
  const { pid } = await vassal({ tmpSizeBytes: 2 << 20, runSizeBytes: 1 << 20 });
  const boundsOf = (path: string) => {
    const { blocks, bsize, files } = statfsSync(`/proc/${pid}/root${path}`);
    return [path, blocks * bsize, files];
  };
  expect(['/tmp', '/var/tmp', '/run', '/dev/shm', '/dev'].map(boundsOf)).toEqual([
    ['/tmp', 2 << 20, 1024],
    ['/var/tmp', 2 << 20, 1024],
    ['/run', 1 << 20, 1024],
    ['/dev/shm', 64 << 20, 4096],
    ['/dev', 256 << 10, 64],
  ]);
});

test('directories that are not its own are writable for root alone', async () => {
  const jail = await vassal();
  const root = `/proc/${jail.pid}/root`;
  const made = ['dev', 'dev/pts', 'dev/.emperor', 'dev/.emperor/empty', 'dev/.emperor/hosts'];
  const more = ['home', 'var/log', ...readdirSync(`${root}/run`).map((name) => `run/${name}`)];
  const below = readdirSync(`${root}/run`, { recursive: true, encoding: 'utf8' }).map(
    (name) => `run/${name}`,
  );
  const open = [...new Set([...made, ...more, ...below])].filter((path) => {
    const { uid, mode } = statSync(join(root, path));
    return uid !== 0 || (mode & 0o022) !== 0;
  });
  expect(open).toEqual(['run/lock']);
});

test('a vassal is the same whatever its launcher was started with: groups, mask, capabilities to inherit', async () => {
  const elsewhere = await world();
  try {
    const { wrapper } = elsewhere.launcherSetting;
    const odd = [
      ...['setpriv', '--groups=4,24', '--inh-caps=+net_raw', '--ambient-caps=+net_raw', '--'],
      ...['sh', '-c', 'umask 0; trap "" USR1; exec "$@"', 'sh'],
    ];
    const { client } = await startLauncher({
      ...elsewhere.launcherSetting,
      wrapper: [...wrapper, ...odd],
    });
    client.close();
    await elsewhere.launcher();
    const jail = await launch(elsewhere, elsewhere.plan('same'));
    await jail.start(['/bin/forever']);
    await until('it runs', () => elsewhere.logOf('same').includes('running'));
    const [process = 0] = elsewhere.membership.payloadPids('same');
    for (const pid of [jail.pid, process]) {
      const status = readFileSync(`/proc/${pid}/status`, 'utf8');
      expect(status).toMatch(/^Umask:\t0022$/m);
      expect(status).toMatch(/^Groups:\s*$/m);
      expect(status.match(/^Cap\w+:\t0+$/gm)).toHaveLength(5);
    }
    expect(readFileSync(`/proc/${process}/status`, 'utf8')).toMatch(/^SigIgn:\t0+$/m);
    const socket = join(elsewhere.paths.run, 'vassals/same/init.sock');
    expect(statSync(socket).mode & 0o777).toBe(0o600);
    await jail.stop();
  } finally {
    await elsewhere.close();
  }
});

test('the base below the root directory, which nothing leads to, is closed all the same', () => {
  const flagsOf = 'import os, sys; print(os.statvfs(sys.argv[1]).f_flag & 15)';
  const base = `/proc/${w.launcherPid()}/cwd`;
  // Read-only, nosuid, nodev, noexec.
  expect(execFileSync('python3', ['-c', flagsOf, base], { encoding: 'utf8' })).toBe('15\n');
});

test('a process has the limits of its vassal, and is what the kernel kills before init', async () => {
  const jail = await vassal();
  await jail.start(['/bin/forever']);
  await until('it runs', () => w.logOf(jail.plan.name).includes('running'));
  const [pid = 0] = w.membership.payloadPids(jail.plan.name);
  const limits = readFileSync(`/proc/${pid}/limits`, 'utf8');
  expect(limits).toMatch(/^Max core file size +1 +1 /m);
  expect(limits).toMatch(/^Max open files +1024 +4096 /m);
  const scoreOf = (one: number) => Number(readFileSync(`/proc/${one}/oom_score_adj`, 'utf8'));
  expect(scoreOf(pid)).toBe(200);
  expect(scoreOf(jail.pid)).toBeLessThan(200);
});
