/** What the seed promises of a jail, requirement by requirement, as its tenant finds it. */
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { NamespaceName } from '../../src/jail/wire.ts';
import { forgetFailed, launch, logLines, type TestJail } from '../support/jail.ts';
import { useJails } from '../support/jails.ts';
import { childrenOf, commandOf, signal } from '../support/proc.ts';
import { makeTinyDistro } from '../support/tiny-distro.ts';
import { until } from '../support/wait.ts';
import { type World, world } from '../support/world.ts';

const { errno } = constants;
const ALL: readonly NamespaceName[] = ['fs', 'ipc', 'uts', 'net', 'pid'];
/** Names of the files in /proc/PID/ns. */
const FILE = { fs: 'mnt', ipc: 'ipc', uts: 'uts', net: 'net', pid: 'pid' } as const;
type Selectable = keyof typeof FILE;

let w: World;
const { freshName, vassal } = useJails('p', (given) => {
  w = given;
});

/** What the fixture `escapes` found, WHAT → RESULT. */
async function attempts(jail: TestJail): Promise<ReadonlyMap<string, string>> {
  await jail.run(['/bin/escapes'], { label: 'escapes' });
  const lines = logLines(w.logOf(jail.plan.name)).filter(({ label }) => label === 'escapes');
  expect(lines.at(-1)?.text).toBe('end');
  return new Map(lines.map(({ text }) => [text.replace(/ \S+$/, ''), text.replace(/^.* /, '')]));
}

async function expectAttempts(expected: Readonly<Record<string, string | number>>): Promise<void> {
  const found = await attempts(await vassal());
  const seen = Object.fromEntries(Object.keys(expected).map((what) => [what, found.get(what)]));
  expect(seen).toEqual(
    Object.fromEntries(Object.entries(expected).map(([what, result]) => [what, String(result)])),
  );
}

const linkOf = (pid: number, namespace: Selectable) =>
  readlinkSync(`/proc/${pid}/ns/${FILE[namespace]}`);

describe('M25: the root directory is a read-only mount of the distro', () => {
  test('that no tenant can change or make writable', async () => {
    await expectAttempts({
      'create-in-root': errno.EROFS,
      'create-in-bin': errno.EROFS,
      'remove-os-release': errno.EROFS,
      'chmod-bin': errno.EROFS,
      'rename-bin': errno.EROFS,
      'remount-root': errno.EPERM,
      'unmount-proc': errno.EPERM,
      'mount-tmpfs': errno.EPERM,
    });
    expect(existsSync(join(w.tinyDistro(), 'etc/os-release'))).toBe(true);
  });

  test('which leaves nothing writable where a directory of the distro has a mount of its own', async () => {
    const elsewhere = await world();
    const nested = join(elsewhere.tinyDistro(), 'srv');
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'mode=1777', 'tmpfs', nested]);
    try {
      const jail = await launch(elsewhere, elsewhere.plan('nested'));
      const seen = await jail.look('/srv');
      expect(seen.get('write /srv')).toEqual([`errno ${errno.EROFS}`]);
      await jail.stop();
    } finally {
      execFileSync('umount', ['--lazy', nested]);
      await elsewhere.close();
    }
  });
});

describe('M26: the root of the host', () => {
  test('is out of reach for the tenant, whatever it tries', async () => {
    await expectAttempts({
      'proc-1-root': errno.EACCES,
      'proc-1-cwd': errno.EACCES,
      'up-from-root': 'same',
      'up-from-descriptor': 'same',
      'old-root': errno.ENOENT,
      'setns-mount': errno.EPERM,
      chroot: errno.EPERM,
      'pivot-root': errno.EPERM,
      'make-device': errno.EPERM,
    });
  });

  test('is not seen by who enters the mount namespace either: there is the distro, so it is no chroot', async () => {
    const jail = await vassal();
    const enter = ['--mount', `--target=${jail.pid}`, '/bin/looks'];
    const seen = execFileSync('nsenter', enter, { encoding: 'utf8' }).split('\n');
    const roots = seen.filter((line) => line.startsWith('root ')).map((line) => line.slice(5));
    expect(roots.toSorted()).toEqual(readdirSync(w.tinyDistro()).toSorted());
  });

  test('has none of its mounts in the table of mounts', async () => {
    const jail = await vassal();
    const table = readFileSync(`/proc/${jail.pid}/mountinfo`, 'utf8').trim().split('\n');
    const types = table.map((line) => / - (\S+)/.exec(line)?.[1]);
    expect(table.filter((line) => line.split(' ')[4] === '/')).toHaveLength(1);
    expect(types).not.toContain('sysfs');
    expect(types).not.toContain('cgroup2');
    // Nothing is shared with, or follows, any other mount.
    for (const line of table) expect(line).not.toMatch(/ (shared|master):\d+/);
  });
});

test('partly M23, partly M24: the root directory is that of whichever distro the plan names', async () => {
  const distro = makeTinyDistro(join(w.paths.distros, 'other'));
  writeFileSync(join(distro, 'only-here'), '');
  expect((await (await vassal({ distro })).look()).get('root')).toContain('only-here');
  expect((await (await vassal()).look()).get('root')).not.toContain('only-here');
});

describe('the directories of its own', () => {
  test('M27: /proc is fresh, shows its processes only, and hides the host’s secrets', async () => {
    const jail = await vassal();
    await jail.start(['/bin/forever']);
    const pids = readdirSync(`/proc/${jail.pid}/root/proc`).filter((name) => /^\d+$/.test(name));
    expect(pids.toSorted()).toEqual(['1', '2']);
    const found = await attempts(jail);
    for (const path of ['/proc/kcore', '/proc/keys', '/proc/timer_list', '/proc/interrupts']) {
      expect([path, found.get(path)]).toEqual([path, expect.stringMatching(/^(empty|2|13)$/)]);
    }
    for (const what of ['write-sysrq', 'write-hostname', 'write-core-pattern']) {
      expect([what, found.get(what)]).toEqual([what, expect.stringMatching(/^(2|13|30)$/)]);
    }
  });

  test('M28: /tmp, /var/tmp and /run of one are not those of another', async () => {
    const [one, other] = [await vassal(), await vassal()];
    const devices = async (jail: TestJail) => {
      const mounts = (await jail.look()).get('mount') ?? [];
      const find = (path: string) => mounts.find((line) => line.split(' ')[4] === path);
      return ['/tmp', '/var/tmp', '/run', '/dev/shm'].map((path) => find(path)?.split(' ')[2]);
    };
    const all = [...(await devices(one)), ...(await devices(other))];
    expect(new Set(all).size).toBe(8);
    expect(all).not.toContain(undefined);
  });

  test('M29: /dev has null, zero, full and urandom that work', async () => {
    await expectAttempts({
      'write-null': 'ok',
      'read-null': '0',
      'read-zero 4': '0',
      'write-full': errno.ENOSPC,
      'read-urandom': 'ok',
    });
  });

  test('M30: terminals are its own, counted from 0, 64 of them at most', async () => {
    await vassal();
    await expectAttempts({
      'first-terminal': 0,
      terminals: 64,
      'one-more-terminal': errno.ENOSPC,
    });
  });

  test('M32: /opt is shared by all, with the host’s files and read-only', async () => {
    const opt = join(w.directory, 'opt');
    mkdirSync(opt);
    writeFileSync(join(opt, 'shared'), '');
    for (const jail of [await vassal({ opt }), await vassal({ opt })]) {
      const seen = await jail.look('/opt');
      expect(seen.get('write /opt')).toEqual([`errno ${errno.EROFS}`]);
      const line = seen.get('mount')?.find((one) => one.split(' ')[4] === '/opt');
      expect(line).toMatch(/ \/opt ro,nosuid,nodev/);
      expect(statSync(`/proc/${jail.pid}/root/opt/shared`).ino).toBe(
        statSync(join(opt, 'shared')).ino,
      );
    }
  });

  test('partly M33: hosts, hostname, resolv.conf, passwd and group in /etc are generated', async () => {
    const jail = await vassal({ hostname: 'shop.example', dns: ['192.0.2.7'] });
    const text = (file: string) => readFileSync(`/proc/${jail.pid}/root/etc/${file}`, 'utf8');
    expect(text('hostname')).toBe('shop.example\n');
    expect(text('hosts')).toContain('127.0.1.1 shop.example\n');
    expect(text('resolv.conf')).toBe('nameserver 192.0.2.7\n');
    expect(text('passwd')).toMatch(new RegExp(`^${jail.plan.name}:x:\\d+:\\d+::/home/`, 'm'));
    expect(text('group')).toMatch(new RegExp(`^${jail.plan.name}:x:\\d+:$`, 'm'));
    expect(text('os-release')).toContain('ID=tiny');
  });
});

describe('M35: of the namespaces', () => {
  test('all five are the vassal’s own, unlike the host’s and any other vassal’s', async () => {
    const [one, other] = [await vassal(), await vassal()];
    for (const name of ALL as readonly Selectable[]) {
      const three = [linkOf(one.pid, name), linkOf(other.pid, name), linkOf(w.launcherPid(), name)];
      expect([name, new Set(three).size]).toEqual([name, 3]);
    }
  });

  test.each(ALL as readonly Selectable[])(
    'the one that is left out of the list, %s, is shared, and no other',
    async (left) => {
      const jail = await vassal({ namespaces: ALL.filter((name) => name !== left) });
      await jail.start(left === 'fs' ? ['sleep', '1000'] : ['/bin/forever']);
      const [pid = 0] = w.membership.payloadPids(jail.plan.name);
      for (const name of ALL as readonly Selectable[]) {
        const isShared = linkOf(pid, name) === linkOf(w.launcherPid(), name);
        expect([name, isShared]).toEqual([name, name === left]);
        expect(linkOf(pid, name)).toBe(linkOf(jail.pid, name));
      }
    },
  );

  test('none may be in the list: a process still has its uid, its cgroup and no privilege', async () => {
    const jail = await vassal({ namespaces: [] });
    await jail.start(['sleep', '1000']);
    const [pid = 0] = await until('it runs', () => {
      const pids = w.membership.payloadPids(jail.plan.name);
      return pids.length === 1 && pids;
    });
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    expect(status).toMatch(/^Uid:\t(7\d{5})\t\1\t\1\t\1$/m);
    expect(status).toMatch(/^CapBnd:\t0+$/m);
    expect(status).toMatch(/^NoNewPrivs:\t1$/m);
  });
});

describe('a namespace', () => {
  test('of processes that is left out: a stop ends daemons too, and nothing of the host', async () => {
    const jail = await vassal({ namespaces: ['fs', 'ipc', 'uts', 'net'] });
    await jail.run(['/bin/forks-twice']);
    await until('the daemon runs', () => w.logOf(jail.plan.name).includes('daemon'));
    const exit = await jail.stop(100);
    expect(exit.status).toBe(0);
  });

  test('of processes that is left out: a hook that fails leaves none of its processes', async () => {
    const name = freshName();
    const plan = w.plan(name, {
      namespaces: ['fs', 'ipc', 'uts', 'net'],
      hooks: ['setsid sleep 1000 & sleep 1000 & exit 3'],
    });
    await expect(launch(w, plan)).rejects.toMatchObject({ code: 'jail-failed' });
    await until('nobody is left', () => !w.membership.isPopulated(name), 1000);
    await forgetFailed(w, name);
  });

  test('M36, partly M10: of ipc is empty, and what is made inside is not seen outside', async () => {
    await expectAttempts({ 'ipc-before': 0, shm: 'ok', sem: 'ok', msg: 'ok', mq: 'ok' });
    for (const kind of ['shm', 'sem', 'msg']) {
      const lines = readFileSync(`/proc/sysvipc/${kind}`, 'utf8').trim().split('\n');
      expect(lines.map((line) => line.trim().split(/\s+/)[0])).not.toContain(String(0x5eed));
    }
    expect(await attempts(await vassal())).toContainEqual(['ipc-before', '0']);
  });

  test('M37: of host names: one that a hook sets is set inside only, and none by the tenant', async () => {
    const before = execFileSync('hostname', { encoding: 'utf8' });
    const jail = await vassal({ hooks: ['hostname foobar'] });
    expect((await jail.look()).get('hostname')).toEqual(['foobar']);
    expect(execFileSync('hostname', { encoding: 'utf8' })).toBe(before);
    await expectAttempts({ sethostname: errno.EPERM });
  });

  test('M38: of the network has lo alone, which is up, and leads nowhere', async () => {
    await expectAttempts({
      'connect-127.0.0.1': 'ok',
      'connect-::1': 'ok',
      'connect-out': errno.ENETUNREACH,
      'bind-80': 'ok',
    });
  });

  test('M39, partly M7: of processes shows its own only; PID 1 reaps orphans, and all of them end with it', async () => {
    const jail = await vassal();
    const pids = () =>
      readdirSync(`/proc/${jail.pid}/root/proc`).filter((name) => /^\d+$/.test(name));
    await jail.start(['/bin/ignores-sigterm']);
    await jail.run(['/bin/forks-twice']);
    await until('the daemon runs', () => w.logOf(jail.plan.name).includes('daemon'));
    expect(readFileSync(`/proc/${jail.pid}/root/proc/1/comm`, 'utf8')).toBe('init\n');
    await until('it, the command and PID 1 are left', () => pids().length === 3);
    const daemon = childrenOf(jail.pid)
      .map(Number)
      .find((pid) => /twice/.test(commandOf(pid)));
    signal(daemon, 'SIGKILL');
    await until('nothing is left of it', () => pids().length === 2);
    process.kill(jail.pid, 'SIGKILL');
    await jail.ended;
    await until('all have ended', () => !w.membership.isPopulated(jail.plan.name));
  });
});

describe('M40: hooks', () => {
  test('run in order, as root, in the new namespaces, before privileges are dropped', async () => {
    const jail = await vassal({
      hooks: [
        'echo one; id -u',
        'echo two; ip tuntap add mode tun name hook0',
        'echo three; ip link',
      ],
    });
    const texts = logLines(w.logOf(jail.plan.name)).map(({ text }) => text);
    expect(texts.slice(0, 4)).toEqual(['one', '0', 'two', 'three']);
    expect(texts.join('\n')).toContain('hook0');
    // The tenant finds what root has made, and only there.
    expect((await jail.look()).get('net')?.join('\n')).toContain('hook0:');
  });

  test('end with the one that fails, and nothing of the tenant has run', async () => {
    const plan = w.plan(freshName(), { hooks: ['echo one', 'echo two; false', 'echo three'] });
    await expect(launch(w, plan)).rejects.toMatchObject({ code: 'jail-failed' });
    const texts = logLines(w.logOf(plan.name)).map(({ text }) => text);
    expect(texts).toEqual(['one', 'two']);
    await forgetFailed(w, plan.name);
  });

  test('may say a lot, and hold nobody up by it', async () => {
    const jail = await vassal({ hooks: ['head -c 3000000 /dev/zero | tr "\\0" "\\n"'] });
    expect((await jail.init.hello()).state).toBe('running');
  });
});

describe('privileges', () => {
  test('M41: are dropped to uid and gid, and do not come back', async () => {
    await expectAttempts({
      'setuid-0': errno.EPERM,
      'setgid-0': errno.EPERM,
      setgroups: errno.EPERM,
      'raise-files': errno.EPERM,
      nice: errno.EPERM,
    });
  });
});
