/**
 * The configuration that seeds/uwsgi-massive-hosting.txt prints, under a whole emperor, with real packets. Only its
 * paths are others; what a vassal runs is added.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { NetworkWorld, type Place, WORLD } from '../support/network-world.ts';
import { until } from '../support/wait.ts';

const printed = (name: string) =>
  readFileSync(resolve(import.meta.dirname, `../fixtures/config/${name}-seed.ini`), 'utf8');

const net = new NetworkWorld();
const { emperor } = net;
const { directory } = emperor;
const path = (name: string) => join(directory, name);
const COUNT = path('hooks-ran');

/** The printed vassal with another address, and an agent. */
function vassalFile(name: string, address: string, ...lines: readonly string[]): string {
  const text = printed('vassal')
    .replaceAll('/var/run/tuntap.socket', net.routerSocket)
    .replace('foobar', name)
    .replace('192.168.0.2', address);
  return `${text}\ncommand = python3 /opt/agent.py ${name} /home/${name}/agent.sock\n${lines.join('\n')}\n`;
}

async function apply(name: string, text: string): Promise<void> {
  emperor.apply(name, text);
  await net.ready(name);
}

/** A vassal beyond what any of the eight rules allows. */
const STRAY = [
  '[vassal]',
  'command = python3 /opt/agent.py stray /home/stray/agent.sock',
  'tuntap-device = uwsgi0',
  'exec-as-root = ifconfig uwsgi0 10.9.9.9 netmask 255.255.255.0',
  'exec-as-root = route add default dev uwsgi0',
].join('\n');

beforeAll(async () => {
  const text = printed('emperor')
    .replace('/etc/uwsgi/vassals', emperor.vassals)
    .replaceAll('/var/run/tuntap.socket', net.routerSocket);
  const places = `distros = ${resolve('distros')}
homes = ${path('homes')}
run-dir = ${path('run')}
state-dir = ${path('state')}
log-dir = ${path('log')}
cgroup-parent = ${emperor.cgroupParent}
opt = ${net.opt}
exec-as-root = echo ran >> ${COUNT}
`;
  writeFileSync(emperor.ini, text + places);
  await emperor.start();
  await Promise.all([
    apply('foobar', vassalFile('foobar', '192.168.0.2')),
    apply('other', vassalFile('other', '192.168.0.3')),
    apply('stray', STRAY),
  ]);
  // Further addresses and a way that only these tests need.
  net.ip('addr', 'add', '192.168.0.200/32', 'dev', 'emperor0');
  net.ip('route', 'add', '10.9.9.9/32', 'dev', 'emperor0');
});
afterAll(() => net.close());

const ADDRESSES: Readonly<Record<Place, string>> = {
  foobar: '192.168.0.2',
  other: '192.168.0.3',
  stray: '10.9.9.9',
  host: '192.168.0.1',
  world: WORLD,
};

describe('the printed texts', () => {
  test('partly M60: the vassal file runs as it is, and without a command it is idle', () => {
    emperor.apply(
      'asprinted',
      printed('vassal')
        .replaceAll('/var/run/tuntap.socket', net.routerSocket)
        .replace('192.168.0.2', '192.168.0.77'),
    );
    expect(emperor.status('asprinted')).toMatchObject({ state: 'running', processes: [] });
    expect(net.inside('asprinted', 'ip', '-br', 'addr', 'show', 'uwsgi0')).toContain(
      '192.168.0.77/24',
    );
    emperor.remove('asprinted');
    emperor.wait('asprinted', 'gone');
  });

  test('M60: each tun is in its vassal only, emperor0 in the host, with the address of the hook', () => {
    const host = net.ip('-br', 'addr');
    expect(host).toMatch(/^emperor0 .* 192\.168\.0\.1\/24/m);
    expect(host).not.toContain('uwsgi0');
    const inside = net.inside('foobar', 'ip', '-br', 'addr');
    expect(inside).toMatch(/^uwsgi0 .* 192\.168\.0\.2\/24/m);
    expect(inside).not.toContain('emperor0');
    expect(net.inside('foobar', 'ip', '-d', 'link', 'show', 'uwsgi0')).toMatch(/\btun type tun\b/);
  });

  test('M38: without a device there is nothing but a loopback, which is up', () => {
    emperor.apply('lonely', '[vassal]\n');
    const links = net.inside('lonely', 'ip', '-br', 'link').trim().split('\n');
    expect(links).toHaveLength(1);
    expect(links[0]).toMatch(/^lo .*<LOOPBACK,UP,LOWER_UP>/);
    expect(net.inside('lonely', 'ip', 'route', 'show', 'table', 'main')).toBe('');
    expect(net.inside('lonely', 'ping', '-c', '1', '-W', '1', '127.0.0.1')).toContain(' 0% packet');
    emperor.remove('lonely');
    emperor.wait('lonely', 'gone');
  });

  test('M66: the device, its address, the default route and the name are those of the hooks', async () => {
    expect(net.inside('foobar', 'ip', 'route')).toBe(
      'default via 192.168.0.1 dev uwsgi0 \n' +
        '192.168.0.0/24 dev uwsgi0 proto kernel scope link src 192.168.0.2 \n',
    );
    expect((await net.run('foobar', 'hostname')).output).toBe('foobar\n');
    expect(net.inside('foobar', 'ip', '-br', 'link', 'show', 'lo')).toContain('LOOPBACK,UP');
  });

  test('M63: vassals reach the world by the masquerade of the hooks, and forwarding is on', async () => {
    expect(await net.get('foobar', WORLD)).toBe('world sees 203.0.113.1');
    const file = '/proc/sys/net/ipv4/ip_forward';
    expect(
      execFileSync('ip', ['netns', 'exec', emperor.netns, 'cat', file], { encoding: 'utf8' }),
    ).toBe('1\n');
  });
});

interface Case {
  readonly from: Place;
  readonly to: Place;
  /** Another address of the sender's than its first. */
  readonly source?: string;
  /** The rule that denies it; null: it arrives. */
  readonly denied: string | null;
}
const BETWEEN = 'deny 192.168.0.0/24 192.168.0.0/24';
/** Every pair, and each of the eight rules decides for some. */
const CASES: readonly Case[] = [
  { from: 'foobar', to: 'host', denied: null },
  { from: 'foobar', to: 'other', denied: `out ${BETWEEN}` },
  { from: 'other', to: 'foobar', denied: `out ${BETWEEN}` },
  { from: 'foobar', to: 'world', denied: null },
  { from: 'foobar', to: 'stray', denied: 'in deny' },
  { from: 'stray', to: 'foobar', denied: 'out deny' },
  { from: 'stray', to: 'host', denied: 'out deny' },
  { from: 'stray', to: 'world', denied: 'out deny' },
  { from: 'host', to: 'foobar', denied: null },
  { from: 'host', to: 'other', denied: null },
  { from: 'host', to: 'foobar', source: '192.168.0.200', denied: `in ${BETWEEN}` },
  { from: 'host', to: 'foobar', source: '203.0.113.1', denied: null },
  { from: 'host', to: 'stray', denied: 'in deny' },
  { from: 'world', to: 'foobar', denied: null },
  { from: 'world', to: 'stray', denied: 'in deny' },
];

describe('M65: packet by packet, of the eight rules,', () => {
  for (const { from, to, source, denied } of CASES) {
    const verdict = denied === null ? 'arrives' : `is denied by \`${denied}\``;
    test(`one from ${from}${source ? ` (${source})` : ''} to ${to} ${verdict}`, async () => {
      const packet = { from, to, address: ADDRESSES[to] ?? '', ...(source ? { source } : {}) };
      expect(await net.fateOf(packet)).toBe(denied ?? 'arrives');
    });
  }
});

describe('an address that hooks set', () => {
  const error = (name: string) => emperor.status(name).lastError ?? '';

  test('is read back before anything of the tenant runs: that of another is refused', async () => {
    emperor.write('thief', vassalFile('thief', '192.168.0.2'));
    await until('it is refused', () => error('thief') !== '');
    expect(error('thief')).toMatch(/thief.*192\.168\.0\.2.*foobar/);
    expect(emperor.log('thief')).not.toContain('agent');
    expect(emperor.status('thief')).toMatchObject({ pid: null, lastExit: null });
    expect(await net.get('host', '192.168.0.2')).toBe('foobar sees 192.168.0.1');
    emperor.remove('thief');
    emperor.wait('thief', 'gone');
  });

  test('must be that of the file, if it gives one', async () => {
    emperor.write('torn', vassalFile('torn', '192.168.0.9', 'address = 192.168.0.8'));
    await until('it is refused', () => error('torn') !== '');
    expect(error('torn')).toMatch(/192\.168\.0\.9/);
    expect(error('torn')).toMatch(/address/);
    expect(emperor.status('torn').pid).toBeNull();
    emperor.remove('torn');
    emperor.wait('torn', 'gone');
  });

  test('must be the only one', async () => {
    const second = 'exec-as-root = ip addr add 192.168.0.19/24 dev uwsgi0';
    emperor.write('twofold', vassalFile('twofold', '192.168.0.18', second));
    await until('it is refused', () => error('twofold') !== '');
    expect(error('twofold')).toMatch(/192\.168\.0\.18.*192\.168\.0\.19/);
    emperor.remove('twofold');
    emperor.wait('twofold', 'gone');
  });

  test('cannot be that of the host', async () => {
    emperor.write('usurper', vassalFile('usurper', '192.168.0.1'));
    await until('it is refused', () => error('usurper') !== '');
    expect(error('usurper')).toMatch(/usurper.*192\.168\.0\.1.*host/);
    emperor.remove('usurper');
    emperor.wait('usurper', 'gone');
  });
});

describe('emperor0', () => {
  const hooksRan = () => readFileSync(COUNT, 'utf8').split('\n').length - 1;
  const look = () => `${net.ip('addr', 'show', 'emperor0')}${net.ip('route')}`;
  const nat = () =>
    execFileSync('ip', ['netns', 'exec', emperor.netns, 'iptables', '-t', 'nat', '-S'], {
      encoding: 'utf8',
    });

  beforeAll(() => {
    net.ip('addr', 'add', '192.168.0.250/32', 'dev', 'emperor0');
    net.ip('route', 'add', '198.51.100.0/24', 'via', '192.168.0.2');
  });

  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    test(`stays as it is, with an operator's own address and route, when the emperor ends by ${signal}`, async () => {
      const before = [look(), nat(), emperor.routerPid];
      await emperor.signal(signal);
      expect([look(), nat(), emperor.routerPid]).toEqual(before);
      expect(await net.get('foobar', WORLD)).toBe('world sees 203.0.113.1');
      await emperor.start();
      expect([look(), nat(), emperor.routerPid]).toEqual(before);
      expect(await net.get('foobar', WORLD)).toBe('world sees 203.0.113.1');
      expect(hooksRan()).toBe(1);
    });
  }

  test('M62: the emperor replaces a router that was killed; the device, hooks and vassals stay', async () => {
    const before = [look(), nat()];
    const router = emperor.routerPid;
    const pid = emperor.status('foobar').pid;
    expect(router).toBeGreaterThan(1);
    process.kill(router, 'SIGKILL');
    expect(await net.get('foobar', WORLD, { timeout: 8 })).toBe('world sees 203.0.113.1');
    expect(emperor.routerPid).not.toBe(router);
    expect([look(), nat()]).toEqual(before);
    expect(hooksRan()).toBe(1);
    expect(emperor.status('foobar').pid).toBe(pid);
    expect((await net.routerStatus()).traffic.foobar?.txPackets).toBeGreaterThan(3);
  });

  test('is made anew, and the hooks run again, when router and emperor were shut down with all vassals', async () => {
    expect(emperor.cli('shutdown', '--stop-vassals').status).toBe(0);
    await until('the device goes', () => !net.ip('-br', 'link').includes('emperor0'));
    await until('the router ends', () => emperor.routerPid === 0);
    await emperor.start();
    await net.ready('foobar');
    expect(hooksRan()).toBe(2);
    expect(await net.get('foobar', WORLD)).toBe('world sees 203.0.113.1');
  });
});
