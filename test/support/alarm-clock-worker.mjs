// The thread of alarm-clock.ts that looks whether the other one goes on.
import { writeSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';

/** Looked so often, so that a machine that was asleep does not make an alarm. */
const LOOKS = 10;
const { beats, limitMs, file } = workerData;

let title = 'what stands before the first test';
parentPort.on('message', (name) => {
  title = name;
});

let last = -1;
let missed = 0;
setInterval(() => {
  const now = Atomics.load(beats, 0);
  missed = now === last ? missed + 1 : 0;
  last = now;
  if (missed < LOOKS) return;
  // The other thread would have to pass on what process.stderr is given.
  writeSync(2, `\nBLOCKED for ${limitMs / 1000} s, and ended: ${file} > ${title}\n`);
  process.kill(process.pid, 'SIGKILL');
}, limitMs / LOOKS);
