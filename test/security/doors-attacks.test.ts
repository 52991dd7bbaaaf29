/**
 * Attacks on what starts processes in a vassal and lets people into it: commands, daemons, sessions, crontabs. By a
 * tenant with a shell, and by one that has taken over its init.
 */
import { spawn } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { slotOf } from '../../src/emperor/cron-slot.ts';
import type { CronJobStatus } from '../../src/emperor/governor.ts';
import { encodeFrame } from '../../src/jail/frames.ts';
import { TAG, VERB } from '../../src/jail/wire.ts';
import { askNow } from '../support/api-now.ts';
import { TestEmperor, until } from '../support/emperor.ts';
import { isAlive } from '../support/proc.ts';
import { patienceMs } from '../support/slowness.ts';

/** Nobody else's, so that whoever has it is ours. */
const UID = 2_000_000 + 16 * process.pid;
const emperor = new TestEmperor({
  ini: 'start-limit = 1\nemperor-throttle = 100\nemperor-max-throttle = 200',
});
const { directory } = emperor;

const fixture = (name: string) => resolve(import.meta.dirname, '../fixtures', name);

/** The end of a run that nobody has started. */
const END = encodeFrame({
  verb: VERB.EXITED,
  id: 0,
  fields: [
    [TAG.SLOT, slotOf({ key: 1, minute: 1 })],
    [TAG.KIND, 'cron'],
    [TAG.LABEL, 'forged\ncron-real'],
    [TAG.PID, 2],
    [TAG.STATUS, 0],
    [TAG.UTIME_US, 0],
    [TAG.STIME_US, 0],
    [TAG.MAXRSS_KB, 0],
    [TAG.TIME_MS, 1],
  ],
});

beforeAll(() => emperor.start());
afterAll(() => emperor.close());

/** Puts a file of its own into the home of a vassal before there is one; returns its path inside. */
function bring(vassal: string, uid: number, name: string, text: string): string {
  const home = join(directory, 'homes', vassal);
  mkdirSync(home, { recursive: true });
  const file = join(home, name);
  writeFileSync(file, text);
  chmodSync(file, 0o755);
  for (const path of [home, file]) chownSync(path, uid, uid);
  return `/home/${vassal}/${name}`;
}

/** Begins once; from then on whoever executes it waits for a lease of somebody who lives on. */
const LEASED = `#!/usr/bin/python3
import fcntl, os, signal, time
ends = os.pipe()
if os.fork() == 0:
    os.setsid()
    signal.signal(signal.SIGIO, signal.SIG_IGN)
    fcntl.fcntl(os.open(__file__, os.O_RDWR), fcntl.F_SETLEASE, fcntl.F_WRLCK)
    os.write(ends[1], b"!")
    time.sleep(1000)
os.read(ends[0], 1)
`;

describe('a command whose file its tenant holds a lease on', () => {
  test('begins when it likes, and keeps no other vassal from starting', async () => {
    const command = bring('mallory', UID, 'run', LEASED);
    emperor.write('mallory', `[vassal]\nuid = ${UID}\ncommand = ${command}\nstop-grace = 1s\n`);
    await until('it is started again', () => emperor.status('mallory').restarts > 0);
    await until('and does not begin', () => emperor.status('mallory').state === 'starting');
    emperor.write('honest', '[vassal]\ncommand = sleep 100000\n');
    emperor.wait('honest', 'running', '5s');
    expect(emperor.status('mallory').state).toBe('starting');
  });
});

describe('an init that its tenant has taken over', () => {
  test('floods the emperor with ends that never were: it has time for others, and keeps nothing of them', async () => {
    emperor.apply('blog', '[vassal]\ncommand = sleep 100000\n');
    emperor.apply('flooder', '[vassal]\ncommand = sleep 100000\nstop-grace = 1s\n');
    const pid = String(emperor.status('flooder').pid);
    const flood = spawn('python3', [fixture('speaks-as-init.py'), pid, END.toString('hex')]);
    await new Promise((speaks) => flood.stdout.once('data', speaks));
    const waitsMs = Array.from({ length: 60 }, () => {
      const start = performance.now();
      expect(emperor.status('blog').state).toBe('running');
      return performance.now() - start;
    });
    // Without rests half a second was usual.
    expect(waitsMs.sort((a, b) => a - b)[30]).toBeLessThan(patienceMs(100));
    expect(emperor.stats().counters).not.toHaveProperty('cron-exited');
    expect(readFileSync(join(directory, 'state/cron.jsonl'), 'utf8')).not.toContain('"job"');
    flood.stdin.end();
    await new Promise((ended) => flood.once('exit', ended));
  });

  test('says nothing: it is ended after its grace like any other', async () => {
    emperor.apply('mute', '[vassal]\ncommand = sleep 100000\nstop-grace = 1s\n');
    const { pid } = emperor.status('mute');
    process.kill(pid ?? 0, 'SIGSTOP');
    emperor.remove('mute');
    await until('it is gone', () => !isAlive(pid ?? 0), 8000);
  });
});

test('a crontab has its jobs begin nowhere but inside, whatever it says is their home', async () => {
  const numbers = Array.from({ length: 30 }, (_, fd) => fd);
  const homes = ['/', '/proc/1/root', '/proc/1/cwd', ...numbers.map((fd) => `/proc/self/fd/${fd}`)];
  const lines = homes.map((home) => `HOME=${home}\n@reboot echo at $(pwd -P) ${home}\n`);
  bring('climber', UID + 1, 'crontab', lines.join(''));
  emperor.apply('climber', `[vassal]\nuid = ${UID + 1}\ncommand = sleep 100000\nstop-grace = 1s\n`);
  const jobs = () => askNow(emperor.socket, 'cronJobs', 'climber');
  const isDecided = ({ last }: CronJobStatus) => last !== null && last.endedAt !== null;
  await until('each is decided', () => jobs().filter(isDecided).length === homes.length);
  const begun = jobs().filter(({ last }) => last?.error === null);
  expect(begun.map(({ command }) => command)).toEqual(['echo at $(pwd -P) /']);
  expect(emperor.log('climber')).toContain(' at / /\n');
});
