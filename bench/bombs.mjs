// What requests to a neighbour take while a vassal takes all it can get of one thing, beside the same a moment before: a
// page of a web server (Python's), asked for within the neighbour by programs/requests.py, 99 of 100 times. Limits are those
// of the sample emperor.ini. The bombs are those of test/security/bombs.test.ts, which begin anew whenever they are killed.
import { appendFileSync, copyFileSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { row } from './table.mjs';
import { compile, median, ROOT, sleep, World } from './world.mjs';

const ROUNDS = 3;
const TIMES_CALM = 2;

/** What it takes all of → words of test/fixtures/bombs.c. */
const BOMBS = {
  'heap memory': 'heap',
  'memory in pipes': 'pipes',
  'shared memory': 'segments',
  'memory in sockets': 'tcp',
  'page cache': 'pages pages',
  'bytes of /tmp': 'bytes /tmp/bomb',
  'inodes of /tmp': 'inodes /tmp',
  descriptors: 'descriptors',
  terminals: 'terminals',
  'inotify watches': 'watches /tmp',
  'processes, by a fork bomb': 'forks',
  'processor time, by 64 threads': 'threads',
};
const WITHOUT_LIMIT = { 'processor time, by 64 threads and no cpu-max': 'threads' };

/** The sample's limits of one vassal. */
function sampleLimits() {
  const text = readFileSync(join(ROOT, 'emperor.ini'), 'utf8');
  return text.match(/^vassal-set = (?:tmp-size|memory-max|pids-max|cpu-max)=.*$/gm).join('\n');
}

export async function bombs(scale) {
  const world = new World();
  try {
    compile(join(ROOT, 'test/fixtures/bombs.c'), join(world.opt, 'bombs'));
    copyFileSync(join(ROOT, 'bench/programs/requests.py'), join(world.opt, 'requests.py'));
    appendFileSync(world.ini, `${sampleLimits()}\n`);
    await world.start();
    world.write('neighbour', '[vassal]\ncommand = python3 -m http.server -b 127.0.0.1\n');
    await world.untilRunning(1);
    // It listens.
    await sleep(2000);
    const seconds = Math.max(2, Math.round(8 * scale));
    for (const [what, words] of Object.entries(BOMBS)) {
      await bombRows(world, what, { words, seconds, bound: ['<=', TIMES_CALM] });
    }
    for (const [what, words] of Object.entries(WITHOUT_LIMIT)) {
      await bombRows(world, what, { words, seconds, more: 'cpu-max = max\n' });
    }
  } finally {
    await world.close();
  }
}

async function bombRows(world, what, { words, seconds, bound, more = '' }) {
  const calm = [];
  const beside = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    calm.push(milliseconds(world, seconds));
    const again = `sh -c 'while :; do /opt/bombs ${words}; sleep 0.1; done'`;
    world.write('bomb', `[vassal]\ncommand = ${again}\nstop-grace = 1s\n${more}`);
    await world.untilRunning(2);
    // It has begun to take.
    await sleep(500);
    beside.push(milliseconds(world, seconds));
    rmSync(join(world.vassals, 'bomb.ini'));
    world.cli('wait', 'bomb', '--for', 'gone');
  }
  const [during, before] = [median(beside), median(calm)];
  row(`requests beside a bomb of ${what}, p99`, during, { unit: 'ms', digits: 2, peer: before });
  row('  of the same in calm', during / before, { unit: '×', digits: 2, bound });
}

/** Within which 99 of 100 answers come. */
function milliseconds(world, seconds) {
  return Number(world.cli('exec', 'neighbour', '--', 'python3', '/opt/requests.py', `${seconds}`));
}
