/** Unmodified uWSGI vassals of Debian behind our router, and clients that mean harm. */
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { patienceMs } from '../support/slowness.ts';
import {
  echoRequest,
  frame,
  GATEWAY,
  inNamespace,
  NOBODY,
  ping,
  type RawClient,
  type RouterReport,
  type TestRouter,
  UwsgiWorld,
} from '../support/uwsgi-world.ts';
import { until } from '../support/wait.ts';

const A = '10.99.0.2';
const B = '10.99.0.3';
const C = '10.99.0.4';
/** UWSGI_BYTES=1000000000 moves 1 GB each way. */
const BYTES = Number(process.env.UWSGI_BYTES ?? 50_000_000);
const IDLE_MS = 1000;
const TRANSFER_TIMEOUT_MS = patienceMs(600_000);

let world: UwsgiWorld;
let router: TestRouter;

beforeEach(() => {
  world = new UwsgiWorld();
});
afterEach(() => world.close());

const SERVE = `
import hashlib, socket, sys
server = socket.create_server((sys.argv[1], 7000))
print('listening', flush=True)
peer, _ = server.accept()
digest, count = hashlib.sha256(), 0
while chunk := peer.recv(1 << 20):
    digest.update(chunk)
    count += len(chunk)
peer.sendall(b'done')
print(count, digest.hexdigest())
`;
const SEND = `
import hashlib, random, socket, sys
left, digest, count = int(sys.argv[2]), hashlib.sha256(), 0
source = random.Random(7)
peer = socket.create_connection((sys.argv[1], 7000))
while left:
    block = source.randbytes(min(left, 1 << 20))
    peer.sendall(block)
    digest.update(block)
    left -= len(block)
    count += len(block)
peer.shutdown(socket.SHUT_WR)
peer.recv(4)
print(count, digest.hexdigest())
`;

/** Sends BYTES from one namespace to `address` in another; what was received is what was sent. */
async function transfer(from: string, { to, address }: { to: string; address: string }) {
  const server = spawn('ip', ['netns', 'exec', to, 'python3', '-c', SERVE, address], {
    stdio: ['ignore', 'pipe', 'inherit'],
    timeout: TRANSFER_TIMEOUT_MS,
  });
  let received = '';
  server.stdout.on('data', (chunk: Buffer) => {
    received += chunk.toString();
  });
  const ended = new Promise((resolve) => server.once('exit', resolve));
  await until('the server listens', () => received.includes('listening'));
  const sent = await inNamespace(from, 'python3', '-c', SEND, address, `${BYTES}`);
  await ended;
  expect(received).toBe(`listening\n${sent}`);
  expect(sent).toMatch(new RegExp(`^${BYTES} [0-9a-f]{64}\n$`));
}

const clientOf = ({ clients }: RouterReport, address: string) => {
  const word = address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
  return clients.find((client) => client.address === word);
};

describe('uWSGI as Debian ships it', () => {
  beforeEach(async () => {
    router = await world.startRouter();
  });

  it('pings the gateway and is pinged, and keeps its connection through IPv6 chatter', async () => {
    const vassal = world.startVassal(A);
    await vassal.isConnected();
    // uWSGI's client may lose one where the machine is busy; without its connection it would lose all.
    expect(await ping(vassal.netns, GATEWAY, { count: 20 })).toBeGreaterThan(15);
    expect(await ping(world.host, A, { count: 20 })).toBeGreaterThan(15);
    expect(vassal.isRunning).toBe(true);
    const report = await router.report();
    expect(clientOf(report, A)).toMatchObject({ uid: 0 });
    expect(report.reasons.ipv6).toBeGreaterThan(0);
    expect(report.reasons.ended).toBe(0);
  });

  it(
    'moves bytes each way, and to another vassal, none of them changed',
    async () => {
      const [one, other] = [world.startVassal(A), world.startVassal(B)];
      await Promise.all([one.isConnected(), other.isConnected()]);
      await transfer(world.host, { to: one.netns, address: A });
      await transfer(one.netns, { to: world.host, address: GATEWAY });
      await transfer(one.netns, { to: other.netns, address: B });
      expect([one.isRunning, other.isRunning]).toEqual([true, true]);
      const report = await router.report();
      expect(clientOf(report, A)?.rxBytes).toBeGreaterThan(BYTES);
      expect(clientOf(report, A)?.txBytes).toBeGreaterThan(2 * BYTES);
      expect(clientOf(report, B)?.rxBytes).toBeGreaterThan(BYTES);
    },
    TRANSFER_TIMEOUT_MS,
  );

  it('comes again to its address after it was killed, and after the router was', async () => {
    const first = world.startVassal(A);
    await first.isConnected();
    await first.kill();
    await until('its end is seen', async () => (await router.report()).clients.length === 0);
    const second = world.startVassal(A);
    await second.isConnected();
    await router.kill();
    // uWSGI ends with its router; whoever supervises it starts it again.
    await until('uWSGI has ended', () => !second.isRunning);
    router = await world.startRouter();
    const third = world.startVassal(A);
    await third.isConnected();
    expect(clientOf(await router.report(), A)).toBeDefined();
  });

  it('obeys chains that are replaced while it runs', async () => {
    const [one, other] = [world.startVassal(A), world.startVassal(B)];
    await Promise.all([one.isConnected(), other.isConnected()]);
    expect(await ping(one.netns, B)).toBe(1);
    await router.setChains({ in: [], out: [`allow 10.99.0.0/24 ${GATEWAY}`, 'deny'] });
    expect(await ping(one.netns, B)).toBe(0);
    expect(await ping(one.netns, GATEWAY)).toBe(1);
    const { denials } = await router.setChains({ in: [`deny ${GATEWAY} ${A}`], out: [] });
    expect(denials.out).toEqual([0]);
    expect(await ping(one.netns, GATEWAY)).toBe(0);
    expect(await ping(one.netns, B)).toBe(1);
    expect((await router.report()).denials.in[1]).toBeGreaterThan(0);
  });

  it('says who it is by credentials, and lays rules upon itself', async () => {
    const rules = ['tuntap-use-credentials = true', `tuntap-device-rule = out ${A} ${B} deny`];
    const [one, other] = [world.startVassal(A, rules), world.startVassal(B)];
    await Promise.all([one.isConnected(), other.isConnected()]);
    expect(clientOf(await router.report(), A)).toMatchObject({ uid: NOBODY });
    expect(await ping(one.netns, B)).toBe(0);
    expect((await router.report()).reasons['denied-by-own-rule']).toBeGreaterThan(0);
    expect((await router.report()).owned).toHaveLength(2);
  });
});

/** The router does next to nothing for a while. */
async function expectIdle(): Promise<void> {
  const before = (await router.report()).cpu;
  await new Promise((resolve) => setTimeout(resolve, IDLE_MS));
  const after = (await router.report()).cpu;
  const usedMs = (after.user + after.system - before.user - before.system) / 1000;
  expect(usedMs).toBeLessThan(IDLE_MS / 4);
}

describe('a client that means harm', () => {
  let victim: RawClient;

  beforeEach(async () => {
    router = await world.startRouter({ socketMode: 0o666 });
    victim = await world.connect();
    await victim.exchange(echoRequest(A, GATEWAY));
  });

  /** The victim has its address, and is answered. */
  async function expectUnharmed(): Promise<void> {
    victim.forget();
    const [answer] = await victim.exchange(echoRequest(A, GATEWAY));
    expect(answer?.[20]).toBe(0);
    expect([...(answer?.subarray(16, 20) ?? [])]).toEqual([10, 99, 0, 2]);
  }

  it('may send a byte at a time', async () => {
    const client = await world.connect();
    client.socket.setNoDelay(true);
    for (const byte of frame(echoRequest(B, GATEWAY))) {
      await new Promise((resolve) => client.socket.write(Uint8Array.of(byte), resolve));
    }
    const answers = await client.exchange(echoRequest(B, GATEWAY), 2);
    expect(answers.map((answer) => answer[20])).toEqual([0, 0]);
    await expectUnharmed();
  });

  it.each([
    ['a frame beyond all buffers', Buffer.from([0, 0xff, 0xff, 0]), 'oversized-frame'],
    ['a frame of nothing', Buffer.from([0, 0, 0, 0]), 'empty-frame'],
    ['rules that are none', frame(Buffer.alloc(25), 1), 'bad-rules'],
    ['rules of an unknown kind', frame(Buffer.alloc(24, 9), 1), 'bad-rules'],
  ] as const)('is disconnected for %s, and nobody else', async (_, bytes, reason) => {
    const client = await world.connect();
    await client.exchange(echoRequest(B, GATEWAY));
    client.socket.write(bytes);
    await until('it is disconnected', () => client.isClosed);
    const report = await router.report();
    expect(report.reasons[reason]).toBe(1);
    expect(report.clients).toHaveLength(1);
    await expectUnharmed();
  });

  it('gets no address that another has, nor one that another user owns', async () => {
    const thief = await world.connect();
    thief.socket.write(frame(echoRequest(A, GATEWAY)));
    thief.socket.write(frame(echoRequest(GATEWAY, A)));
    await until('both are refused', async () => (await router.report()).reasons.reserved === 1);
    expect((await router.report()).reasons.taken).toBe(1);
    await expectUnharmed();
    victim.destroy();
    await until('the address is free', async () => (await router.report()).reasons.ended === 1);
    const script = `
import os, socket, struct, sys
os.setuid(4711)
peer = socket.socket(socket.AF_UNIX)
peer.connect(sys.argv[1])
peer.sendall(bytes.fromhex(sys.argv[2]))
peer.settimeout(1)
try:
    print('got', len(peer.recv(100)))
except TimeoutError:
    print('nothing')
`;
    const request = frame(echoRequest(A, GATEWAY)).toString('hex');
    const asOther = await inNamespace(
      world.host,
      'python3',
      '-c',
      script,
      world.socketPath,
      request,
    );
    expect(asOther).toBe('nothing\n');
    expect((await router.report()).reasons.locked).toBe(1);
    victim = await world.connect();
    await expectUnharmed();
  });

  it('cannot call itself another user unless it is root', async () => {
    const script = `
import os, socket, struct, sys
uid = int(sys.argv[2])
os.setuid(uid)
peer = socket.socket(socket.AF_UNIX)
peer.connect(sys.argv[1])
claimed = struct.pack('iII', os.getpid(), int(sys.argv[3]), 0 if uid == 0 else os.getgid())
try:
    peer.sendmsg([b'uwsgi-tuntap'], [(socket.SOL_SOCKET, 2, claimed)])
except PermissionError:
    peer.sendall(b'uwsgi-tuntap')
peer.sendall(bytes.fromhex(sys.argv[4]))
print(len(peer.recv(100)))
`;
    const request = (address: string) => frame(echoRequest(address, GATEWAY)).toString('hex');
    const send = (uid: string, claimed: string, address: string) =>
      inNamespace(
        world.host,
        ...['python3', '-c', script, world.socketPath, uid, claimed, request(address)],
      );
    expect(await send('0', '4712', B)).toBe('40\n');
    expect(await send('4713', '0', C)).toBe('40\n');
    const { owned } = await router.report();
    expect(owned.map(({ uid }) => uid)).toEqual([0, 4712, 4713]);
  });

  it('floods and does not read: only it loses packets, and the router does not grow', async () => {
    const flooder = await world.connect();
    flooder.socket.pause();
    const request = frame(echoRequest(B, GATEWAY, 1000));
    const portion = Buffer.concat(Array.from({ length: 60 }, () => request));
    const before = await router.report();
    let isFlooding = true;
    const flood = (async () => {
      while (isFlooding) {
        await new Promise((resolve) => flooder.socket.write(portion, resolve));
      }
    })();
    await until('its queue is full', async () => (await router.report()).reasons['queue-full'] > 0);
    let answered = 0;
    for (; answered < 200; answered += 1) await expectUnharmed();
    await until(
      'it has lost many',
      async () => (await router.report()).reasons['queue-full'] > 20_000,
      30_000,
    );
    isFlooding = false;
    await flood;
    const after = await router.report();
    expect(clientOf(after, A)).toMatchObject({ dropped: 0 });
    expect(clientOf(after, B)?.dropped).toBeGreaterThan(20_000);
    expect(after.rssBytes - before.rssBytes).toBeLessThan(30_000_000);
  });

  it('floods beside seven others with small packets: a neighbour loses no ping', async () => {
    const vassal = world.startVassal('10.99.0.50');
    await vassal.isConnected();
    let isFlooding = true;
    const floods = Array.from({ length: 8 }, async (_, i) => {
      const flooder = await world.connect();
      const request = frame(echoRequest(`10.99.0.${10 + i}`, '10.99.0.99'));
      const portion = Buffer.concat(Array.from({ length: 1500 }, () => request));
      while (isFlooding) {
        await new Promise((resolve) => flooder.socket.write(portion, resolve));
      }
    });
    await until('they flood', async () => (await router.report()).reasons['no-client'] > 50_000);
    const answered = await ping(vassal.netns, GATEWAY, { count: 300, interval: 0.005 });
    isFlooding = false;
    await Promise.all(floods);
    expect(answered).toBeGreaterThanOrEqual(298);
    expect((await router.report()).reasons['no-client']).toBeGreaterThan(200_000);
  });

  it('connects as often as it can: more than the bound is refused, and rubbish harms nobody', async () => {
    const clients: RawClient[] = [];
    for (let i = 0; i < 4200; i += 1) clients.push(await world.connect());
    await until('the rest is refused', async () => {
      const { reasons } = await router.report();
      return reasons['too-many-clients'] === 4201 - 4096;
    });
    await expectUnharmed();
    let seed = 1;
    for (const client of clients) {
      if (client.isClosed) continue;
      const rubbish = Buffer.from(
        Array.from({ length: 500 }, () => {
          seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
          return seed >>> 24;
        }),
      );
      client.socket.write(rubbish);
    }
    await expectUnharmed();
    for (const client of clients) client.destroy();
    await until('they are gone', async () => (await router.report()).clients.length === 1);
    await expectUnharmed();
    const { rssBytes } = await router.report();
    expect(rssBytes).toBeLessThan(300_000_000);
  });

  it('does strange things with its socket: descriptors sent along, urgent bytes, half an end', async () => {
    const script = `
import array, os, socket, sys, time
peers = []
request = bytes.fromhex(sys.argv[2])
for kind in ['descriptors', 'urgent', 'reads no more', 'sends no more']:
    peer = socket.socket(socket.AF_UNIX)
    peer.connect(sys.argv[1])
    peers.append(peer)
    if kind == 'descriptors':
        sent = array.array('i', [0, 1, 2])
        for part in [request[:3], request[3:], request]:
            peer.sendmsg([part], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, sent)])
        print('got', len(peer.recv(100)), flush=True)
    elif kind == 'urgent':
        peer.send(b'\\0', socket.MSG_OOB)
    elif kind == 'reads no more':
        for _ in range(2000):
            peer.sendall(bytes.fromhex(sys.argv[3]))
        time.sleep(0.2)
        peer.shutdown(socket.SHUT_RD)
        while peer.recv(100000):
            pass
    else:
        peer.shutdown(socket.SHUT_WR)
sys.stdin.read()
`;
    victim.socket.resume();
    const before = router.countDescriptors();
    const requests = [B, C].map((own) => frame(echoRequest(own, GATEWAY)).toString('hex'));
    const process = spawn('python3', ['-c', script, world.socketPath, ...requests], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    let output = '';
    process.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString();
    });
    await until('the last of them is disconnected', async () => {
      return (await router.report()).reasons.ended === 1;
    });
    expect((await router.report()).reasons.failed).toBe(1);
    expect(output).toMatch(/^got (40|80)\n$/);
    expect(router.countDescriptors()).toBeLessThanOrEqual(before + 3);
    await expectIdle();
    await expectUnharmed();
    const ended = new Promise((resolve) => process.once('exit', resolve));
    process.stdin.end();
    await ended;
  });

  it('who is not root has at most 64 connections', async () => {
    const script = `
import os, socket, sys
os.setuid(4711)
peers = [socket.socket(socket.AF_UNIX) for _ in range(100)]
for peer in peers:
    peer.connect(sys.argv[1])
print('connected', flush=True)
sys.stdin.read()
`;
    const process = spawn('python3', ['-c', script, world.socketPath], {
      stdio: ['pipe', 'ignore', 'inherit'],
    });
    await until('36 are refused', async () => {
      return (await router.report()).reasons['too-many-of-user'] === 36;
    });
    expect((await router.report()).clients).toHaveLength(65);
    const ended = new Promise((resolve) => process.once('exit', resolve));
    process.stdin.end();
    await ended;
    await expectUnharmed();
  });
});

describe('the router', () => {
  it('that has no descriptor left refuses, does not spin, and serves those that it has', async () => {
    router = await world.startRouter({ openFiles: 60 });
    const victim = await world.connect();
    await victim.exchange(echoRequest(A, GATEWAY));
    const clients: RawClient[] = [];
    for (let i = 0; i < 100; i += 1) clients.push(await world.connect());
    await until('some are refused', () => clients.some((client) => client.isClosed));
    await expectIdle();
    victim.forget();
    for (let i = 1; i <= 20; i += 1) await victim.exchange(echoRequest(A, GATEWAY), i);
    for (const client of clients) client.destroy();
    await until('they are gone', async () => (await router.report()).clients.length === 1);
    const next = await world.connect();
    await next.exchange(echoRequest(B, GATEWAY));
  });

  it('tells that its device is gone, and does not spin', async () => {
    router = await world.startRouter();
    const client = await world.connect();
    await client.exchange(echoRequest(A, GATEWAY));
    await inNamespace(world.host, 'ip', 'link', 'del', 'uwsgiemp1');
    await until('it tells', async () => (await router.report()).gone.length > 0);
    client.socket.write(frame(echoRequest(A, GATEWAY)));
    await until('the packet is refused', async () => {
      return (await router.report()).reasons['device-refused'] === 1;
    });
    expect((await router.report()).gone).toEqual(['EBADFD']);
    await expectIdle();
    expect(await router.end()).toBe(0);
  });

  it('keeps the owners of an earlier run, and leaves no socket when it ends', async () => {
    const address = 0x0a630002;
    router = await world.startRouter({ owners: [{ address, uid: 4711 }] });
    const client = await world.connect();
    client.socket.write(frame(echoRequest(A, GATEWAY)));
    await until('it is refused', async () => (await router.report()).reasons.locked === 1);
    expect(await router.end()).toBe(0);
    await expect(world.connect()).rejects.toThrow('ENOENT');
    await until('it is disconnected', () => client.isClosed);
  });

  it('takes the place of one that was killed, and not of one that runs, nor of a file', async () => {
    router = await world.startRouter();
    await expect(world.startRouter()).rejects.toThrow('the router ended with 1');
    await router.kill();
    router = await world.startRouter();
    expect((await router.report()).clients).toEqual([]);
    await router.end();
    writeFileSync(world.socketPath, 'precious');
    await expect(world.startRouter()).rejects.toThrow('the router ended with 1');
  });
});
