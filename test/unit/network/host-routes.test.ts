import { describe, expect, test } from 'vitest';
import { networkOf, type Prefix, printPrefix } from '../../../src/firewall/prefix.ts';
import { overlapText, overlapWith, parseRoutes } from '../../../src/network/host-routes.ts';
import { cidr } from '../../support/addresses.ts';

const network = (text: string): Prefix => networkOf(cidr(text));

/** As iproute2 6.1 prints it. */
const ROUTES = [
  { dst: 'default', gateway: '203.0.113.9', dev: 'eth0', flags: [] },
  { dst: '0.0.0.0/1', dev: 'tun0', scope: 'link', flags: [] },
  {
    dst: '192.168.0.0/24',
    dev: 'emperor0',
    protocol: 'kernel',
    scope: 'link',
    flags: ['linkdown'],
  },
  { type: 'local', dst: '192.168.0.1', dev: 'emperor0', table: 'local', flags: [] },
  { type: 'unreachable', dst: '10.0.0.0/8', metric: 4_278_198_272, flags: [] },
  { dst: '172.16.0.0/12', nexthops: [{ gateway: '1.2.3.4', dev: 'eth1' }, { dev: 'eth2' }] },
  { type: 'broadcast', dst: '10.7.255.255', dev: 'eth0', table: 'local' },
  { dst: 'nonsense', dev: 'eth9' },
];

describe('parseRoutes()', () => {
  test('reads what leads to a device', () => {
    const routes = parseRoutes(ROUTES, 4).map((route) => [
      printPrefix(route.network),
      route.device,
    ]);
    expect(routes).toEqual([
      ['0.0.0.0/1', 'tun0'],
      ['192.168.0.0/24', 'emperor0'],
      ['192.168.0.1/32', 'emperor0'],
      ['172.16.0.0/12', 'eth1'],
      ['10.7.255.255/32', 'eth0'],
    ]);
    expect(parseRoutes([], 6)).toEqual([]);
    expect(parseRoutes(null, 6)).toEqual([]);
  });
});

describe('overlapWith()', () => {
  const routes = parseRoutes(ROUTES, 4);
  const find = (pool: string, devices = ['emperor0']) =>
    overlapWith(network(pool), { routes, devices })?.device;

  test('finds a route of another device, wider or narrower, and no default route', () => {
    expect(find('192.168.0.0/24')).toBeUndefined();
    expect(find('192.168.0.0/24', [])).toBe('emperor0');
    expect(find('172.20.0.0/24')).toBe('eth1');
    expect(find('172.0.0.0/8')).toBe('eth1');
    expect(find('10.7.0.0/16')).toBe('eth0');
    expect(find('10.8.0.0/16')).toBeUndefined();
    expect(find('fd00::/64')).toBeUndefined();
  });

  test('is told with the route, the device and the remedy', () => {
    const pool = network('172.20.0.0/24');
    const found = overlapWith(pool, { routes, devices: [] });
    expect(found && overlapText('tuntap-router-address', pool, found)).toBe(
      'Cannot use tuntap-router-address 172.20.0.0/24: the host has a route to 172.16.0.0/12 by eth1; ' +
        'take a network that nobody uses here, such as one of 100.64.0.0/10',
    );
  });
});
