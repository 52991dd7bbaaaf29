/**
 * A customer against the network: with a shell in its vassal, with packets of its own making (as somebody who has the
 * vassal's kernel side would send), and with the descriptors of its init. The host is one on which others have loosened
 * what they could: kube-proxy switches route_localnet on for all devices, and somebody has allowed source routes.
 */
import { execFileSync } from 'node:child_process';
import { chownSync, readdirSync, readlinkSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { isErrno } from '../../src/base/errors.ts';
import { RouterClient } from '../../src/router/client.ts';
import {
  type Forged,
  forgedDatagram,
  fragmentsOf,
  sourceRoute,
} from '../support/forged-packets.ts';
import { NetworkWorld, type Place, UPLINK, WORLD } from '../support/network-world.ts';
import { until } from '../support/wait.ts';

const fixture = (name: string) => resolve(import.meta.dirname, '../fixtures', name);
const HOST = '10.77.0.1';
const HOST6 = 'fd77::1';
const METADATA = '169.254.169.254';
const AGENT_PORT = 9000;

const net = new NetworkWorld(() => ({
  router: true,
  ini: `vassal-set = tuntap-device=uwsgi0
nat = auto
nat-deny = 169.254.0.0/16, tcp/25, udp/${AGENT_PORT}
tuntap-router-firewall-out = allow 10.77.0.0/24 ${HOST}
tuntap-router-firewall-out = deny 10.77.0.0/24 10.77.0.0/24
tuntap-router-firewall-out = allow fd77::/64 ${HOST6}
tuntap-router-firewall-out = deny fd77::/64 fd77::/64`,
}));
const { emperor } = net;
const addresses: Record<string, string> = {};
const own = (name: string, family: 4 | 6 = 4) => addresses[`${name} ${family}`] ?? '';

function onHost(...command: readonly string[]): string {
  return execFileSync('ip', ['netns', 'exec', emperor.netns, ...command], { encoding: 'utf8' });
}

beforeAll(async () => {
  for (const name of ['route_localnet', 'accept_source_route']) {
    onHost('sysctl', '-qw', `net.ipv4.conf.all.${name}=1`, `net.ipv4.conf.default.${name}=1`);
  }
  await emperor.start();
  for (const name of ['mallory', 'victim']) {
    await net.vassal(name);
    for (const family of [4, 6] as const) {
      addresses[`${name} ${family}`] = net.addressOf(name, family);
    }
  }
  await net.ready('host', 'world');
});
afterAll(() => net.close());

/** Puts packets on the device of `mallory`, past its kernel's IP. */
function forge(...packets: readonly Buffer[]): void {
  const texts = packets.map((packet) => packet.toString('hex'));
  net.inside('mallory', 'python3', fixture('sends-packets.py'), 'uwsgi0', ...texts);
}

/** A datagram from mallory's own address, if no other is given. */
function datagram(packet: Omit<Forged, 'src'> & { readonly src?: string }): Buffer {
  return forgedDatagram({ src: own('mallory', packet.dst.includes(':') ? 6 : 4), ...packet });
}

/** Sends something honest behind what was forged, and returns what `place` has heard when that has arrived. */
async function heardBy(place: Place, forged: readonly Buffer[]): Promise<readonly string[]> {
  const mark = `mark ${Math.random()}`;
  forge(
    ...forged,
    datagram({ dst: HOST, text: mark }),
    datagram({ dst: HOST6, text: `${mark} 6` }),
  );
  for (const each of [mark, `${mark} 6`]) {
    await until('the mark arrives', async () => {
      return (await net.tell('host', 'count_of', { text: each })) === 1;
    });
  }
  return (await net.tell(place, 'heard', {})).map(([text]) => text);
}

describe('a packet that a vassal forges', () => {
  test.each(['127.0.0.1', '127.1.2.3', '0.0.0.0', '::1', '::', '::ffff:127.0.0.1'])(
    'does not reach what listens on the loopback of the host, here %s',
    async (dst) => {
      expect(await heardBy('host', [datagram({ dst, text: `to ${dst}` })])).not.toContain(
        `to ${dst}`,
      );
    },
  );

  test.each(['loose', 'strict'] as const)(
    'is not sent on by the host to whom the chain `out` denies, by a %s source route',
    async (kind) => {
      const before = await net.trafficOf('victim');
      const options = sourceRoute(kind, own('victim'));
      await heardBy('victim', [datagram({ dst: HOST, text: 'by way of the host', options })]);
      expect((await net.trafficOf('victim')).rxPackets).toBe(before.rxPackets);
      expect((await net.trafficOf('mallory')).drops['source-route']).toBeGreaterThan(0);
    },
  );

  test('finds no neighbour by IPv4 in the dress of IPv6', async () => {
    const before = await net.trafficOf('victim');
    const dresses = ['::', '::ffff:'].map((prefix) =>
      datagram({ dst: `${prefix}${own('victim')}`, text: 'dressed' }),
    );
    await heardBy('victim', dresses);
    expect((await net.trafficOf('victim')).rxPackets).toBe(before.rxPackets);
  });

  test('M69: has no other source than its own: no neighbour’s, host’s, world’s, nobody’s', async () => {
    const fours = [own('victim'), HOST, WORLD, UPLINK, '127.0.0.1', '0.0.0.0', '10.77.0.255'];
    const sixes = [own('victim', 6), HOST6, '2001:db8::2', 'fe80::1', '::1', '::', 'ff02::1'];
    const before = (await net.trafficOf('mallory')).drops.spoofed;
    const heard = await heardBy('host', [
      ...fours.map((src) => forgedDatagram({ src, dst: HOST, text: 'spoofed' })),
      ...sixes.map((src) => forgedDatagram({ src, dst: HOST6, text: 'spoofed' })),
    ]);
    expect(heard).not.toContain('spoofed');
    const { spoofed } = (await net.trafficOf('mallory')).drops;
    expect(spoofed - before).toBe(fours.length + sixes.length);
  });

  test('reaches no broadcast or multicast address of the network', async () => {
    const places = [
      '10.77.0.255',
      '10.77.0.0',
      '255.255.255.255',
      '224.0.0.1',
      'ff02::1',
      'fe80::1',
    ];
    const heard = await heardBy(
      'host',
      places.map((dst) => datagram({ dst, text: 'to everybody' })),
    );
    expect(heard).not.toContain('to everybody');
  });

  test('U12: passes a port that NAT denies neither whole nor in fragments', async () => {
    const fragments = (dst: string) => fragmentsOf(datagram({ dst, text: 'in pieces' }), 8);
    const whole = datagram({ dst: WORLD, text: 'whole' });
    // The same pieces to the host itself, to whom the port is open, arrive.
    expect(await heardBy('host', fragments(UPLINK))).toContain('in pieces');
    const heard = await heardBy('world', [...fragments(WORLD), whole]);
    expect(heard.filter((text) => ['in pieces', 'whole'].includes(text))).toEqual([]);
    expect(await net.get('mallory', WORLD)).toBe(`world sees ${UPLINK}`);
  });
});

describe('a place that NAT denies', () => {
  test('is denied where the host has its address itself', async () => {
    net.ip('addr', 'add', `${METADATA}/32`, 'dev', 'lo');
    expect(await net.get('host', METADATA)).toMatch(/^host sees/);
    expect(await net.get('mallory', METADATA, { timeout: 1 })).toMatch(/timed out|ETIMEDOUT/);
    net.ip('addr', 'del', `${METADATA}/32`, 'dev', 'lo');
  });

  test('is denied where the host sends what goes there elsewhere, as a proxy of credentials does', async () => {
    onHost(
      'nft',
      `table ip proxy { chain pre { type nat hook prerouting priority dstnat; ip daddr ${METADATA} redirect; }; }`,
    );
    expect(await net.get('mallory', METADATA, { timeout: 1 })).toMatch(/timed out|ETIMEDOUT/);
    onHost('nft', 'delete table ip proxy');
  });
});

describe('a tenant', () => {
  /** Runs Python in mallory's vassal, as its tenant. */
  async function python(...lines: readonly string[]): Promise<string> {
    const { output } = await net.run(
      'mallory',
      'python3',
      '-c',
      ['import socket', ...lines].join('\n'),
    );
    return output.trim();
  }

  test('sends past its own loopback by naming the device, and the router drops it', async () => {
    const before = (await net.trafficOf('mallory')).drops['not-unicast'];
    const said = await python(
      's = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)',
      's.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"uwsgi0")',
      `s.sendto(b"by device", ("127.0.0.1", ${AGENT_PORT})); print("sent")`,
    );
    expect(said).toBe('sent');
    expect(await heardBy('host', [])).not.toContain('by device');
    expect((await net.trafficOf('mallory')).drops['not-unicast']).toBeGreaterThan(before);
  });

  test('may bind to the IPv6 address of a neighbour, and what it sends from there goes nowhere', async () => {
    const IPV6_FREEBIND = 78;
    const before = (await net.trafficOf('mallory')).drops.spoofed;
    const said = await python(
      's = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)',
      `s.setsockopt(socket.IPPROTO_IPV6, ${IPV6_FREEBIND}, 1)`,
      `s.bind(("${own('victim', 6)}", 0))`,
      `s.sendto(b"as the victim", ("${HOST6}", ${AGENT_PORT})); print("sent")`,
    );
    expect(said).toBe('sent');
    expect(await heardBy('host', [])).not.toContain('as the victim');
    expect((await net.trafficOf('mallory')).drops.spoofed).toBe(before + 1);
  });

  test('that floods the host delays its neighbours, and does not silence them', async () => {
    const flood = net.tell('mallory', 'send', { to: HOST, text: 'flood', seconds: 3 });
    const answers: string[] = [];
    for (let i = 0; i < 10; i += 1) answers.push(await net.get('victim', HOST));
    expect(new Set(answers)).toEqual(new Set([`host sees ${own('victim')}`]));
    expect(await flood).toBeGreaterThan(1000);
  });

  test.each([
    ['tuntap-device-rule = out 0.0.0.0 0.0.0.0 allow'],
    ['address = 10.77.0.3'],
    ['address6 = fd77::3'],
    ['exec-as-root = ip addr add 10.77.0.3/24 dev uwsgi0'],
  ])('cannot write into a file of its own: %s', async (line) => {
    emperor.apply('owner', '[vassal]\n');
    const { uid } = statSync(join(emperor.directory, 'homes/owner'));
    emperor.write('owner', `[vassal]\n${line}\n`);
    chownSync(emperor.file('owner'), uid, uid);
    emperor.rescan();
    await until('it is refused', () =>
      emperor.status('owner').config.diagnostics.some(({ code }) => code === 'operator-only'),
    );
    emperor.remove('owner');
    emperor.wait('owner', 'gone');
  });
});

describe('an init that its tenant has taken over', () => {
  const misuse = (what: string) =>
    execFileSync(
      'python3',
      [fixture('misuses-init.py'), String(emperor.status('mallory').pid), what],
      {
        encoding: 'utf8',
      },
    );

  test('has no directory open from which `..` leads to the host’s files or to neighbours', () => {
    const found = misuse('climbs').trim().split('\n');
    expect(found.length).toBeGreaterThan(1);
    expect(found.filter((line) => line.startsWith('leaves'))).toEqual([]);
  });

  test('cannot have the router wait for packets of its tun', async () => {
    misuse('blocks');
    expect(await net.get('mallory', HOST)).toBe(`host sees ${own('mallory')}`);
    for (let i = 0; i < 3; i += 1) {
      expect(await net.get('victim', HOST)).toBe(`host sees ${own('victim')}`);
    }
  });

  test('spoils nothing but its own network by what it does to its tun, and that only until it is started anew', async () => {
    misuse('garbles');
    await net.get('mallory', HOST, { timeout: 0.5 });
    expect(await net.get('victim', HOST)).toBe(`host sees ${own('victim')}`);
    const router = emperor.routerPid;
    emperor.remove('mallory');
    emperor.wait('mallory', 'gone');
    await net.vassal('mallory');
    expect(await net.get('mallory', HOST)).toBe(`host sees ${own('mallory')}`);
    expect(emperor.routerPid).toBe(router);
  });
});

describe('a vassal that is ended while it is being attached', () => {
  test('leaves no device in the router, whatever the moment; nor does one of the same name that follows', async () => {
    const before = tunsOfRouter();
    for (let i = 0; i < 20; i += 1) {
      emperor.write('racer', net.fileOf('racer', `; ${i}`));
      await new Promise((done) => setTimeout(done, i * 7));
      emperor.remove('racer');
      if (i % 3 === 0) emperor.wait('racer', 'gone');
    }
    emperor.wait('racer', 'gone');
    const client = await RouterClient.connect(join(emperor.directory, 'run/router.sock'));
    await until('the router has let go of it', async () => {
      const names = (await client.call('peers', null)).map(({ name }) => name);
      return !names.includes('racer') && tunsOfRouter() === before;
    });
    client.close();
    await net.vassal('racer');
    expect(await net.get('racer', HOST)).toMatch(/^host sees 10\.77\.0\./);
  });
});

function tunsOfRouter(): number {
  const directory = `/proc/${emperor.routerPid}/fd`;
  return readdirSync(directory).filter((fd) => linkOf(join(directory, fd)).endsWith('/net/tun'))
    .length;
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return '';
    throw error;
  }
}
