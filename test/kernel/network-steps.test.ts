/** A vassal's tun as the kernel has it: made before hooks, its address read back before the gate. */
import { execFileSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import type { JailNetwork, JailSpec } from '../../src/jail/plan.ts';
import { forgetFailed, launch, logLines, type TestJail } from '../support/jail.ts';
import { useJails } from '../support/jails.ts';
import type { World } from '../support/world.ts';

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

async function refusal(changes: Partial<JailSpec>): Promise<string> {
  const plan = w.plan(freshName(), changes);
  const error = await launch(w, plan).then(
    async (jail) => {
      await jail.stop();
      throw new Error('the launch did not fail');
    },
    (one: unknown) => one,
  );
  await forgetFailed(w, plan.name);
  expect(error).toMatchObject({ code: 'jail-failed' });
  return (error as Error).message;
}

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
