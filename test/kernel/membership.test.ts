/** The cgroups that say who belongs to a vassal, on each kind of hierarchy this kernel has mounted. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Leaves, type Membership, openMembership } from '../../src/cgroup/membership.ts';
import { membershipMount } from '../../src/cgroup/membership-mount.ts';
import { hasCgroups, mountOf } from '../support/cgroup-tree.ts';
import { until } from '../support/wait.ts';

/** As built: Node 20 reads no TypeScript. */
const MODULE = resolve(import.meta.dirname, '../../dist/cgroup/membership-mount.js');
const PARENT = `emperor-test-${process.pid}-membership`;
test('a process that sees no cgroup mount, as under `ip netns exec`, mounts one with the options it has', () => {
  const directory = mkdtempSync(join(tmpdir(), 'emperor-membership-'));
  const script = `import(${JSON.stringify(MODULE)}).then(({ provideMembershipMount }) => {
    const { kind, path, options } = provideMembershipMount(${JSON.stringify(directory)});
    console.log(JSON.stringify({ kind, path, options }));
    console.log(require('fs').readdirSync(path).join(' '));
  })`;
  try {
    const hide = 'umount -l /sys && mount -t sysfs sysfs /sys && exec "$@"';
    const command = ['-m', 'sh', '-c', hide, 'sh', process.execPath, '-e', script];
    const [found = '', files] = execFileSync('unshare', command, { encoding: 'utf8' }).split('\n');
    expect(JSON.parse(found)).toEqual({ ...mountOf('v2'), path: join(directory, 'cgroup') });
    expect(files).toMatch(/cgroup\.procs/);
  } finally {
    rmSync(directory, { recursive: true });
  }
  expect(membershipMount(readFileSync('/proc/self/mountinfo', 'utf8'))).toEqual(mountOf('v2'));
});

for (const kind of ['v2', 'v1'] as const) {
  describe.runIf(hasCgroups(kind))(`membership by cgroup ${kind}`, () => testMembership(kind));
}

function testMembership(kind: Membership['kind']): void {
  let membership: Membership;
  let leaves: Leaves;
  const children: ChildProcess[] = [];

  beforeEach(() => {
    membership = openMembership({
      mount: mountOf(kind),
      parent: PARENT,
      listDirectories: (path) =>
        readdirSync(path, { withFileTypes: true })
          .filter((entry) => entry.isDirectory())
          .map(({ name }) => name),
    });
    leaves = membership.create('blog');
  });
  afterEach(async () => {
    membership.setFrozen('blog', false);
    for (const child of children.splice(0)) child.kill('SIGKILL');
    await until('its cgroups can be removed', () => membership.remove('blog'));
    rmdirSync(join(mountOf(kind).path, PARENT));
  });

  /** A process that joins the payload by itself and runs `script`. */
  function start(script: string): ChildProcess {
    const join = `echo $$ > ${leaves.payloadJoin} && ${script}`;
    const child = spawn('sh', ['-c', join], { stdio: 'ignore' });
    children.push(child);
    return child;
  }

  test('is of that kind, and knows whether anyone is left', async () => {
    expect(membership.kind).toBe(kind);
    expect(membership.isPopulated('blog')).toBe(false);
    const child = start('exec sleep 1000');
    await until('it has joined', () => membership.payloadPids('blog').includes(child.pid ?? 0));
    expect(membership.isPopulated('blog')).toBe(true);
    expect(membership.remove('blog')).toBe(false);
    expect(membership.names()).toEqual(['blog']);
  });

  test('kills all of them, however they fork', async () => {
    start('while :; do sleep 1000 & done');
    await until('there are some', () => membership.payloadPids('blog').length > 20);
    await until('none is left', () => {
      membership.kill('blog');
      return !membership.isPopulated('blog');
    });
    expect(membership.payloadPids('blog')).toEqual([]);
  });

  test('freezes and thaws the payload, and a frozen one can be killed', async () => {
    const child = start('exec sleep 1000');
    await until('it has joined', () => membership.payloadPids('blog').length === 1);
    membership.setFrozen('blog', true);
    await until('it is frozen', () => membership.isFrozen('blog'));
    membership.setFrozen('blog', false);
    expect(membership.isFrozen('blog')).toBe(false);
    membership.setFrozen('blog', true);
    const ended = once(child, 'exit');
    membership.kill('blog');
    membership.setFrozen('blog', false);
    await ended;
  });

  test('says nothing of a vassal that is not there', () => {
    expect(membership.isPopulated('nobody')).toBe(false);
    expect(membership.payloadPids('nobody')).toEqual([]);
    expect(membership.isFrozen('nobody')).toBe(false);
    expect(membership.remove('nobody')).toBe(true);
    membership.kill('nobody');
  });
}
