import { expect, test } from 'vitest';
import {
  type NetworkSource,
  networkStatusOf,
  routerStatsOf,
  vassalNetworkOf,
} from '../../../src/emperor/network-report.ts';
import { networkOf } from '../../../src/firewall/prefix.ts';
import { parseDeviceRule } from '../../../src/firewall/rule.ts';
import type { Denials } from '../../../src/router/gates.ts';
import type { RouterStatus } from '../../../src/router/protocol.ts';
import { addresses, cidr } from '../../support/addresses.ts';
import { emperorOf, vassalOf } from '../../support/configuration.ts';
import { trafficOfBytes } from '../../support/governor.ts';

function denial(rule: string, count: number, more: Partial<Denials> = {}): Denials {
  return { chain: 'out', rule, vassal: null, count, ...more };
}

function status(changes: Partial<RouterStatus> = {}): RouterStatus {
  return {
    pid: 7,
    device: 'emperor0',
    packets: { mode: 'gso', reason: null },
    memoryBytes: 1,
    cpuSeconds: 2,
    traffic: {
      '.host': trafficOfBytes(9, 9),
      quiet: trafficOfBytes(1, 1),
      loud: trafficOfBytes(1, 5000),
      gone: trafficOfBytes(70, 7),
    },
    denials: [],
    uwsgi: [],
    ...changes,
  };
}

function deviceRule(text: string) {
  const parsed = parseDeviceRule(text);
  if (!('rule' in parsed)) throw new Error(text);
  return parsed.rule;
}

function source(changes: Partial<NetworkSource> = {}): NetworkSource {
  const cidr4 = cidr('10.0.0.1/24');
  const member = { state: 'running', rules: [], ...addresses('10.0.0.2') } as const;
  return {
    config: emperorOf(
      'tuntap-router = emperor0 r.sock\ntuntap-router-firewall-out = deny 10.0.0.2 1.1.1.1\ntuntap-router-firewall-out = allow\nnat = eth7\n',
    ),
    router: routerStatsOf('emperor0', status()),
    status: status(),
    cidrs: { cidr4, cidr6: null },
    pools: [{ network: networkOf(cidr4), size: 253, used: 3 }],
    dns: ['9.9.9.9'],
    members: ['quiet', 'loud', 'new'].map((name) => ({ name, ...member })),
    addressesOf: () => addresses('10.0.0.77'),
    ...changes,
  };
}

test('who moved most stands first; one that is gone is there until it is purged, the host is apart', () => {
  const { vassals, host } = networkStatusOf(source());
  expect(vassals.map(({ name, state, address }) => [name, state, address])).toEqual([
    ['loud', 'running', '10.0.0.2'],
    ['gone', null, '10.0.0.77'],
    ['quiet', 'running', '10.0.0.2'],
    ['new', 'running', '10.0.0.2'],
  ]);
  expect(host).toMatchObject({ rxBytes: 9 });
});

test('tells addresses, pools and NAT as they are written', () => {
  expect(networkStatusOf(source())).toMatchObject({
    address: '10.0.0.1/24',
    address6: null,
    pools: [{ network: '10.0.0.0/24', size: 253, used: 3 }],
    nat: 'eth7',
    policy: 'allow',
  });
});

test('rules stand in their order with what they denied; then what is no more; then own ones that denied', () => {
  const rules = ['out 10.0.0.2 1.1.1.1 deny', 'out 10.0.0.2 2.2.2.2 deny'].map(deviceRule);
  const member = { name: 'loud', state: 'running', rules, ...addresses() } as const;
  const denials = [
    denial('deny 10.0.0.2 1.1.1.1', 3),
    denial('deny', 5, { chain: 'in' }),
    denial('deny 10.0.0.2 1.1.1.1', 8, { vassal: 'loud' }),
    denial('deny 10.0.0.2 3.3.3.3', 9, { vassal: 'loud' }),
  ];
  const network = networkStatusOf(source({ members: [member], status: status({ denials }) }));
  expect(
    network.rules.map((one) => [one.chain, one.rule, one.vassal, one.denied, one.inForce]),
  ).toEqual([
    ['in', 'policy', null, 0, true],
    ['out', 'deny 10.0.0.2 1.1.1.1', null, 3, true],
    ['out', 'allow', null, 0, true],
    ['out', 'policy', null, 0, true],
    ['in', 'deny', null, 5, false],
    ['out', 'deny 10.0.0.2 1.1.1.1', 'loud', 8, true],
    ['out', 'deny 10.0.0.2 3.3.3.3', 'loud', 9, false],
  ]);
});

test('a router that has never answered leaves totals out, not vassals', () => {
  const { host, vassals, router } = networkStatusOf(
    source({ status: null, router: routerStatsOf('emperor0', null) }),
  );
  expect(host).toBeNull();
  expect(router).toMatchObject({ device: 'emperor0', pid: null, mode: null });
  expect(vassals.map(({ traffic }) => traffic.rxBytes)).toEqual([0, 0, 0]);
});

test('one vassal has its own rules, also those that have not denied, and its gateways', () => {
  const config = vassalOf('tuntap-device = tun0\ntuntap-device-rule = out 10.0.0.2 1.1.1.1 deny', {
    emperor: emperorOf('tuntap-router = emperor0 r.sock\n'),
  });
  const denials = [denial('deny', 5), denial('deny 0.0.0.0 2.2.2.2', 1, { vassal: 'blog' })];
  const network = vassalNetworkOf({
    name: 'blog',
    config,
    isAttached: true,
    addresses: addresses('10.0.0.2', 'fd00::2'),
    cidrs: { cidr4: cidr('10.0.0.1/24'), cidr6: cidr('fd00::1/64') },
    dns: ['9.9.9.9'],
    status: status({ denials }),
  });
  expect(network).toMatchObject({
    device: 'tun0',
    address: '10.0.0.2',
    address6: 'fd00::2',
    gateway: '10.0.0.1',
    gateway6: 'fd00::1',
    rules: [
      { chain: 'out', rule: 'deny 10.0.0.2 1.1.1.1', denied: 0, inForce: true },
      { chain: 'out', rule: 'deny 0.0.0.0 2.2.2.2', denied: 1, inForce: false },
    ],
    traffic: { rxBytes: 0 },
  });
});
