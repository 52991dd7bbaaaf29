/**
 * Attacks on what starts processes in a vassal and lets people into it: commands, daemons, sessions, crontabs. By a
 * tenant with a shell, and by one that has taken over its init.
 */
import { chmodSync, chownSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { TestEmperor, until } from '../support/emperor.ts';

/** Nobody else's, so that whoever has it is ours. */
const UID = 2_000_000 + 16 * process.pid;
const emperor = new TestEmperor({
  ini: 'start-limit = 1\nemperor-throttle = 100\nemperor-max-throttle = 200',
});
const { directory } = emperor;

beforeAll(() => emperor.start());
afterAll(() => emperor.close());

/** An executable of mallory's own, in its home. */
function program(name: string, text: string): string {
  const home = join(directory, 'homes/mallory');
  mkdirSync(home, { recursive: true });
  const file = join(home, name);
  writeFileSync(file, text);
  chmodSync(file, 0o755);
  for (const path of [home, file]) chownSync(path, UID, UID);
  return `/home/mallory/${name}`;
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
    const command = program('run', LEASED);
    emperor.write('mallory', `[vassal]\nuid = ${UID}\ncommand = ${command}\nstop-grace = 1s\n`);
    await until('it is started again', () => emperor.status('mallory').restarts > 0);
    await until('and does not begin', () => emperor.status('mallory').state === 'starting');
    emperor.write('honest', '[vassal]\ncommand = sleep 100000\n');
    emperor.wait('honest', 'running', '5s');
    expect(emperor.status('mallory').state).toBe('starting');
  });
});
