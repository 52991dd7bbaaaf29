/** A whole emperor on a machine that has cgroup v1 only: what v2 does by one write is done by the freezer. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { VassalStatus } from '../../src/emperor/governor.ts';
import { hasCgroups } from '../support/cgroup-tree.ts';
import { TestEmperor, until } from '../support/emperor.ts';
import { isAlive, signal } from '../support/proc.ts';
import { readIfThere } from '../support/remains.ts';

const FORKS = `[vassal]
command = sh -c 'echo begin; trap "" TERM; while :; do setsid sleep 1000 & sleep 0.05; done'
stop-grace = 1
`;
let emperor: TestEmperor;
const status = (name: string) => emperor.json<VassalStatus>('status', name);
const payload = (name: string, file: string) =>
  readIfThere(join(emperor.cgroup, name, 'payload', file)).trim();
const pidsOf = (name: string) =>
  payload(name, 'cgroup.procs').split('\n').filter(Boolean).map(Number);

describe.runIf(hasCgroups('v1')).each([
  ['with a pid namespace each', ''],
  ['without', 'emperor-use-clone = fs,ipc,uts,net'],
])('vassals %s', (_, ini) => {
  beforeAll(async () => {
    emperor = new TestEmperor({ ini }, { cgroups: 'v1' });
    await emperor.start();
  });
  afterAll(() => emperor.close());

  test('every process of a vassal is in its cgroup of the freezer, and no cgroup v2 is used', async () => {
    emperor.apply('blog', FORKS);
    await until('it has forked', () => pidsOf('blog').length > 3);
    const init = readFileSync(`/proc/${status('blog').pid}/cgroup`, 'utf8');
    expect(init).toMatch(new RegExp(`:freezer:/${emperor.cgroupParent}/blog/init$`, 'm'));
    expect(init).not.toMatch(new RegExp(`^0::.*${emperor.cgroupParent}`, 'm'));
    expect(emperor.cli('exec', 'blog', '--', 'cat', '/proc/self/cgroup').stdout).toContain(
      `:freezer:/${emperor.cgroupParent}/blog/payload`,
    );
  });

  test('a vassal is frozen and thawed, and stopped while it is frozen', async () => {
    expect(emperor.cli('freeze', 'blog').status).toBe(0);
    await until('it is frozen', () => payload('blog', 'freezer.state') === 'FROZEN');
    expect(emperor.cli('thaw', 'blog').status).toBe(0);
    expect(payload('blog', 'freezer.state')).toBe('THAWED');
    expect(emperor.cli('freeze', 'blog').status).toBe(0);
    const pids = pidsOf('blog');
    expect(emperor.cli('stop', 'blog').status).toBe(0);
    expect(pids.filter(isAlive)).toEqual([]);
    expect(emperor.cli('start', 'blog').status).toBe(0);
  });

  test('the next emperor takes over what runs, a frozen one frozen, and sweeps up what has no init', async () => {
    emperor.apply('dies', FORKS);
    emperor.apply('iced', FORKS);
    expect(emperor.cli('freeze', 'iced').status).toBe(0);
    const before = ['blog', 'iced'].map((name) => status(name).pid);
    const killed = status('dies').pid;
    await emperor.signal('SIGKILL');
    signal(killed, 'SIGKILL');
    await emperor.start();
    expect(['blog', 'iced'].map((name) => status(name).pid)).toEqual(before);
    expect(status('iced').state).toBe('frozen');
    emperor.wait('dies', 'running');
    expect(status('dies').pid).not.toBe(killed);
  });

  test('a vassal whose file is removed is gone with all that it forked', async () => {
    const pids = pidsOf('blog');
    emperor.remove('blog');
    emperor.wait('blog', 'gone');
    expect(pids.filter(isAlive)).toEqual([]);
    expect(existsSync(join(emperor.cgroup, 'blog'))).toBe(false);
  });
});
