/** Distros as an operator keeps them and a customer chooses them. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, renameSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { VassalStatus } from '../../src/emperor/governor.ts';
import { BINARY, BOOKWORM, TestEmperor } from '../support/emperor.ts';
import { OtherMachine } from '../support/other-machine.ts';
import { patienceMs } from '../support/slowness.ts';

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
}, patienceMs(120_000));
afterAll(() => emperor.close(), 120_000);

/** A distro whose files are those of bookworm: they may be replaced, and not written to. */
function linkTree(name: string): string {
  execFileSync('cp', ['-al', join(distros, 'bookworm'), join(distros, name)]);
  return join(distros, name);
}
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
  linkTree('odd');
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

test('a tree as plain debootstrap leaves it runs, and stays as it is', () => {
  const root = linkTree('plain');
  // What it does unlike mmdebstrap: devices, the host's name and resolvers, no hosts.
  rmSync(join(root, 'etc/hosts'));
  rmSync(join(root, 'dev'), { recursive: true });
  mkdirSync(join(root, 'dev/pts'), { recursive: true });
  execFileSync('mknod', ['-m666', join(root, 'dev/null'), 'c', '1', '3']);
  execFileSync('mknod', ['-m666', join(root, 'dev/ptmx'), 'c', '5', '2']);
  symlinkSync('/proc/self/fd', join(root, 'dev/fd'));
  rmSync(join(root, 'etc/hostname'));
  writeFileSync(join(root, 'etc/hostname'), 'of-the-host\n');
  const listing = () =>
    execFileSync('sh', ['-c', 'find "$0" -ls | sha256sum', root], { encoding: 'utf8' });
  const before = listing();
  expect(emperor.cli('distro', 'verify', 'plain').stdout).toMatch(
    /^notice: \/etc\/hosts .*\n {2}fix: .*\n.*\nplain \(.*\): usable\n$/,
  );
  emperor.apply('newcomer', file('plain'));
  const shell = (script: string) => emperor.cli('exec', 'newcomer', '--', 'sh', '-c', script);
  expect(shell('cat /etc/hostname; whoami; echo x > /dev/null && ls /dev').stdout).toMatch(
    /^newcomer\nnewcomer\nfd\nfull\nmqueue\nnull\n/,
  );
  expect(listing()).toBe(before);
});

test('`distro add` has either tool build one, shows what that says, and leaves nothing of one that failed', async () => {
  const machine = new OtherMachine();
  try {
    await machine.start();
    // What takes half a minute and a mirror is done by somebody of the same name; the suite `sid` cannot be had.
    machine.shell(`mkdir -p /srv/distros && cat > /usr/bin/mmdebstrap <<'.'
#!/bin/sh
echo "$(basename "$0"): $*"
for word; do case $word in /srv/*) mkdir "$word" "$word/etc" "$word/usr";; esac; done
case $* in *sid*) echo 'E: no such suite'; exit 1;; esac
.
      cp /usr/bin/mmdebstrap /usr/sbin/debootstrap
      printf '[emperor]\\nvassals = /srv\\ndistros = /srv/distros\\n' > /srv/emperor.ini`);
    const distro = (...words: readonly string[]) =>
      machine.run([BINARY, '--ini', '/srv/emperor.ini', 'distro', ...words]);
    const added = distro('add', 'trixie', '--include', 'curl,php');
    expect(added.output).toMatch(/^mmdebstrap: .*--include=curl,php .* trixie .*\/\.trixie\.new/m);
    expect(added.status).toBe(0);
    expect(distro('add', 'trixie')).toMatchObject({ output: expect.stringMatching(/is there/) });
    const other = distro('add', 'web', '--suite', 'bookworm', '--tool', 'debootstrap');
    expect(other).toMatchObject({
      status: 0,
      output: expect.stringMatching(/^debootstrap: .* bookworm /m),
    });
    const failed = distro('add', 'old', '--suite', 'sid');
    expect(failed.status).toBe(1);
    expect(failed.output).toMatch(/Cannot add distro old: mmdebstrap failed: .*no such suite$/m);
    expect(machine.shell('ls -A /srv/distros')).toBe('trixie\nweb\n');
    expect(distro('ls').output).toMatch(/trixie.*web/s);
  } finally {
    await machine.close();
  }
});

test('`distro verify` walks the tree: FIFOs, symlinked mount points, setuid files', () => {
  linkTree('bad');
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
