#!/usr/bin/env node
// node bench/router-recovery.mjs [PEERS]    1,000 if not said. In a network namespace of its own: kills the router
// with that many peers attached, and tells how long packets and a TCP connection stood still, and when all were back.
// The emperor's own code brings the router back; the inits are test/support/fake-inits.py, which loads no system
// call filters, so that no kernel is in danger. Needs root and a built tree.
import { spawn, spawnSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { systemClock } from '../dist/base/clock.js';
import { HostNetwork } from '../dist/emperor/host-network.js';
import { VassalNetwork } from '../dist/emperor/vassal-network.js';
import { parseCidr } from '../dist/firewall/prefix.js';
import { encodeFrame } from '../dist/jail/frames.js';
import { startLauncher } from '../dist/jail/start-launcher.js';
import { TAG, VERB } from '../dist/jail/wire.js';
import { RouterClient } from '../dist/router/client.js';
import { cpuSeconds, median, ROOT, rssBytes, sleep, until } from './world.mjs';

const ROUNDS = 5;
const PEERS = Number(process.argv[2] ?? 1000);
const OWN_NAMESPACE = 'EMPEROR_BENCH_NAMESPACE';

if (process.env[OWN_NAMESPACE] === undefined) {
  const words = ['--net', 'sh', '-c', 'ip link set lo up && exec "$@"', 'sh'];
  const command = [process.execPath, ...process.argv.slice(1)];
  const env = { ...process.env, [OWN_NAMESPACE]: '1' };
  process.exit(spawnSync('unshare', [...words, ...command], { stdio: 'inherit', env }).status);
}

async function main() {
  const inits = await fakeInits();
  const network = await openNetwork();
  closers.push(async () => {
    const pid = await routerPid();
    if (pid !== null) process.kill(pid, 'SIGKILL');
  });
  const attached = performance.now();
  await Promise.all(Array.from({ length: PEERS }, (_, number) => attach(network, number)));
  console.log(`${PEERS} peers attached one by one in ${since(attached)} ms`);
  const peers = [...new Set([0, PEERS >> 1, PEERS - 1])];
  const echoes = await Promise.all(peers.map((number) => echoOf(inits, number)));
  const stream = await streamTo(addressOf(PEERS - 1));
  const router = await routerPid();
  const idle = { pid: router, cpu: cpuSeconds(router) };
  await sleep(2000);
  const busy = cpuSeconds(idle.pid) - idle.cpu;
  console.log(
    `router: ${Math.round(rssBytes(idle.pid) / 2 ** 20)} MB, ${busy / 2} of a cpu with the probes`,
  );
  const all = { reached: [], back: [], stream: [] };
  for (let round = 0; round < ROUNDS; round += 1) {
    // The spare has been started again.
    await sleep(2500);
    for (const one of [...echoes, stream]) one.begin();
    const before = await routerPid();
    const killed = performance.now();
    process.kill(before, 'SIGKILL');
    await until(async () => (await peersAfter(before)) === PEERS, 'peers', 20_000, 5);
    const back = since(killed);
    await sleep(500);
    const gaps = echoes.map((one) => one.longest());
    all.reached.push(Math.max(...gaps));
    all.back.push(back);
    all.stream.push(stream.longest());
    console.log(
      `all back after ${back} ms; UDP stood still ${gaps.join(', ')} ms; TCP ${stream.longest()} ms`,
    );
  }
  const { lost } = stream.end();
  console.log(
    `medians: back ${median(all.back)} ms, UDP ${median(all.reached)} ms, TCP ${median(all.stream)} ms; ` +
      `TCP ${lost ? 'DIFFERS' : 'bytes identical'}`,
  );
  for (const one of echoes) one.end();
  await network.quit();
}

/** The answer of the router that runs now; null while there is none. */
async function ask(call) {
  try {
    const client = await RouterClient.connect(join(directory, 'router.sock'));
    try {
      return await client.call(call, null);
    } finally {
      client.close();
    }
  } catch (error) {
    if (error.code === 'not-reachable') return null;
    throw error;
  }
}

async function routerPid() {
  return (await ask('hello'))?.pid ?? null;
}

/** How many are attached to another router than that. */
async function peersAfter(before) {
  const pid = await routerPid();
  if (pid === null || pid === before) return 0;
  return (await ask('peers'))?.length ?? 0;
}

function since(at) {
  return Math.round(performance.now() - at);
}

function addressOf(number) {
  return `10.77.${(number + 2) >> 8}.${(number + 2) & 255}`;
}

async function fakeInits() {
  const frame = encodeFrame({ verb: VERB.OK, id: 1, fields: [[TAG.NAME, 'uwsgi0']] });
  const script = join(ROOT, 'test/support/fake-inits.py');
  const args = [script, directory, String(PEERS), Buffer.from(frame).toString('hex'), '10.77'];
  const child = spawn('python3', args, { stdio: ['pipe', 'pipe', 'inherit'] });
  closers.push(() => child.kill('SIGKILL'));
  const line = await new Promise((resolve) =>
    createInterface({ input: child.stdout }).once('line', resolve),
  );
  return { pid: child.pid, namespaces: JSON.parse(line) };
}

async function openNetwork() {
  const setting = {
    runDirectory: directory,
    stateDirectory: directory,
    logDirectory: directory,
    keep: [directory],
  };
  const launcher = await startLauncher(setting);
  const { pid } = await launcher.client.hello();
  closers.push(() => process.kill(pid, 'SIGKILL'));
  const log = { info() {}, warn: console.warn, error: console.error, debug() {} };
  const config = () => ({
    routerAddress: parseCidr({ text: '10.77.0.1/16', offset: 0 }),
    routerAddress6: null,
    execAsRoot: [],
    hookTimeoutMs: 1000,
    nat: 'off',
    natDeny: [],
    uwsgiRouters: [],
    firewallIn: [],
    firewallOut: [],
    firewallPolicy: 'allow',
  });
  const device = 'emperor0';
  const host = new HostNetwork({ device, config, clock: systemClock, log });
  const book = { claim() {} };
  const parts = {
    clock: systemClock,
    log,
    config,
    book,
    host,
    initSocketOf: () => '',
    onTrouble() {},
  };
  return VassalNetwork.open(parts, { device, ...setting });
}

function attach(network, number) {
  const config = { name: `v${number}`, device: { name: 'uwsgi0' }, deviceRules: [] };
  const welcome = { address: `${addressOf(number)}/16`, address6: null };
  return network.connectorOf(config)(welcome, join(directory, String(number)));
}

/** Sends a datagram a millisecond and notes the longest time without an answer. */
async function echoOf({ pid, namespaces }, number) {
  const namespace = `--net=/proc/${pid}/fd/${namespaces[number]}`;
  const args = [namespace, '--', 'python3', join(ROOT, 'bench/programs/echoes.py')];
  const child = spawn('nsenter', args, { stdio: ['ignore', 'pipe', 'inherit'] });
  closers.push(() => child.kill('SIGKILL'));
  await new Promise((resolve) => child.stdout.once('data', resolve));
  const socket = createSocket('udp4');
  const gap = new Gap();
  socket.on('message', () => gap.note());
  const timer = setInterval(() => socket.send('?', 7, addressOf(number)), 1);
  return {
    begin: () => gap.begin(),
    longest: () => gap.longest(),
    end() {
      clearInterval(timer);
      socket.close();
    },
  };
}

/** Sends bytes through a TCP connection that come back, a few a millisecond, and compares them. */
async function streamTo(address) {
  const socket = connect(7, address);
  await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject));
  const gap = new Gap();
  let [sent, received, lost] = [0, 0, false];
  socket.on('data', (bytes) => {
    for (const byte of bytes) lost ||= byte !== received++ % 251;
    gap.note();
  });
  socket.on('close', () => {
    lost ||= timer !== null;
  });
  let timer = setInterval(() => {
    socket.write(Buffer.from(Array.from({ length: 100 }, () => sent++ % 251)));
  }, 1);
  return {
    begin: () => gap.begin(),
    longest: () => gap.longest(),
    end() {
      clearInterval(timer);
      timer = null;
      socket.destroy();
      return { lost };
    },
  };
}

class Gap {
  #last = 0;
  #longest = 0;
  begin() {
    this.#last = performance.now();
    this.#longest = 0;
  }
  note() {
    const now = performance.now();
    this.#longest = Math.max(this.#longest, now - this.#last);
    this.#last = now;
  }
  longest() {
    return Math.round(Math.max(this.#longest, performance.now() - this.#last));
  }
}

const directory = mkdtempSync(join(tmpdir(), 'emperor-recovery-'));
const closers = [() => rmSync(directory, { recursive: true })];
try {
  await main();
} finally {
  for (const close of closers.reverse()) await close();
}
process.exit();
