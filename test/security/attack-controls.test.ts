/**
 * The controls of attacks.test.ts: every attempt succeeds where what stands in its way is taken away. The jails are those
 * of vassals, made by the same program from the same plan, of which single steps are left out.
 */
import { chmodSync, chownSync, mkdirSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { JailPlan, JailSpec, Step } from '../../src/jail/plan.ts';
import {
  ATTEMPTS,
  type AttemptWorld,
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
import { launch, type TestJail } from '../support/jail.ts';
import { signal } from '../support/proc.ts';
import { patienceMs } from '../support/slowness.ts';
import { type World, world } from '../support/world.ts';

/** Nobody else's. */
const UID = 4_000_000 + 16 * process.pid;

/** Those that take the same protections away; one jail serves them all. */
const GROUPS = [...new Set(ATTEMPTS.map(({ without }) => without.join(' and ')))]
  .filter((words) => words !== '')
  .map((words) => [words, ATTEMPTS.filter((one) => one.without.join(' and ') === words)] as const);

let w: World;
let hostPid: number;
const jails: TestJail[] = [];
const results = new Map<string, Result>();

/** The plan without what those protections are made of. */
function weakened(plan: JailPlan, without: readonly string[]): JailPlan {
  const gone = new Set<Step['op']>([
    ...(without.includes('filter') ? (['seccomp'] as const) : []),
    ...(without.includes('capabilities') || without.includes('privileges')
      ? (['drop'] as const)
      : []),
    ...(without.includes('covers') ? (['mask', 'read-only'] as const) : []),
    ...(without.includes('limits') ? (['rlimit'] as const) : []),
  ]);
  const steps = plan.steps
    .filter(({ op }) => !gone.has(op))
    .map((step): Step => {
      // /usr is the distro of all tests.
      if (without.includes('flags') && 'flags' in step && step.target !== '/usr')
        return { ...step, flags: [] };
      if (without.includes('pids') && step.op === 'proc') return { ...step, hidesOthers: false };
      return step;
    });
  return { ...plan, steps };
}

function specFor(name: string, without: readonly string[]): JailSpec {
  const binds = [{ source: join(DISTRO, 'usr'), target: '/usr', readOnly: true }];
  const size = { tmpSizeBytes: 1 << 24, runSizeBytes: 1 << 24 };
  const spec = w.spec(name, { uid: UID, gid: UID, binds, ...size });
  const { cgroups, namespaces } = spec;
  const view = { source: dirname(cgroups.initJoin), target: '/sys/fs/cgroup' };
  return {
    ...spec,
    cgroups: without.includes('flags') ? { ...cgroups, views: [view] } : cgroups,
    namespaces: without.includes('pids') ? namespaces.filter((one) => one !== 'pid') : namespaces,
  };
}

/** Has the attempts of one group made in a jail without what stands in their way. */
async function makeControl(
  name: string,
  words: string,
  attempts: readonly string[],
): Promise<void> {
  const without = words.split(' and ');
  const home = { onHost: join(w.paths.homes, name), inside: `/home/${name}` };
  furnish(home.onHost, UID);
  const jail = await launch(w, weakened(w.plan(name, specFor(name, without)), without));
  jails.push(jail);
  const env = [`HOME=${home.inside}`, 'CANARY=canary-of-a-neighbour', 'PATH=/usr/bin'];
  let target = 1;
  if (without.includes('namespaces') || without.includes('init')) {
    const program = `${home.inside}/attempts/victim.py`;
    const victim = victimCommand(home.inside, { program, name: 'canary-of-a-neighbour' });
    await jail.start(victim, { env });
    target = await pidOfVictim(home.onHost);
  }
  const there: AttemptWorld = {
    ...{ home: home.inside, uid: UID, target, host_pid: hostPid, port: PORT, patience: 30 },
    secrets: [`${home.inside}/secret`],
    sockets: [`${home.inside}/socket`],
    logs: ['/var/log/vassal/current'],
  };
  const uid = without.includes('privileges') ? UID : null;
  const setting = { attempts, world: there, control: true, uid } as const;
  await jail.start(commandFor(home, 'control', setting), { env });
  for (const [what, result] of await resultsOf(home.onHost, 'control')) results.set(what, result);
}

beforeAll(async () => {
  w = await world();
  chmodSync(w.directory, 0o711);
  const distro = w.tinyDistro();
  for (const name of ['lib', 'lib64']) symlinkSync(`usr/${name}`, join(distro, name));
  const canary = join(w.directory, 'canary');
  mkdirSync(canary);
  chownSync(canary, UID, UID);
  const ids = [`--reuid=${UID}`, `--regid=${UID}`, '--clear-groups'];
  const words = victimCommand(canary, {
    program: VICTIM,
    name: 'canary-of-the-host',
    isHost: true,
  });
  w.spawn(['setpriv', ...ids, ...words]);
  hostPid = await pidOfVictim(canary);
  for (const [at, [words, attempts]] of GROUPS.entries())
    await makeControl(
      `control${at}`,
      words,
      attempts.map(({ what }) => what),
    );
}, patienceMs(300_000));
afterAll(async () => {
  for (const jail of jails) await jail.stop();
  signal(hostPid, 'SIGKILL');
  await w.close();
});

describe.each(GROUPS)('without %s, a tenant can', (_, attempts) => {
  test.each(attempts.map((attempt) => [titleOf(attempt), attempt] as const))('%s', (_, attempt) => {
    const result = results.get(attempt.what);
    expect(result?.outcome, result?.detail).toBeOneOf([...attempt.control]);
  });
});
