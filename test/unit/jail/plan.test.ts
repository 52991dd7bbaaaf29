import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  ETC_FILES,
  etcContent,
  type JailNetwork,
  type JailPlan,
  type JailSpec,
  planJail,
  type Step,
} from '../../../src/jail/plan.ts';
import { FIXTURES } from '../../support/compile.ts';

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
  shell: '/bin/bash',
  home: '/srv/vassals/blog',
  opt: null,
  binds: [],
  runDirectory: '/run/emperor/vassals/blog',
  logDirectory: '/var/log/emperor/blog',
  logMaxBytes: 1000,
  logFiles: 5,
  cgroups: {
    initJoin: '/c/init/cgroup.procs',
    payloadJoin: '/c/payload/cgroup.procs',
    joins: ['/m/cgroup.procs'],
    views: [{ source: '/m', target: '/sys/fs/cgroup/memory' }],
  },
  tmpSizeBytes: 1 << 20,
  runSizeBytes: 1 << 20,
  dns: ['192.0.2.1'],
  network: null,
  hooks: ['hostname foobar'],
  hookTimeoutMs: 30_000,
  ksm: false,
  seccompFilter: new Uint8Array(8),
  homeImage: null,
};

const NETWORK: JailNetwork = {
  interface: 'uwsgi0',
  mtu: 1500,
  queuePackets: 256,
  ipv4: { address: '192.168.0.2/24', isExact: true, gateway: '192.168.0.1' },
  ipv6: { address: 'fd00::2/64', isExact: false, gateway: null },
};
const ORDER: readonly Step['op'][] = ['loopback', 'tun', 'hook', 'sweep', 'address', 'gate'];

const opsOf = (spec: JailSpec) => planJail(spec).steps.map((step) => step.op);
const targets = (steps: readonly Step[]) =>
  steps.flatMap((step) => ('target' in step ? [step.target] : []));

describe('planJail()', () => {
  test('is what the committed list says, which `-u` writes anew: what changed in it is what to review', async () => {
    const binds = [
      { source: '/srv/open', target: '/srv/open', readOnly: false },
      { source: '/srv/closed', target: '/srv/closed', readOnly: true },
    ];
    const jailed = planJail({ ...SPEC, network: NETWORK, opt: '/srv/opt', binds });
    const shared = planJail({ ...SPEC, namespaces: ['fs'], hooks: [] });
    const textOf = ({ steps }: JailPlan) =>
      steps.map((step) => `${JSON.stringify(step)}\n`).join('');
    const text = `${textOf(jailed)}\nWithout namespaces but fs:\n${textOf(shared)}`;
    await expect(text).toMatchFileSnapshot(join(FIXTURES, 'plan.golden'));
  });

  test('shows a tenant its own cgroups read-only, in a /sys that holds nothing else', () => {
    const flags = ['ro', 'nosuid', 'nodev', 'noexec'];
    const stepsAt = (spec: JailSpec) =>
      planJail(spec).steps.filter((step) => 'target' in step && step.target.startsWith('/sys'));
    expect(stepsAt(SPEC)).toEqual([
      { op: 'bind-inside', source: '/dev/.emperor/sys', target: '/sys', flags },
      { op: 'bind', source: '/m', target: '/sys/fs/cgroup/memory', flags },
    ]);
    expect(stepsAt({ ...SPEC, cgroups: { ...SPEC.cgroups, views: [] } })).toEqual([]);
  });

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
    for (const op of ['private', 'root', 'proc', 'tmpfs', 'bind', 'pivot', 'hostname'] as const) {
      expect(ops).not.toContain(op);
    }
    expect(ops).toContain('loopback');
  });

  test('mounts the image of a home on it before hooks and binds see it, in a mount namespace of its own alone', () => {
    const spec = { ...SPEC, homeImage: '/homes/.images/blog' };
    const { steps } = planJail(spec);
    const at = steps.findIndex(({ op }) => op === 'image');
    expect(steps[at]).toEqual({
      op: 'image',
      source: '/homes/.images/blog',
      target: SPEC.home,
      uid: SPEC.uid,
      gid: SPEC.gid,
    });
    expect(steps.slice(at - 2, at).map(({ op }) => op)).toEqual(['private', 'home']);
    expect(opsOf(SPEC)).not.toContain('image');
    expect(opsOf({ ...spec, namespaces: ['pid'] })).not.toContain('image');
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

  test('makes the tun before hooks, so that they can name it, and settles its address after them', () => {
    const ops = opsOf({ ...SPEC, network: NETWORK });
    expect(ops.filter((op) => ORDER.includes(op))).toEqual(ORDER);
    expect(opsOf(SPEC)).not.toContain('tun');
  });

  test('makes no tun in a network namespace that is not the vassal’s own', () => {
    const ops = opsOf({ ...SPEC, network: NETWORK, namespaces: ['fs', 'pid'] });
    for (const op of ['tun', 'address'] as const) expect(ops).not.toContain(op);
  });

  test('says which addresses hooks may not replace', () => {
    const { steps } = planJail({ ...SPEC, network: NETWORK });
    expect(steps.find(({ op }) => op === 'address')).toEqual({
      op: 'address',
      target: 'uwsgi0',
      address: '192.168.0.2/24',
      gateway: '192.168.0.1',
      address6: 'fd00::2/64',
      gateway6: null,
      exact: ['address'],
    });
  });

  test('names the vassal by those of its addresses that no hook can change', () => {
    const hosts = (changes: Partial<JailSpec>) => etcContent('hosts', { ...SPEC, ...changes });
    expect(hosts({})).toContain('\n127.0.1.1 blog\n');
    const own = hosts({ network: NETWORK, hooks: [] });
    expect(own).toContain('\n192.168.0.2 blog\nfd00::2 blog\n');
    expect(own).not.toContain('127.0.1.1');
    expect(hosts({ network: NETWORK })).toContain('ip6-loopback\n192.168.0.2 blog\n');
    expect(hosts({ network: NETWORK })).not.toContain('fd00::2');
  });

  test('gives the tenant a user name, and no uid 0', () => {
    expect(etcContent('passwd', SPEC)).toContain('blog:x:200000:200000::/home/blog:/bin/bash\n');
    expect(etcContent('resolv.conf', SPEC)).toBe('nameserver 192.0.2.1\n');
  });
});
