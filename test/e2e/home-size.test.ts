/**
 * `home-size`: a home that is full is so alone; it grows, outlives whoever ends, and leaves nothing when it is purged.
 * And all else that a tenant can write to has a size as well.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { lackForImages } from '../../src/emperor/home-needs.ts';
import { effectiveCapabilities, missingCapabilities } from '../../src/linux/capabilities.ts';
import { type Answer, TestEmperor, until } from '../support/emperor.ts';
import { loopDevicesOf } from '../support/loop-devices.ts';
import { readIfThere } from '../support/remains.ts';

const MIB = 1 << 20;
const IDLE = 'sleep 100000';
const GROWS_LIVE = missingCapabilities(effectiveCapabilities(), ['sys_resource']).length === 0;

let emperor: TestEmperor;
const status = (name: string) => emperor.status(name);
const vassal = (more = '') => `[vassal]\ncommand = ${IDLE}\nstop-grace = 1s\n${more}`;
const sh = (name: string, script: string): Answer =>
  emperor.cli('exec', name, '--', 'sh', '-c', script);
const path = (...parts: readonly string[]) => join(emperor.directory, 'homes', ...parts);
const imageOf = (name: string) => path('.images', name);

const devicesOf = (name: string) => loopDevicesOf(imageOf(name));
/** A device clears itself a moment after the end of its mount. */
const untilDevices = (name: string, count: number) =>
  until(`${count} devices of ${name}`, () => devicesOf(name).length === count);

/** What a vassal has of its home. */
function homeOf(name: string) {
  const { home } = status(name);
  if (home === null) throw new Error(`the home of ${name} has no size`);
  return home;
}

const keep = (name: string) => sh(name, 'echo precious >~/kept');

async function restartEmperor(signal: NodeJS.Signals): Promise<void> {
  await emperor.signal(signal);
  await emperor.start();
}

beforeAll(async () => {
  emperor = new TestEmperor({ ini: 'emperor-throttle = 200' });
  await emperor.start();
});
afterAll(() => emperor.close());

test('whatever a tenant can write to has a size and a number of files', () => {
  emperor.apply('sized', vassal());
  const script = `while read -r _ _ _ _ place _; do
    if (: >"$place/probe") 2>/dev/null; then rm -f "$place/probe"; echo "$place"; fi
  done </proc/self/mountinfo`;
  const writable = sh('sized', script).stdout.trim().split('\n');
  expect(writable.toSorted()).toEqual(
    ['/dev/mqueue', '/dev/shm', '/home/sized', '/run', '/tmp', '/var/tmp'].toSorted(),
  );
  const table = sh('sized', 'cat /proc/self/mountinfo').stdout.trim().split('\n');
  const optionsOf = (place: string) =>
    table.find((line) => line.split(' ')[4] === place)?.split(' - ')[1] ?? '';
  // The home is what `home-size` is for; queues are counted by the kernel (fs.mqueue.queues_max, RLIMIT_MSGQUEUE).
  for (const place of writable.filter((one) => !/mqueue|home/.test(one))) {
    expect(`${place}: ${optionsOf(place)}`).toMatch(/: tmpfs .*\bsize=\d+k,nr_inodes=\d+/);
  }
  // Nor is there any that root could write to; the home, and the logs, may lie on a tmpfs of the host.
  const unsized = table.filter(
    (line) =>
      / - tmpfs .*\brw\b/.test(line) &&
      !/ \/(home|var\/log)\/| - tmpfs .*\bsize=\d+k,nr_inodes=\d+/.test(line),
  );
  expect(unsized).toEqual([]);
});

describe.skipIf(lackForImages() !== null)('partly M33: a home with a size', () => {
  beforeAll(() => {
    emperor.apply('full', vassal('home-size = 32M\n'));
    emperor.apply('beside', vassal('home-size = 32M\n'));
  });

  test('is its tenant’s, empty at first, and lies in a file that only root gets at', () => {
    expect(sh('full', 'stat -c "%u %a" ~; ls -A ~').stdout).toBe(`${status('full').uid} 700\n`);
    const mount = sh('full', 'grep " /home/full " /proc/self/mountinfo').stdout;
    expect(mount).toMatch(/ \/ \/home\/full rw,nosuid,nodev,noatime .*- ext4 /);
    expect(statSync(imageOf('full'))).toMatchObject({ uid: 0, size: 32 * MIB });
    expect(statSync(imageOf('full')).mode & 0o777).toBe(0o600);
    expect(statSync(path('.images')).mode & 0o777).toBe(0o700);
    const [device, ...others] = devicesOf('full');
    expect(others).toEqual([]);
    expect(readIfThere(`/sys/block/${device}/loop/autoclear`)).toBe('1\n');
    // Nobody else has it mounted, and so nobody has to unmount it.
    for (const pid of ['self', emperor.pid, emperor.stats().launcher.pid, status('sized').pid]) {
      const table = readFileSync(`/proc/${pid}/mountinfo`, 'utf8');
      expect([pid, table.includes(`/dev/${device} `)]).toEqual([pid, false]);
    }
    const { sizeBytes, inodesMax } = homeOf('full');
    expect(sizeBytes).toBeGreaterThan(20 * MIB);
    expect(sizeBytes).toBeLessThan(32 * MIB);
    expect(inodesMax).toBeGreaterThanOrEqual(1024);
    expect(status('full').limits).toEqual({ 'home-size': 32 * MIB });
    expect(emperor.cli('status', 'full').stdout).toMatch(/home +\S+ of \S+, \d+ of \d+ files/);
  });

  test('that is full of bytes is full alone, and is told of', async () => {
    const fill = sh('full', 'cat /dev/zero >~/big');
    expect(fill.status).not.toBe(0);
    expect(fill.stderr).toContain('No space left on device');
    const { bytes, sizeBytes } = homeOf('full');
    expect(bytes).toBeGreaterThan(0.98 * sizeBytes);
    expect(statSync(imageOf('full')).blocks * 512).toBeLessThanOrEqual(33 * MIB);
    expect(sh('beside', 'head -c 1M /dev/zero >~/file && sync ~/file')).toMatchObject({
      status: 0,
    });
    expect(sh('full', 'rm ~/big')).toMatchObject({ status: 0 });
    await until('the host has its room back', () => {
      sh('full', 'sync');
      return statSync(imageOf('full')).blocks * 512 < 16 * MIB;
    });
  });

  test('that is full of files is full alone, and is told of', () => {
    const fill = sh('full', 'mkdir ~/many; i=0; while : >~/many/$i; do i=$((i+1)); done');
    expect(fill.stderr).toContain('No space left on device');
    const { inodes, inodesMax } = homeOf('full');
    expect(inodes).toBe(inodesMax);
    expect(sh('beside', ': >~/another')).toMatchObject({ status: 0 });
    expect(sh('full', 'rm -r ~/many && : >~/one')).toMatchObject({ status: 0 });
  });

  test('grows while its vassal runs; without CAP_SYS_RESOURCE it says so, and grows at the next start', () => {
    const [{ pid }, before] = [status('full'), homeOf('full')];
    keep('full');
    emperor.apply('full', vassal('home-size = 160M\n'));
    expect(status('full')).toMatchObject({ pid, restarts: 0, limits: { 'home-size': 160 * MIB } });
    if (GROWS_LIVE) {
      expect(status('full').unmetLimits).toEqual([]);
    } else {
      const reason = 'without CAP_SYS_RESOURCE its home grows when it is started again';
      expect(status('full').unmetLimits).toEqual([{ key: 'home-size', reason }]);
      expect(emperor.cli('restart', 'full')).toMatchObject({ status: 0 });
      expect(status('full').unmetLimits).toEqual([]);
    }
    expect(homeOf('full').sizeBytes).toBeGreaterThan(before.sizeBytes + 100 * MIB);
    expect(homeOf('full').inodesMax).toBeGreaterThan(before.inodesMax);
    const use = 'cat ~/kept && head -c 60M /dev/zero >~/larger && rm ~/larger';
    expect(sh('full', use)).toMatchObject({ status: 0, stdout: 'precious\n' });
  });

  test('grows at a start', () => {
    keep('beside');
    expect(emperor.cli('stop', 'beside')).toMatchObject({ status: 0 });
    emperor.apply('beside', vassal('home-size = 64M\n'));
    expect(status('beside').unmetLimits).toEqual([]);
    expect(homeOf('beside').sizeBytes).toBeGreaterThan(50 * MIB);
    expect(sh('beside', 'cat ~/kept').stdout).toBe('precious\n');
  });

  test('grows at a start when that was cut short before, its file larger already', () => {
    expect(emperor.cli('stop', 'beside')).toMatchObject({ status: 0 });
    truncateSync(imageOf('beside'), 96 * MIB);
    writeFileSync(path('.images/.growing-beside'), '');
    emperor.apply('beside', vassal('home-size = 96M\n'));
    expect(homeOf('beside').sizeBytes).toBeGreaterThan(80 * MIB);
    expect(sh('beside', 'cat ~/kept').stdout).toBe('precious\n');
    expect(readdirSync(path('.images')).toSorted()).toEqual(['beside', 'full']);
  });

  test('is never made smaller, nor taken away: status says so', () => {
    const { pid } = status('beside');
    const { sizeBytes } = homeOf('beside');
    emperor.apply('beside', vassal('home-size = 16M\n'));
    const smaller = status('beside');
    expect(smaller).toMatchObject({ pid, unmetLimits: [{ key: 'home-size' }] });
    expect(smaller.unmetLimits[0]?.reason).toMatch(/^its home has 96\.0M \(.* of it used\) and is/);
    emperor.apply('beside', vassal());
    expect(status('beside').unmetLimits[0]?.reason).toContain('cannot be without one again');
    expect(emperor.cli('restart', 'beside')).toMatchObject({ status: 0 });
    expect(status('beside').unmetLimits[0]?.reason).toContain('cannot be without one again');
    expect(homeOf('beside').sizeBytes).toBe(sizeBytes);
    expect(sh('beside', 'cat ~/kept').stdout).toBe('precious\n');
    emperor.apply('beside', vassal('home-size = 96M\n'));
    expect(status('beside').unmetLimits).toEqual([]);
  });

  test.each(['SIGKILL', 'SIGTERM'] as const)(
    'goes on when the emperor is ended by %s, and the next one knows it',
    async (signal) => {
      keep('full');
      const { pid } = status('full');
      const [before, devices] = [homeOf('full'), devicesOf('full')];
      await emperor.signal(signal);
      expect(devicesOf('full')).toEqual(devices);
      await emperor.start();
      expect(status('full')).toMatchObject({ pid, unmetLimits: [] });
      expect(homeOf('full').sizeBytes).toBe(before.sizeBytes);
      expect(sh('full', 'cat ~/kept').stdout).toBe('precious\n');
    },
  );

  test('is the same after restarts, a stop, and the death of its init; one device at most stands before it', async () => {
    keep('full');
    for (const _ of [1, 2]) {
      expect(emperor.cli('restart', 'full')).toMatchObject({ status: 0 });
      await untilDevices('full', 1);
    }
    const { pid } = status('full');
    if (pid === null) throw new Error('full does not run');
    process.kill(pid, 'SIGKILL');
    await until('it runs again', () => {
      const now = status('full');
      return now.state === 'running' && now.pid !== pid;
    });
    await untilDevices('full', 1);
    expect(emperor.cli('stop', 'full')).toMatchObject({ status: 0 });
    await untilDevices('full', 0);
    expect(status('full').home).toBe(null);
    expect(emperor.cli('start', 'full')).toMatchObject({ status: 0 });
    expect(sh('full', 'cat ~/kept').stdout).toBe('precious\n');
  });

  test('in which the kernel has met errors is mended at its next start', () => {
    const stateOf = () =>
      /^Filesystem state: +(.*)$/m.exec(
        execFileSync('dumpe2fs', ['-h', imageOf('full')], { encoding: 'utf8', stdio: 'pipe' }),
      )?.[1];
    expect(homeOf('full').isReadOnly).toBe(false);
    // As the kernel does when it meets one.
    const mount = ['mount', '-n', '-o', 'remount,ro', `/dev/${devicesOf('full')[0]}`, '/home/full'];
    execFileSync('nsenter', ['-t', String(status('full').pid), '-m', ...mount], { stdio: 'pipe' });
    expect(homeOf('full').isReadOnly).toBe(true);
    expect(emperor.cli('status', 'full').stdout).toContain('then `emperor restart full`');
    expect(emperor.cli('stop', 'full')).toMatchObject({ status: 0 });
    execFileSync('debugfs', ['-w', '-R', 'set_super_value state 3', imageOf('full')], {
      stdio: 'pipe',
    });
    expect(stateOf()).toBe('clean with errors');
    expect(emperor.cli('start', 'full')).toMatchObject({ status: 0 });
    expect(sh('full', 'cat ~/kept').stdout).toBe('precious\n');
    expect(emperor.cli('stop', 'full')).toMatchObject({ status: 0 });
    expect(stateOf()).toBe('clean');
    expect(emperor.cli('start', 'full')).toMatchObject({ status: 0 });
    expect(homeOf('full').isReadOnly).toBe(false);
  });

  test('of many that start and end at once is each its own', async () => {
    const names = ['many1', 'many2', 'many3', 'many4', 'many5'];
    const command = `command = sh -c 'echo $USER >~/name; exec ${IDLE}'`;
    for (const name of names) emperor.write(name, `[vassal]\n${command}\nhome-size = 16M\n`);
    for (const name of names) emperor.wait(name, 'applied');
    for (const name of names) {
      const read = 'until [ -s ~/name ]; do sleep 0.02; done; cat ~/name';
      expect(sh(name, read).stdout).toBe(`${name}\n`);
    }
    const devices = names.flatMap(devicesOf);
    expect(new Set(devices).size).toBe(names.length);
    for (const name of names) emperor.remove(name);
    for (const name of names) emperor.wait(name, 'gone');
    for (const name of names) await untilDevices(name, 0);
  });

  test('is not mounted while somebody else has the image open', async () => {
    expect(emperor.cli('stop', 'full')).toMatchObject({ status: 0 });
    const held = openSync(imageOf('full'), 'r+');
    try {
      const answer = emperor.cli('start', 'full');
      expect(answer.status).not.toBe(0);
      expect(answer.stderr).toMatch(/Cannot mount .*EAGAIN, somebody else has it open/);
    } finally {
      closeSync(held);
    }
    await until('it is tried again', () => status('full').state === 'running');
    expect(sh('full', 'cat ~/kept').stdout).toBe('precious\n');
  });

  test('cannot be had of a home that has files, which stay; the remedy that is told works', async () => {
    emperor.apply('old', vassal());
    sh('old', 'mkdir -p ~/a/b && echo precious >~/a/b/file');
    emperor.apply('old', vassal('home-size = 32M\n'));
    const reason = `${path('old')} has files already; `;
    expect(status('old').unmetLimits).toMatchObject([{ key: 'home-size' }]);
    for (const how of ['live', 'adopted']) {
      if (how === 'adopted') await restartEmperor('SIGKILL');
      await until(`it is told: ${how}`, () =>
        status('old').unmetLimits.some((one) => one.reason.startsWith(reason)),
      );
      expect(sh('old', 'cat ~/a/b/file').stdout).toBe('precious\n');
    }
    expect(emperor.cli('stop', 'old')).toMatchObject({ status: 0 });
    renameSync(path('old'), join(emperor.directory, 'elsewhere'));
    expect(emperor.cli('start', 'old')).toMatchObject({ status: 0 });
    const input = execFileSync('tar', ['-C', join(emperor.directory, 'elsewhere'), '-c', '.']);
    const put = emperor.cliWith({ input }, 'exec', 'old', '--', 'sh', '-c', 'tar -xC ~');
    expect(put).toMatchObject({ status: 0 });
    expect(status('old')).toMatchObject({ unmetLimits: [] });
    expect(homeOf('old').sizeBytes).toBeGreaterThan(20 * MIB);
    expect(sh('old', 'stat -c %u ~/a/b/file; cat ~/a/b/file').stdout).toBe(
      `${status('old').uid}\nprecious\n`,
    );
  });

  test('goes with purge, and nothing of it is left to the next of that name', async () => {
    emperor.remove('full');
    emperor.wait('full', 'gone');
    await untilDevices('full', 0);
    expect(existsSync(imageOf('full'))).toBe(true);
    expect(emperor.cli('purge', 'full', '--yes')).toMatchObject({ status: 0 });
    expect(readdirSync(path('.images')).filter((name) => name.includes('full'))).toEqual([]);
    emperor.apply('full', vassal('home-size = 32M\n'));
    expect(sh('full', 'ls -A ~').stdout).toBe('');
  });
});

describe.skipIf(lackForImages() !== null)('homes on a disk of the host that is full', () => {
  let crowded: TestEmperor;

  beforeAll(async () => {
    // Of the daemon's line the third word behind its name is its emperor.ini.
    const mountHomes =
      'homes=$(dirname "$3")/homes; mkdir "$homes"; mount -t tmpfs -o size=40M,mode=755 none "$homes"; exec "$0" "$@"';
    crowded = new TestEmperor({}, { through: ['sh', '-c', mountHomes] });
    await crowded.start();
  });
  afterAll(() => crowded.close());

  test('have what was there before, once there is room and their vassals were restarted', () => {
    const run = (name: string, script: string) =>
      crowded.cli('exec', name, '--', 'sh', '-c', script);
    const onHost = (script: string) =>
      spawnSync('nsenter', ['-t', String(crowded.pid), '-m', 'sh', '-c', script]).status;
    const filler = join(crowded.directory, 'homes/.filler');
    const names = ['first', 'second'];
    for (const name of names) {
      crowded.apply(name, vassal('home-size = 64M\n'));
      expect(run(name, 'echo precious >~/kept && sync ~/kept')).toMatchObject({ status: 0 });
    }
    expect(onHost(`cat /dev/zero >${filler}`)).not.toBe(0);
    const write = 'head -c 8M /dev/zero >~/file && sync ~/file';
    for (const name of names) {
      expect(run(name, write).status).not.toBe(0);
      expect(crowded.status(name).state).toBe('running');
    }
    expect(onHost(`rm ${filler}`)).toBe(0);
    for (const name of names) {
      expect(crowded.cli('restart', name)).toMatchObject({ status: 0 });
      const answer = run(name, `cat ~/kept && ${write} && rm ~/file`);
      expect(answer).toMatchObject({ status: 0, stdout: 'precious\n' });
    }
  });
});
