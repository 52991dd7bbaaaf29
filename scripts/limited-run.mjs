// Runs a program that may never end, and comes back all the same. For test.mjs: where the kernel hangs, what waits
// for it cannot even be killed, and keeps open whatever standard output it was given. So it gets pipes of
// ours, and nobody waits for it once its time is over.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';

/** Its last words are waited for so long: what it started may live on and hold its pipes. */
const LAST_WORDS_MS = 1_000;
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'];

/**
 * Runs `command` in a process group of its own, passes on what it prints, and the signals that we get.
 * Resolves to its exit status (null where a signal ended it), `isOverdue` where its group was killed after
 * `limitMs`, be it with success or not, and `isInterrupted` where we were told to end.
 */
export async function runLimited([program, ...args], { limitMs, cwd, env }) {
  const child = spawn(program, args, {
    cwd,
    env: { ...process.env, ...env },
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  child.stdout.on('data', (chunk) => process.stdout.write(chunk));
  child.stderr.on('data', (chunk) => process.stderr.write(chunk));
  const closed = once(child, 'close').catch(() => {});
  let isInterrupted = false;
  const passOn = (signal) => {
    isInterrupted = true;
    killGroup(child, signal);
  };
  for (const signal of SIGNALS) process.once(signal, passOn);
  const clock = new AbortController();
  try {
    const status = await Promise.race([
      once(child, 'exit').then(([code]) => code),
      sleep(limitMs, 'overdue', { signal: clock.signal }),
    ]);
    const isOverdue = status === 'overdue';
    if (isOverdue) killGroup(child, 'SIGKILL');
    await Promise.race([closed, sleep(LAST_WORDS_MS, null, { signal: clock.signal })]);
    return { status: isOverdue ? null : status, isOverdue, isInterrupted };
  } finally {
    clock.abort();
    for (const signal of SIGNALS) process.off(signal, passOn);
    letGo(child);
  }
}

function killGroup(child, signal) {
  try {
    process.kill(-child.pid, signal);
  } catch (error) {
    // It has ended meanwhile.
    if (error.code !== 'ESRCH') throw error;
  }
}

/** It shall not keep us from ending. */
function letGo(child) {
  child.stdout.destroy();
  child.stderr.destroy();
  child.unref();
}
