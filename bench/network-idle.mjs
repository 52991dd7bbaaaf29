// What it costs to have many vassals attached that send nothing: the router's inner parts in a process of its own,
// with tuns that programs/idle-peers.mjs makes. No vassals: their seccomp filters are of no interest here.
import { execFileSync, spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { row } from './table.mjs';
import { cpuSeconds, ROOT, rssBytes, sleep } from './world.mjs';

const SECONDS = 10;
/** By then the kernel has asked each device's network for IPv6 routers as often as it does (rtr_solicitations). */
const SETTLED_MS = 16_000;

/** Measures a router with so many peers. */
export async function idlePeers(peers) {
  const netns = `emperor-bench-${process.pid}-idle`;
  execFileSync('ip', ['netns', 'add', netns]);
  const script = join(ROOT, 'bench/programs/idle-peers.mjs');
  const command = ['netns', 'exec', netns, process.execPath, script, `${peers}`];
  const program = spawn('ip', command, { stdio: ['pipe', 'pipe', 'inherit'] });
  try {
    const lines = createInterface({ input: program.stdout })[Symbol.asyncIterator]();
    const before = JSON.parse((await lines.next()).value);
    const after = JSON.parse((await lines.next()).value);
    await sleep(SETTLED_MS);
    const from = cpuSeconds(program.pid);
    await sleep(SECONDS * 1000);
    const share = ((cpuSeconds(program.pid) - from) / SECONDS) * 100;
    const rss = rssBytes(program.pid) / 2 ** 20;
    row(`router with ${peers} idle peers: share of a core`, share, {
      unit: '%',
      digits: 2,
      bound: ['<', 0.5],
    });
    row('  its resident memory, and with no peer', rss, { unit: 'MB', peer: before.rss / 2 ** 20 });
    row('  attaching one of them', (after.seconds / peers) * 1000, { unit: 'ms', digits: 2 });
  } finally {
    const ended = new Promise((done) => program.once('exit', done));
    program.stdin.end();
    await ended;
    execFileSync('ip', ['netns', 'del', netns]);
  }
}
