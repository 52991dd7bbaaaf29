/**
 * D7: root touches no path that a tenant can change. Links where the plan mounts, sources that are no directory or are
 * swapped while it looks, homes and logs that are swapped for links while vassals are made, and while they are removed:
 * each is refused or of no effect, and what the links lead to stays untouched.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { join, relative } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { EmperorError } from '../../src/base/errors.ts';
import { judgeRoot } from '../../src/distro/inspect.ts';
import { removeAside, setAside } from '../../src/emperor/purge.ts';
import { ETC_FILES, type JailSpec, planJail } from '../../src/jail/plan.ts';
import { compileFixture } from '../support/compile.ts';
import { failureOf, forgetFailed, launch } from '../support/jail.ts';
import { useJails } from '../support/jails.ts';
import { patienceMs } from '../support/slowness.ts';
import { makeTinyDistro } from '../support/tiny-distro.ts';
import type { World } from '../support/world.ts';

let w: World;
const { freshName } = useJails('d', (given) => {
  w = given;
  // For users of the host.
  chmodSync(w.directory, 0o755);
  compileFixture('swaps', join(w.directory, 'swaps'));
});

/** What links lead to: a directory that has all a mount point could want. */
let canary: string;
let before: readonly string[];

/** Everything in it as it is now; a change of any kind changes a time. */
function stateOf(directory: string): readonly string[] {
  const names = readdirSync(directory, { recursive: true, encoding: 'utf8' });
  return ['', ...names].sort().map((name) => {
    const { mode, uid, gid, size, ctimeNs } = lstatSync(join(directory, name), { bigint: true });
    return [name, mode, uid, gid, size, ctimeNs].join(' ');
  });
}

beforeEach(() => {
  canary = join(w.directory, 'canary');
  for (const name of ['', 'tmp', 'log', 'sub']) mkdirSync(join(canary, name), { recursive: true });
  for (const name of [...ETC_FILES, 'current', 'null', 'kept']) {
    writeFileSync(join(canary, name), 'of the host', { mode: 0o600 });
  }
  before = stateOf(canary);
});
afterEach(() => {
  for (const process of swapping.splice(0)) process.kill('SIGKILL');
  expect(stateOf(canary)).toEqual(before);
  rmSync(canary, { recursive: true });
});

const swapping: ChildProcess[] = [];

/** Has somebody swap two names from now on; as `uid` if it is given, in `cwd`. */
async function swap(
  names: readonly [string, string],
  options: { readonly uid?: number; readonly cwd?: string } = {},
): Promise<void> {
  const { uid, cwd } = options;
  const child = spawn(join(w.directory, 'swaps'), names, {
    stdio: ['pipe', 'pipe', 'inherit'],
    ...(uid !== undefined && { uid, gid: uid }),
    ...(cwd !== undefined && { cwd }),
  });
  swapping.push(child);
  await once(child.stdout, 'readable');
}

const DIRECTORIES = [
  ...['dev', 'proc', 'sys', 'tmp', 'run', 'etc', 'home', 'opt', 'var', 'var/tmp', 'var/log'],
];

describe('a distro in which a link stands for', () => {
  const links: readonly (readonly [string, (place: string) => string])[] = [
    ['by its path', () => canary],
    ['by its way up', (place) => relative(join(place, '..'), canary)],
    ['through /proc', () => `/proc/self/root${canary}`],
  ];
  let distro: string;
  beforeEach(() => {
    distro = makeTinyDistro(join(w.paths.distros, freshName()));
  });

  /** With all that a plan may mount, so that each place is one. */
  const planOf = (changes: Partial<JailSpec> = {}) => {
    const name = freshName();
    return w.plan(name, {
      distro,
      opt: w.paths.homes,
      cgroups: {
        ...w.membership.create(name),
        joins: [],
        views: [{ source: w.paths.homes, target: '/sys/fs/cgroup' }],
      },
      ...changes,
    });
  };

  test.each([...DIRECTORIES, ...ETC_FILES.map((name) => `etc/${name}`)])(
    '/%s is refused by init, wherever that leads',
    async (place) => {
      const path = join(distro, place);
      rmSync(path, { recursive: true });
      for (const [how, target] of links) {
        const isFile = place.startsWith('etc/');
        symlinkSync(isFile ? join(target(path), place.slice(4)) : target(path), path);
        const judged = judgeRoot(distro);
        const sentence = await failureOf(w, planOf());
        unlinkSync(path);
        expect([how, sentence]).toEqual([how, expect.stringMatching(/^Cannot .*ELOOP/)]);
        // The emperor looks before, and leaves out of the plan what it can do without.
        if (isFile) expect(judged.etcFiles).not.toContain(place.slice(4));
        else expect([how, judged.isUsable]).toEqual([how, false]);
      }
    },
  );

  test('a file of /etc is of no effect where the emperor has left that out', async () => {
    const path = join(distro, 'etc/resolv.conf');
    unlinkSync(path);
    symlinkSync(join(canary, 'resolv.conf'), path);
    const jail = await launch(w, planOf({ etcFiles: judgeRoot(distro).etcFiles }));
    await jail.stop();
  });
});

describe('a link in the place of', () => {
  const places: readonly (readonly [string, string, (spec: JailSpec) => Partial<JailSpec>])[] = [
    ['the distro', '', (spec) => ({ distro: linkTo(`${spec.home}.link`, spec.distro) })],
    ['its log directory', '', (spec) => ({ logDirectory: linkTo(spec.logDirectory, canary) })],
    [
      'its lock',
      'ELOOP',
      (spec) => {
        linkTo(join(spec.runDirectory, 'lock'), join(canary, 'kept'));
        return {};
      },
    ],
  ];
  const linkTo = (path: string, target: string) => {
    symlinkSync(target, path);
    return path;
  };

  test.each(places)('%s is refused', async (_, why, changesOf) => {
    const spec = w.spec(freshName());
    const plan = planJail({ ...spec, ...changesOf(spec) });
    expect(await failureOf(w, plan)).toMatch(new RegExp(`^Cannot .*${why || 'ENOTDIR|ELOOP'}`));
    for (const path of [`${spec.home}.link`, spec.logDirectory])
      rmSync(path, { force: true, recursive: true });
  });

  test('its log is not followed, also to what its tenant may write to, and made anew', async () => {
    const spec = w.spec(freshName());
    const target = join(w.directory, 'of-the-tenant');
    writeFileSync(target, '');
    mkdirSync(spec.logDirectory);
    symlinkSync(target, join(spec.logDirectory, 'current'));
    for (const path of [target, spec.logDirectory]) chownSync(path, spec.uid, spec.gid);
    const jail = await launch(w, planJail(spec));
    await jail.run(['/bin/says', 'something']);
    await jail.stop();
    expect(readFileSync(target, 'utf8')).toBe('');
    const log = lstatSync(join(spec.logDirectory, 'current'));
    expect([log.isFile(), log.uid]).toEqual([true, spec.uid]);
    unlinkSync(target);
  });
});

const BIND = 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])';

describe('a source that is bound', () => {
  const made: readonly (readonly [string, (path: string) => unknown])[] = [
    ['a FIFO', (path) => execFileSync('mkfifo', [path])],
    ['a socket', (path) => execFileSync('python3', ['-c', BIND, path])],
    ['a character device', (path) => execFileSync('mknod', [path, 'c', '1', '3'])],
    ['a block device', (path) => execFileSync('mknod', [path, 'b', '7', '200'])],
    ['a link to a directory', (path) => symlinkSync(canary, path)],
    ['a link to a file', (path) => symlinkSync(join(canary, 'kept'), path)],
    ['a link to nowhere', (path) => symlinkSync('/nowhere', path)],
    ['not there', () => {}],
  ];

  test.each(made)('and is %s, is refused as a bind, as /opt and as a home', async (_, make) => {
    const path = join(w.directory, 'source');
    await make(path);
    const uses: readonly Partial<JailSpec>[] = [
      { binds: [{ source: path, target: '/srv', readOnly: false }] },
      { opt: path },
      ...(existsSync(path) || isLink(path) ? [{ home: path }] : []),
    ];
    for (const use of uses)
      expect(await failureOf(w, w.plan(freshName(), use))).toMatch(/^Cannot /);
    rmSync(path, { force: true });
  });

  const isLink = (path: string) => lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink();

  test('is the directory itself or refused, while somebody swaps it for a link, or for a FIFO', async () => {
    const [real, link] = [join(w.directory, 'real'), join(w.directory, 'link')];
    mkdirSync(real);
    const { ino } = statSync(real);
    for (const make of [() => symlinkSync(canary, link), () => execFileSync('mkfifo', [link])]) {
      make();
      await swap([real, link]);
      const binds = [{ source: real, target: '/srv', readOnly: false }];
      const inodes = await reload(
        60,
        () => ({ binds }),
        (root) => statSync(`${root}/srv`).ino,
      );
      expect(new Set(inodes)).toEqual(new Set([ino]));
      for (const process of swapping.splice(0)) await end(process);
      const [directory, other] = lstatSync(real).isDirectory() ? [real, link] : [link, real];
      unlinkSync(other);
      if (directory !== real) renameSync(directory, real);
    }
    rmSync(real, { recursive: true });
  });

  test('is refused, or whole, while somebody removes it and makes it again', async () => {
    const path = join(w.directory, 'comes-and-goes');
    const script = 'echo loops; while mkdir "$0" && rmdir "$0"; do :; done';
    const child = spawn('sh', ['-c', script, path], { stdio: ['ignore', 'pipe', 'inherit'] });
    swapping.push(child);
    await once(child.stdout, 'readable');
    const binds = [{ source: path, target: '/srv', readOnly: false }];
    const seen = await reload(
      60,
      () => ({ binds }),
      (root) => statSync(`${root}/srv`).isDirectory(),
    );
    expect(seen.every(Boolean)).toBe(true);
    await end(child);
    rmSync(path, { recursive: true, force: true });
  });
});

async function end(process: ChildProcess): Promise<void> {
  const ended = once(process, 'exit');
  process.kill('SIGKILL');
  await ended;
}

/**
 * Makes and ends `count` vassals; returns what `look` saw below the root of those that came to run. The others were
 * refused, each by a sentence. Without namespaces that are of no concern here, which take longer to end.
 */
async function reload<T>(
  count: number,
  changesOf: (name: string) => Partial<JailSpec>,
  look: (root: string) => T,
): Promise<readonly T[]> {
  const seen: T[] = [];
  for (let done = 0; done < count; done += 1) {
    const name = freshName();
    const plan = w.plan(name, { namespaces: ['fs', 'pid'], ...changesOf(name) });
    try {
      const jail = await launch(w, plan);
      seen.push(look(`/proc/${jail.pid}/root`));
      await jail.stop();
    } catch (error) {
      if (!(error instanceof EmperorError) || error.code !== 'jail-failed') throw error;
      expect(error.message).toMatch(/^Cannot /);
      await forgetFailed(w, name);
    }
  }
  return seen;
}

const RELOADS = 1000;

test(`a home and a log that are swapped for links during ${RELOADS} reloads are themselves, or the vassal is refused`, {
  timeout: patienceMs(180_000),
}, async () => {
  const uid = 700_000;
  const home = join(w.paths.homes, 'swapped');
  const log = join(w.paths.log, 'swapped');
  for (const path of [home, log]) {
    mkdirSync(path, { mode: 0o750 });
    chownSync(path, uid, uid);
  }
  symlinkSync(canary, `${home}.link`);
  writeFileSync(join(log, 'current'), '');
  symlinkSync(join(canary, 'current'), join(log, 'link'));
  chownSync(join(log, 'current'), uid, uid);
  const { ino } = statSync(home);
  // The control panel, which may write to the directory of homes; and a user of the host with the tenant's uid.
  await swap([home, `${home}.link`]);
  await swap(['current', 'link'], { uid, cwd: log });
  const seen = await reload(
    RELOADS,
    (name) => ({ home, logDirectory: log, uid, gid: uid, hostname: name }),
    (root) => readdirSync(`${root}/home`).map((name) => statSync(`${root}/home/${name}`).ino),
  );
  // Both have happened, and neither was anything else.
  expect(seen.length).toBeGreaterThan(0);
  expect(seen.length).toBeLessThan(RELOADS);
  expect(new Set(seen.flat())).toEqual(new Set([ino]));
  for (const process of swapping.splice(0)) await end(process);
  for (const path of [home, `${home}.link`, log]) rmSync(path, { recursive: true, force: true });
});

test('what a purge removes is nothing else, while a user of the host with that uid swaps it for links', async () => {
  const uid = 700_000;
  for (let round = 0; round < 20; round += 1) {
    const home = join(w.paths.homes, 'purged');
    const deep = join(home, 'deep');
    mkdirSync(join(deep, 'sub'), { recursive: true });
    for (const name of ['kept', 'null']) writeFileSync(join(deep, 'sub', name), '');
    symlinkSync(canary, join(deep, 'link'));
    for (const path of [home, deep, join(deep, 'sub')]) chownSync(path, uid, uid);
    // It holds on to the directory, and goes on after that was put aside.
    await swap(['sub', 'link'], { uid, cwd: deep });
    const aside = setAside([home]);
    // What is swapped in the middle of it can be in the way; the next emperor removes the rest.
    await removeAside(aside).catch(() => {});
    expect(readFileSync(join(canary, 'kept'), 'utf8')).toBe('of the host');
    for (const process of swapping.splice(0)) await end(process);
    await removeAside(aside);
    expect(aside.some((path) => existsSync(path))).toBe(false);
  }
});
