/**
 * Ends a test file whose thread is blocked, and names the test: where that thread waits for a program or the kernel,
 * vitest's own time limits cannot end anything. A set-up file of vitest.config.ts; test.mjs ends what not
 * even this can.
 */
import { Worker } from 'node:worker_threads';
import { beforeEach, expect } from 'vitest';
import { patienceMs } from './slowness.ts';

/** More than any call of a test may take; those that run a program have limits of 60 s and less. */
const LIMIT_MS = patienceMs(Number(process.env.TEST_BLOCKED_SECONDS ?? 100) * 1000);
const BEAT_MS = LIMIT_MS / 20;

const beats = new Int32Array(new SharedArrayBuffer(4));
const worker = new Worker(new URL('alarm-clock-worker.mjs', import.meta.url), {
  workerData: { beats, limitMs: LIMIT_MS, file: expect.getState().testPath },
  execArgv: [],
});
worker.unref();
setInterval(() => Atomics.add(beats, 0, 1), BEAT_MS).unref();

beforeEach(({ task }) => worker.postMessage(task.name));
