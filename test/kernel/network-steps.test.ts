/** A vassal's tun as the kernel has it: made before hooks, its address read back before the gate. */
import { execFileSync } from 'node:child_process';
import { chmodSync, closeSync, mkdtempSync, readSync, rmSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { fetchTun } from '../../src/jail/fetch-descriptor.ts';
import type { JailNetwork, JailSpec } from '../../src/jail/plan.ts';
import { Poller } from '../../src/linux/poller.ts';
import { hasVnetHeader, setOffload, TCP_OFFLOADS, VNET_HEADER_BYTES } from '../../src/linux/tun.ts';
import { failureOf, logLines, socketOf, type TestJail } from '../support/jail.ts';
import { useJails } from '../support/jails.ts';
import { patienceMs } from '../support/slowness.ts';
import { until } from '../support/wait.ts';
import type { World } from '../support/world.ts';

let poller: Poller;
// Before the world takes what is there as given.
beforeAll(() => {
  poller = Poller.start();
});
afterAll(() => poller.close());

let w: World;
const { freshName, gate, vassal } = useJails('n', (given) => {
  w = given;
});

const NOTHING = { address: null, isExact: false, gateway: null };
const BARE: JailNetwork = {
  interface: 'uwsgi0',
  mtu: 1400,
  queuePackets: 256,
  ipv4: NOTHING,
  ipv6: NOTHING,
};
const POOL: JailNetwork = {
  ...BARE,
  ipv4: { address: '10.9.0.7/16', isExact: false, gateway: '10.9.0.1' },
  ipv6: { address: 'fd09::7/64', isExact: false, gateway: 'fd09::1' },
};
const OWN: JailNetwork = {
  ...POOL,
  ipv4: { ...POOL.ipv4, isExact: true },
  ipv6: { ...POOL.ipv6, isExact: true },
};

/** What a tool of the host prints in the vassal's network namespace. */
function inside(jail: TestJail, ...command: readonly string[]): string {
  const args = [`--net=/proc/${jail.pid}/ns/net`, '--', ...command];
  return execFileSync('nsenter', args, { encoding: 'utf8' });
}

const refusal = (changes: Partial<JailSpec>) => failureOf(w, w.plan(freshName(), changes));

describe('the address of a tun', () => {
  test('comes from the plan, with default routes, before anything of the tenant has run', async () => {
    const jail = await gate({ network: POOL });
    expect(await jail.init.hello()).toMatchObject({
      state: 'gate',
      address: '10.9.0.7/16',
      address6: 'fd09::7/64',
    });
    const link = inside(jail, 'ip', 'link', 'show', 'uwsgi0');
    expect(link).toMatch(/<[^>]*\bUP\b[^>]*> mtu 1400 .* qlen 256$/m);
    expect(inside(jail, 'ip', '-4', 'route')).toContain('default via 10.9.0.1 dev uwsgi0');
    expect(inside(jail, 'ip', '-4', 'route')).toContain('10.9.0.0/16 dev uwsgi0');
    expect(inside(jail, 'ip', '-6', 'route')).toContain('default via fd09::1 dev uwsgi0');
    // Not even a link-local one that the router would have to know, and none that is still being probed.
    expect(
      inside(jail, 'ip', '-6', '-o', 'address', 'show', 'uwsgi0').match(/inet6/g),
    ).toHaveLength(1);
    expect(inside(jail, 'ip', '-6', 'address', 'show', 'tentative')).toBe('');
    await jail.init.go(jail.plan);
  });

  test('M62: is what the seed’s own hooks set', async () => {
    const hooks = [
      'hostname foobar',
      'ifconfig lo up',
      'ifconfig uwsgi0 192.168.0.2 netmask 255.255.255.0',
      'route add default gw 192.168.0.1',
    ];
    const jail = await vassal({ network: { ...BARE }, hooks });
    expect(await jail.init.hello()).toMatchObject({ address: '192.168.0.2/24', address6: null });
    expect(inside(jail, 'ip', 'route')).toContain('default via 192.168.0.1 dev uwsgi0');
  });

  test('of the pool gives way to hooks, which may leave the rest to init', async () => {
    const hooks = [
      'ip address add 192.168.0.2/24 dev uwsgi0',
      'ip address add fd00::2/64 dev uwsgi0',
    ];
    const jail = await vassal({ network: POOL, hooks });
    expect(await jail.init.hello()).toMatchObject({
      address: '192.168.0.2/24',
      address6: 'fd00::2/64',
    });
    expect(inside(jail, 'ip', '-o', 'address', 'show', 'uwsgi0').match(/inet/g)).toHaveLength(2);
    // Though the gateway lies outside of what the hook chose.
    expect(inside(jail, 'ip', '-4', 'route')).toContain('default via 10.9.0.1 dev uwsgi0');
    expect(inside(jail, 'ip', '-6', 'route')).toContain('default via fd09::1 dev uwsgi0');
  });

  test('leaves default routes and the MTU to hooks that set them', async () => {
    const hooks = [
      'ip link set uwsgi0 up mtu 1300',
      'ip route add default dev uwsgi0 metric 5',
      'ip -6 route add default dev uwsgi0 metric 5',
    ];
    const jail = await vassal({ network: POOL, hooks });
    expect(inside(jail, 'ip', 'link', 'show', 'uwsgi0')).toContain('mtu 1300');
    expect(inside(jail, 'ip', '-4', 'route').match(/default/g)).toHaveLength(1);
    expect(inside(jail, 'ip', '-6', 'route').match(/default/g)).toHaveLength(1);
  });

  test('of a hook that says what the file says is no contradiction', async () => {
    const hooks = ['ip address add 10.9.0.7/24 dev uwsgi0'];
    const jail = await vassal({ network: OWN, hooks });
    expect(await jail.init.hello()).toMatchObject({ address: '10.9.0.7/24' });
  });

  test('of a point-to-point link is the near end', async () => {
    const jail = await vassal({
      network: BARE,
      hooks: ['ifconfig uwsgi0 10.0.0.2 pointopoint 10.0.0.1'],
    });
    expect(await jail.init.hello()).toMatchObject({ address: '10.0.0.2/32' });
  });

  test.each([
    ['10.9.0.8/16', '`exec-as-root` set 10.9.0.8/16, but `address` is 10.9.0.7/16'],
    ['fd09::8/64', '`exec-as-root` set fd09::8/64, but `address6` is fd09::7/64'],
  ])('of a hook contradicts that of the file: %s', async (address, sentence) => {
    const hooks = [`ip address add ${address} dev uwsgi0`];
    expect(await refusal({ network: OWN, hooks })).toContain(sentence);
  });

  test.each([
    ['10.0.0.2/24', '10.0.0.3/24'],
    ['fd00::2/64', 'fd00::3/64'],
  ])('is one of each family: not %s and %s', async (one, other) => {
    const hooks = [one, other].map((address) => `ip address add ${address} dev uwsgi0`);
    const sentence = await refusal({ network: POOL, hooks });
    expect(sentence).toContain('`exec-as-root` set more than one');
    expect(sentence).toContain(one);
    expect(sentence).toContain(other);
  });

  test('must come from somewhere', async () => {
    expect(await refusal({ network: BARE })).toContain('EADDRNOTAVAIL, nobody says which');
  });

  test.each(['ip link delete uwsgi0', 'ip link set uwsgi0 name other'])(
    'needs the interface: not `%s`',
    async (hook) => {
      expect(await refusal({ network: POOL, hooks: [hook] })).toContain(
        'ENODEV, it is gone; `exec-as-root` must neither remove nor rename uwsgi0',
      );
    },
  );

  test.each([
    ['ipv4', '10.9.0.7', '10.9.0.7 is no address'],
    ['ipv4', '10.9.0.7/33', '10.9.0.7/33 is no address'],
    ['ipv6', 'fd09::7/129', 'fd09::7/129 is no address for it; mend `address6`'],
  ] as const)('is refused where it is none: %s %s', async (family, address, sentence) => {
    const network = { ...POOL, [family]: { ...POOL[family], address } };
    expect(await refusal({ network })).toContain(sentence);
  });

  test('is found in a network namespace without any other', async () => {
    const jail = await vassal({ network: POOL, namespaces: ['net', 'pid'] });
    expect(await jail.init.hello()).toMatchObject({ address: '10.9.0.7/16' });
    expect(inside(jail, 'cat', '/proc/sys/net/ipv6/conf/uwsgi0/accept_ra')).toBe('0\n');
  });

  test('without a network is none', async () => {
    const jail = await vassal();
    expect(await jail.init.hello()).toMatchObject({ address: null, address6: null });
    expect(inside(jail, 'ip', '-o', 'link').trim().split('\n')).toHaveLength(1);
    expect(logLines(w.logOf(jail.plan.name))).toEqual([]);
  });
});

/** The tun of `jail` as a router gets it. */
async function fetch(jail: TestJail): Promise<{ readonly fd: number; readonly interface: string }> {
  const patience = { poller, clock: systemClock, deadlineMs: 5000 };
  const { init, ...tun } = await fetchTun(socketOf(w, jail.plan.name), patience);
  closeSync(init);
  return tun;
}

/** The source address of the next packet of IPv4 in `fd`. */
async function nextSource(fd: number): Promise<string> {
  const packet = Buffer.alloc(VNET_HEADER_BYTES + 65_535);
  return until('a packet comes', () => {
    try {
      const length = readSync(fd, packet);
      const ip = packet.subarray(VNET_HEADER_BYTES, length);
      return (ip[0] ?? 0) >> 4 === 4 && [...ip.subarray(12, 16)].join('.');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return null;
      throw error;
    }
  });
}

/** The vassal sends one packet to its gateway, which nobody answers. */
const sendOne = (jail: TestJail) => inside(jail, 'bash', '-c', 'echo x > /dev/udp/10.9.0.1/9');

describe('the descriptor of a tun', () => {
  test('is fetched at the gate, and by whoever asks while it runs', async () => {
    const jail = await gate({ network: POOL });
    const atGate = await fetch(jail);
    await jail.init.go(jail.plan);
    const later = await fetch(jail);
    for (const { fd, interface: name } of [atGate, later]) {
      expect(name).toBe('uwsgi0');
      expect(hasVnetHeader(fd)).toBe(true);
      setOffload(fd, TCP_OFFLOADS);
    }
    sendOne(jail);
    expect(await nextSource(later.fd)).toBe('10.9.0.7');
    closeSync(atGate.fd);
    sendOne(jail);
    expect(await nextSource(later.fd)).toBe('10.9.0.7');
    closeSync(later.fd);
  });

  test('is not there without a network', async () => {
    const jail = await vassal();
    await expect(fetch(jail)).rejects.toMatchObject({
      code: 'system-call',
      message: expect.stringContaining('ENOENT (there is no tun)'),
    });
  });

  test('is inherited by nothing that is started', async () => {
    const jail = await vassal({ network: POOL, hooks: ['readlink /proc/self/fd/*; echo end'] });
    expect((await jail.look()).get('fd')).toEqual(['0', '1', '2']);
    const hook = logLines(w.logOf(jail.plan.name)).filter(({ label }) => label === 'hook');
    expect(hook.at(-1)?.text).toBe('end');
    expect(hook.map(({ text }) => text).join('\n')).not.toContain('tun');
  });

  test('is out of reach of the tenant, as is the interface', async () => {
    const jail = await vassal({ network: POOL });
    await jail.run(['/bin/reaches-tun'], { label: 'reaches' });
    const lines = logLines(w.logOf(jail.plan.name)).filter(({ label }) => label === 'reaches');
    const { ENOENT, EPERM } = constants.errno;
    expect(lines.map(({ text }) => text)).toEqual([
      'read-flags ok',
      `open ${ENOENT}`,
      `make-node ${EPERM}`,
      `set-address ${EPERM}`,
      `set-down ${EPERM}`,
      'taken 0',
      'end',
    ]);
  });

  test('is out of reach of a tenant who may open the /dev/net/tun of the host', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'emperor-tun-'));
    chmodSync(directory, 0o755);
    // As /dev/net/tun is on most machines, though not on all.
    const device = join(directory, 'tun');
    execFileSync('mknod', ['-m', '666', device, 'c', '10', '200']);
    const jail = await vassal({ network: POOL, namespaces: ['net', 'pid'] });
    const script = `
import fcntl, struct
for name in (b'uwsgi0', b'other0'):
    fd = open('${device}', 'r+b', buffering=0)
    for flags in (0x5001, 0x5101):
        try:
            fcntl.ioctl(fd, 0x400454ca, struct.pack('16sH22x', name, flags))
            print(name, 'got')
        except OSError as error:
            print(name.decode(), error.errno)`;
    await jail.run(['/usr/bin/python3', '-c', script], { label: 'opens' });
    rmSync(directory, { recursive: true });
    const lines = logLines(w.logOf(jail.plan.name)).filter(({ label }) => label === 'opens');
    const { EPERM, EINVAL } = constants.errno;
    expect(lines.map(({ text }) => text)).toEqual([
      `uwsgi0 ${EPERM}`,
      // It has one queue.
      `uwsgi0 ${EINVAL}`,
      `other0 ${EPERM}`,
      `other0 ${EPERM}`,
    ]);
  });

  /** A veth whose other end is inside: it goes when the vassal's network namespace does. */
  const tie = (jail: TestJail, name: string) =>
    onHost(
      'ip',
      'link',
      'add',
      name,
      'type',
      'veth',
      'peer',
      'name',
      'tied',
      'netns',
      `${jail.pid}`,
    );
  const onHost = (...command: readonly string[]) =>
    execFileSync('nsenter', [`--net=${w.netns}`, '--', ...command], { encoding: 'utf8' });
  const tied = () =>
    onHost('ip', '-o', 'link', 'show', 'type', 'veth')
      .match(/veth-\d+/g)
      ?.map(String) ?? [];

  test('pins the network namespace until it is closed', async () => {
    const jail = await vassal({ network: POOL });
    const { fd } = await fetch(jail);
    tie(jail, 'veth-0');
    const control = await vassal({ network: POOL });
    tie(control, 'veth-1');
    await jail.stop();
    await control.stop();
    await until('that of the other one has gone', () => !tied().includes('veth-1'), 20_000);
    expect(tied()).toEqual(['veth-0']);
    expect(hasVnetHeader(fd)).toBe(true);
    closeSync(fd);
    await until('this one has gone, too', () => tied().length === 0, 20_000);
  });

  test('and its network namespace are gone after 50 starts and stops', {
    timeout: patienceMs(60_000),
  }, async () => {
    for (let i = 0; i < 50; i += 1) {
      const jail = await vassal({ network: POOL });
      const { fd } = await fetch(jail);
      tie(jail, `veth-${i}`);
      await jail.stop();
      closeSync(fd);
    }
    await until('all have gone', () => tied().length === 0, 30_000);
    expect(await w.leaks()).toEqual([]);
  });
});
