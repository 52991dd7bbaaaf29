/** The emperor's part of the doors: what is applied is what is open, in whatever order and however late things come. */
import { spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { type Clock, systemClock } from '../../src/base/clock.ts';
import type { VassalConfig } from '../../src/config/vassal-config.ts';
import { Doors, doorOf } from '../../src/emperor/doors.ts';
import { Poller } from '../../src/linux/poller.ts';
import { socketOf, type TestJail } from '../support/jail.ts';
import { useJails } from '../support/jails.ts';
import { ManualClock, settled } from '../support/manual-clock.ts';
import { configOf } from '../support/vassal-config.ts';
import { until } from '../support/wait.ts';
import type { World } from '../support/world.ts';

const CUSTOMER = 812_347;

let w: World;
let poller: Poller;
let program: string;
let jail: TestJail;
/** What the operator was told, in order. */
let told: (string | null)[];

const { vassal } = useJails('o', (given) => {
  w = given;
});
beforeAll(async () => {
  program = join(w.directory, 'emperor-login');
  copyFileSync((await w.launcher()).program, program);
  chmodSync(program, 0o755);
  chmodSync(w.directory, 0o711);
  w.settle();
});
beforeEach(async () => {
  poller = Poller.start();
  told = [];
  jail = await vassal();
});
afterEach(() => poller.close());

function doorsWith(clock: Clock): Doors {
  return new Doors({
    clock,
    poller,
    runDirectory: w.paths.run,
    initSocketOf: (name) => socketOf(w, name),
    surroundingsOf: () => ({ cwd: '/', env: ['PATH=/bin'], shell: '/bin/says' }),
    onTrouble: (_, message) => void told.push(message),
  });
}

const withUser = (sshUser: string | null): VassalConfig => configOf(jail.plan.name, { sshUser });
const door = () => doorOf(w.paths.run, jail.plan.name);

/** What whoever comes in hears: the words that his shell was given. */
function enter(): string {
  const as = [`--reuid=${CUSTOMER}`, `--regid=${CUSTOMER}`, '--clear-groups', '--'];
  const env = { PATH: process.env.PATH, SSH_ORIGINAL_COMMAND: 'hello' };
  const { stdout } = spawnSync('setpriv', [...as, program, '-c', `door ${door()}`], {
    ...{ env, encoding: 'utf8' },
  });
  return stdout;
}

test('a line that is put back while init is still to close the door leaves it open', async () => {
  const doors = doorsWith(systemClock);
  doors.apply(withUser(String(CUSTOMER)));
  await until('he is in', () => enter().includes('hello'));
  process.kill(jail.pid, 'SIGSTOP');
  doors.apply(withUser(null));
  await until('init is asked to close it', () => !existsSync(door()));
  doors.apply(withUser(String(CUSTOMER)));
  process.kill(jail.pid, 'SIGCONT');
  await until('he is in again', () => enter().includes('hello'));
  doors.forget(jail.plan.name);
  await until('it is gone', () => !existsSync(door()));
});

test('an account that is not there yet is looked for once every five seconds, however often its file changes', async () => {
  const clock = new ManualClock();
  const doors = doorsWith(clock);
  for (let edit = 0; edit < 5; edit += 1) {
    doors.apply(withUser('nobody-of-this-name'));
    await settled();
  }
  expect([told.length, clock.timers]).toEqual([5, 1]);
  await clock.pass(5000);
  expect([told.length, clock.timers]).toEqual([6, 1]);
  doors.forget(jail.plan.name);
  await settled();
  expect([told.at(-1), clock.timers]).toEqual([null, 0]);
});
