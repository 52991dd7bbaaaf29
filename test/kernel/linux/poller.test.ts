import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { closeSync, openSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openEventfd, signalEventfd } from '../../../src/linux/eventfd.ts';
import { openPidfd, signalPidfd } from '../../../src/linux/pidfd.ts';
import { Poller } from '../../../src/linux/poller.ts';
import { patienceMs } from '../../support/slowness.ts';
import { until } from '../../support/wait.ts';

let poller: Poller;
beforeEach(() => {
  poller = Poller.start();
});
afterEach(() => poller.close());

const sleeper = (): { child: ChildProcess; fd: number } => {
  const child = spawn('sleep', ['1000'], { stdio: 'ignore' });
  return { child, fd: openPidfd(child.pid ?? 0) };
};

describe('Poller', () => {
  it('reports the end of a process that is not a child of ours to wait for', async () => {
    const { fd } = sleeper();
    const ready = new Promise<void>((resolve) => poller.watch(fd, 'readable', resolve));
    expect(signalPidfd(fd, 0)).toBe(true);
    signalPidfd(fd, 9);
    await ready;
    await until('it is reaped', () => !signalPidfd(fd, 0));
    closeSync(fd);
  });

  it('reports many ends, each once', async () => {
    const all = Array.from({ length: 50 }, sleeper);
    const reports = new Map<number, number>();
    for (const { fd } of all) {
      poller.watch(fd, 'readable', () => reports.set(fd, (reports.get(fd) ?? 0) + 1));
    }
    expect(poller.size).toBe(50);
    for (const { fd } of all) signalPidfd(fd, 9);
    await until('all have ended', () => reports.size === 50);
    expect([...reports.values()]).toEqual(all.map(() => 1));
    expect(poller.size).toBe(0);
    for (const { fd } of all) closeSync(fd);
  });

  it('forgets a watch after its report, so that the descriptor can be watched again', async () => {
    const fd = openEventfd();
    signalEventfd(fd);
    let reports = 0;
    for (let i = 1; i <= 3; i += 1) {
      poller.watch(fd, 'readable', () => {
        reports += 1;
      });
      await until('it is reported', () => reports === i);
    }
    closeSync(fd);
  });

  it('never reports what was cancelled, even if it was ready before', async () => {
    const cancelled = openEventfd();
    const other = openEventfd();
    let reports = 0;
    const cancel = poller.watch(cancelled, 'readable', () => {
      reports += 1;
    });
    signalEventfd(cancelled);
    cancel();
    cancel();
    signalEventfd(other);
    await new Promise<void>((resolve) => poller.watch(other, 'readable', resolve));
    expect(reports).toBe(0);
    closeSync(cancelled);
    closeSync(other);
  });

  it('refuses a second watch of a descriptor, and one that cannot be waited for', () => {
    const fd = openEventfd();
    poller.watch(fd, 'readable', () => {});
    expect(() => poller.watch(fd, 'readable', () => {})).toThrow(/EEXIST/);
    const file = openSync('/etc/hostname', 'r');
    expect(() => poller.watch(file, 'readable', () => {})).toThrow(/EPERM/);
    closeSync(file);
    closeSync(fd);
  });

  it('reports a change of the mount table as priority', async () => {
    const script = 'echo start; read x; mount -t tmpfs none /mnt; echo done; read y';
    const child = spawn('unshare', ['-m', 'sh', '-c', script]);
    const says = () => new Promise((resolve) => child.stdout.once('data', resolve));
    await says();
    const fd = openSync(`/proc/${child.pid}/mountinfo`, 'r');
    const changed = new Promise<void>((resolve) => poller.watch(fd, 'priority', resolve));
    child.stdin.write('\n');
    await changed;
    child.stdin.end('\n');
    closeSync(fd);
  });

  it('leaves no descriptor and no thread behind', async () => {
    // The thread of the test's own poller opens descriptors while it starts; once it reports it has.
    const fd = openEventfd();
    signalEventfd(fd);
    await new Promise<void>((resolve) => poller.watch(fd, 'readable', resolve));
    closeSync(fd);
    const before = readdirSync('/proc/self/fd').length;
    const threads = readdirSync('/proc/self/task').length;
    for (let i = 0; i < 5; i += 1) await Poller.start().close();
    await until('threads are gone', () => readdirSync('/proc/self/task').length <= threads);
    await until('descriptors are closed', () => readdirSync('/proc/self/fd').length <= before);
  });
});

describe('a process with a poller', () => {
  const module = new URL('../../../dist/linux/poller.js', import.meta.url).href;
  const run = (body: string): string => {
    const file = join(tmpdir(), `emperor-poller-${process.pid}.mjs`);
    writeFileSync(file, `import { Poller } from ${JSON.stringify(module)};\n${body}`);
    try {
      return execFileSync(process.execPath, [file], {
        encoding: 'utf8',
        timeout: patienceMs(20_000),
      });
    } finally {
      rmSync(file);
    }
  };

  it('ends by itself when nothing else is left to do', () => {
    expect(run(`Poller.start(); console.log('over');`)).toBe('over\n');
  });

  it('ends at once by process.exit, whether its thread has begun or not', () => {
    for (const ms of [0, 20, 200]) {
      const exit = `setTimeout(() => process.exit(0), ${ms})`;
      expect(run(`Poller.start(); console.log('over'); ${exit};`), `${ms} ms`).toBe('over\n');
    }
  });
});
