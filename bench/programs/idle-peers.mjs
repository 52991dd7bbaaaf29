// A router with COUNT peers that send nothing, all in the network namespace it is run in. Says how much memory it has
// without them, as a line of JSON, then how long it took to attach them; the end of its input ends it.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createTun, TCP_OFFLOADS } from '../../dist/linux/tun.js';
import { DenialTotals } from '../../dist/router/denial-totals.js';
import { openLedger } from '../../dist/router/ledger.js';
import { LoopThread } from '../../dist/router/loop-thread.js';
import { Router } from '../../dist/router/router.js';

const count = Number(process.argv[2]);
const directory = mkdtempSync(join(tmpdir(), 'idle-peers-'));
const path = join(directory, 'ledger');
const { ledger, place } = openLedger(path);
const thread = new LoopThread({
  worker: 'packet-worker',
  dataOf: (wake) => ({ wake, ledger: place }),
  onReport: (report) => router.hear(report),
});
const denials = new DenialTotals([]);
const router = new Router({ ledger, denials, tell: (message) => thread.tell(message) });
await thread.ready;
const say = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);
say({ rss: process.memoryUsage.rss() });

const makeTun = (name) => createTun({ name, offload: TCP_OFFLOADS });
const tuns = Array.from({ length: count }, (_, i) => makeTun(`tun${i}`));
const up = tuns.map((_, i) => `link set tun${i} up\n`).join('');
execFileSync('ip', ['-batch', '-'], { input: up });
const begin = performance.now();
for (const [i, fd] of tuns.entries()) {
  const address4 = { family: 4, words: [0x0a010000 + i + 2] };
  router.attach({ name: `peer${i}`, address4, address6: null, rules: [] }, fd);
}
router.begin();
say({ seconds: (performance.now() - begin) / 1000 });

process.stdin.resume();
process.stdin.once('end', async () => {
  await thread.end();
  rmSync(directory, { recursive: true });
});
