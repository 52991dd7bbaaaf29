import { describe, expect, test } from 'vitest';
import { networkOf } from '../../../src/firewall/prefix.ts';
import { forwardingChanges } from '../../../src/network/nat.ts';
import { dropTable, type NatSpec, natTable, tableName } from '../../../src/network/nat-table.ts';
import { cidr } from '../../support/addresses.ts';

const SPEC: NatSpec = {
  device: 'emperor0',
  otherDevices: ['uwsgi0'],
  pools: [networkOf(cidr('192.168.0.1/24')), networkOf(cidr('192.168.1.1/24'))],
  uplink: 'auto',
  deny: [{ network: networkOf(cidr('169.254.0.0/16')) }, { protocol: 'tcp', port: 25 }],
};

describe('natTable()', () => {
  test('is one transaction that keeps the base chains of the table it fills anew', () => {
    expect(natTable(SPEC)).toBe(`add table inet emperor_emperor0
flush table inet emperor_emperor0
table inet emperor_emperor0 {
	chain closed_places {
		ip daddr 169.254.0.0/16 counter drop
	}
	chain from_vassals {
		ip daddr 169.254.0.0/16 counter drop
		tcp dport 25 counter drop
		ip saddr { 192.168.0.0/24, 192.168.1.0/24 } oifname != { "lo", "emperor0", "uwsgi0" } ct state invalid counter drop
	}
	chain to_vassals {
		iifname { "emperor0", "uwsgi0" } return
		ct state established,related accept
		ct status dnat accept comment "the operator forwards a port"
		ip daddr { 192.168.0.0/24, 192.168.1.0/24 } counter drop
	}
	chain prerouting {
		type filter hook prerouting priority dstnat - 10; policy accept;
		iifname { "emperor0", "uwsgi0" } jump closed_places
	}
	chain forward {
		type filter hook forward priority filter; policy accept;
		iifname { "emperor0", "uwsgi0" } jump from_vassals
		oifname { "emperor0", "uwsgi0" } jump to_vassals
	}
	chain postrouting {
		type nat hook postrouting priority srcnat; policy accept;
		ip saddr { 192.168.0.0/24, 192.168.1.0/24 } ip daddr != { 192.168.0.0/24, 192.168.1.0/24 } oifname != { "lo", "emperor0", "uwsgi0" } masquerade
	}
}
`);
  });

  test('takes no name of a device that means more than one to nft, or ends the string', () => {
    for (const device of ['eth*', 'a"b', 'a b', '', 'sixteen-letters-']) {
      expect(() => natTable({ ...SPEC, uplink: { device } })).toThrow('is no name of a device');
    }
  });

  test('has names that differ where devices do, and that nft takes', () => {
    const names = ['a-b', 'a_b', 'a.b', 'ab', 'a_2d_b'].map(tableName);
    expect(new Set(names).size).toBe(5);
    for (const name of names) expect(name).toMatch(/^[a-z][A-Za-z0-9_]*$/);
    expect(dropTable('a-b')).toBe(
      'add table inet emperor_a_2d_b\ndelete table inet emperor_a_2d_b\n',
    );
  });
});

describe('forwardingChanges()', () => {
  const settings = (lines: Readonly<Record<string, string>>) => new Map(Object.entries(lines));
  const need = { ipv4: true, ipv6: true, devices: ['emperor0'] };

  test('lets uplinks hear router advertisements before IPv6 is forwarded', () => {
    const before = settings({
      'ipv4/ip_forward': '0',
      'ipv6/conf/all/forwarding': '0',
      'ipv6/conf/all/accept_ra': '1',
      'ipv6/conf/default/accept_ra': '1',
      'ipv6/conf/emperor0/accept_ra': '1',
      'ipv6/conf/eth0.7/accept_ra': '1',
      'ipv6/conf/eth1/accept_ra': '0',
    });
    expect(forwardingChanges(before, need)).toEqual([
      { path: 'ipv4/ip_forward', value: '1' },
      { path: 'ipv6/conf/eth0.7/accept_ra', value: '2' },
      { path: 'ipv6/conf/all/forwarding', value: '1' },
    ]);
  });

  test('touches nothing where all is as it should be, or there is no IPv6', () => {
    expect(forwardingChanges(settings({ 'ipv4/ip_forward': '1' }), need)).toEqual([]);
    const forwarding = settings({
      'ipv4/ip_forward': '1',
      'ipv6/conf/all/forwarding': '1',
      'ipv6/conf/eth0/accept_ra': '1',
    });
    expect(forwardingChanges(forwarding, need)).toEqual([]);
  });
});
