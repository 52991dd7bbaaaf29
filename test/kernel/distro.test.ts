import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chownSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { judgeRoot, MOUNT_POINTS } from '../../src/distro/inspect.ts';
import { listDistros, removeDistro, verifyDistro } from '../../src/distro/keep.ts';
import { compileFixture } from '../support/compile.ts';

const DISTROS = resolve(import.meta.dirname, '../../distros');

describe('the distro that set-up builds', () => {
  test('is usable, whole and Debian', () => {
    const report = verifyDistro(DISTROS, 'bookworm');
    expect(report.problems.filter(({ severity }) => severity === 'error')).toEqual([]);
    expect(report).toMatchObject({
      isUsable: true,
      osRelease: { id: 'debian', codename: 'bookworm' },
      missingEtcFiles: [],
      hasShell: true,
      hasBash: true,
    });
    expect(report.setuidFiles).toContain('/usr/bin/su');
  });

  test('says nothing of the host it was built on', () => {
    for (const name of ['hostname', 'resolv.conf']) {
      expect(lstatSync(join(DISTROS, 'bookworm/etc', name)).size).toBe(0);
    }
  });
});

describe('a distro of one’s own', () => {
  let directory: string;
  let root: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'emperor-distros-'));
    root = join(directory, 'small');
    for (const [path] of MOUNT_POINTS) mkdirSync(join(root, path), { recursive: true });
    for (const path of ['etc', 'bin']) mkdirSync(join(root, path));
    writeFileSync(join(root, 'bin/sh'), '');
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  test('is refused when somebody else could change it', () => {
    expect(judgeRoot(root).isUsable).toBe(true);
    chownSync(root, 1234, 1234);
    expect(judgeRoot(root).isUsable).toBe(false);
    chownSync(root, 0, 0);
    chownSync(join(root, 'bin/sh'), 1234, 1234);
    expect(judgeRoot(root).isUsable).toBe(true);
    expect(verifyDistro(directory, 'small').problems).toContainEqual({
      severity: 'error',
      path: join(root, 'bin/sh'),
      message: '/bin/sh belongs to uid 1234, who can change it for every vassal',
      fix: `chown -h root: ${join(root, 'bin/sh')}`,
    });
  });

  test('cannot be removed while a process has it as its root', async () => {
    compileFixture('forever', join(root, 'bin/forever'));
    const inode = statSync(root).ino;
    const child = spawn('chroot', [root, '/bin/forever'], { stdio: ['ignore', 'pipe', 'ignore'] });
    await once(child.stdout, 'data');
    await expect(removeDistro({ directory, name: 'small' })).rejects.toMatchObject({
      code: 'in-use',
      message: `Cannot remove distro small: it is the root directory of process ${child.pid}`,
    });
    expect(statSync(root).ino).toBe(inode);
    child.kill('SIGKILL');
    await once(child, 'exit');
    await removeDistro({ directory, name: 'small' });
    expect(listDistros(directory)).toEqual([]);
  });
});
