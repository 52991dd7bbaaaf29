/**
 * A root file system for tests, made in a moment: the mount points a distro must have, a few files in /etc
 * and the programs of test/fixtures, statically linked, in /bin. No shell: tests say what they run.
 */
import { chmodSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ETC_FILES } from '../../src/jail/plan.ts';
import { compileFixture, FIXTURES } from './compile.ts';

const DIRECTORIES = [
  ...['bin', 'dev', 'etc', 'home', 'opt', 'proc', 'root', 'run', 'srv', 'sys', 'tmp', 'usr'],
  ...['var', 'var/log', 'var/tmp'],
];

/** No programs to be run inside. */
const OUTSIDE = ['probes-seccomp', 'sweeps-syscalls'];

/** Makes the tree at `root`, which must not exist, and returns that path. */
export function makeTinyDistro(root: string): string {
  mkdirSync(root);
  // mkdtemp and a strict umask must not keep tenants out.
  chmodSync(root, 0o755);
  for (const path of DIRECTORIES) mkdirSync(join(root, path), { mode: 0o755 });
  for (const name of ETC_FILES) writeFileSync(join(root, 'etc', name), '');
  writeFileSync(join(root, 'etc/os-release'), 'ID=tiny\nNAME=Tiny\n');
  for (const name of fixtureNames()) compileFixture(name, join(root, 'bin', name));
  return root;
}

function fixtureNames(): readonly string[] {
  return readdirSync(FIXTURES)
    .filter((file) => file.endsWith('.c'))
    .map((file) => file.slice(0, -2))
    .filter((name) => !OUTSIDE.includes(name));
}
