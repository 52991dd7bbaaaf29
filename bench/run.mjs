#!/usr/bin/env node
// npm run bench: figures of start, memory, idle cost, adoption, the CLI, jobs, doors, bombs and the network, each with a peer
// of the same run where there is one: the bare program (programs/bare.c), an idle Node process, uwsgi-emperor, kernel
// veth. Prints a table and writes bench/results/latest.json. Needs root, a built tree, distros/bookworm.
//
// node bench/run.mjs [--quick] [--scale=0.05] [start] [latency] [peer] [network] [doors] [cron] [bombs] [idle]    only these parts;
// --quick: a tenth of the vassals and seconds. A bound that is missed is a MISS, or the machine's CEILING where the
// peer misses it, too.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { bareRates, startBystander } from './bare.mjs';
import { bombs } from './bombs.mjs';
import { cron } from './cron.mjs';
import { doors } from './doors.mjs';
import { network } from './network.mjs';
import { idlePeers } from './network-idle.mjs';
import { finish, row } from './table.mjs';
import { isInstalled, UwsgiWorld } from './uwsgi.mjs';
import { cpuSeconds, median, memAvailableBytes, rssBytes, sleep, until, World } from './world.mjs';

const SCALE = scaleOf(process.argv.slice(2));
const scaled = (number) => Math.max(10, Math.round(number * SCALE));
const SLEEP = '[vassal]\ncommand = /opt/sleep\n';
const STAMP = '[vassal]\ncommand = /opt/stamp\nenv = STAMP=stamp\n';

function scaleOf(words) {
  const given = words.find((word) => word.startsWith('--scale='));
  if (given !== undefined) return Number(given.slice('--scale='.length));
  return words.includes('--quick') ? 0.1 : 1;
}

/** Milliseconds since 1970, as precisely as Node has them. */
const nowMs = () => performance.timeOrigin + performance.now();

/** Milliseconds from the rename of a new file to the first instruction of its command. */
async function latencies(world, number, prefix) {
  const found = [];
  for (let i = 0; i < number; i += 1) {
    const name = `${prefix}${i}`;
    const at = nowMs();
    world.write(name, STAMP);
    const file = join(world.directory, 'homes', name, 'stamp');
    await until(() => readIfThere(file) !== '', 'stamp', 10_000, 2);
    found.push(Number(readIfThere(file)) / 1e6 - at);
  }
  return found;
}

function readIfThere(file) {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch {
    return '';
  }
}

async function startRate() {
  const number = scaled(1000);
  const [ceiling] = await bareRates(number);
  const world = new World();
  try {
    for (let i = 0; i < number; i += 1) world.write(`v${i}`, SLEEP);
    const before = memAvailableBytes();
    const endBystander = startBystander();
    const begin = performance.now();
    await world.start();
    await world.untilRunning(number);
    const rate = number / ((performance.now() - begin) / 1000);
    const bystander = await endBystander();
    const { eventLoopDelayMs } = await world.stats();
    row(`start of the emperor to ${number} running`, rate, {
      unit: 'vassals/s',
      bound: ['>=', 400],
      peer: ceiling,
    });
    const delay = { unit: 'ms', digits: 1 };
    row('  event-loop delay p99 meanwhile', eventLoopDelayMs.p99, {
      ...delay,
      bound: ['<=', 20],
      peer: bystander.p99,
    });
    row('  event-loop delay, longest', eventLoopDelayMs.max, { ...delay, peer: bystander.max });
    await sleep(3000);
    const perVassal = (before - memAvailableBytes()) / number / 1024;
    row('memory per idle vassal, all included', perVassal, { unit: 'KB', bound: ['<=', 650] });
    await idle(world, begin + SETTLED_MS);
    startUp(world);
    await adoption(world, number);
  } finally {
    await world.close();
  }
}

/** Until then V8 collects, once, the heap of the start. */
const SETTLED_MS = 45_000;

async function idle(world, settledAt) {
  await sleep(Math.max(0, settledAt - performance.now()));
  const { pid } = await world.stats();
  const from = cpuSeconds(pid);
  const seconds = 20;
  await sleep(seconds * 1000);
  const share = ((cpuSeconds(pid) - from) / seconds) * 100;
  row('  emperor, idle: share of a core', share, { unit: '%', digits: 2, bound: ['<', 1] });
  const rss = rssBytes(pid) / 2 ** 20;
  row('  emperor, idle: resident memory', rss, { unit: 'MB', bound: ['<=', 150] });
}

/** Of the CLI, beside a Node process that does nothing. */
function startUp(world) {
  const own = [];
  const nodes = [];
  for (let i = 0; i < 11; i += 1) {
    own.push(msOf(() => world.cli('status', 'v0')));
    nodes.push(msOf(() => execFileSync(process.execPath, ['-e', '0'])));
  }
  row('`emperor status` of a vassal, p50', median(own), {
    unit: 'ms',
    bound: ['<=', 150],
    peer: median(nodes),
  });
}

function msOf(action) {
  const begin = performance.now();
  action();
  return performance.now() - begin;
}

async function adoption(world, number) {
  const pid = (await world.stats()).pid;
  process.kill(pid, 'SIGKILL');
  await until(() => world.daemon.exitCode !== null || world.daemon.signalCode !== null, 'killed');
  const begin = performance.now();
  await world.start();
  await world.untilRunning(number);
  const seconds = (performance.now() - begin) / 1000;
  row(`adoption of ${number} running vassals`, seconds, { unit: 's', digits: 2, bound: ['<=', 3] });
}

async function latency() {
  const others = scaled(5000);
  const more = scaled(500);
  const [, ceiling] = await bareRates(others, more);
  const world = new World();
  const figure = { unit: 'ms', digits: 1, bound: ['<=', 45] };
  try {
    await world.start();
    const alone = median(await latencies(world, 30, 'a'));
    row('file renamed into place to first instruction, p50', alone, figure);
    for (let i = 0; i < others; i += 1) world.write(`o${i}`, SLEEP);
    await world.untilRunning(others);
    await sleep(5000);
    const crowded = median(await latencies(world, 30, 'b'));
    row(`  the same beside ${others} running vassals, p50`, crowded, figure);
    const running = (await world.stats()).vassals.running;
    const begin = performance.now();
    for (let i = 0; i < more; i += 1) world.write(`m${i}`, SLEEP);
    await world.untilRunning(running + more);
    const rate = (more / (performance.now() - begin)) * 1000;
    row(`next ${more} with ${others} running`, rate, {
      unit: 'vassals/s',
      bound: ['>=', 250],
      peer: ceiling,
    });
  } finally {
    await world.close();
  }
}

async function peer() {
  if (!isInstalled()) {
    console.log('uwsgi is not installed (npm run setup -- --bench): no peer in this run');
    return;
  }
  const world = new UwsgiWorld();
  try {
    await world.start();
    const found = [];
    for (let i = 0; i < 7; i += 1) {
      await sleep(500 + Math.random() * 2500);
      const at = nowMs();
      world.write(`a${i}`, 'stamp');
      await until(() => world.stampOf(`a${i}`) !== '', 'uwsgi stamp', 30_000, 5);
      found.push(Number(world.stampOf(`a${i}`)) / 1e6 - at);
    }
    row('uwsgi-emperor: file to first instruction, p50', median(found), { unit: 'ms' });
    const number = scaled(100);
    const before = memAvailableBytes();
    const begin = performance.now();
    for (let i = 0; i < number; i += 1) world.write(`v${i}`, 'stamp');
    await until(
      () => world.stampOf(`v${number - 1}`) !== '' && world.stampOf('v0') !== '',
      'uwsgi vassals',
      120_000,
      50,
    );
    const seconds = (performance.now() - begin) / 1000;
    row(`uwsgi-emperor: ${number} new files to all running`, number / seconds, {
      unit: 'vassals/s',
    });
    await sleep(2000);
    const perVassal = (before - memAvailableBytes()) / number / 1024;
    row('uwsgi-emperor: memory per vassal', perVassal, { unit: 'KB' });
  } finally {
    await world.close();
  }
}

const PARTS = {
  start: startRate,
  latency,
  peer,
  network: () => network(SCALE),
  doors: () => doors(SCALE),
  cron: () => cron(SCALE),
  bombs: () => bombs(SCALE),
  idle: () => idlePeers(scaled(1000)),
};
const chosen = process.argv.slice(2).filter((word) => word in PARTS);
for (const [name, run] of Object.entries(PARTS)) {
  if (chosen.length === 0 || chosen.includes(name)) await run();
}
process.exitCode = finish(SCALE) === 0 ? 0 : 1;
