/** The host's side of the network with the real tools, in a network namespace that plays the host. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { systemClock } from '../../../src/base/clock.ts';
import { silentLog } from '../../../src/base/log.ts';
import { networkOf, printCidr, printPrefix } from '../../../src/firewall/prefix.ts';
import { readStat } from '../../../src/linux/proc.ts';
import { readDeviceCidrs } from '../../../src/network/device-addresses.ts';
import { setUpHostDevice } from '../../../src/network/host-device.ts';
import { overlapWith, readHostRoutes } from '../../../src/network/host-routes.ts';
import { gatherForwardDrops, judgeForwarding } from '../../../src/network/preflight.ts';
import { runHooks } from '../../../src/network/run-hooks.ts';
import { cidr } from '../../support/addresses.ts';
import { NetworkNamespace } from '../../support/netns.ts';
import { patienceMs } from '../../support/slowness.ts';
import { until } from '../../support/wait.ts';

let host: NetworkNamespace;
beforeEach(() => {
  host = new NetworkNamespace('host');
  host.ip('tuntap add emperor0 mode tun');
});
afterEach(() => host.close());

interface Shown {
  readonly mtu: number;
  readonly txqlen: number;
  readonly flags: readonly string[];
  readonly addr_info: readonly { readonly local: string; readonly prefixlen: number }[];
}

function device(): Shown & { readonly addresses: readonly string[] } {
  const [shown] = JSON.parse(host.ip('-j addr show dev emperor0')) as readonly Shown[];
  if (!shown) throw new Error('there is no emperor0');
  const addresses = shown.addr_info.map(({ local, prefixlen }) => `${local}/${prefixlen}`);
  return { ...shown, addresses };
}

describe('setUpHostDevice()', () => {
  const wanted = {
    device: 'emperor0',
    cidr4: cidr('192.168.0.1/24'),
    cidr6: cidr('fd00:1::1/64'),
  };

  test('gives the device its addresses and brings it up, and again changes nothing', async () => {
    await setUpHostDevice(host.run, wanted);
    const first = device();
    expect(first).toMatchObject({ mtu: 1500, txqlen: 1000 });
    expect(first.flags).toContain('UP');
    expect(first.addresses).toEqual(['192.168.0.1/24', 'fd00:1::1/64']);
    host.ip('addr add 10.9.9.9/32 dev emperor0');
    host.ip('route add 10.8.0.0/16 dev emperor0');
    await setUpHostDevice(host.run, wanted);
    expect(device().addresses).toEqual(['192.168.0.1/24', '10.9.9.9/32', 'fd00:1::1/64']);
    expect(host.ip('route show')).toContain('10.8.0.0/16 dev emperor0');
  });

  test('lets nobody behind it choose a way, change the routes of the host, or be its router', async () => {
    await setUpHostDevice(host.run, wanted);
    const files = [
      'ipv4/conf/emperor0/accept_source_route',
      'ipv4/conf/emperor0/accept_redirects',
      'ipv4/conf/emperor0/send_redirects',
      'ipv4/conf/emperor0/route_localnet',
      'ipv6/conf/emperor0/accept_redirects',
      'ipv6/conf/emperor0/accept_ra',
    ];
    const shown = await host.run(['cat', ...files.map((file) => `/proc/sys/net/${file}`)]);
    expect(shown).toBe('0\n'.repeat(files.length));
  });

  test("leaves addresses to the operator's lines where none is given", async () => {
    await setUpHostDevice(host.run, { ...wanted, cidr4: null, cidr6: null });
    expect(device().addresses).toEqual([]);
    expect(device().flags).toContain('UP');
  });

  test('says which device is not there', async () => {
    const attempt = setUpHostDevice(host.run, { ...wanted, device: 'emperor7' });
    await expect(attempt).rejects.toThrow(/Cannot find device "emperor7"/);
  });
});

describe('readDeviceCidrs()', () => {
  const read = async () => {
    const { cidr4, cidr6 } = await readDeviceCidrs(host.run, 'emperor0');
    return [cidr4, cidr6].map((found) => found && printCidr(found));
  };

  test("finds what the operator's lines gave the device, without link-local addresses", async () => {
    expect(await read()).toEqual([null, null]);
    host.ip('addr add 192.168.0.1/24 dev emperor0');
    host.ip('addr add fe80::1/64 dev emperor0 nodad');
    host.ip('addr add fd00:1::1/64 dev emperor0 nodad');
    expect(await read()).toEqual(['192.168.0.1/24', 'fd00:1::1/64']);
  });
});

describe('readHostRoutes()', () => {
  test('finds the route that a pool would be in the way of', async () => {
    host.ip('tuntap add office mode tun');
    host.ip('addr add 10.1.2.3/16 dev office');
    host.ip('addr add fd00:7::1/64 dev office nodad');
    host.ip('link set office up');
    host.ip('route add default via 10.1.0.1');
    host.ip('rule add to 10.2.0.0/16 lookup 77');
    host.ip('route add 10.2.0.0/16 dev office table 77');
    await setUpHostDevice(host.run, {
      device: 'emperor0',
      cidr4: cidr('10.3.0.1/24'),
      cidr6: null,
    });
    const routes = await readHostRoutes(host.run);
    const find = (pool: string) => {
      const found = overlapWith(networkOf(cidr(pool)), { routes, devices: ['emperor0'] });
      return found && `${printPrefix(found.network)} ${found.device}`;
    };
    expect(find('10.3.0.1/24')).toBeUndefined();
    expect(find('10.1.9.1/24')).toBe('10.1.0.0/16 office');
    expect(find('10.2.9.1/24')).toBe('10.2.0.0/16 office');
    expect(find('fd00:7::1/120')).toMatch(/ office$/);
    expect(find('100.64.0.1/10')).toBeUndefined();
    expect(find('fd00:8::1/64')).toBeUndefined();
  });
});

describe('gatherForwardDrops()', () => {
  const nft = (text: string) => host.run(['nft', '-f', '-'], text);
  const judged = async () =>
    judgeForwarding(await gatherForwardDrops(host.run, 'emperor0'), 'emperor0');

  /** As Docker leaves it by iptables-nft. */
  const DOCKER = `table ip filter {
	chain DOCKER-USER { }
	chain FORWARD { type filter hook forward priority filter; policy drop; jump DOCKER-USER; iifname "docker0" accept; }
}`;

  test('finds nothing in the way on a plain host, nor in our own table', async () => {
    expect(await judged()).toEqual([
      { topic: 'forwarding', verdict: 'ok', message: 'no other firewall is in the way', fix: null },
    ]);
  });

  test("finds Docker's policy, and that its fix was applied", async () => {
    await nft(DOCKER);
    const [finding, ...more] = await judged();
    expect(more).toEqual([]);
    expect(finding).toMatchObject({ verdict: 'warning' });
    expect(finding?.message).toContain('ip filter FORWARD (Docker) drops');
    expect(finding?.fix).toBe(
      '`iptables -I DOCKER-USER -i emperor0 -j ACCEPT` and ' +
        '`iptables -I DOCKER-USER -o emperor0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT`',
    );
    await nft('insert rule ip filter DOCKER-USER iifname emperor0 counter accept');
    expect(await judged()).toMatchObject([{ verdict: 'warning' }]);
    await nft(
      'insert rule ip filter DOCKER-USER oifname emperor0 ct state established,related accept',
    );
    expect(await judged()).toMatchObject([{ verdict: 'ok' }]);
  });

  test("finds ufw's policies of both families, and another's chain, each with its own fix", async () => {
    const chain = 'type filter hook forward priority 0; policy drop;';
    await nft(`table ip filter { chain ufw-before-forward { }; chain FORWARD { ${chain} }; }
table ip6 filter { chain ufw6-before-forward { }; chain FORWARD { ${chain} }; }
table inet mine { chain own { ${chain} }; }`);
    const fixes = (await judged()).map(({ fix }) => fix);
    expect(fixes.slice(0, 2)).toEqual(
      Array(2).fill('`ufw route allow in on emperor0` and `ufw route allow out on emperor0`'),
    );
    for (const [, line] of fixes[2]?.matchAll(/`nft ([^`]+)`/g) ?? []) await nft(line ?? '');
    expect(await judged()).toHaveLength(2);
  });
});

describe('runHooks()', () => {
  const said: string[] = [];
  const log = { ...silentLog, info: (_: object, message: string) => void said.push(message) };
  const options = () => ({
    timeoutMs: 5000,
    clock: systemClock,
    log,
    wrapper: ['ip', 'netns', 'exec', host.name],
  });
  beforeEach(() => void said.splice(0));

  test("M63 runs the operator's own lines, as uWSGI's cookbook writes them", async () => {
    await runHooks(
      ['ifconfig emperor0 192.168.0.1 netmask 255.255.255.0 up', 'echo a; echo b >&2'],
      options(),
    );
    expect(device().addresses).toEqual(['192.168.0.1/24']);
    expect(said.sort()).toEqual(['a', 'b']);
  });

  test('stops at the first line that fails, and says why', async () => {
    const attempt = runHooks(['echo oh no >&2; exit 3', 'echo never'], options());
    await expect(attempt).rejects.toThrow(
      'Cannot run exec-as-root `echo oh no >&2; exit 3`: exit status 3: oh no',
    );
    expect(said).toEqual(['oh no']);
  });

  test('ends a line that takes too long, and all that it started', async () => {
    const attempt = runHooks(['sleep 60 & echo $!; wait'], { ...options(), timeoutMs: 300 });
    await expect(attempt).rejects.toThrow('not done after 0.3 s');
    await until('all of it ended', () => {
      const state = readStat(Number(said[0]))?.state;
      return state === undefined || state === 'Z';
    });
  });

  test('does not wait for a daemon that holds the output open', async () => {
    const begun = performance.now();
    await runHooks(['sleep 20 & echo $!'], options());
    process.kill(Number(said[0]));
    expect(performance.now() - begun).toBeLessThan(patienceMs(10_000));
  });
});
