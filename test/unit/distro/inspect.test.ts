import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  rmdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { inspectDistro, judgeRoot, MOUNT_POINTS } from '../../../src/distro/inspect.ts';
import { ETC_FILES } from '../../../src/jail/plan.ts';

let root: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'emperor-distro-'));
  chmodSync(root, 0o755);
  for (const [path, mode] of MOUNT_POINTS) {
    mkdirSync(join(root, path), { recursive: true });
    chmodSync(join(root, path), mode);
  }
  for (const path of ['etc', 'bin', 'usr/lib']) mkdirSync(join(root, path), { recursive: true });
  for (const name of ETC_FILES) writeFileSync(join(root, 'etc', name), '');
  writeFileSync(join(root, 'bin/sh'), '#!', { mode: 0o755 });
  writeFileSync(join(root, 'usr/lib/os-release'), 'ID=test\nPRETTY_NAME="Test 1"\n');
});
afterEach(() => rmSync(root, { recursive: true }));

/** Ownership aside, which only root can make right: test/kernel/distro.test.ts has it. */
function findings(report = inspectDistro(root)): readonly string[] {
  return report.problems
    .filter(({ message }) => !/root's|belongs to uid/.test(message))
    .map(({ severity, message }) => `${severity}: ${message}`);
}

describe('inspectDistro()', () => {
  test('finds nothing wrong with a whole tree', () => {
    expect(findings()).toEqual([]);
    expect(inspectDistro(root)).toMatchObject({
      osRelease: { id: 'test', prettyName: 'Test 1' },
      etcFiles: [...ETC_FILES],
      missingEtcFiles: [],
      hasShell: true,
      hasBash: false,
    });
  });

  test.each(MOUNT_POINTS)('misses the mount point /%s', (path) => {
    rmdirSync(join(root, path));
    expect(findings()).toEqual([`error: it lacks the directory /${path}`]);
    expect(inspectDistro(root).problems.at(-1)?.fix).toBe(`mkdir ${join(root, path)}`);
  });

  test.each(MOUNT_POINTS)('refuses a symlink in place of /%s, even to a directory', (path) => {
    rmdirSync(join(root, path));
    symlinkSync('/', join(root, path));
    expect(findings()).toEqual([`error: /${path} is a symlink, and must be a directory`]);
  });

  test('notices files of /etc that a vassal’s own cannot cover', () => {
    rmSync(join(root, 'etc/hosts'));
    rmSync(join(root, 'etc/resolv.conf'));
    symlinkSync('../run/resolv.conf', join(root, 'etc/resolv.conf'));
    expect(findings()).toEqual([
      'notice: /etc/hosts is not there, so vassals do not get theirs',
      'notice: /etc/resolv.conf is not a regular file, so vassals do not get theirs',
    ]);
    expect(inspectDistro(root).missingEtcFiles).toEqual(['hosts']);
  });

  test('refuses a FIFO, which a read-only mount does not disarm', () => {
    execFileSync('mkfifo', [join(root, 'usr/pipe')]);
    expect(findings()).toEqual([
      'error: /usr/pipe is a FIFO: vassals could talk to each other or to the host through it',
    ]);
  });

  test('refuses a socket for the same reason', async () => {
    const server = createServer().listen(join(root, 'usr/socket'));
    await once(server, 'listening');
    const found = findings();
    server.close();
    expect(found).toEqual([
      'error: /usr/socket is a socket: vassals could talk to each other or to the host through it',
    ]);
  });

  test('lists setuid files, which nosuid makes harmless', () => {
    writeFileSync(join(root, 'bin/su'), '');
    chmodSync(join(root, 'bin/su'), 0o4755);
    expect(findings()).toEqual([]);
    expect(inspectDistro(root).setuidFiles).toEqual(['/bin/su']);
  });

  test('refuses what every user of the host could change, sticky directories aside', () => {
    mkdirSync(join(root, 'usr/open'));
    chmodSync(join(root, 'usr/open'), 0o777);
    mkdirSync(join(root, 'usr/sticky'));
    chmodSync(join(root, 'usr/sticky'), 0o1777);
    expect(findings()).toEqual(['error: /usr/open is writable by every user of the host']);
  });

  test('does not look below mount points, where vassals see their own', () => {
    execFileSync('mkfifo', [join(root, 'run/pipe')]);
    symlinkSync('/etc/shadow', join(root, 'home/link'));
    expect(findings()).toEqual([]);
  });
});

describe('judgeRoot()', () => {
  test('refuses what is not a directory of its own', () => {
    const link = `${root}.link`;
    symlinkSync(root, link);
    expect(judgeRoot(link)).toMatchObject({ isUsable: false });
    rmSync(link);
    expect(judgeRoot(join(root, 'bin/sh')).problems).toHaveLength(1);
    expect(judgeRoot(join(root, 'nothing')).problems[0]?.fix).toBe('emperor distro add NAME');
  });

  test('does not read an os-release through a symlink, which would be the host’s', () => {
    rmSync(join(root, 'usr/lib/os-release'));
    symlinkSync('/usr/lib/os-release', join(root, 'usr/lib/os-release'));
    expect(judgeRoot(root).osRelease).toBe(null);
  });
});
