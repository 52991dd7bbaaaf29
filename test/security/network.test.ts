/** Attacks by packets: a vassal cannot be somebody else on the network, nor change what it has of it. */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { DropReason } from '../../src/router/counters.ts';
import { NetworkWorld, WORLD } from '../support/network-world.ts';
import { until } from '../support/wait.ts';

const HOST = '10.66.0.1';
const HOST6 = 'fd66::1';
const EVIL = { address: '10.66.0.2', address6: 'fd66::2' };
const GOOD = { address: '10.66.0.3', address6: 'fd66::3' };
const FAR_OFF = { address: '10.66.0.4', address6: 'fd66::4' };

// Two may talk, so that what a third would not get is seen to arrive.
const net = new NetworkWorld(({ directory }) => ({
  ini: [
    `tuntap-router = emperor0 ${join(directory, 'tuntap.socket')}`,
    `tuntap-router-address = ${HOST}/24`,
    `tuntap-router-address6 = ${HOST6}/64`,
    'vassal-set = tuntap-device=uwsgi0',
    `tuntap-router-firewall-out = deny 0.0.0.0 ${FAR_OFF.address}`,
    `tuntap-router-firewall-out = deny :: ${FAR_OFF.address6}`,
    'nat = auto',
  ].join('\n'),
}));
const { emperor } = net;
const both = ({ address, address6 }: typeof EVIL) =>
  `address = ${address}\naddress6 = ${address6}\n`;

beforeAll(async () => {
  await emperor.start();
  await Promise.all([
    net.vassal('evil', both(EVIL)),
    net.vassal('good', both(GOOD)),
    net.vassal('faroff', both(FAR_OFF)),
  ]);
});
afterAll(() => net.close());

const dropsOf = async (name: string, reason: DropReason) =>
  (await net.trafficOf(name)).drops[reason];
const heard = (place: string, text: string) => net.tell(place, 'count_of', { text });

/** Sends from an address that a root of the vassal's has added to its interface. */
async function sendAs(source: string, to: string, text: string): Promise<void> {
  const length = source.includes(':') ? 128 : 32;
  const change = (verb: string, ...more: readonly string[]) =>
    net.inside('evil', 'ip', 'addr', verb, `${source}/${length}`, 'dev', 'uwsgi0', ...more);
  change('add', ...(length === 128 ? ['nodad'] : []));
  await net.tell('evil', 'send', { to, text, source });
  change('del');
}

describe("a packet from an address that is not the sender's own is dropped and counted,", () => {
  const TARGETS = [
    { place: 'good', to: GOOD.address, sources: [FAR_OFF.address, HOST, '10.66.0.77', WORLD] },
    { place: 'good', to: GOOD.address6, sources: [FAR_OFF.address6, HOST6, 'fd66::77'] },
    { place: 'host', to: HOST, sources: [GOOD.address, '10.66.0.77'] },
    { place: 'host', to: HOST6, sources: [GOOD.address6, 'fd66::77'] },
    { place: 'world', to: WORLD, sources: [GOOD.address, '192.0.2.7'] },
  ];
  for (const { place, to, sources } of TARGETS) {
    for (const source of sources) {
      test(`from ${source} to ${to} of ${place}`, async () => {
        const before = await dropsOf('evil', 'spoofed');
        const text = `as ${source}`;
        await sendAs(source, to, text);
        await net.tell('evil', 'send', { to, text: `after ${text}` });
        await until(
          'the honest one arrives',
          async () => (await heard(place, `after ${text}`)) > 0,
        );
        expect(await dropsOf('evil', 'spoofed')).toBe(before + 1);
        expect(await heard(place, text)).toBe(0);
      });
    }
  }

  test('from loopback addresses and none at all, made by hand', async () => {
    const before = await dropsOf('evil', 'spoofed');
    const program = [
      'import socket, struct, sys',
      's = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)',
      'for source in ("127.0.0.1", "255.255.255.255", "224.0.0.1"):',
      '    packet = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 28, 1, 0, 64, 17, 0,',
      '        socket.inet_aton(source), socket.inet_aton(sys.argv[1])) + bytes(8)',
      '    s.sendto(packet, (sys.argv[1], 0))',
    ].join('\n');
    net.inside('evil', 'python3', '-c', program, GOOD.address);
    await until('all are counted', async () => (await dropsOf('evil', 'spoofed')) === before + 3);
  });
});

describe('fragments', () => {
  const ping = async (to: string, seconds = '2') =>
    (await net.run('evil', 'ping', '-s', '4000', '-c', '1', '-W', seconds, to)).output;

  test('pass where the whole would', async () => {
    for (const to of [HOST, HOST6, GOOD.address, GOOD.address6, WORLD]) {
      expect(await ping(to), to).toContain(' 0% packet loss');
    }
  });

  test('are each denied where the whole would be', async () => {
    for (const to of [FAR_OFF.address, FAR_OFF.address6]) {
      const before = await dropsOf('evil', 'denied-out');
      const received = (await net.trafficOf('faroff')).rxPackets;
      expect(await ping(to, '0.4')).toContain('100% packet loss');
      expect(await dropsOf('evil', 'denied-out')).toBe(before + 3);
      expect((await net.trafficOf('faroff')).rxPackets).toBe(received);
    }
  });
});

test('broadcasts and multicasts reach nobody, and are counted', async () => {
  net.inside('evil', 'ip', 'route', 'add', '224.0.0.0/4', 'dev', 'uwsgi0');
  const before = await dropsOf('evil', 'not-unicast');
  for (const to of ['224.0.0.1', 'ff02::1%uwsgi0']) {
    const program = [
      'import socket, sys',
      'family, kind, _, _, to = socket.getaddrinfo(sys.argv[1], 9000, type=socket.SOCK_DGRAM)[0]',
      'socket.socket(family, kind).sendto(b"all", to)',
    ].join('\n');
    const { output } = await net.run('evil', 'python3', '-c', program, to);
    expect(output, to).toBe('');
  }
  await until('all are counted', async () => (await dropsOf('evil', 'not-unicast')) === before + 2);
  for (const place of ['good', 'faroff', 'host']) expect(await heard(place, 'all')).toBe(0);
});

describe('a tenant cannot', () => {
  const ATTEMPTS: readonly (readonly [what: string, argv: readonly string[]])[] = [
    ['give itself an address', ['ip', 'addr', 'add', '10.66.0.9/32', 'dev', 'uwsgi0']],
    ['take its address away', ['ip', 'addr', 'del', `${EVIL.address}/24`, 'dev', 'uwsgi0']],
    ['add a route', ['ip', 'route', 'add', '198.18.0.0/15', 'dev', 'uwsgi0']],
    ['remove its default route', ['ip', 'route', 'del', 'default']],
    ['add a rule of routing', ['ip', 'rule', 'add', 'from', 'all', 'table', '7']],
    ['bring its device down', ['ip', 'link', 'set', 'uwsgi0', 'down']],
    ["change its device's MTU", ['ip', 'link', 'set', 'uwsgi0', 'mtu', '9000']],
    ['add a device', ['ip', 'link', 'add', 'br7', 'type', 'bridge']],
  ];
  for (const [what, argv] of ATTEMPTS) {
    test(what, async () => {
      const { status, output } = await net.run('evil', ...argv);
      expect(output).toMatch(/Operation not permitted/);
      expect(status).not.toBe(0);
    });
  }

  const CALLS: readonly (readonly [what: string, expression: string, errors: RegExp])[] = [
    ['open a tun', 'os.open("/dev/net/tun", os.O_RDWR)', /ENOENT|EACCES|EPERM/],
    [
      'make a tun by a node of its own',
      'os.mknod("/tmp/tun", 0o20666, os.makedev(10, 200))',
      /EPERM/,
    ],
    ['send raw packets', 'socket.socket(socket.AF_INET, socket.SOCK_RAW, 255)', /EPERM/],
    [
      'listen to its link',
      'socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 768)',
      /EPERM|EAFNOSUPPORT|EACCES/,
    ],
    ['make a network of its own', 'unshare(0x40000000)', /EPERM/],
    ['make one in a user namespace', 'unshare(0x50000000)', /EPERM/],
    ['forward for others', 'open("/proc/sys/net/ipv4/ip_forward", "w")', /EROFS|EACCES|EPERM/],
  ];
  test.each(CALLS)('%s', async (_what, expression, errors) => {
    const program = [
      'import ctypes, errno, os, socket',
      'def unshare(flags):',
      '    libc = ctypes.CDLL(None, use_errno=True)',
      '    if libc.unshare(flags): raise OSError(ctypes.get_errno(), "")',
      `try: ${expression}; print("done")`,
      'except OSError as error: print(errno.errorcode[error.errno])',
    ].join('\n');
    expect((await net.run('evil', 'python3', '-c', program)).output).toMatch(errors);
  });

  test('P22: go into the network namespace of another', async () => {
    const { output, status } = await net.run('evil', 'ip', 'netns', 'exec', 'good', 'true');
    expect(status).not.toBe(0);
    expect(output).not.toBe('');
    const setns = [
      'import ctypes, errno, os',
      'libc = ctypes.CDLL(None, use_errno=True)',
      'libc.setns(os.open("/proc/self/ns/net", os.O_RDONLY), 0)',
      'print(errno.errorcode[ctypes.get_errno()])',
    ].join('\n');
    expect((await net.run('evil', 'python3', '-c', setns)).output).toBe('EPERM\n');
  });
});

test('root of the host can do there what its tenant could not', () => {
  net.inside('evil', 'ip', 'link', 'add', 'br7', 'type', 'veth');
  net.inside('evil', 'ip', 'link', 'del', 'br7');
  net.inside('evil', 'ip', 'rule', 'add', 'from', 'all', 'table', '7');
  expect(net.inside('evil', 'ip', 'rule')).toContain('lookup 7');
});
