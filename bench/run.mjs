#!/usr/bin/env node
// npm run bench: figures of start, memory, idle cost and adoption, with Debian's uwsgi-emperor in the same
// run as the peer. Prints a table and writes bench/results/latest.json. Needs root, a built tree, distros/bookworm.
//
// node bench/run.mjs [--quick] [start] [latency] [peer]    only these parts; --quick: a tenth of the vassals
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isInstalled, UwsgiWorld } from './uwsgi.mjs';
import {
  cpuSeconds,
  median,
  memAvailableBytes,
  ROOT,
  rssBytes,
  sleep,
  until,
  World,
} from './world.mjs';

const SCALE = process.argv.includes('--quick') ? 0.1 : 1;
const scaled = (number) => Math.max(10, Math.round(number * SCALE));
const SLEEP = '[vassal]\ncommand = /opt/sleep\n';
const STAMP = '[vassal]\ncommand = /opt/stamp\nenv = STAMP=stamp\n';
const rows = [];

function row(what, measured, { bound = '', peer = '', met = null, unit = '' } = {}) {
  rows.push({ what, measured, bound, peer, met, unit });
  const mark = met === null ? ' ' : met ? 'ok' : 'MISS';
  console.log(
    `${what.padEnd(58)} ${String(measured).padStart(10)} ${unit.padEnd(10)} ${bound.padEnd(14)} ${String(peer).padStart(16)}  ${mark}`,
  );
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
  const world = new World();
  try {
    for (let i = 0; i < number; i += 1) world.write(`v${i}`, SLEEP);
    const before = memAvailableBytes();
    const begin = performance.now();
    await world.start();
    await world.untilRunning(number);
    const seconds = (performance.now() - begin) / 1000;
    const rate = number / seconds;
    const { eventLoopDelayMs } = await world.stats();
    row(`start of the emperor to ${number} running`, rate.toFixed(0), {
      unit: 'vassals/s',
      bound: '>= 400',
      met: rate >= 400,
    });
    row('  event-loop delay p99 meanwhile', eventLoopDelayMs.p99.toFixed(1), {
      unit: 'ms',
      bound: '<= 20',
      met: eventLoopDelayMs.p99 <= 20,
    });
    await sleep(3000);
    const perVassal = (before - memAvailableBytes()) / number / 1024;
    row('memory per idle vassal, all included', perVassal.toFixed(0), {
      unit: 'KB',
      bound: '<= 650',
      met: perVassal <= 650,
    });
    await idle(world);
    await adoption(world, number);
  } finally {
    await world.close();
  }
}

async function idle(world) {
  // The heap of a start is collected in the first seconds after it.
  await sleep(15_000);
  const { pid } = await world.stats();
  const from = cpuSeconds(pid);
  const seconds = 20;
  await sleep(seconds * 1000);
  const share = ((cpuSeconds(pid) - from) / seconds) * 100;
  const rss = rssBytes(pid) / 2 ** 20;
  row('  emperor, idle: share of a core', share.toFixed(2), {
    unit: '%',
    bound: '< 1',
    met: share < 1,
  });
  row('  emperor, idle: resident memory', rss.toFixed(0), {
    unit: 'MB',
    bound: '<= 150',
    met: rss <= 150,
  });
}

async function adoption(world, number) {
  const pid = (await world.stats()).pid;
  process.kill(pid, 'SIGKILL');
  await until(() => world.daemon.exitCode !== null || world.daemon.signalCode !== null, 'killed');
  const begin = performance.now();
  await world.start();
  await world.untilRunning(number);
  const seconds = (performance.now() - begin) / 1000;
  row(`adoption of ${number} running vassals`, seconds.toFixed(2), {
    unit: 's',
    bound: '<= 3',
    met: seconds <= 3,
  });
}

async function latency() {
  const others = scaled(5000);
  const more = scaled(500);
  const world = new World();
  try {
    await world.start();
    const alone = median(await latencies(world, 30, 'a'));
    row('file renamed into place to first instruction, p50', alone.toFixed(1), {
      unit: 'ms',
      bound: '<= 45',
      met: alone <= 45,
    });
    for (let i = 0; i < others; i += 1) world.write(`o${i}`, SLEEP);
    await world.untilRunning(others);
    await sleep(5000);
    const crowded = median(await latencies(world, 30, 'b'));
    row(`  the same beside ${others} running vassals, p50`, crowded.toFixed(1), {
      unit: 'ms',
      bound: '<= 45',
      met: crowded <= 45,
    });
    const running = (await world.stats()).vassals.running;
    const begin = performance.now();
    for (let i = 0; i < more; i += 1) world.write(`m${i}`, SLEEP);
    await world.untilRunning(running + more);
    const rate = (more / (performance.now() - begin)) * 1000;
    row(`next ${more} with ${others} running`, rate.toFixed(0), {
      unit: 'vassals/s',
      bound: '>= 250',
      met: rate >= 250,
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
    row('uwsgi-emperor: file to first instruction, p50', median(found).toFixed(0), { unit: 'ms' });
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
    row(`uwsgi-emperor: ${number} new files to all running`, (number / seconds).toFixed(0), {
      unit: 'vassals/s',
    });
    await sleep(2000);
    row(
      'uwsgi-emperor: memory per vassal',
      ((before - memAvailableBytes()) / number / 1024).toFixed(0),
      { unit: 'KB' },
    );
  } finally {
    await world.close();
  }
}

const PARTS = { start: startRate, latency, peer };
const chosen = process.argv.slice(2).filter((word) => word in PARTS);
for (const [name, run] of Object.entries(PARTS)) {
  if (chosen.length === 0 || chosen.includes(name)) await run();
}
mkdirSync(join(ROOT, 'bench/results'), { recursive: true });
const result = { at: new Date().toISOString(), scale: SCALE, rows };
writeFileSync(join(ROOT, 'bench/results/latest.json'), `${JSON.stringify(result, null, 2)}\n`);
const missed = rows.filter((one) => one.met === false);
console.log(missed.length === 0 ? 'every bound is met' : `${missed.length} missed`);
process.exitCode = missed.length === 0 ? 0 : 1;
