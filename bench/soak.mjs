#!/usr/bin/env node
// A mixed soak of the network: curl, python, iperf3 (TCP and UDP) and ping talk between two vassals and the host for
// as long as it is told, all at once and again and again. Ends with the counters of both sides beside each other: what
// each device has sent and received as the kernel counts it, and what the router counts for the same vassal. Fails
// where they differ, or where a program fails or receives other bytes than were sent.
//
// node bench/soak.mjs [--minutes=10]
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { NetworkWorld, WAYS } from './network-world.mjs';
import { sleep, until } from './world.mjs';

const minutes = Number(
  process.argv.find((word) => word.startsWith('--minutes='))?.split('=')[1] ?? 10,
);
const PLACES = ['host', 'a', 'b'];
const DEVICE = { host: 'emperor0', a: 'uwsgi0', b: 'uwsgi0' };
/** The router's own row of the host. */
const ROW = { host: '.host', a: 'a', b: 'b' };
const WEB_PORT = 8000;
const ECHO_PORT = 8001;
const FILE_BYTES = 20_000_000;

const ECHO_SERVER = `
import socketserver
class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        while chunk := self.request.recv(65536):
            self.request.sendall(chunk)
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
import sys
Server((sys.argv[1], ${ECHO_PORT}), Echo).serve_forever()
`;
const ECHO_CLIENT = `
import random, socket, sys
peer = socket.create_connection((sys.argv[1], ${ECHO_PORT}), timeout=60)
for size in [1, 1448, 1449, 65535, 65536, 200000] + [random.randrange(1, 9000) for _ in range(200)]:
    sent = random.randbytes(size)
    peer.sendall(sent)
    received = b''
    while len(received) < size:
        received += peer.recv(65536)
    assert received == sent, size
`;

const world = new NetworkWorld();
const servers = [];
const done = {};
try {
  await world.open({ isAlone: true });
  const directory = join(world.directory, 'web');
  mkdirSync(directory);
  const file = randomBytes(FILE_BYTES);
  writeFileSync(join(directory, 'file'), file);
  const digest = createHash('sha256').update(file).digest('hex');
  for (const place of PLACES) serve(place, directory);
  for (const place of PLACES) {
    const listening = async () =>
      (await world.printedBy(place, ['ss', '-Hltn'])).trim().split('\n');
    await until(
      async () => (await listening()).length >= servers.length / PLACES.length,
      'servers',
      60_000,
      200,
    );
  }
  const before = await count();
  const end = performance.now() + minutes * 60_000;
  await Promise.all(
    pairs().flatMap(([from, to]) => clients(from, to, digest).map((run) => repeat(run, end))),
  );
  console.log('ended well', done);
  process.exitCode = areEqual(before, await count()) ? 0 : 1;
} finally {
  for (const server of servers) await world.end(server);
  await world.close();
}

function pairs() {
  return PLACES.flatMap((from) => PLACES.filter((to) => to !== from).map((to) => [from, to]));
}

function addressOf(place) {
  return WAYS.ours('', place);
}

function serve(place, directory) {
  const address = addressOf(place);
  const web = ['-m', 'http.server', '--bind', address, '--directory', directory, `${WEB_PORT}`];
  const commands = [
    ['python3', ...web],
    ['python3', '-c', ECHO_SERVER, address],
  ];
  for (const command of commands) servers.push(world.begin(place, command));
  // One client at a time each: by the place it is asked from.
  for (const from of PLACES) {
    if (from === place) continue;
    servers.push(
      world.begin(place, [
        'iperf3',
        '--server',
        '--bind',
        address,
        '--port',
        `${portOf(from, 'tcp')}`,
      ]),
    );
    servers.push(
      world.begin(place, [
        'iperf3',
        '--server',
        '--bind',
        address,
        '--port',
        `${portOf(from, 'udp')}`,
      ]),
    );
  }
}

function portOf(from, kind) {
  return 9000 + PLACES.indexOf(from) * 2 + (kind === 'udp' ? 1 : 0);
}

/** What is run from one place to another: its name, its command, and whether what it printed is right. */
function clients(from, to, digest) {
  const address = addressOf(to);
  const iperf = (kind, ...more) => [
    'iperf3',
    '--client',
    address,
    '--port',
    `${portOf(from, kind)}`,
    ...more,
  ];
  const url = `http://${address}:${WEB_PORT}/file`;
  return [
    {
      name: 'curl',
      command: ['sh', '-c', `curl -sS --max-time 60 ${url} | sha256sum`],
      isRight: (text) => text.startsWith(digest),
    },
    { name: 'python', command: ['timeout', '60', 'python3', '-c', ECHO_CLIENT, address] },
    { name: 'iperf3 tcp', command: iperf('tcp', '--time', '3', '--bitrate', '300M') },
    {
      name: 'iperf3 udp',
      command: iperf('udp', '--time', '3', '--udp', '--bitrate', '10M', '--length', '1200'),
    },
    { name: 'ping', command: ['ping', '-n', '-q', '-c', '20', '-i', '0.1', address] },
  ].map((client) => ({ ...client, from, to }));
}

async function repeat({ name, from, to, command, isRight = () => true }, end) {
  while (performance.now() < end) {
    const { status, output } = await world.ending(from, command);
    if (status !== 0 || !isRight(output)) {
      throw new Error(`${name} from ${from} to ${to} ended with ${status}: ${output}`);
    }
    done[name] = (done[name] ?? 0) + 1;
    await sleep(200);
  }
}

/** By place: what the kernel counts of its device, and what the router counts of it, from the vassal's point of view. */
async function count() {
  // What is under way arrives.
  await sleep(2000);
  const { traffic } = await world.router.call('status', null);
  const counted = {};
  for (const place of PLACES) {
    const show = ['ip', '-j', '-s', 'link', 'show', 'dev', DEVICE[place]];
    const { rx, tx } = JSON.parse(await world.printedBy(place, show))[0].stats64;
    const { rxPackets, rxBytes, txPackets, txBytes, dropped, denied } = traffic[ROW[place]];
    counted[place] = {
      kernel: {
        rxPackets: rx.packets,
        rxBytes: rx.bytes,
        txPackets: tx.packets,
        txBytes: tx.bytes,
      },
      router: { rxPackets, rxBytes, txPackets, txBytes, dropped: dropped + denied },
    };
  }
  return counted;
}

function difference(after, before) {
  return Object.fromEntries(
    Object.entries(after).map(([name, value]) => [name, value - before[name]]),
  );
}

/** Compares both sides of each device, and what went into the router with what came out of it. */
function areEqual(before, after) {
  const faults = [];
  const totals = { rxPackets: 0, rxBytes: 0, txPackets: 0, txBytes: 0 };
  for (const place of PLACES) {
    const kernel = difference(after[place].kernel, before[place].kernel);
    const router = difference(after[place].router, before[place].router);
    console.log(place, { kernel, router });
    for (const name of Object.keys(totals)) totals[name] += router[name];
    const sent = router.txPackets + router.dropped;
    if (sent !== kernel.txPackets) faults.push(`${place} sent ${kernel.txPackets}, not ${sent}`);
    const columns = ['rxPackets', 'rxBytes', ...(router.dropped === 0 ? ['txBytes'] : [])];
    for (const name of columns) {
      if (kernel[name] !== router[name]) faults.push(`${place}: ${name} differ`);
    }
  }
  const { rxPackets, rxBytes, txPackets, txBytes } = totals;
  if (rxPackets !== txPackets || rxBytes !== txBytes) faults.push('what went in did not come out');
  console.log(faults.length === 0 ? 'the counters of both sides are equal' : faults.join('\n'));
  return faults.length === 0;
}
