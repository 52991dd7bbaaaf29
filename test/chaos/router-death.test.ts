/** Deaths: of the router, of its device, the emperor, the launcher, and of vassals that nobody but the router hears of. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readdirSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { routerCode } from '../../src/emperor/router-code.ts';
import { RouterClient } from '../../src/router/client.ts';
import { NetworkWorld } from '../support/network-world.ts';
import { allPids, commandOf, isAlive } from '../support/proc.ts';
import { readIfThere } from '../support/remains.ts';
import { until } from '../support/wait.ts';

const DEVICE = 'tuntap-device = uwsgi0';
const HOST = '10.77.0.1';
const MAIN = resolve(import.meta.dirname, '../../dist/router/main.js');

let w: NetworkWorld;
beforeAll(async () => {
  w = new NetworkWorld(() => ({ router: true }));
  await w.emperor.start();
  for (const name of ['anna', 'bert']) await w.vassal(name, DEVICE);
});
afterAll(() => w.close());

const socket = () => join(w.emperor.directory, 'run/router.sock');

async function peers(): Promise<readonly string[]> {
  const client = await RouterClient.connect(socket());
  try {
    return (await client.call('peers', null)).map(({ name }) => name).sort();
  } finally {
    client.close();
  }
}

/** Tuns that a process holds. */
function tunsOf(pid: number): number {
  const directory = `/proc/${pid}/fdinfo`;
  const texts = readdirSync(directory).map((fd) => readIfThere(join(directory, fd)));
  return texts.filter((text) => /^iff:/m.test(text)).length;
}

/** Init of a vassal. */
function initOf(name: string): number {
  const { pid } = w.emperor.status(name);
  if (pid === null) throw new Error(`${name} does not run`);
  return pid;
}

function kill(pid: number | null): void {
  // 0 would be this test itself.
  if (!pid) throw new Error('there is none to be killed');
  process.kill(pid, 'SIGKILL');
}

async function killRouter(): Promise<void> {
  const before = w.emperor.routerPid;
  kill(before);
  await until('there is another router', () => ![0, before].includes(w.emperor.routerPid));
}

function reaches(place: string, address: string): Promise<true> {
  return until(`${address} answers ${place}`, async () => {
    const { status } = await w.run(place, 'ping', '-c1', '-W1', address);
    return status === 0;
  });
}

/** Undefined while the device is not there. */
const deviceIndex = () => /^(\d+): emperor0:/m.exec(w.ip('-o', 'link'))?.[1];

/** Pings a hundred times a second as long as `act` takes; resolves to how many were lost. */
async function lostMeanwhile(address: string, act: () => Promise<void>): Promise<number> {
  const args = ['netns', 'exec', w.emperor.netns, 'ping', '-q', '-i0.01', '-W1', address];
  const ping = spawn('ip', args, { stdio: ['ignore', 'pipe', 'inherit'] });
  let said = '';
  ping.stdout.on('data', (chunk) => {
    said += chunk;
  });
  const ended = new Promise((done) => ping.once('close', done));
  try {
    await act();
  } finally {
    ping.kill('SIGINT');
    await ended;
  }
  const [, sent, received] = /(\d+) packets transmitted, (\d+) received/.exec(said) ?? [];
  expect(Number(sent)).toBeGreaterThan(15);
  // The last one may still have been on its way.
  return Math.max(0, Number(sent) - Number(received) - 1);
}

const BLOCK_BYTES = 100_000;
/** Sends so many blocks from the host, each of bytes of its own, with a pause after each. */
const senderOf = (blocks: number, pauseS: number) => `
import socket, time
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(('${HOST}', 7000))
listener.listen()
print('ready', flush=True)
connection, _ = listener.accept()
for block in range(${blocks}):
    connection.sendall(bytes([block]) * ${BLOCK_BYTES})
    time.sleep(${pauseS})
`;
const RECEIVER = `
import socket, hashlib
connection = socket.create_connection(('${HOST}', 7000))
digest = hashlib.sha256()
while data := connection.recv(65536):
    digest.update(data)
print(digest.hexdigest())
`;

/** Resolves when a vassal can begin to receive(). */
async function send(blocks: number, pauseS: number): Promise<void> {
  const args = ['netns', 'exec', w.emperor.netns, 'python3', '-c', senderOf(blocks, pauseS)];
  const sender = spawn('ip', args, { stdio: ['ignore', 'pipe', 'inherit'] });
  await new Promise((ready) => sender.stdout.once('data', ready));
}

const receive = () => w.tell('anna', 'run', { argv: ['python3', '-c', RECEIVER], timeout: 30 });

function digestOf(blocks: number): string {
  const digest = createHash('sha256');
  for (let block = 0; block < blocks; block += 1) digest.update(Buffer.alloc(BLOCK_BYTES, block));
  return digest.digest('hex');
}

describe('a router that is killed', () => {
  test('under a TCP connection costs it no byte', async () => {
    const blocks = 150;
    await send(blocks, 0.02);
    const received = receive();
    let isDone = false;
    void received.finally(() => {
      isDone = true;
    });
    await until('it flows', async () => (await w.trafficOf('anna')).rxBytes > BLOCK_BYTES);
    let kills = 0;
    for (; kills < 3 && !isDone; kills += 1) {
      await killRouter();
      await until('all are back', async () => (await peers().catch(() => [])).length === 2);
    }
    expect(kills).toBeGreaterThan(1);
    expect((await received).output.trim()).toBe(digestOf(blocks));
  });

  test('keeps its device, its totals, and no more tuns than vassals', async () => {
    const index = deviceIndex();
    const { rxBytes } = await w.trafficOf('anna');
    await killRouter();
    await reaches('anna', HOST);
    expect(deviceIndex()).toBe(index);
    expect((await w.trafficOf('anna')).rxBytes).toBeGreaterThanOrEqual(rxBytes);
    expect(await peers()).toEqual(['anna', 'bert']);
    expect(tunsOf(w.emperor.routerPid)).toBe(3);
  });

  test('is back for all while an init hangs, and for that one once it answers', async () => {
    const init = initOf('bert');
    process.kill(init, 'SIGSTOP');
    try {
      await killRouter();
      await reaches('anna', HOST);
      await w.vassal('carl', DEVICE);
      await reaches('carl', HOST);
      expect(await peers()).toEqual(['anna', 'carl']);
    } finally {
      process.kill(init, 'SIGCONT');
    }
    await until('bert is attached', async () => (await peers()).includes('bert'));
    await reaches('bert', HOST);
  });
});

describe('an emperor that is killed', () => {
  test('and started again stops no packet, and has nobody attached anew', async () => {
    const router = w.emperor.routerPid;
    const names = await peers();
    const lost = await lostMeanwhile(w.addressOf('anna'), async () => {
      await w.emperor.signal('SIGKILL');
      await w.emperor.start();
    });
    expect(lost).toBe(0);
    expect(w.emperor.routerPid).toBe(router);
    expect(await peers()).toEqual(names);
  });

  test('leaves a router that lets go of vassals that end meanwhile', async () => {
    const init = initOf('bert');
    const tuns = tunsOf(w.emperor.routerPid);
    await w.emperor.signal('SIGKILL');
    kill(init);
    await until('bert is detached', async () => !(await peers()).includes('bert'));
    await until('its tun is closed', () => tunsOf(w.emperor.routerPid) === tuns - 1);
    await w.emperor.start();
    await until('bert is back', async () => (await peers()).includes('bert'));
    await w.ready('bert');
    await reaches('bert', HOST);
  });

  test('leaves no spare router', async () => {
    const own = statSync(`/run/netns/${w.emperor.netns}`).ino;
    const spares = () =>
      allPids().filter(
        (pid) =>
          commandOf(pid).startsWith('emperor-router-spare') &&
          statSync(`/proc/${pid}/ns/net`, { throwIfNoEntry: false })?.ino === own,
      );
    await until('there is a spare', () => spares().length === 1);
    await w.emperor.signal('SIGKILL');
    await until('it has ended', () => spares().length === 0);
    await w.emperor.start();
  });
});

test('A launcher and then a router that are killed leave the device as it is', async () => {
  const index = deviceIndex();
  const { pid } = w.emperor.stats().launcher;
  kill(pid);
  await until('there is another launcher', () => {
    const now = w.emperor.stats().launcher.pid;
    return now !== null && now !== pid && isAlive(now);
  });
  await until('it keeps the device', () => tunsOf(w.emperor.stats().launcher.pid ?? 0) > 0);
  await killRouter();
  await reaches('anna', HOST);
  expect(deviceIndex()).toBe(index);
});

/** Starts a router by hand, where there is none, in place of the emperor's. */
async function startRouter(...words: readonly string[]): Promise<ChildProcess> {
  const path = (name: string) => join(w.emperor.directory, name);
  const all = [
    ...['--device', 'emperor0', '--socket', socket(), ...words],
    ...['--launcher', path('run/launcher.sock')],
    ...['--ledger', path('state/traffic.ledger'), '--denials', path('state/denials.json')],
  ];
  const command = ['netns', 'exec', w.emperor.netns, process.execPath, MAIN, ...all];
  const router = spawn('ip', command, { stdio: 'ignore' });
  await until('it serves', () => peers().catch(() => null));
  return router;
}

/** Ends both without a word. */
async function killEmperorAndRouter(): Promise<void> {
  await w.emperor.signal('SIGKILL');
  kill(w.emperor.routerPid);
  await until('it is gone', () => w.emperor.routerPid === 0);
}

test('A router of other code is replaced by an emperor that starts, and the device stays', async () => {
  const index = deviceIndex();
  await killEmperorAndRouter();
  const older = await startRouter('--code', 'older');
  await w.emperor.start();
  await until('it has ended', () => older.exitCode !== null);
  await reaches('anna', HOST);
  expect(deviceIndex()).toBe(index);
});

test('A router whose kernel takes no large packets forwards plain ones, and says so', async () => {
  await killEmperorAndRouter();
  const plain = await startRouter('--plain', '--code', routerCode(join(MAIN, '../..')));
  await w.emperor.start();
  expect(w.emperor.cli('net').stdout).toContain('plain packets (the operator says so)');
  await send(40, 0);
  expect((await receive()).output.trim()).toBe(digestOf(40));
  const ended = until('it has ended', () => plain.exitCode !== null || plain.signalCode !== null);
  await killRouter();
  await ended;
  expect(w.emperor.cli('net').stdout).not.toContain('plain');
});

test("The host's device that somebody removes is made anew, and all reach the host again", async () => {
  const index = deviceIndex();
  const before = w.emperor.routerPid;
  w.ip('link', 'del', 'emperor0');
  await until('there is another router', () => ![0, before].includes(w.emperor.routerPid));
  await until('the device is there', () => deviceIndex() !== undefined);
  await reaches('anna', HOST);
  await reaches('bert', HOST);
  expect(deviceIndex()).not.toBe(index);
});
