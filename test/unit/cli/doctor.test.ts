import { describe, expect, test } from 'vitest';
import { renderFindings } from '../../../src/cli/commands/doctor.ts';
import type { Facts, NetworkFacts } from '../../../src/cli/doctor/facts.ts';
import { judgeMachine } from '../../../src/cli/doctor/judge.ts';
import type { ForwardDrop } from '../../../src/network/preflight.ts';

const NETWORK: NetworkFacts = {
  device: 'emperor0',
  hasNat: true,
  packets: { mode: 'gso', reason: null },
  forwardDrops: [],
  nameServers: { own: ['192.0.2.1'], reachable: ['192.0.2.1'] },
  dns: [],
};
const DOCKER: ForwardDrop = {
  chain: 'ip filter FORWARD',
  keeper: 'docker',
  acceptsFrom: false,
  acceptsTo: true,
};

const SOUND: Facts = {
  uid: 0,
  missingCapabilities: [],
  kernelRelease: '6.1.0-40-amd64',
  namespaces: { fs: null, ipc: null, uts: null, net: null, pid: null },
  cgroupKind: 'v2',
  controllers: ['cpuset', 'cpu', 'io', 'memory', 'pids'],
  openat2: null,
  seccompActions: ['kill_process', 'errno', 'allow'],
  leases: [{ directory: '/vassals', failure: null }],
  tun: null,
  network: NETWORK,
  homeImages: null,
  inotifyInstances: 128,
  inotifyWatches: 65_536,
  openFiles: 1_048_576,
  pidMax: 4_194_304,
  ptyMax: 4096,
  ptyUsed: 3,
  builders: ['/usr/bin/mmdebstrap'],
  isProgramBuilt: true,
  distrosDirectory: '/distros',
  distros: [
    {
      name: 'bookworm',
      path: '/distros/bookworm',
      osRelease: { id: 'debian', codename: 'bookworm', prettyName: 'Debian GNU/Linux 12' },
      isUsable: true,
      problems: [],
      etcFiles: [],
      missingEtcFiles: [],
      hasShell: true,
      hasBash: true,
      setuidFiles: [],
    },
  ],
  configErrors: 0,
  hostSettings: { sysctls: new Map(), swaps: [], ksm: 'off' },
  nowMs: 2000,
  builtMs: 1000,
};

const worst = (changes: Partial<Facts>) =>
  judgeMachine({ ...SOUND, ...changes }).filter(({ verdict }) => verdict !== 'ok');

test('a sound machine has nothing to fix', () => {
  expect(worst({})).toEqual([]);
});

describe('every fault is told with a fix', () => {
  const cases: readonly (readonly [string, 'warning' | 'problem', Partial<Facts>])[] = [
    ['root', 'problem', { uid: 1000 }],
    ['capabilities', 'problem', { missingCapabilities: ['sys_admin'] }],
    ['capabilities', 'warning', { missingCapabilities: ['sys_resource'] }],
    ['kernel', 'problem', { kernelRelease: '5.10.0-30-amd64' }],
    ['kernel', 'problem', { openat2: 'ENOSYS' }],
    ['namespaces', 'problem', { namespaces: { ...SOUND.namespaces, net: 'EPERM' } }],
    ['cgroups', 'problem', { cgroupKind: null }],
    ['limits', 'warning', { controllers: ['cpu', 'pids'] }],
    ['seccomp', 'problem', { seccompActions: ['allow'] }],
    ['leases', 'warning', { leases: [{ directory: '/nfs', failure: 'EINVAL' }] }],
    ['tun', 'warning', { tun: 'ENOENT' }],
    [
      'name servers',
      'warning',
      { network: { ...NETWORK, nameServers: { own: ['127.0.0.53'], reachable: [] } } },
    ],
    ['nat', 'problem', { network: { ...NETWORK, forwardDrops: new Error('there is no nft') } }],
    ['forwarding', 'warning', { network: { ...NETWORK, forwardDrops: [DOCKER] } }],
    ['home-size', 'warning', { homeImages: { what: 'there is no x', fix: 'get x' } }],
    ['inotify', 'warning', { inotifyInstances: 1 }],
    ['open files', 'warning', { openFiles: 1024 }],
    ['processes', 'warning', { pidMax: 32_768 }],
    ['ptys', 'warning', { ptyMax: 10, ptyUsed: 9 }],
    ['init', 'problem', { isProgramBuilt: false }],
    ['emperor.ini', 'warning', { configErrors: null }],
    ['emperor.ini', 'problem', { configErrors: 2 }],
    ['debian builder', 'warning', { builders: [] }],
    ['distros', 'problem', { distros: [] }],
    ['clock', 'problem', { nowMs: 0 }],
  ];
  test.each(cases)('%s: a %s', (topic, verdict, changes) => {
    const findings = worst(changes);
    expect(findings).toMatchObject([{ topic, verdict }]);
    expect(findings[0]?.fix).toMatch(/\w{3}/);
  });

  test('how packets go: whole, one by one, or not at all', () => {
    const plain = { mode: 'plain', reason: 'EINVAL' } as const;
    expect(worst({ network: { ...NETWORK, packets: plain } })).toMatchObject([
      { topic: 'router', verdict: 'warning', message: expect.stringContaining('EINVAL') },
    ]);
    const packets = new Error('there is no ip; `apt-get install iproute2`');
    expect(worst({ network: { ...NETWORK, packets } })).toMatchObject([
      { topic: 'router', verdict: 'problem', message: expect.stringContaining('there is no ip') },
    ]);
  });

  test('no nft where nothing asks for NAT: nothing', () => {
    const network = { ...NETWORK, hasNat: false, forwardDrops: new Error('there is no nft') };
    expect(worst({ network })).toEqual([]);
  });

  test('an unusable distro, with what is wrong with it', () => {
    const problem = {
      severity: 'error',
      path: '/d',
      message: 'it lacks /proc',
      fix: 'mkdir',
    } as const;
    const distros = SOUND.distros.map((distro) => ({ ...distro, problems: [problem] }));
    expect(worst({ distros })).toMatchObject([
      { topic: 'distro bookworm', message: 'it lacks /proc', fix: 'mkdir' },
    ]);
  });
});

test('the text has a line a finding and one more for each fix', () => {
  const text = renderFindings(judgeMachine({ ...SOUND, tun: 'ENOENT' }));
  expect(text).toMatch(/^warning {2}tun: .*ENOENT.*\n {9}fix: /m);
  expect(text).toMatch(/^ok {7}root: runs as root$/m);
});
