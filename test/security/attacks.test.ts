/**
 * Every attempt of test/security/attempts, from everywhere that a tenant's code runs: command, daemon, cron job, `exec`,
 * `exec` with a terminal, ssh. After each one that is made by `exec`, and after all of any other kind, the host is as it
 * was. That the attempts would succeed otherwise: attack-controls.test.ts.
 */
import type { ChildProcess } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  chownSync,
  mkdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  ATTEMPTS,
  commandFor,
  DISTRO,
  furnish,
  PORT,
  pidOfVictim,
  type Result,
  resultsOf,
  titleOf,
  VICTIM,
  victimCommand,
} from '../support/attacks.ts';
import { BINARY, until } from '../support/emperor.ts';
import { HostOracle, type HostState } from '../support/host-oracle.ts';
import { signal } from '../support/proc.ts';
import { patienceMs } from '../support/slowness.ts';
import { SshMachine } from '../support/ssh-machine.ts';

/** Nobody else's, so that whoever has it is ours. */
const UID = 3_000_000 + 16 * process.pid;
const AT_START = ['command', 'daemon', 'cron'] as const;
const CONTEXTS = [...AT_START, 'exec', 'pty', 'ssh'] as const;
type Context = (typeof CONTEXTS)[number];

let m: SshMachine;
let canary: ChildProcess;
let oracle: HostOracle;
const results = new Map<Context, ReadonlyMap<string, Result>>();
/** What the host was before and after the attempts of a context. */
const states = new Map<Context, readonly [HostState, HostState]>();
/** What an attempt changed on the host, of those made by `exec`. */
const changes = new Map<string, HostState>();

const homeOf = (name: string) => join(m.emperor.directory, 'homes', name);

/** The words by which the attempts are made in a context. */
function attack(context: Context): readonly string[] {
  const { directory } = m.emperor;
  const home = { onHost: homeOf('attacker'), inside: '/home/attacker' };
  const ofVictim = [`${homeOf('victim')}/`, '/home/victim/', '/home/attacker/../victim/', '/srv/'];
  const world = {
    home: home.inside,
    uid: UID,
    target: 1,
    host_pid: oracle.canaryPid,
    port: PORT,
    patience: 0.5,
    secrets: [...ofVictim.map((path) => `${path}secret`), join(directory, 'canary/file')],
    sockets: [
      ...ofVictim.map((path) => `${path}socket`),
      ...[
        'emperor.sock',
        'launcher.sock',
        'vassals/victim/init.sock',
        'vassals/attacker/init.sock',
      ].map((path) => join(directory, 'run', path)),
      '/run/canary',
    ],
    logs: [
      join(directory, 'log/emperor.log'),
      join(directory, 'log/victim/current'),
      '/var/log/victim/current',
      '/var/log/vassal/../victim/current',
    ],
  };
  return commandFor(home, context, { attempts: ATTEMPTS.map(({ what }) => what), world });
}

/** Has all be made by something that runs, and keeps what came of it. */
async function make(context: Context, begin: () => unknown): Promise<void> {
  const before = oracle.state();
  await begin();
  results.set(context, await resultsOf(homeOf('attacker'), context));
  states.set(context, [before, oracle.state()]);
}

async function makeCanary(): Promise<void> {
  const home = join(m.emperor.directory, 'canary');
  mkdirSync(home);
  writeFileSync(join(home, 'file'), 'canary', { mode: 0o644 });
  chownSync(home, UID, UID);
  // With the attacker's uid, so that nothing but the jail keeps it off.
  const ids = [`--reuid=${UID}`, `--regid=${UID}`, '--clear-groups'];
  const words = victimCommand(home, { program: VICTIM, name: 'canary-of-the-host', isHost: true });
  canary = m.spawn(['setpriv', ...ids, ...words]);
  await pidOfVictim(home);
}

async function startVassals(): Promise<void> {
  mkdirSync(join(m.emperor.directory, 'homes'), { recursive: true, mode: 0o711 });
  chmodSync(join(m.emperor.directory, 'homes'), 0o711);
  furnish(homeOf('victim'), UID + 1);
  furnish(homeOf('attacker'), UID);
  const program = '/home/victim/attempts/victim.py';
  const victim = victimCommand('/home/victim', { program, name: 'canary-of-a-neighbour' });
  m.emperor.apply(
    'victim',
    `[vassal]\nuid = ${UID + 1}\nenv = CANARY=canary-of-a-neighbour\ncommand = ${victim.join(' ')}\n`,
  );
  await pidOfVictim(homeOf('victim'));
  const [emperorsCanary, victims] = [join(m.emperor.directory, 'canary'), homeOf('victim')];
  oracle = new HostOracle(m.emperor, {
    canary: await pidOfVictim(emperorsCanary),
    files: [
      ...['file', 'contacts'].map((name) => join(emperorsCanary, name)),
      ...['secret', 'contacts', 'root-id'].map((name) => join(victims, name)),
      ...['', 'etc/passwd', 'etc/os-release', 'usr/bin', 'usr/bin/python3.11'].map((name) =>
        join(DISTRO, name),
      ),
      ...[m.emperor.ini, m.emperor.file('victim')],
    ],
    uid: UID,
    vassals: ['victim'],
  });
}

/** Has each made when the host has been looked at after the one before. */
async function makeOneByOne(): Promise<void> {
  const words = [...attack('exec'), 'step'];
  const child = m.spawn([BINARY, '--ini', m.emperor.ini, 'exec', 'attacker', '--', ...words]);
  let before = oracle.state();
  if (!child.stdout) throw new Error('it has no stdout');
  for await (const what of createInterface({ input: child.stdout })) {
    const after = oracle.state();
    const changed = HostOracle.changes(before, after);
    if (Object.keys(changed).length > 0) changes.set(what, changed);
    before = after;
    child.stdin?.write('\n');
  }
}

beforeAll(async () => {
  process.env.EMPEROR_CANARY = 'canary-of-the-emperor';
  m = await SshMachine.make();
  await m.emperor.start();
  await makeCanary();
  await startVassals();
  const line = (context: Context) => attack(context).join(' ');
  const before = oracle.state();
  m.emperor.apply(
    'attacker',
    `[vassal]
uid = ${UID}
ssh-user = c-attacker
command = sh -c "${line('command')}; exec sleep 100000"
attach-daemon = sh -c "${line('daemon')}; exec sleep 100000"
cron = @reboot ${line('cron')}
`,
  );
  for (const context of AT_START) {
    results.set(context, await resultsOf(homeOf('attacker'), context));
    states.set(context, [before, oracle.state()]);
  }
  oracle.watch('attacker');
  await make('exec', makeOneByOne);
  const exec = [BINARY, '--ini', m.emperor.ini, 'exec', 'attacker', '-t', '--', ...attack('pty')];
  await make('pty', () => m.spawn(['script', '-qefc', exec.join(' '), '/dev/null']));
  expect(m.setUp('attacker', 'c-attacker', '--write')).toMatchObject({ status: 0 });
  await m.startSshd();
  await until('ssh comes in', () => m.ssh('c-attacker', ['true']).status === 0);
  await make('ssh', () => m.ssh('c-attacker', [line('ssh')]));
}, patienceMs(300_000));
afterAll(async () => {
  signal(canary.pid, 'SIGKILL');
  await m.close();
});

test('what is compared tells of a file that is written to, a canary that is signalled, and whoever comes to it', async () => {
  const before = oracle.state();
  const contacts = join(m.emperor.directory, 'canary/contacts');
  appendFileSync(join(m.emperor.directory, 'canary/file'), 'touched');
  signal(oracle.canaryPid, 'SIGUSR1');
  m.run(['curl', '-s', `http://127.0.0.1:${PORT}/`]);
  await until('it has noted both', () => readFileSync(contacts, 'utf8').split('\n').length === 3);
  const changed = HostOracle.changes(before, oracle.state());
  expect(Object.keys(changed)).toEqual([join(m.emperor.directory, 'canary/file'), contacts]);
});

test('there are at least 120 attempts', () => {
  expect(ATTEMPTS.length).toBeGreaterThanOrEqual(120);
});

describe.each(CONTEXTS)('by %s, a tenant cannot', (context) => {
  test.each(ATTEMPTS.map((attempt) => [titleOf(attempt), attempt] as const))('%s', (_, attempt) => {
    const result = results.get(context)?.get(attempt.what);
    expect(result?.outcome, result?.detail).toBeOneOf([...attempt.answer]);
    if (context === 'exec') expect(changes.get(attempt.what)).toBeUndefined();
  });

  test('change anything on the host by all of these', () => {
    const [before, after] = states.get(context) ?? [{}, { missing: 'yes' }];
    expect(HostOracle.changes(before, after)).toEqual({});
  });
});

test('P02: whoever kills everybody kills its own processes: init, neighbour and host live on', async () => {
  const before = oracle.state();
  const { status } = m.emperor.cli(
    'exec',
    'attacker',
    '--',
    'python3',
    '-c',
    'import os; os.kill(-1, 9)',
  );
  // All but itself, as kill(2) says.
  expect(status).toBe(0);
  m.emperor.wait('attacker', 'running');
  expect(m.emperor.cli('exec', 'attacker', '--', 'true').status).toBe(0);
  expect(HostOracle.changes(before, oracle.state())).toEqual({});
});
