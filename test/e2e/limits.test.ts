/** Limits: what meets one is held there, changes take effect at once, and who asks is told what is used. */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { isErrno } from '../../src/base/errors.ts';
import { KSM_FAILURES, readKsm } from '../../src/linux/ksm.ts';
import { controllersOfMachine, mountOf } from '../support/cgroup-tree.ts';
import { TestEmperor, until } from '../support/emperor.ts';

let emperor: TestEmperor;
const status = (name: string) => emperor.status(name);
const vassal = (command: string, more = '') => `[vassal]\ncommand = ${command}\n${more}`;

beforeAll(async () => {
  emperor = new TestEmperor({ ini: 'emperor-throttle = 200' });
  const before = String(scoreOf(process.pid));
  const score = beOddForOomKiller();
  await emperor.start();
  writeFileSync('/proc/self/oom_score_adj', before);
  expect(scoreOf(emperor.pid)).toBe(score);
});
afterAll(() => emperor.close());

/** What a process of the vassal is told by the kernel of the cgroups it is in. */
function cgroupsOf(pid: number): string {
  return readFileSync(`/proc/${pid}/cgroup`, 'utf8');
}

/** Where a tenant reads of its own cgroups. */
const SHOWN_AT = '/sys/fs/cgroup';
const IS_V1 = controllersOfMachine().size > 0;
const SHOWN = IS_V1
  ? {
      memoryMax: 'memory/memory.limit_in_bytes',
      memory: 'memory/memory.usage_in_bytes',
      pidsMax: 'pids/pids.max',
      pids: 'pids/pids.current',
      cpuMax: 'cpu/cpu.cfs_quota_us',
      cpu: 'cpuacct/cpuacct.usage',
    }
  : {
      memoryMax: 'memory.max',
      memory: 'memory.current',
      pidsMax: 'pids.max',
      pids: 'pids.current',
      cpuMax: 'cpu.max',
      cpu: 'cpu.stat',
    };
/** What weights 100 and 1 are. */
const [USUAL_WEIGHT, LEAST_WEIGHT] = IS_V1 ? [1024, 10] : [100, 1];

function weightOf(name: string): number {
  const mount = controllersOfMachine().get('cpu') ?? mountOf().path;
  const file = join(mount, emperor.cgroupParent, name, IS_V1 ? 'cpu.shares' : 'cpu.weight');
  return Number(readFileSync(file, 'utf8'));
}

/** What init has used: it counts in what status tells, but on v2 is in a cgroup beside what a tenant reads. */
function initSeconds(name: string): number {
  // On v1 it comes to the cgroups that a tenant reads once it runs.
  if (IS_V1) return 0.1;
  const file = join(mountOf().path, emperor.cgroupParent, name, 'init', 'cpu.stat');
  return usedSeconds(readFileSync(file, 'utf8'));
}

/** Of cgroup v2's cpu.stat. */
function usedSeconds(text: string): number {
  return Number(/usage_usec (\d+)/.exec(text)?.[1]) / 1e6;
}

/** Newer kernels say in it whether equal pages of a process may be kept once. */
function ksmStatOf(pid: number): string {
  return readFileSync(`/proc/${pid}/ksm_stat`, 'utf8');
}

/** An emperor may be set up to be killed last for memory, which takes CAP_SYS_RESOURCE, or first. */
function beOddForOomKiller(): number {
  for (const score of [-500, 50]) {
    try {
      writeFileSync('/proc/self/oom_score_adj', String(score));
      return score;
    } catch (error) {
      if (!isErrno(error, 'EACCES')) throw error;
    }
  }
  return scoreOf(process.pid);
}

function scoreOf(pid: number | null | undefined): number {
  return Number(readFileSync(`/proc/${pid}/oom_score_adj`, 'utf8'));
}

/** Where init is in the same cgroup, it counts. */
const INITS = IS_V1 ? 1 : 0;

/** The guest of `npm run test:v2`, whose settings are nobody else's. */
const IS_OURS = hostname() === 'guest';
const CORE_PATTERN = '/proc/sys/kernel/core_pattern';

const IDLE = 'sleep 1000';
const COUNTING = `sh -c 'while :; do :; done'`;
const MEMORY_BOMB = `sh -c 'a=x; while :; do a=$a$a; done'`;

describe('a vassal', () => {
  test('M11, M46: that takes more memory than it may is killed inside, says so, and is tried again', async () => {
    emperor.apply('neighbour', vassal(IDLE));
    const before = status('neighbour').pid;
    emperor.write('bomb', vassal(MEMORY_BOMB, 'memory-max = 24M\n'));
    await until('it was killed', () => status('bomb').restarts >= 1);
    const bomb = status('bomb');
    expect(bomb.lastExit).toMatchObject({ code: null, signal: 'SIGKILL', reason: 'oom' });
    expect(bomb.limits).toEqual({ 'memory-max': 24 << 20 });
    expect(bomb.alarms).toMatchObject([{ kind: 'oom' }]);
    expect(bomb.alarms[0]?.count).toBeGreaterThanOrEqual(1);
    expect(emperor.cli('events').stdout).toMatch(/bomb +oom +the kernel killed in it/);
    expect(emperor.cli('status', 'bomb').stdout).toMatch(/oom +killed for memory/);
    expect(status('neighbour')).toMatchObject({ state: 'running', pid: before, restarts: 0 });
    emperor.remove('bomb');
    emperor.wait('bomb', 'gone');
  });

  test('has no more processes than it may, and its operator is told of those that were refused', async () => {
    const many = `sh -c 'for i in 1 2 3 4 5 6 7 8 9; do sleep 1000 & done; wait'`;
    emperor.write('forks', vassal(many, 'pids-max = 4\nrestart = never\n'));
    await until('it was refused a process', () =>
      status('forks').alarms.some(({ kind }) => kind === 'pids-max'),
    );
    const { alarms } = status('forks');
    expect(alarms[0]?.processes.map(({ name }) => name)).toContain('sleep');
    expect(emperor.cli('status', 'forks').stdout).toMatch(/pids-max +refused a process/);
  });

  test('M12, M43: gets no more processor time than it may', async () => {
    emperor.apply('burner', vassal(COUNTING, 'cpu-max = 20%\n'));
    const used = () => status('burner').usage.cpuSeconds ?? 0;
    const [from, since] = [used(), performance.now()];
    await until('two seconds have gone by', () => performance.now() - since > 2000);
    const share = (used() - from) / ((performance.now() - since) / 1000);
    expect(share).toBeGreaterThan(0);
    expect(share).toBeLessThan(0.3);
  });

  test('M45: is limited anew without a restart', async () => {
    emperor.apply('live', vassal(IDLE));
    const { pid, generation } = status('live');
    emperor.apply('live', vassal(IDLE, 'memory-max = 64M\npids-max = 20\ncpu-weight = 50\n'));
    expect(status('live')).toMatchObject({
      pid,
      generation: generation + 1,
      restarts: 0,
      limits: { 'memory-max': 64 << 20, 'pids-max': 20, 'cpu-weight': 50 },
      unmetLimits: [],
    });
    const grow = `a=$(head -c 100000000 /dev/zero | tr '\\0' x); echo "\${#a}"`;
    expect(emperor.cli('exec', 'live', '--', 'sh', '-c', grow).status).not.toBe(0);
    emperor.apply('live', vassal(IDLE));
    expect(status('live')).toMatchObject({ pid, limits: {} });
    const free = emperor.cli('exec', 'live', '--', 'sh', '-c', grow);
    expect(free).toMatchObject({ status: 0, stdout: '100000000\n' });
  });

  test('M44: reads inside what it may use and uses, as status tells it, and can change none of it', async () => {
    const busy = `i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done`;
    const command = `sh -c 'head -c 30M /dev/zero >/dev/shm/30M; ${busy}; >/tmp/done; exec sleep 100000'`;
    emperor.apply('reads', vassal(command, 'memory-max = 100M\npids-max = 20\ncpu-max = 50%\n'));
    const exec = (...words: readonly string[]) => emperor.cli('exec', 'reads', '--', ...words);
    await until('it has been busy', () => exec('test', '-e', '/tmp/done').status === 0);
    const before = status('reads').usage.cpuSeconds ?? Number.NaN;
    const { stdout } = exec('cat', ...Object.values(SHOWN).map((file) => join(SHOWN_AT, file)));
    const { limits, usage } = status('reads');
    const [memoryMax, memory, pidsMax, pids, cpuMax, ...cpu] = stdout.split('\n').map(parseFloat);
    expect(memoryMax).toBe(limits['memory-max']);
    expect(pidsMax).toBe(Number(limits['pids-max']) + INITS);
    expect(cpuMax).toBe(Number(limits['cpu-max']) * 100_000);
    // Whoever reads is one more.
    expect(pids).toBe((usage.pids ?? 0) + INITS + 1);
    expect(memory).toBeGreaterThan(30 << 20);
    expect(Math.abs((memory ?? 0) - (usage.memoryBytes ?? 0))).toBeLessThan(5 << 20);
    const seconds = IS_V1 ? (cpu[0] ?? 0) / 1e9 : usedSeconds(stdout);
    expect(seconds).toBeGreaterThan(0.1);
    expect(seconds).toBeGreaterThan(before - initSeconds('reads'));
    expect(seconds).toBeLessThanOrEqual(usage.cpuSeconds ?? Number.NaN);
    const attempt = `cd ${SHOWN_AT}; for file in $(find . -type f); do echo max >$file && echo wrote; done; mkdir x`;
    expect(exec('sh', '-c', `${attempt} 2>&1 | grep -v "Read-only file system"`).stdout).toBe('');
    // Of others there is nothing.
    expect(exec('find', SHOWN_AT, '-mindepth', '2', '-type', 'd').stdout).toBe('');
    emperor.apply('reads', vassal(command, 'memory-max = 200M\n'));
    expect(exec('cat', join(SHOWN_AT, SHOWN.memoryMax)).stdout).toBe(`${200 << 20}\n`);
  });

  test('takes a limit away by its file says `max`', async () => {
    emperor.write('plain', vassal(IDLE, 'memory-max = max\n'));
    emperor.wait('plain', 'applied');
    expect(status('plain').limits).toEqual({});
  });

  test('that has used its `daily-cpu` gets what others leave until midnight, also under the next emperor', async () => {
    emperor.apply('spender', vassal(COUNTING, 'daily-cpu = 1s\ncpu-weight = 200\n'));
    const { pid } = status('spender');
    await until('it has used it', () => status('spender').dailyCpu?.isSpent === true);
    expect(weightOf('spender')).toBe(LEAST_WEIGHT);
    expect(status('spender').dailyCpu?.usedSeconds).toBeGreaterThanOrEqual(1);
    expect(emperor.cli('status', 'spender').stdout).toMatch(
      /daily cpu +\S+ of 1s, in the tarpit until \d{4}-/,
    );
    expect(emperor.cli('events').stdout).toMatch(/spender +daily-cpu +it has used its/);
    await emperor.signal('SIGKILL');
    await emperor.start();
    expect(status('spender')).toMatchObject({ pid, dailyCpu: { isSpent: true } });
    expect(weightOf('spender')).toBe(LEAST_WEIGHT);
    expect(emperor.cli('events').stdout).not.toMatch(/spender +daily-cpu/);
    emperor.cli('restart', 'spender');
    expect(weightOf('spender')).toBe(LEAST_WEIGHT);
    const again = status('spender');
    expect(again.dailyCpu).toMatchObject({ isSpent: true });
    expect(again.dailyCpu?.usedSeconds).toBeGreaterThanOrEqual(1);
    emperor.apply('spender', vassal(COUNTING, 'daily-cpu = 10h\ncpu-weight = 200\n'));
    expect(status('spender')).toMatchObject({ pid: again.pid, dailyCpu: { isSpent: false } });
    expect(weightOf('spender')).toBe(2 * USUAL_WEIGHT);
    emperor.remove('spender');
    emperor.wait('spender', 'gone');
  });

  test('partly M83: has its memory kept once with `ksm`, where the kernel does so; elsewhere it runs and says why not', () => {
    emperor.apply('merged', vassal(IDLE, 'ksm = true\n'));
    emperor.apply('apart', vassal(IDLE));
    const isMerged = (name: string) =>
      /^ksm_merge_any: yes$/m.test(ksmStatOf(status(name).processes[0]?.pid ?? 0));
    const { state } = readKsm();
    const isTold = /^ksm_merge_any: /m.test(ksmStatOf(status('apart').processes[0]?.pid ?? 0));
    if (isTold && (state === 'on' || state === 'off')) {
      expect(['merged', 'apart'].map(isMerged)).toEqual([true, false]);
    }
    const told = KSM_FAILURES[state];
    expect(status('merged')).toMatchObject({
      state: 'running',
      unmetLimits: told === null ? [] : [{ key: 'ksm', reason: told }],
    });
    expect(status('apart').unmetLimits).toEqual([]);
  });

  test('leaves init the last to be killed for memory, whatever score the emperor has', () => {
    emperor.apply('scores', vassal(IDLE));
    const { pid, processes } = status('scores');
    expect([scoreOf(pid), scoreOf(processes[0]?.pid)]).toEqual([0, 200]);
    if (!IS_V1) {
      const all = join(mountOf().path, emperor.cgroupParent);
      const kept = (...path: readonly string[]) =>
        Number(readFileSync(join(all, ...path, 'memory.min'), 'utf8'));
      expect([kept('scores', 'init'), kept('scores'), kept('scores', 'payload')]).toEqual([
        1 << 20,
        1 << 20,
        0,
      ]);
      expect(kept()).toBeGreaterThanOrEqual(1 << 20);
    }
    // What the emperor has is nobody's to go back to.
    const attempt =
      'for score in 0 -1; do echo $score >/proc/self/oom_score_adj && echo $score; done';
    expect(emperor.cli('exec', 'scores', '--', 'sh', '-c', attempt).stdout).toBe('0\n');
  });

  test('cannot have a crash given to the host, since it keeps the one limit of dumps that prevents it', () => {
    emperor.apply('crashes', vassal(IDLE));
    const script = 'ulimit -Sc 0; ulimit -Hc 0; cat /proc/self/limits';
    const limit = (text: string) => /^Max core file size +(\S+) +(\S+)/m.exec(text)?.slice(1);
    const inside = emperor.cli('exec', 'crashes', '--', 'sh', '-c', script);
    expect([inside.status, inside.stderr, limit(inside.stdout)]).toEqual([0, '', ['1', '1']]);
    expect(limit(execFileSync('sh', ['-c', script], { encoding: 'utf8' }))).toEqual(['0', '0']);
  });

  test.skipIf(!IS_OURS)('that crashes has no program of the host told of it', async () => {
    const told = join(emperor.directory, 'crashes');
    const handler = join(emperor.directory, 'handler');
    writeFileSync(handler, `#!/bin/sh\necho "$1" >>${told}\n`, { mode: 0o755 });
    const pattern = readFileSync(CORE_PATTERN, 'utf8');
    const crash = (ask: string) => `ulimit -c ${ask}; kill -SEGV $$`;
    writeFileSync(CORE_PATTERN, `|${handler} %e`);
    try {
      emperor.apply('crashes', vassal(IDLE));
      emperor.cli('exec', 'crashes', '--', 'sh', '-c', crash('0'));
      spawnSync('bash', ['-c', crash('0')]);
      await until('the host is told of its own', () => existsSync(told));
      expect(readFileSync(told, 'utf8')).toBe('bash\n');
    } finally {
      writeFileSync(CORE_PATTERN, pattern);
    }
  });

  test('that uses more than it may from now on is told of (v1), or killed in (v2)', async () => {
    const fill = `sh -c 'head -c 40M /dev/zero >/dev/shm/40M; >/tmp/done; exec sleep 100000'`;
    emperor.apply('shrunk', vassal(fill, 'memory-max = 100M\n'));
    const isFull = () =>
      emperor.cli('exec', 'shrunk', '--', 'test', '-e', '/tmp/done').status === 0;
    await until('it is full', isFull);
    emperor.apply('shrunk', vassal(fill, 'memory-max = 16M\n'));
    const told = [{ key: 'memory-max', reason: 'it uses more than that already' }];
    if (IS_V1) {
      expect(status('shrunk')).toMatchObject({ restarts: 0, unmetLimits: told });
      // It is tried again until it can be kept.
      emperor.cli('exec', 'shrunk', '--', 'rm', '/dev/shm/40M');
      await until('it is kept', () => status('shrunk').unmetLimits.length === 0);
      expect(emperor.cli('events').stdout).toMatch(/shrunk +limit-met +`memory-max` is kept now/);
      const limit = emperor.cli('exec', 'shrunk', '--', 'cat', join(SHOWN_AT, SHOWN.memoryMax));
      expect(limit.stdout).toBe(`${16 << 20}\n`);
    } else await until('it was killed in', () => status('shrunk').alarms.length > 0);
    emperor.remove('shrunk');
    emperor.wait('shrunk', 'gone');
  });

  test('whose limit this machine cannot keep runs, and says which and why', async () => {
    emperor.apply('unmet', vassal(IDLE, 'io-max = /proc rbps=1M\n'));
    const { state, unmetLimits } = status('unmet');
    expect(state).toBe('running');
    expect(unmetLimits).toMatchObject([{ key: 'io-max' }]);
    expect(emperor.cli('status', 'unmet').stdout).toMatch(/not kept +io-max: \/proc: /);
    await emperor.signal('SIGKILL');
    await emperor.start();
    expect(status('unmet').unmetLimits).toEqual(unmetLimits);
  });

  test('all that runs in it is in its cgroups from the first instruction: command, daemon, exec', async () => {
    const daemon = `attach-daemon2 = cmd=${IDLE},name=side\n`;
    emperor.apply('all', vassal(IDLE, `memory-max = 64M\n${daemon}`));
    await until('its daemon runs', () => status('all').processes.length === 2);
    const lines = status('all').processes.map(({ pid }) => cgroupsOf(pid));
    const inside = emperor.cli('exec', 'all', '--', 'cat', '/proc/self/cgroup').stdout;
    for (const text of [...lines, inside]) {
      for (const controller of controllersOfMachine().keys()) {
        const [, , path] =
          new RegExp(`^\\d+:([^:]*\\b${controller}\\b[^:]*):(.*)$`, 'm').exec(text) ?? [];
        expect(`${controller} ${path}`).toBe(`${controller} /${emperor.cgroupParent}/all`);
      }
    }
  });

  test('leaves nothing in any hierarchy when it is gone', () => {
    emperor.apply('gone', vassal(IDLE, 'memory-max = 64M\n'));
    const places = [...controllersOfMachine().values()].map((mount) =>
      join(mount, emperor.cgroupParent, 'gone'),
    );
    expect(places.filter((place) => !existsSync(place))).toEqual([]);
    emperor.remove('gone');
    emperor.wait('gone', 'gone');
    expect(places.filter((place) => existsSync(place))).toEqual([]);
  });

  test('is watched by the next emperor as well', async () => {
    const patient = `sh -c 'until [ -e ~/go ]; do sleep 0.1; done; a=x; while :; do a=$a$a; done'`;
    emperor.apply('adopted', vassal(patient, 'memory-max = 24M\nrestart = never\n'));
    await emperor.signal('SIGKILL');
    await emperor.start();
    expect(status('adopted').limits).toEqual({ 'memory-max': 24 << 20 });
    emperor.cli('exec', 'adopted', '--', 'sh', '-c', 'touch ~/go');
    await until('it was killed', () => status('adopted').state === 'stopped');
    expect(status('adopted').lastExit).toMatchObject({ signal: 'SIGKILL', reason: 'oom' });
  });
});
