import { describe, expect, test } from 'vitest';
import { renderAnswer } from '../../../src/cli/commands/firewall.ts';
import { renderList } from '../../../src/cli/commands/ls.ts';
import { parseTop } from '../../../src/cli/commands/net.ts';
import { renderStats } from '../../../src/cli/commands/stats.ts';
import { renderStatus } from '../../../src/cli/commands/status.ts';
import { renderNetwork, renderVassalNetwork } from '../../../src/cli/network-text.ts';
import { withRates } from '../../../src/cli/traffic-rates.ts';
import {
  emperorStats,
  networkStatus,
  ROUTER,
  trafficOfBytes,
  vassalNetworkStatus,
  vassalStatus,
} from '../../support/governor.ts';

const NOW = Date.parse('2026-01-02T03:06:10.000Z');

describe('net', () => {
  test('shows the router, the host, the rules with what they denied, and the vassals', () => {
    expect(renderNetwork(networkStatus(), { top: 1 })).toBe(
      `router     emperor0, pid 77, large packets whole (gso), 60.0M, 1.50 s cpu
address    10.0.0.1/24, fd00::1/64
pool       10.0.0.0/24: 3 used, 250 free
nat        auto
dns        9.9.9.9
host in    2.0K, 2 packets
host out   1.0K, 1 packets
dropped    3: no-vassal 3
denied     0

CHAIN  DENIED  RULE
in          7  deny 10.0.0.0/24 10.0.0.0/24
in          0  policy allow
out         1  deny 10.0.0.3 1.1.1.1 (own rule of blog)
out         4  deny (no more)

NAME  STATE    ADDRESS   RECEIVED  SENT  PACKETS  DROPPED  DENIED
blog  running  10.0.0.2      2.0K  1.0K        3        3       0

1 more: --top 2
`,
    );
  });

  test('says so while a new router is being started, and why packets are plain', () => {
    const none = { ...ROUTER, pid: null, mode: null, memoryBytes: null, cpuSeconds: null };
    const look = (router: typeof none | typeof ROUTER) =>
      renderNetwork(networkStatus({ router }), { top: 0 }).split('\n')[0];
    expect(look(none)).toBe('router     emperor0, none: a new one is being started');
    expect(look({ ...ROUTER, mode: 'plain', reason: 'EINVAL' })).toContain(
      'plain packets (EINVAL)',
    );
  });

  test('of one vassal shows what is its own', () => {
    const network = vassalNetworkStatus('blog', {
      device: 'tun0',
      isAttached: true,
      address: '10.0.0.2',
      gateway: '10.0.0.1',
      dns: ['9.9.9.9', '1.1.1.1'],
      rules: [
        { chain: 'out', rule: 'deny 10.0.0.2 1.1.1.1', vassal: 'blog', denied: 5, inForce: true },
      ],
      traffic: trafficOfBytes(2048, 1024, { 'denied-out': 5, spoofed: 1 }),
    });
    expect(renderVassalNetwork(network)).toBe(
      `blog
device     tun0, attached
address    10.0.0.2
gateway    10.0.0.1
dns        9.9.9.9, 1.1.1.1
received   2.0K, 2 packets
sent       1.0K, 1 packets
dropped    1: spoofed 1
denied     5: denied-out 5

CHAIN  DENIED  RULE
out         5  deny 10.0.0.2 1.1.1.1
`,
    );
    expect(renderVassalNetwork(vassalNetworkStatus('x'))).toMatch(/^x has no device/);
  });

  test('--top takes a whole number', () => {
    expect(parseTop(undefined)).toBe(10);
    expect(parseTop('3')).toBe(3);
    expect(() => parseTop('-1')).toThrow(expect.objectContaining({ code: 'bad-usage' }));
  });
});

test('withRates() has who is fastest first, whoever moved most so far; one that is new or purged is not slow', () => {
  const [big, small] = networkStatus().vassals;
  if (!big || !small) throw new Error('two vassals');
  const at = (bigBytes: number, smallBytes: number) =>
    networkStatus({
      vassals: [
        { ...big, traffic: trafficOfBytes(bigBytes, 0) },
        { ...small, traffic: trafficOfBytes(smallBytes, 2048) },
        { ...small, name: 'other', traffic: trafficOfBytes(5, 5) },
      ],
    });
  const before = { ...at(100_000, 1024), vassals: at(100_000, 1024).vassals.slice(0, 2) };
  const { vassals } = withRates(before, at(50, 9216), 2);
  expect(vassals.map(({ name, rates }) => [name, rates?.rxBytesPerSecond])).toEqual([
    ['shop', 4096],
    ['blog', 0],
    ['other', 0],
  ]);
});

test('an answer of the firewall is one line that begins with its verdict', () => {
  const decision = { chain: 'out', action: 'allow', rule: null, vassal: null } as const;
  const own = {
    ...decision,
    action: 'deny',
    rule: 'deny 10.0.0.2 1.1.1.1',
    vassal: 'blog',
  } as const;
  expect(renderAnswer({ verdict: 'allow', decisions: [decision] })).toBe(
    'allow  out: policy allow',
  );
  expect(renderAnswer({ verdict: 'deny', decisions: [own] })).toBe(
    'deny  out: deny 10.0.0.2 1.1.1.1 (own rule of blog)',
  );
  const error = { code: 'bad-usage', message: 'no\u001b[31m' } as const;
  expect(renderAnswer({ error })).toBe('error: no\\x1b[31m');
});

test('ls has a column of addresses where anybody has one', () => {
  const blog = vassalStatus('blog', { address: '10.0.0.2', address6: 'fd00::2' });
  const six = vassalStatus('six', { address6: 'fd00::6' });
  const lines = (...vassals: readonly ReturnType<typeof vassalStatus>[]) =>
    renderList(vassals, { nowMs: NOW }).split('\n');
  expect(lines(vassalStatus('lonely'))[0]).not.toContain('ADDRESS');
  expect(lines(blog, six, vassalStatus('lonely'))).toEqual([
    'NAME    STATE     PID  UPTIME  RESTARTS  ADDRESS   DISTRO    TROUBLE',
    'blog    running  4242   2m05s         0  10.0.0.2  bookworm',
    'six     running  4242   2m05s         0  fd00::6   bookworm',
    'lonely  running  4242   2m05s         0  -         bookworm',
    '',
  ]);
});

test('status and stats tell of traffic and of the router', () => {
  const network = trafficOfBytes(2048, 1024, { 'not-taken': 2 });
  expect(renderStatus(vassalStatus('blog', { network }), { nowMs: NOW })).toContain(
    '  dropped     2: not-taken 2\n',
  );
  expect(renderStats(emperorStats({ router: ROUTER }), NOW)).toContain(
    'router       pid 77, large packets whole (gso), 60.0M, 1.50 s cpu\n',
  );
});
