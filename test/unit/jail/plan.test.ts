import { describe, expect, test } from 'vitest';
import {
  ETC_FILES,
  etcContent,
  type JailSpec,
  planJail,
  type Step,
} from '../../../src/jail/plan.ts';

const SPEC: JailSpec = {
  name: 'blog',
  generation: 1,
  hash: 'h',
  namespaces: ['fs', 'ipc', 'uts', 'net', 'pid'],
  uid: 200_000,
  gid: 200_000,
  hostname: 'blog',
  distro: '/distros/bookworm',
  etcFiles: ETC_FILES,
  hasBash: true,
  home: '/srv/vassals/blog',
  opt: null,
  binds: [],
  runDirectory: '/run/emperor/vassals/blog',
  logDirectory: '/var/log/emperor/blog',
  logMaxBytes: 1000,
  logFiles: 5,
  cgroup: { initProcs: '/c/init/cgroup.procs', payloadProcs: '/c/payload/cgroup.procs' },
  tmpSizeBytes: 1 << 20,
  runSizeBytes: 1 << 20,
  dns: ['192.0.2.1'],
  hooks: ['hostname foobar'],
  hookTimeoutMs: 30_000,
  seccompFilter: new Uint8Array(8),
};

const opsOf = (spec: JailSpec) => planJail(spec).steps.map((step) => step.op);
const targets = (steps: readonly Step[]) =>
  steps.flatMap((step) => ('target' in step ? [step.target] : []));

describe('planJail()', () => {
  test('runs hooks after lo is up, sweeps up after them, and lets nothing of the tenant run before the gate', () => {
    const ops = opsOf(SPEC);
    const order = [
      'lock',
      'cgroup',
      'root',
      'loopback',
      'hook',
      'sweep',
      'gate',
      'pivot',
      'drop',
      'seccomp',
    ];
    expect(order.map((op) => ops.indexOf(op as Step['op']))).toEqual(
      order.map((op) => ops.indexOf(op as Step['op'])).toSorted((a, b) => a - b),
    );
    expect(ops.slice(ops.indexOf('gate'))).toEqual([
      'gate',
      'pivot',
      'rlimit',
      'rlimit',
      'drop',
      'seccomp',
    ]);
  });

  test('has no mount step without the fs namespace', () => {
    const ops = opsOf({ ...SPEC, namespaces: ['pid', 'net'] });
    for (const op of ['root', 'proc', 'tmpfs', 'bind', 'pivot', 'hostname'] as const) {
      expect(ops).not.toContain(op);
    }
    expect(ops).toContain('loopback');
  });

  test('covers only those files of /etc that the distro has', () => {
    const { steps } = planJail({ ...SPEC, etcFiles: ['passwd'] });
    expect(targets(steps).filter((path) => path.startsWith('/etc/'))).toEqual(['/etc/passwd']);
  });

  test('makes every directory it binds below in a tmpfs of its own, never in one the tenant can write to', () => {
    const { steps } = planJail(SPEC);
    const made = steps.filter(({ op }) => ['directory', 'file', 'device', 'symlink'].includes(op));
    for (const path of targets(made)) expect(path).toMatch(/^\/(dev|run)\//);
    const binds = steps.filter(({ op }) => op === 'bind' || op === 'bind-inside');
    for (const path of targets(binds)) expect(path).not.toMatch(/^\/(tmp|run|var\/tmp)\//);
  });

  test('gives the tenant a user name, and no uid 0', () => {
    expect(etcContent('passwd', SPEC)).toContain('blog:x:200000:200000::/home/blog:/bin/bash\n');
    expect(etcContent('resolv.conf', SPEC)).toBe('nameserver 192.0.2.1\n');
  });
});
