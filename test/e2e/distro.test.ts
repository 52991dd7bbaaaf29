/** Distros as an operator keeps them and a customer chooses them. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, renameSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { VassalStatus } from '../../src/emperor/governor.ts';
import { BOOKWORM, TestEmperor } from '../support/emperor.ts';

let emperor: TestEmperor;
let distros: string;
const status = (name: string) => emperor.status(name);
const file = (distro: string) => `[vassal]\ncommand = sleep 1000\ndistro = ${distro}\n`;

beforeAll(async () => {
  emperor = new TestEmperor({ distros: 'distros' });
  distros = join(emperor.directory, 'distros');
  mkdirSync(distros);
  for (const name of ['bookworm', 'other']) {
    execFileSync('cp', ['-a', join(BOOKWORM, 'bookworm'), join(distros, name)]);
    const program = `#!/bin/sh\necho version of ${name}\n`;
    writeFileSync(join(distros, name, 'usr/bin/language'), program, { mode: 0o755 });
  }
  unlinkSync(join(distros, 'other/usr/lib/os-release'));
  writeFileSync(
    join(distros, 'other/usr/lib/os-release'),
    'ID=other\nPRETTY_NAME="The other one"\n',
  );
  await emperor.start();
}, 120_000);
afterAll(() => emperor.close());

const osRelease = (name: string) =>
  emperor.cli('exec', name, '--', 'cat', '/etc/os-release').stdout;

test('M24: a customer changes the distro by one line', () => {
  emperor.apply('mover', file('bookworm'));
  expect(osRelease('mover')).toMatch(/bookworm/);
  emperor.apply('mover', file('other'));
  expect(osRelease('mover')).toMatch(/The other one/);
});

test('M2: vassals side by side have each the version of a program that their distro has', () => {
  emperor.apply('steady', file('bookworm'));
  const version = (name: string) => emperor.cli('exec', name, '--', 'language').stdout;
  expect([version('mover'), version('steady')]).toEqual([
    'version of other\n',
    'version of bookworm\n',
  ]);
});

test('M34: what is upgraded in a distro its vassals have at once, as they are, and those of another never', () => {
  const before = ['mover', 'steady'].map(status);
  // As dpkg does: a new file is renamed over the old one.
  const upgrade = (path: string, text: string) => {
    writeFileSync(join(distros, 'other', `${path}.dpkg-new`), text);
    renameSync(join(distros, 'other', `${path}.dpkg-new`), join(distros, 'other', path));
  };
  upgrade('usr/lib/os-release', 'ID=other\nPRETTY_NAME="The other one"\nBUILD_ID=updated\n');
  expect(osRelease('mover')).toMatch(/updated/);
  expect(osRelease('steady')).not.toMatch(/updated/);
  const lives = ({ pid, generation, processes }: VassalStatus) => ({ pid, generation, processes });
  expect(['mover', 'steady'].map(status).map(lives)).toEqual(before.map(lives));
});

test('partly M25: the distro is read-only for the tenant, and cannot be made writable', () => {
  const shell = (script: string) => emperor.cli('exec', 'mover', '--', 'sh', '-c', script);
  expect(shell('touch /x 2>&1')).toMatchObject({
    status: 1,
    stdout: expect.stringMatching(/Read-only/),
  });
  expect(shell('touch /usr/lib/x 2>&1').stdout).toMatch(/Read-only/);
  expect(shell('mount -o remount,rw / 2>&1').status).not.toBe(0);
});

test('`distro ls` names users, and `distro rm` refuses while there are any', () => {
  const listed = emperor.json<readonly { name: string; usedBy?: readonly string[] }[]>(
    'distro',
    'ls',
  );
  expect(listed.map(({ name }) => name)).toEqual(['bookworm', 'other']);
  const answer = emperor.cli('distro', 'rm', 'other');
  expect(answer.status).toBe(1);
  expect(answer.stderr).toMatch(/Cannot remove distro other: .*mover/);
  expect(osRelease('mover')).toMatch(/The other one/);
});

test('a distro that no vassal can use is refused with the fix, and the vassal runs once it is fixed', () => {
  execFileSync('cp', ['-a', join(BOOKWORM, 'bookworm'), join(distros, 'odd')]);
  rmSync(join(distros, 'odd/proc'), { recursive: true });
  emperor.write('pioneer', file('odd'));
  const refused = emperor.cli('wait', 'pioneer', '--for', 'applied', '--timeout', '10s');
  expect(refused.status).toBe(1);
  expect(refused.stderr).toMatch(/lacks the directory \/proc.*mkdir/);
  expect(status('pioneer').state).toBe('failed');
  mkdirSync(join(distros, 'odd/proc'));
  expect(emperor.cli('start', 'pioneer').status).toBe(0);
  expect(status('pioneer').state).toBe('running');
});

test('`distro verify` walks the tree: FIFOs, symlinked mount points, setuid files', () => {
  execFileSync('cp', ['-a', join(BOOKWORM, 'bookworm'), join(distros, 'bad')]);
  execFileSync('mkfifo', [join(distros, 'bad/srv/pipe')]);
  rmSync(join(distros, 'bad/dev'), { recursive: true });
  symlinkSync('/dev', join(distros, 'bad/dev'));
  const answer = emperor.cli('distro', 'verify', 'bad');
  expect(answer.status).toBe(1);
  expect(answer.stdout + answer.stderr).toMatch(/\/dev is a symlink/);
  expect(answer.stdout + answer.stderr).toMatch(/srv\/pipe is a FIFO/);
  expect(emperor.cli('distro', 'verify', 'bookworm').status).toBe(0);
  expect(emperor.cli('distro', 'rm', 'bad').status).toBe(0);
});

test('a distro that does not exist is a diagnostic that names those that do', () => {
  emperor.write('lost', file('bookwrom'));
  const answer = emperor.cli('wait', 'lost', '--for', 'applied', '--timeout', '10s');
  expect(answer.status).toBe(1);
  expect(answer.stderr).toMatch(/lost\.ini:3:.*bookworm/s);
});
