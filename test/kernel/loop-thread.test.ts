/** The threads that forward, in processes of their own: how they begin, end and fail. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { patienceMs } from '../support/slowness.ts';

const DIST = join(import.meta.dirname, '../../dist/router');

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'emperor-loop-thread-'));
});
afterAll(() => rmSync(directory, { recursive: true }));

/** Runs `lines` with a packets' thread whose ledger `place` says, and returns how that went. */
function run(place: string, lines: string) {
  const program = `
    import { readdirSync } from 'node:fs';
    import { openLedger } from '${DIST}/ledger.js';
    import { LoopThread } from '${DIST}/loop-thread.js';
    const opened = openLedger('${join(directory, 'ledger')}');
    const start = () => new LoopThread({
      worker: 'packet-worker',
      dataOf: (wake) => ({ wake, ledger: ${place} }),
      onReport: ({ type }) => console.log(type),
    });
    const descriptors = () => readdirSync('/proc/self/fd').length;
    ${lines}`;
  const args = ['--input-type=module', '--eval', program];
  const { status, signal, stdout, stderr } = spawnSync(process.execPath, args, {
    encoding: 'utf8',
    timeout: patienceMs(30_000),
  });
  return { status, signal, stdout, stderr };
}

test('a thread that has ended leaves no descriptor and does not keep its process', () => {
  // The first one has koffi loaded.
  const lines = `
    await (async () => { const first = start(); await first.ready; await first.end(); })();
    const before = descriptors();
    const thread = start();
    await thread.ready;
    if (descriptors() <= before) throw new Error('It has no descriptor');
    await thread.end();
    await thread.ended;
    console.log(descriptors() - before);`;
  expect(run('opened.place', lines)).toMatchObject({ status: 0, stdout: 'ready\nready\n0\n' });
});

test('a process that leaves does not wait for its thread', () => {
  const lines = 'await start().ready; process.exit(7);';
  expect(run('opened.place', lines)).toMatchObject({ status: 7, signal: null });
});

test('a thread that fails ends its process, and says why', () => {
  const { status, stderr } = run('undefined', 'await start().ready; setInterval(() => {}, 1000);');
  expect(stderr).toContain('packet-worker.js');
  expect(status).toBe(1);
});
