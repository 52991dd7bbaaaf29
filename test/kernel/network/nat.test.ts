/** NAT end to end: a vassal, the host in the middle, and the world, each a network namespace. */
import { once } from 'node:events';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { NatDeny } from '../../../src/config/kinds/firewall.ts';
import { networkOf } from '../../../src/firewall/prefix.ts';
import { dropNat, enableForwarding, putNat } from '../../../src/network/nat.ts';
import type { NatSpec } from '../../../src/network/nat-table.ts';
import { cidr } from '../../support/addresses.ts';
import { join, NetworkNamespace } from '../../support/netns.ts';

/** Answers who asked, by TCP and UDP. */
const ANSWERS = `
import socket, sys, threading
port = int(sys.argv[1])
def bind(kind):
    s = socket.socket(socket.AF_INET6, kind)
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((sys.argv[2], port))
    return s
tcp, udp = bind(socket.SOCK_STREAM), bind(socket.SOCK_DGRAM)
tcp.listen()
def text(peer): return peer[0].replace('::ffff:', '').encode()
def streams():
    while True:
        c, peer = tcp.accept()
        c.sendall(text(peer))
        c.close()
threading.Thread(target=streams, daemon=True).start()
print('ready')
while True:
    _, peer = udp.recvfrom(100)
    try: udp.sendto(text(peer), peer)
    except OSError: pass  # There is no way back.
`;

/** Prints the answer, or nothing. */
const ASKS = `
import socket, sys
kind, host, port, wait = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
family = socket.AF_INET6 if ':' in host else socket.AF_INET
s = socket.socket(family, socket.SOCK_STREAM if kind == 'tcp' else socket.SOCK_DGRAM)
s.settimeout(wait)
try:
    s.connect((host, port))
    if kind == 'udp': s.send(b'who am I')
    print(s.recv(100).decode())
except OSError:
    pass
`;

const POOLS = [networkOf(cidr('192.168.0.1/24')), networkOf(cidr('fd00:1::1/64'))];
const DENY: readonly NatDeny[] = [
  { network: networkOf(cidr('169.254.0.0/16')) },
  { protocol: 'tcp', port: 25 },
  { protocol: 'udp', port: 123 },
  { network: networkOf(cidr('2001:db8:bad::/48')) },
];
const SPEC: NatSpec = {
  device: 'emperor0',
  otherDevices: [],
  pools: POOLS,
  uplink: 'auto',
  deny: DENY,
};

let vassal: NetworkNamespace;
let host: NetworkNamespace;
let world: NetworkNamespace;

beforeEach(async () => {
  vassal = new NetworkNamespace('vassal');
  host = new NetworkNamespace('host');
  world = new NetworkNamespace('world');
  join([host, 'emperor0'], [vassal, 'uwsgi0']);
  join([host, 'up0'], [world, 'eth0']);
  host.ip('addr add 192.168.0.1/24 dev emperor0');
  host.ip('addr add fd00:1::1/64 dev emperor0 nodad');
  vassal.ip('addr add 192.168.0.2/24 dev uwsgi0');
  vassal.ip('addr add fd00:1::2/64 dev uwsgi0 nodad');
  vassal.ip('route add default via 192.168.0.1');
  vassal.ip('route add default via fd00:1::1');
  host.ip('addr add 203.0.113.1/24 dev up0');
  host.ip('addr add 2001:db8::1/64 dev up0 nodad');
  world.ip('addr add 203.0.113.9/24 dev eth0');
  world.ip('addr add 2001:db8::9/64 dev eth0 nodad');
  host.ip('route add default via 203.0.113.9');
  host.ip('route add default via 2001:db8::9');
  host.shell('echo 0 > /proc/sys/net/ipv4/ip_forward');
  await enableForwarding(host.run, { ipv4: true, ipv6: true, devices: ['emperor0'] });
});

afterEach(async () => {
  for (const each of [vassal, host, world]) await each.close();
});

async function answer(on: NetworkNamespace, port: number, address = '::'): Promise<void> {
  const server = on.start(ANSWERS, [String(port), address]);
  await new Promise<void>((resolve, reject) => {
    server.stdout?.once('data', () => resolve());
    server.once('close', () => reject(new Error('the server ended')));
  });
}

interface Question {
  readonly by?: 'tcp' | 'udp';
  readonly to: string;
  readonly port: number;
  /** Short where no answer is expected. */
  readonly waitS?: number;
}

function ask(from: NetworkNamespace, { by = 'tcp', to, port, waitS = 5 }: Question) {
  return from.python(ASKS, [by, to, String(port), String(waitS)]);
}

describe('a vassal that asks the world', () => {
  test.each(['tcp', 'udp'] as const)(
    'M63 U10 U12 leaves with the address of the host, and hears the answer: %s',
    async (by) => {
      await answer(world, 80);
      const question = { by, to: '203.0.113.9', port: 80 };
      expect(await ask(vassal, { ...question, waitS: 0.5 })).toBe('');
      await putNat(host.run, SPEC);
      expect(await ask(vassal, question)).toBe('203.0.113.1');
    },
  );

  test('U11 does so by IPv6, too', async () => {
    await answer(world, 80);
    await putNat(host.run, SPEC);
    expect(await ask(vassal, { to: '2001:db8::9', port: 80 })).toBe('2001:db8::1');
  });

  test('leaves as it is by another device than the one that was named', async () => {
    await answer(world, 80);
    world.ip('route add 192.168.0.0/24 via 203.0.113.1');
    await putNat(host.run, { ...SPEC, uplink: { device: 'ppp0' } });
    expect(await ask(vassal, { to: '203.0.113.9', port: 80 })).toBe('192.168.0.2');
    await putNat(host.run, { ...SPEC, uplink: { device: 'up0' } });
    expect(await ask(vassal, { to: '203.0.113.9', port: 80 })).toBe('203.0.113.1');
  });

  test('asks the host itself under its own address', async () => {
    await answer(host, 80);
    await putNat(host.run, SPEC);
    expect(await ask(vassal, { to: '203.0.113.1', port: 80 })).toBe('192.168.0.2');
    expect(await ask(vassal, { to: '192.168.0.1', port: 80 })).toBe('192.168.0.2');
  });

  test('U7 sees each hop when a packet is too old: ICMP comes back through NAT', async () => {
    await putNat(host.run, SPEC);
    world.shell('echo 1 > /proc/sys/net/ipv4/ip_forward');
    world.ip('route add 198.51.100.0/24 via 203.0.113.1');
    const program = `
import socket, sys
for ttl in (1, 2):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(socket.IPPROTO_IP, 11, 1)
    s.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
    s.settimeout(5)
    s.sendto(b'x', ('198.51.100.7', 33434))
    import select
    p = select.poll(); p.register(s, 0); p.poll(5000)
    data, ancillary, flags, peer = s.recvmsg(100, 500, socket.MSG_ERRQUEUE)
    error = ancillary[0][2]
    print(error[5], socket.inet_ntoa(error[20:24]))
`;
    // 11: time exceeded (RFC 792).
    expect(await vassal.python(program)).toBe('11 192.168.0.1\n11 203.0.113.9');
  });
});

describe('the world that asks a vassal', () => {
  test('U14 U17 U18 is not heard, though the host is', async () => {
    await answer(vassal, 80);
    world.ip('route add 192.168.0.0/24 via 203.0.113.1');
    world.ip('route add fd00:1::/64 via 2001:db8::1');
    const questions = [
      { to: '192.168.0.2', port: 80 },
      { by: 'udp' as const, to: '192.168.0.2', port: 80 },
      { to: 'fd00:1::2', port: 80 },
    ];
    for (const question of questions) expect(await ask(world, question)).not.toBe('');
    await putNat(host.run, SPEC);
    for (const question of questions) {
      expect(await ask(world, { ...question, waitS: 0.5 })).toBe('');
      expect(await ask(host, question)).toMatch(/^(192\.168\.0\.1|fd00:1::1)$/);
    }
  });

  test('is heard where the operator forwards a port', async () => {
    await answer(vassal, 80);
    await putNat(host.run, SPEC);
    expect(await ask(world, { to: '203.0.113.1', port: 8080, waitS: 0.5 })).toBe('');
    const forward = 'tcp dport 8080 dnat ip to 192.168.0.2:80';
    const chain = 'type nat hook prerouting priority dstnat;';
    await host.run(['nft', '-f', '-'], `table ip own { chain in { ${chain} ${forward}; }; }`);
    expect(await ask(world, { to: '203.0.113.1', port: 8080 })).toBe('203.0.113.9');
  });
});

describe('nat-deny', () => {
  const denied: readonly Question[] = [
    { to: '169.254.169.254', port: 53 },
    { by: 'udp', to: '169.254.169.254', port: 53 },
    { to: '203.0.113.9', port: 25 },
    { to: '2001:db8::9', port: 25 },
    { by: 'udp', to: '203.0.113.9', port: 123 },
    { to: '2001:db8:bad::1', port: 80 },
  ];

  test('keeps vassals from networks and ports, and only from those', async () => {
    world.ip('addr add 169.254.169.254/32 dev lo');
    world.ip('addr add 2001:db8:bad::1/128 dev lo');
    for (const port of [25, 80, 123]) await answer(world, port);
    await answer(world, 53, '::ffff:169.254.169.254');
    await putNat(host.run, { ...SPEC, deny: [] });
    for (const question of denied) {
      expect([question, await ask(vassal, question)]).toEqual([
        question,
        expect.stringMatching(/1$/),
      ]);
    }
    await putNat(host.run, SPEC);
    for (const question of denied) {
      expect(await ask(vassal, { ...question, waitS: 0.3 })).toBe('');
    }
    expect(await ask(vassal, { by: 'udp', to: '203.0.113.9', port: 25 })).toBe('203.0.113.1');
    expect(await ask(vassal, { to: '203.0.113.9', port: 123 })).toBe('203.0.113.1');
    expect(await ask(host, { to: '203.0.113.9', port: 25 })).toBe('203.0.113.1');
  });
});

describe('the table', () => {
  test('is replaced under load with no window: nothing leaves unchanged, nothing denied leaves', async () => {
    world.ip('addr add 169.254.169.254/32 dev lo');
    // Whatever leaves unchanged would be heard, and be seen.
    const hears = `
import socket, time
s = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
s[0].bind(('203.0.113.9', 7)); s[1].bind(('169.254.169.254', 7))
s[0].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
s[1].setblocking(False); s[0].settimeout(2)
print('ready')
seen, count = set(), 0
try:
    while True:
        seen.add(s[0].recvfrom(10)[1][0]); count += 1
except TimeoutError: pass
try: bad = s[1].recvfrom(10)
except BlockingIOError: bad = None
print(count > 1000, sorted(seen), bad)
`;
    // A new port each time, so that each packet is a new connection to the tables.
    const sends = `
import socket, time
end = time.monotonic() + 3
while time.monotonic() < end:
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.sendto(b'x', ('203.0.113.9', 7)); s.sendto(b'x', ('169.254.169.254', 7))
    s.close()
`;
    await putNat(host.run, SPEC);
    const hearing = world.start(hears);
    let heard = '';
    hearing.stdout?.on('data', (chunk) => {
      heard += chunk;
    });
    if (hearing.stdout) await once(hearing.stdout, 'data');
    const sending = vassal.python(sends);
    let isSending = true;
    void sending.then(() => {
      isSending = false;
    });
    let replaced = 0;
    while (isSending) {
      await putNat(host.run, SPEC);
      replaced += 1;
    }
    await once(hearing, 'close');
    expect(replaced).toBeGreaterThan(10);
    expect(heard.trim()).toBe("ready\nTrue ['203.0.113.1'] None");
  });

  test('is gone without a trace when it is dropped, and what others made stays', async () => {
    const others = 'table ip own { chain in { type filter hook input priority 0; }; }';
    await host.run(['nft', '-f', '-'], others);
    const before = await host.run(['nft', 'list', 'ruleset']);
    await putNat(host.run, SPEC);
    expect(await host.run(['nft', 'list', 'tables'])).toContain('inet emperor_emperor0');
    await dropNat(host.run, 'emperor0');
    await dropNat(host.run, 'emperor0');
    expect(await host.run(['nft', 'list', 'ruleset'])).toBe(before);
  });

  test('of one router leaves that of another alone', async () => {
    await putNat(host.run, SPEC);
    await putNat(host.run, { ...SPEC, device: 'emperor-1.x' });
    await dropNat(host.run, 'emperor-1.x');
    expect((await host.run(['nft', 'list', 'tables'])).trim()).toBe('table inet emperor_emperor0');
  });

  test('names the reason where it cannot be made', async () => {
    const broken = { ...SPEC, deny: [{ protocol: 'tcp' as const, port: 70_000 }] };
    await expect(putNat(host.run, broken)).rejects.toThrow(
      /Cannot run `.*nft -f -`: .*Service out of range/,
    );
  });
});

describe('enableForwarding()', () => {
  test('says what it changed, keeps router advertisements heard, and then has nothing to do', async () => {
    host.shell(
      'echo 0 > /proc/sys/net/ipv4/ip_forward; echo 0 > /proc/sys/net/ipv6/conf/all/forwarding',
    );
    const read = (path: string) => host.shell(`cat /proc/sys/net/${path}`).trim();
    host.shell('for d in up0 emperor0; do echo 1 > /proc/sys/net/ipv6/conf/$d/accept_ra; done');
    const need = { ipv4: true, ipv6: true, devices: ['emperor0'] };
    expect(await enableForwarding(host.run, need)).toEqual([
      'net.ipv4.ip_forward = 1',
      'net.ipv6.conf.up0.accept_ra = 2',
      'net.ipv6.conf.all.forwarding = 1',
    ]);
    expect(read('ipv4/ip_forward')).toBe('1');
    expect(read('ipv6/conf/up0/accept_ra')).toBe('2');
    expect(read('ipv6/conf/emperor0/accept_ra')).toBe('1');
    expect(read('ipv6/conf/emperor0/forwarding')).toBe('1');
    expect(await enableForwarding(host.run, need)).toEqual([]);
  });

  test('leaves IPv6 alone where vassals have none', async () => {
    host.shell('echo 0 > /proc/sys/net/ipv6/conf/all/forwarding');
    expect(await enableForwarding(host.run, { ipv4: true, ipv6: false, devices: [] })).toEqual([]);
    expect(host.shell('cat /proc/sys/net/ipv6/conf/all/forwarding').trim()).toBe('0');
  });
});
