/** The network of the sample emperor.ini, as tenants find it: the host, the world, and nobody else. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, readFileSync, readlinkSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseRule, type Rule } from '../../src/firewall/rule.ts';
import { RouterClient } from '../../src/router/client.ts';
import { cidr } from '../support/addresses.ts';
import {
  CLOUD,
  FAR,
  FAR6,
  NetworkWorld,
  UPLINK,
  UPLINK6,
  WORLD,
  WORLD6,
} from '../support/network-world.ts';
import { until } from '../support/wait.ts';

/** What the sample says of the network, with a socket of the test's own. */
function sampleLines(socket: string): readonly string[] {
  return readFileSync(resolve(import.meta.dirname, '../../emperor.ini'), 'utf8')
    .split('\n')
    .filter((line) => /^(tuntap-|nat|vassal-set = tuntap)/.test(line))
    .map((line) => line.replace('run/router', socket));
}

const net = new NetworkWorld();
const { emperor } = net;
const SAMPLE = sampleLines(net.routerSocket);
const HOST = '10.203.0.1';
const HOST6 = 'fd5e:a3c1:7b20::1';
const of: Record<'blog' | 'shop', { address: string; address6: string }> = {
  blog: { address: '', address6: '' },
  shop: { address: '', address6: '' },
};
/** Long enough for what arrives, short for what does not. */
const SHORTLY = { timeout: 0.3 };

/** Answers `hello`, then takes 40 datagrams; tells how large they were, and what was in them. */
const RECEIVE_DATAGRAMS = `
import hashlib, socket, sys
family = socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET
server = socket.socket(family, socket.SOCK_DGRAM)
server.bind((sys.argv[1], 7300))
server.settimeout(10)
got = []
while len(got) < 40:
    datagram, peer = server.recvfrom(65536)
    if datagram == b'hello':
        server.sendto(b'hello', peer)
    else:
        got.append(datagram)
sizes = ','.join(str(size) for size in sorted({len(datagram) for datagram in got}))
print(len(got), 'of', sizes, hashlib.sha256(b''.join(got)).hexdigest())
`;
/** Sends 40 datagrams by one call (udp(7), UDP_SEGMENT), once somebody answers. */
const SEND_DATAGRAMS = `
import hashlib, random, socket, sys, time
family = socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET
peer = socket.socket(family, socket.SOCK_DGRAM)
peer.connect((sys.argv[1], 7300))
peer.settimeout(0.5)
for _ in range(100):
    try:
        peer.send(b'hello')
        peer.recv(100)
        break
    except (TimeoutError, ConnectionRefusedError):
        time.sleep(0.1)
text = random.randbytes(40 * 1200)
peer.setsockopt(17, 103, 1200)
peer.send(text)
print(40, 'of', 1200, hashlib.sha256(text).hexdigest())
`;

import { patienceMs } from '../support/slowness.ts';

beforeAll(async () => {
  copyFileSync('/usr/bin/traceroute.db', join(net.opt, 'traceroute'));
  net.writeIni({ ini: SAMPLE.join('\n') });
  await emperor.start();
  await Promise.all([net.vassal('blog'), net.vassal('shop', `dns = ${WORLD6}`)]);
  for (const name of ['blog', 'shop'] as const) {
    of[name] = { address: net.addressOf(name), address6: net.addressOf(name, 6) };
  }
});
afterAll(() => net.close());

describe('a tenant', () => {
  test('U10: reaches the world by name with no set-up at all, and is seen as the host', async () => {
    const { output } = await net.run('blog', 'curl', '-sS4', 'http://site.example:9000/');
    expect(output).toBe(`world sees ${UPLINK}\n`);
  });

  test('U11: does so by IPv6 as well', async () => {
    const { output } = await net.run('blog', 'curl', '-sS6', 'http://site.example:9000/');
    expect(output).toBe(`world sees ${UPLINK6}\n`);
  });

  test('U12: downloads whole, by both families', async () => {
    const sum = createHash('md5').update('0123456789'.repeat(2e6)).digest('hex');
    for (const address of [WORLD, `[${WORLD6}]`]) {
      const script = `curl -sS http://${address}:9000/20000000 | md5sum`;
      expect((await net.run('blog', 'sh', '-c', script)).output).toContain(sum);
    }
  });

  test('U13: pings and finds out its own addresses and routes', async () => {
    for (const to of [HOST, WORLD, FAR, HOST6, WORLD6, FAR6]) {
      const { output } = await net.run('blog', 'ping', '-c', '2', '-i', '0.1', '-W', '2', to);
      expect(output, to).toContain(' 0% packet loss');
    }
    const { output } = await net.run('blog', 'ip', '-br', 'addr', 'show', 'uwsgi0');
    expect(output).toContain(`${of.blog.address}/16`);
    expect(output).toContain(`${of.blog.address6}/64`);
    expect((await net.run('blog', 'ip', 'route')).output).toContain(`default via ${HOST}`);
    expect((await net.run('blog', 'ip', '-6', 'route')).output).toContain(`default via ${HOST6}`);
  });

  test('partly U7: sees by traceroute its host first, then the world, as times exceeded come back', async () => {
    for (const [far, host] of [
      [FAR, HOST],
      [FAR6, HOST6],
    ] as const) {
      const traced = await net.run('blog', '/opt/traceroute', '-n', '-q', '1', '-w', '1', far);
      expect(traced.output).toMatch(new RegExp(`^ 1  ${host} .*\n 2  ${far} `, 'm'));
      const { output } = await net.run('blog', 'ping', '-n', '-t', '1', '-c', '1', '-W', '1', far);
      expect(output).toMatch(new RegExp(`^From ${host}:? icmp_seq=1 Time .*exceeded`, 'm'));
    }
  });

  test('sends many datagrams in one piece, which arrive as they were cut', async () => {
    for (const [place, address] of [
      ['host', HOST],
      ['host', HOST6],
      ['world', WORLD],
      ['world', WORLD6],
    ] as const) {
      const before = (await net.trafficOf('blog')).txPackets;
      const [received, sent] = await Promise.all([
        net.run(place, 'python3', '-c', RECEIVE_DATAGRAMS, address),
        net.run('blog', 'python3', '-c', SEND_DATAGRAMS, address),
      ]);
      expect(sent.output, address).toMatch(/^40 of 1200 [0-9a-f]{64}\n$/);
      expect(received.output, address).toBe(sent.output);
      // Cut by the kernel it would be 40 at least.
      expect((await net.trafficOf('blog')).txPackets - before).toBeLessThan(30);
    }
  });

  test("U8: has no address but those of the pool; the public one is the host's alone", async () => {
    const inside = net.inside('blog', 'ip', '-br', 'addr');
    const addresses = inside.match(/\S+\/\d+/g);
    const { address, address6 } = of.blog;
    expect(addresses).toEqual(['127.0.0.1/8', '::1/128', `${address}/16`, `${address6}/64`]);
    expect(net.ip('-br', 'addr', 'show', 'eth0')).toContain(`${UPLINK}/24`);
  });

  test('knows itself by name, and the name servers of the host unless its file names others', async () => {
    const { address, address6 } = of.blog;
    const { output } = await net.run('blog', 'curl', '-sS4', 'http://blog:9000/');
    expect(output).toBe(`blog sees ${address}\n`);
    const hosts = (await net.run('blog', 'cat', '/etc/hosts')).output;
    expect(hosts).toContain(`${address} blog\n`);
    expect(hosts).toContain(`${address6} blog\n`);
    const servers = async (name: string) => (await net.run(name, 'cat', '/etc/resolv.conf')).output;
    expect(await servers('blog')).toBe(`nameserver ${WORLD}\n`);
    expect(await servers('shop')).toBe(`nameserver ${WORLD6}\n`);
    const { output: named } = await net.run('shop', 'curl', '-sS4', 'http://site.example:9000/');
    expect(named).toBe(`world sees ${UPLINK}\n`);
  });

  test('reaches neither what clouds keep for their machines nor mail servers, which the host does', async () => {
    expect(await net.get('host', CLOUD)).toContain('world sees');
    expect(await net.get('host', WORLD, { port: 25 })).toContain('world sees');
    const tries = [
      net.get('blog', CLOUD, SHORTLY),
      net.get('blog', WORLD, { ...SHORTLY, port: 25 }),
      net.get('blog', WORLD6, { ...SHORTLY, port: 25 }),
    ];
    expect(await Promise.all(tries)).toEqual(['ETIMEDOUT', 'ETIMEDOUT', 'ETIMEDOUT']);
  });
});

describe('between networks', () => {
  test('U1: each tenant has a loopback of its own: the same port, and nobody else comes to it', async () => {
    const serve =
      'echo "of $0" > index.html; python3 -m http.server 8000 --bind 127.0.0.1 >/dev/null 2>&1 &';
    for (const name of ['blog', 'shop']) await net.run(name, 'sh', '-c', serve, name);
    const look = async (place: string) =>
      (await net.run(place, 'curl', '-sS', 'http://127.0.0.1:8000/')).output;
    await until('both serve', async () => {
      const seen = await Promise.all([look('blog'), look('shop')]);
      return seen[0] === 'of blog\n' && seen[1] === 'of shop\n';
    });
    const port = { ...SHORTLY, port: 8000 };
    expect(await net.get('host', '127.0.0.1', port)).toBe('Connection refused');
    expect(await net.get('host', of.blog.address, port)).toBe('Connection refused');
  });

  test('U2: routes, rules and devices of one are seen in no other and not on the host', () => {
    net.inside('blog', 'ip', 'route', 'add', '198.18.7.0/24', 'dev', 'uwsgi0');
    net.inside('blog', 'ip', 'link', 'add', 'dummy7', 'type', 'veth');
    net.inside('blog', 'nft', 'add', 'table', 'inet', 'seven');
    const look = (run: (...command: readonly string[]) => string) =>
      `${run('ip', 'route')}${run('ip', 'link')}${run('nft', 'list', 'tables')}`;
    const inBlog = look((...command) => net.inside('blog', ...command));
    const elsewhere = [
      look((...command) => net.inside('shop', ...command)),
      look((...command) => net.onHost(...command)),
    ];
    for (const each of ['198.18.7.0/24', 'dummy7', 'table inet seven']) {
      expect(inBlog).toContain(each);
      for (const seen of elsewhere) expect(seen).not.toContain(each);
    }
    net.inside('blog', 'ip', 'link', 'del', 'dummy7');
    net.inside('blog', 'nft', 'delete', 'table', 'inet', 'seven');
  });

  test('U17: the host reaches every tenant', async () => {
    expect(await net.get('host', of.blog.address)).toBe(`blog sees ${HOST}`);
    expect(await net.get('host', of.blog.address6)).toBe(`blog sees ${HOST6}`);
  });

  test('U14, partly U18: nothing comes in from the world, though it knows the way; replies do', async () => {
    const text = 'uninvited';
    const { address, address6 } = of.blog;
    const tries = [address, address6].map((to) => net.get('world', to, SHORTLY));
    for (const to of [address, address6]) await net.tell('world', 'send', { to, text });
    expect(await Promise.all(tries)).toEqual(['ETIMEDOUT', 'ETIMEDOUT']);
    expect(await net.tell('blog', 'count_of', { text })).toBe(0);
    // The same packets come as far as the host, and go in where its table of NAT does not stand in between.
    expect(net.onHost('nft', 'list', 'chain', 'inet', 'emperor_emperor0', 'to_vassals')).toMatch(
      /ip daddr [^\n]* counter packets [1-9].*drop.*ip6 daddr [^\n]* counter packets [1-9].*drop/s,
    );
    // By the host's own address it is the host that answers.
    expect(await net.get('world', UPLINK)).toContain('host sees');
  });

  test('partly U16: tenants do not reach each other, by no address, and both ways are counted', async () => {
    const before = (await net.trafficOf('blog')).drops['denied-out'];
    const { address, address6 } = of.shop;
    const tries = [address, address6].map((to) => net.get('blog', to, SHORTLY));
    for (const to of [address, address6]) await net.tell('blog', 'send', { to, text: 'psst' });
    expect(await Promise.all(tries)).toEqual(['ETIMEDOUT', 'ETIMEDOUT']);
    expect(await net.tell('shop', 'count_of', { text: 'psst' })).toBe(0);
    expect((await net.trafficOf('blog')).drops['denied-out']).toBeGreaterThanOrEqual(before + 4);
    // The host's side of the other's network is the host, not the other.
    expect(await net.get('blog', HOST)).toContain('host sees');
  });
});

describe('the network namespace of a vassal', () => {
  const netOf = (pid: number | string) => readlinkSync(`/proc/${pid}/ns/net`);

  test('P15, P16: is its own, and that of everything that it starts', async () => {
    const init = emperor.status('blog').pid ?? 0;
    const { output } = await net.run('blog', 'sh', '-c', 'sh -c "readlink /proc/self/ns/net"');
    expect(output).toBe(`${netOf(init)}\n`);
    const others = ['self', emperor.pid, emperor.status('shop').pid ?? 0].map(netOf);
    expect(new Set([...others, netOf(init)]).size).toBe(4);
    for (const { pid } of emperor.status('blog').processes) {
      expect(netOf(pid ?? 0)).toBe(netOf(init));
    }
  });

  test('P17, P18, P19: opens for nsenter by its process, and for ip by a name', () => {
    const init = emperor.status('blog').pid ?? 0;
    const entered = net.inside('blog', 'ip', '-br', 'addr', 'show', 'uwsgi0');
    expect(entered).toContain(of.blog.address);
    const name = `${emperor.netns}-blog`;
    const ip = (...args: readonly string[]) => execFileSync('ip', args, { encoding: 'utf8' });
    ip('netns', 'attach', name, `${init}`);
    try {
      expect(ip('-n', name, '-br', 'addr', 'show', 'uwsgi0')).toBe(entered);
      expect(ip('netns', 'identify', `${init}`)).toBe(`${name}\n`);
      expect(ip('netns', 'pids', name).split('\n')).toContain(`${init}`);
    } finally {
      ip('netns', 'del', name);
    }
  });
});

const POOL6 = 'fd5e:a3c1:7b20::/64';
const BETWEEN6 = `deny ${POOL6} ${POOL6}`;

describe('the rules of the seed, written for IPv6, decide packet by packet:', () => {
  const addressOf = (place: string) =>
    ({
      blog: of.blog.address6,
      shop: of.shop.address6,
      host: HOST6,
      world: WORLD6,
      stray: 'fd66::9',
    })[place] ?? '';
  beforeAll(async () => {
    // An address that no rule but the last ones speaks of.
    await net.vassal('stray', 'exec-as-root = ip addr add fd66::9/128 dev uwsgi0 nodad');
    net.ip('-6', 'route', 'add', 'fd66::9/128', 'dev', 'emperor0');
    // Deprecated, so that it is nobody's choice.
    const second = 'addr add fd5e:a3c1:7b20::ffff:1/128 dev emperor0 nodad preferred_lft 0';
    net.ip('-6', ...second.split(' '));
  });

  for (const [from, to, fate, source] of [
    ['blog', 'host', 'arrives'],
    ['blog', 'shop', `out ${BETWEEN6}`],
    ['shop', 'blog', `out ${BETWEEN6}`],
    ['blog', 'world', 'arrives'],
    ['blog', 'stray', 'in deny'],
    ['stray', 'blog', 'out deny'],
    ['stray', 'host', 'out deny'],
    ['stray', 'world', 'out deny'],
    ['host', 'blog', 'arrives'],
    ['host', 'blog', `in ${BETWEEN6}`, 'fd5e:a3c1:7b20::ffff:1'],
    ['host', 'blog', 'arrives', UPLINK6],
    ['host', 'stray', 'in deny'],
  ] as const) {
    test(`one from ${source ?? from} to ${to}: ${fate}`, async () => {
      const packet = { from, to, address: addressOf(to), ...(source ? { source } : {}) };
      expect(await net.fateOf(packet)).toBe(fate);
    });
  }
});

test('partly U15, partly U16: a port that the operator forwards is open to the world, not to the other tenants', async () => {
  const rules = `table ip forwarded {
    chain before { type nat hook prerouting priority dstnat; tcp dport 8443 dnat to ${of.blog.address}:9000; }
  }`;
  net.onHost('nft', rules);
  expect(await net.get('world', UPLINK, { port: 8443 })).toBe(`blog sees ${WORLD}`);
  const before = (await net.trafficOf('blog')).drops['denied-in'];
  expect(await net.get('shop', UPLINK, { ...SHORTLY, port: 8443 })).toBe('ETIMEDOUT');
  expect((await net.trafficOf('blog')).drops['denied-in']).toBeGreaterThan(before);
  net.onHost('nft', 'delete', 'table', 'ip', 'forwarded');
});

describe('rules that are edited', () => {
  const pids = () => ['blog', 'shop'].map((name) => emperor.status(name).pid);
  let packets = 0;
  const arrives = async () => {
    const text = `rules ${++packets}`;
    await net.tell('blog', 'send', { to: of.shop.address, text });
    await net.tell('blog', 'send', { to: HOST, text });
    await until('the second', async () => (await net.tell('host', 'count_of', { text })) > 0);
    return (await net.tell('shop', 'count_of', { text })) > 0;
  };
  const editsRead = () => emperor.stats().counters['emperor-ini-applied'] ?? 0;
  const open = () => {
    const rules = ['out', 'in'].map(
      (chain) => `tuntap-router-firewall-${chain} = allow ${of.blog.address} ${of.shop.address}`,
    );
    return [...rules, ...SAMPLE].join('\n');
  };

  test('are in force within a second, both ways, and nothing restarts', async () => {
    const before = pids();
    expect(await arrives()).toBe(false);
    let since = performance.now();
    net.writeIni({ ini: open() });
    await until('vassals reach each other', arrives);
    expect(performance.now() - since).toBeLessThan(patienceMs(1000));
    const edits = editsRead();
    since = performance.now();
    net.writeIni({ ini: SAMPLE.join('\n') });
    // A packet may be under way still, so a silence alone says nothing.
    await until('they do not any more', async () => editsRead() > edits && !(await arrives()));
    expect(performance.now() - since).toBeLessThan(patienceMs(1000));
    expect(pids()).toEqual(before);
  });

  test('with a mistake in one of them change nothing', async () => {
    net.writeIni({ ini: open().replaceAll('= allow', '= alow') });
    await until('it is said', () => emperor.stats().conditions.length > 0);
    expect(emperor.stats().conditions.join()).toMatch(/last good/);
    expect(JSON.stringify(emperor.stats().diagnostics)).toMatch(/`alow` is neither/);
    expect(await arrives()).toBe(false);
    net.writeIni({ ini: SAMPLE.join('\n') });
    await until('it is mended', () => emperor.stats().conditions.length === 0);
  });

  test('of one vassal take from it alone, live', async () => {
    const before = pids();
    const rule = `tuntap-device-rule = out 0.0.0.0 ${WORLD} deny`;
    await net.vassal('blog', rule);
    expect(await net.get('blog', WORLD, SHORTLY)).toBe('ETIMEDOUT');
    expect(await net.get('blog', FAR)).toContain('world sees');
    expect(await net.get('shop', WORLD)).toContain('world sees');
    const { denials } = await net.routerStatus();
    expect(denials).toContainEqual({
      chain: 'out',
      rule: `deny 0.0.0.0 ${WORLD}`,
      vassal: 'blog',
      count: expect.any(Number),
    });
    await net.vassal('blog');
    expect(await net.get('blog', WORLD)).toContain('world sees');
    expect(pids()).toEqual(before);
  });

  test('while no emperor runs are in force with the next one', async () => {
    await emperor.signal('SIGTERM');
    net.writeIni({ ini: open() });
    expect(await arrives()).toBe(false);
    await emperor.start();
    expect(await arrives()).toBe(true);
    const edits = editsRead();
    net.writeIni({ ini: SAMPLE.join('\n') });
    await until('it is as before', async () => editsRead() > edits && !(await arrives()));
  });

  test('and NAT, too: off, on, and denying another port', async () => {
    const tables = () => net.onHost('nft', 'list', 'tables');
    net.writeIni({ ini: SAMPLE.join('\n').replace('nat = auto', 'nat = off') });
    await until('the table goes', () => !tables().includes('emperor_emperor0'));
    // Without it the world sees the tenant, and this one knows the way back.
    expect(await net.get('blog', WORLD)).toBe(`world sees ${of.blog.address}`);
    net.writeIni({ ini: `${SAMPLE.join('\n')}\nnat-deny = tcp/9000` });
    await until('the table comes', () => tables().includes('emperor_emperor0'));
    expect(await net.get('blog', WORLD, SHORTLY)).toBe('ETIMEDOUT');
    expect(await net.get('blog', WORLD, { port: 25 })).toBe(`world sees ${UPLINK}`);
    net.writeIni({ ini: SAMPLE.join('\n') });
    await until(
      'it is as before',
      async () => (await net.get('blog', WORLD, SHORTLY)) === `world sees ${UPLINK}`,
    );
  });

  test('never leave a window: what both the old and the new ones deny does not arrive in a flood', async () => {
    const rulesOf = (...texts: readonly string[]): readonly Rule[] =>
      texts.flatMap((text) => {
        const parsed = parseRule(text);
        return 'rule' in parsed ? [parsed.rule] : [];
      });
    const { address } = of.shop;
    const sets = [
      rulesOf(`deny 0.0.0.0 ${address}`),
      rulesOf(`allow 0.0.0.0 ${HOST}`, `deny 0.0.0.0 10.203.0.0/16`),
    ];
    const network = (text: string) => ({
      prefix: { ...cidr(text).address, length: cidr(text).length },
      host: cidr(text).address,
    });
    const client = await RouterClient.connect(join(emperor.directory, 'run/router.sock'));
    const swap = (at: number) =>
      client.call('firewall', {
        chains: {
          in: { rules: [], policy: 'allow' },
          out: { rules: sets[at % 2] ?? [], policy: 'allow' },
        },
        network4: network(`${HOST}/16`),
        network6: null,
      });
    await swap(0);
    const before = (await net.trafficOf('blog')).drops['denied-out'];
    let isDone = false;
    const flood = net
      .tell('blog', 'send', { to: address, text: 'flood', seconds: 1.5 })
      .finally(() => {
        isDone = true;
      });
    let swaps = 0;
    for (; !isDone; swaps += 1) await swap(swaps);
    client.close();
    await flood;
    expect(swaps).toBeGreaterThan(100);
    const denied = (await net.trafficOf('blog')).drops['denied-out'] - before;
    expect(denied).toBeGreaterThan(1000);
    expect(await net.tell('shop', 'count_of', { text: 'flood' })).toBe(0);
    net.writeIni({ ini: `${SAMPLE.join('\n')}\n; as it was` });
    emperor.hup();
    await until("the rules are the sample's", async () => !(await arrives()));
  });
});
