/** Each step of a jail plan fails once: the operator gets a sentence, and nothing is left behind. */
import { rmdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { OpName } from '../../src/jail/encode.ts';
import type { JailNetwork, JailPlan, Step } from '../../src/jail/plan.ts';
import { failureOf, forget, launch } from '../support/jail.ts';
import { useJails } from '../support/jails.ts';
import { patienceMs } from '../support/slowness.ts';
import { makeTinyDistro } from '../support/tiny-distro.ts';
import type { World } from '../support/world.ts';

/** How a step is made to fail; what is left out cannot fail for root, or is no step that does a thing. */
const BREAK: Partial<Record<OpName, (step: Step) => Step>> = {
  lock: (step) => ({ ...step, op: 'lock', source: '/nowhere/lock' }),
  cgroup: () => ({ op: 'cgroup', init: '/nowhere/a', payload: '/nowhere/b', uid: 1, gid: 1 }),
  log: () => ({ op: 'log', source: '/nowhere/log/x', uid: 1, gid: 1, maxBytes: 1e6, files: 2 }),
  listen: () => ({ op: 'listen', source: '/nowhere/init.sock' }),
  root: () => ({ op: 'root', source: '/nowhere' }),
  proc: () => ({ op: 'proc', target: '/nowhere', hidesOthers: false }),
  tmpfs: (step) => ({ ...step, target: '/nowhere' }) as Step,
  devpts: () => ({ op: 'devpts', target: '/nowhere', max: 4 }),
  mqueue: () => ({ op: 'mqueue', target: '/nowhere' }),
  device: (step) => ({ ...step, target: '/dev/nowhere/null' }) as Step,
  directory: (step) => ({ ...step, target: '/dev/nowhere/there' }) as Step,
  file: (step) => ({ ...step, target: '/dev/nowhere/file' }) as Step,
  symlink: (step) => ({ ...step, target: '/dev/nowhere/link' }) as Step,
  bind: (step) => ({ ...step, source: '/nowhere' }) as Step,
  'bind-inside': (step) => ({ ...step, target: '/nowhere' }) as Step,
  mask: (step) => ({ ...step, target: '/etc/os-release/x' }) as Step,
  'read-only': (step) => ({ ...step, target: '/etc/os-release/x' }) as Step,
  seccomp: () => ({ op: 'seccomp', filter: new Uint8Array(7) }),
  hostname: () => ({ op: 'hostname', text: 'h'.repeat(65) }),
  sysctl: () => ({ op: 'sysctl', target: 'net/nowhere', text: '1' }),
  home: () => ({ op: 'home', source: '/nowhere/home/x', uid: 1, gid: 1 }),
  hook: () => ({ op: 'hook', command: 'echo before; exit 3', timeoutMs: 5000 }),
  rlimit: () => ({ op: 'rlimit', resource: 7, soft: 2000, hard: 1000 }),
  tun: (step) => ({ ...step, target: '/' }) as Step,
  address: (step) => ({ ...step, address: null }) as Step,
  drop: () => ({ op: 'drop', uid: 0xffff_ffff, gid: 0xffff_ffff }),
};
const CANNOT_FAIL: readonly OpName[] = [
  ...(['private', 'loopback', 'sweep', 'gate', 'pivot', 'merge'] as const),
];

const NETWORK: JailNetwork = {
  interface: 'uwsgi0',
  mtu: 1500,
  queuePackets: 256,
  ipv4: { address: '192.168.0.2/24', isExact: true, gateway: null },
  ipv6: { address: null, isExact: false, gateway: null },
};

let w: World;
const { freshName } = useJails('f', (given) => {
  w = given;
});

const failure = (plan: JailPlan) => failureOf(w, plan);

/** A plan with every kind of step in it; each launch needs one of its own, since what it needs is made by w.plan(). */
const fullPlan = () =>
  w.plan(freshName(), {
    hooks: ['true', 'sleep 1000 & true'],
    ksm: true,
    network: NETWORK,
    binds: [{ source: w.paths.homes, target: '/srv', readOnly: true }],
  });

/** The plan with step number `at`, counted from 0, made to fail. */
function breakStep(plan: JailPlan, at: number): JailPlan {
  const steps = plan.steps.map((step, index) =>
    index === at ? (BREAK[step.op]?.(step) ?? step) : step,
  );
  return { ...plan, steps };
}

describe('a step that fails', () => {
  test('is tried for every kind of step that can', async () => {
    const { name, steps } = fullPlan();
    const kinds = new Set(steps.map(({ op }) => op));
    expect([...kinds].toSorted()).toEqual([...Object.keys(BREAK), ...CANNOT_FAIL].toSorted());
    await forget(w, name);
  });

  test('is told with its number and leaves nothing behind, whichever of a plan it is', async () => {
    const { name, steps } = fullPlan();
    await forget(w, name);
    const breakable = steps.flatMap(({ op }, at) => (BREAK[op] ? [{ op, at }] : []));
    expect(breakable).toHaveLength(steps.length - CANNOT_FAIL.length);
    for (const { op, at } of breakable) {
      const plan = breakStep(fullPlan(), at);
      const sentence = await failure(plan);
      const step = `step ${at + 1} \`${op}\``;
      expect(sentence).toMatch(/^Cannot [^\n]*$/);
      expect(sentence).toContain(`in vassal ${plan.name} (${step}): E`);
      expect([step, await w.leaks()]).toEqual([step, []]);
    }
  });

  test('leaves the way free for the next launch of that name', async () => {
    const plan = fullPlan();
    await failure(
      breakStep(
        plan,
        plan.steps.findIndex(({ op }) => op === 'hostname'),
      ),
    );
    w.membership.create(plan.name);
    const again = w.plan(plan.name);
    await (await launch(w, again)).stop();
  });
});

describe('a launch', () => {
  test('is refused while a vassal of that name lives', async () => {
    const plan = w.plan(freshName());
    const jail = await launch(w, plan);
    const { client } = await w.launcher();
    await expect(client.launch(plan)).rejects.toMatchObject({
      code: 'jail-failed',
      message: expect.stringContaining('EEXIST'),
    });
    await jail.stop();
  });

  test('names the mount point that a distro lacks and how to make it', async () => {
    const distro = makeTinyDistro(join(w.paths.distros, 'lacking'));
    rmdirSync(join(distro, 'proc'));
    expect(await failure(w.plan(freshName(), { distro }))).toContain(
      `the distro has no directory /proc; create it with \`mkdir -p ${distro}/proc\``,
    );
  });

  test('never follows a symlink of the distro', async () => {
    const distro = makeTinyDistro(join(w.paths.distros, 'symlinked'));
    rmdirSync(join(distro, 'tmp'));
    symlinkSync(w.directory, join(distro, 'tmp'));
    expect(await failure(w.plan(freshName(), { distro }))).toMatch(
      /Cannot mount a tmpfs on \/tmp .*: (ELOOP|ENOTDIR)/,
    );
  });

  test('binds directories and regular files only', async () => {
    const bind = { source: '/dev/null', target: '/srv', readOnly: true };
    expect(await failure(w.plan(freshName(), { binds: [bind] }))).toContain(
      'EINVAL, /dev/null is neither a directory nor a regular file',
    );
  });
});

describe('a hook that fails', () => {
  test('is told with its command and exit status', async () => {
    const name = freshName();
    const sentence = await failure(w.plan(name, { hooks: ['true', 'echo why; exit 3'] }));
    expect(sentence).toMatch(
      /Cannot run the hook `echo why; exit 3` .* it ended with exit status 3;/,
    );
    expect(w.logOf(name)).toMatch(/ stdout F hook why\n/);
  });

  test('partly M40: is killed when its time is over, with all it started', async () => {
    const plan = w.plan(freshName(), { hooks: ['sleep 1000 & sleep 1000'], hookTimeoutMs: 200 });
    const before = performance.now();
    expect(await failure(plan)).toContain('ETIMEDOUT, it was not done within 0.2 s');
    expect(performance.now() - before).toBeLessThan(patienceMs(3000));
  });
});
