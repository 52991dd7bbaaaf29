/** cgroup v2's controllers over a tree of plain files, since this must run where the kernel has v1's. */
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Controllers, openControllers } from '../../../src/cgroup/controllers.ts';
import { ManualClock } from '../../support/manual-clock.ts';

let mount: string;
const at = (...path: readonly string[]) => join(mount, ...path);
const content = (...path: readonly string[]) => readFileSync(at(...path), 'utf8');

beforeEach(() => {
  mount = mkdtempSync(join(tmpdir(), 'emperor-cgroup2-'));
  makeCgroup('', 'cpu io memory pids rdma');
  makeCgroup('machine', 'cpu memory pids');
  makeCgroup('machine/emperor', 'cpu memory pids');
  makeCgroup('machine/emperor/blog', 'cpu memory pids');
  for (const file of ['cpu.weight']) writeFileSync(at('machine/emperor/blog', file), '');
  mkdirSync(at('machine/emperor/blog/payload'));
  for (const file of ['memory.max', 'memory.swap.max', 'cpu.max', 'pids.max']) {
    writeFileSync(at('machine/emperor/blog/payload', file), '');
  }
});
afterEach(() => rmSync(mount, { recursive: true }));

function makeCgroup(path: string, controllers: string): void {
  mkdirSync(at(path), { recursive: true });
  writeFileSync(at(path, 'cgroup.controllers'), `${controllers}\n`);
  writeFileSync(at(path, 'cgroup.subtree_control'), '');
}

function open(): Controllers {
  const membership = { kind: 'v2' as const, path: mount, options: '' };
  return openControllers({ membership, v1: new Map(), parent: 'machine/emperor' });
}

test('are those that can be had all the way down', () => {
  expect([...open().available].sort()).toEqual(['cpu', 'memory', 'pids']);
  expect(content('machine/cgroup.subtree_control')).toMatch(/^\+(cpu|memory|pids)/);
});

test('are given to a vassal before anything runs in it, with its limits and nothing else', () => {
  const controllers = open();
  const limits = { memoryMax: 1 << 20, cpuWeight: 300 };
  const blog = 'machine/emperor/blog';
  expect(controllers.create('blog', limits)).toEqual({
    joins: [],
    views: [{ source: at(blog, 'payload'), target: '/sys/fs/cgroup' }],
    unmet: [],
  });
  expect(content(blog, 'cgroup.subtree_control').split(' ').sort()).toEqual([
    '+cpu',
    '+memory',
    '+pids',
  ]);
  expect(content(blog, 'payload/memory.max')).toBe('1048576');
  expect(content(blog, 'cpu.weight')).toBe('300');
  expect(content(blog, 'payload/pids.max')).toBe('');
});

test("of v2 keep some memory for each vassal's init, and above them as much as for all", () => {
  const files = ['machine/emperor', 'machine/emperor/blog', 'machine/emperor/blog/init'];
  makeCgroup('machine/emperor/blog/init', '');
  for (const file of files) writeFileSync(at(file, 'memory.min'), '');
  const kept = () => files.map((file) => Number(content(file, 'memory.min')) / 2 ** 20);
  const controllers = open();
  controllers.create('blog', {});
  expect(kept()).toEqual([1, 1, 1]);
  makeCgroup('machine/emperor/shop', 'cpu memory pids');
  mkdirSync(at('machine/emperor/shop/payload'));
  // An earlier emperor has made it.
  controllers.apply('shop', {});
  controllers.apply('shop', {});
  expect(kept()[0]).toBe(2);
  expect(controllers.remove('blog')).toBe(true);
  controllers.remove('blog');
  expect(kept()[0]).toBe(1);
});

test('change while it runs, and forget what is no longer limited', () => {
  const controllers = open();
  controllers.create('blog', { memoryMax: 1 << 20, pidsMax: 7 });
  expect(controllers.apply('blog', { pidsMax: 8, cpuMax: 0.5 })).toEqual([]);
  const payload = 'machine/emperor/blog/payload';
  expect(content(payload, 'memory.max')).toMatch(/^max/);
  expect(content(payload, 'pids.max')).toBe('8');
  expect(content(payload, 'cpu.max')).toBe('50000 100000');
});

test('tell an alarm once at first and once behind it, and nothing after they were told to end it', async () => {
  writeFileSync(at('machine/emperor/blog/payload/memory.events'), 'oom_kill 0\n');
  const clock = new ManualClock();
  const watches = new Set<() => void>();
  const watch = (_fd: number, _interest: string, onReady: () => void) => {
    watches.add(onReady);
    return () => void watches.delete(onReady);
  };
  const fire = () => {
    for (const onReady of [...watches]) {
      watches.delete(onReady);
      onReady();
    }
  };
  let told = 0;
  let isToEnd = false;
  const end = open().watch('blog', { poller: { watch }, clock }, () => {
    told += 1;
    if (isToEnd) end();
  });
  fire();
  fire();
  expect(told).toBe(1);
  await clock.pass(1000);
  expect(told).toBe(2);
  isToEnd = true;
  fire();
  expect(told).toBe(3);
  await clock.pass(10_000);
  expect([told, watches.size]).toEqual([3, 0]);
});

test.each([
  ['more', 2 << 20, true],
  ['no more', 1 << 20, false],
])(
  'of v2 are set again when the kernel tells that memory has met its own, and %s is used',
  (_, used, isSet) => {
    const payload = 'machine/emperor/blog/payload';
    writeFileSync(at(`${payload}/memory.events`), 'max 1\n');
    writeFileSync(at(`${payload}/memory.max`), `${1 << 20}\n`);
    writeFileSync(at(`${payload}/memory.current`), `${used}\n`);
    const past = new Date(0);
    utimesSync(at(`${payload}/memory.max`), past, past);
    const ready: (() => void)[] = [];
    const watch = (_fd: number, _interest: string, onReady: () => void) => {
      ready.push(onReady);
      return () => {};
    };
    const end = open().watch('blog', { poller: { watch }, clock: new ManualClock() }, () => {});
    for (const onReady of ready) onReady();
    end();
    expect(statSync(at(`${payload}/memory.max`)).mtimeMs > 0).toBe(isSet);
    expect(content(payload, 'memory.max')).toBe(`${1 << 20}\n`);
  },
);

test('of v2 are given to a vassal that was started without, by its next limits', () => {
  expect(open().apply('blog', { pidsMax: 8 })).toEqual([]);
  expect(content('machine/emperor/blog/cgroup.subtree_control')).toContain('+pids');
});

test('of v1 limit nothing that was started without, and say so', () => {
  const membership = { kind: 'v1' as const, path: at('freezer'), options: '' };
  for (const name of ['freezer', 'memory', 'pids']) mkdirSync(at(name));
  const v1 = new Map(['memory', 'pids'].map((name) => [name, at(name)]));
  const controllers = openControllers({ membership, v1, parent: 'emperor' });
  const reason = 'an emperor that kept no limits started it; restart it';
  expect(controllers.apply('blog', { memoryMax: 1 << 20, pidsMax: 8 })).toEqual([
    { key: 'memory-max', reason },
    { key: 'pids-max', reason },
  ]);
  expect(controllers.apply('blog', {})).toEqual([]);
});

test('say which limits are not kept, and why', () => {
  const limits = { memoryHigh: 1 << 20, ioWeight: 50, ioMax: [{ device: '8:0', rbps: 1 }] };
  expect(open().create('blog', limits).unmet).toEqual([
    { key: 'memory-high', reason: 'this machine cannot limit it' },
    { key: 'io-weight', reason: 'the io controller of cgroups is not there' },
    { key: 'io-max', reason: '8:0: the io controller of cgroups is not there' },
  ]);
});

test('tell what is used, and nothing of what they do not count', () => {
  const controllers = open();
  const blog = at('machine/emperor/blog');
  writeFileSync(join(blog, 'payload/memory.current'), '4096\n');
  writeFileSync(join(blog, 'cpu.stat'), 'usage_usec 2500000\nuser_usec 1\n');
  expect(controllers.usage('blog')).toEqual({ memoryBytes: 4096, cpuSeconds: 2.5, pids: null });
  expect(controllers.cpuSeconds('blog')).toBe(2.5);
  expect(controllers.usage('nobody')).toEqual({ memoryBytes: null, cpuSeconds: null, pids: null });
});

test('count what the kernel has killed for memory, and refused', () => {
  const controllers = open();
  const events = at('machine/emperor/blog/payload/memory.events');
  expect(controllers.counts('blog')).toEqual({ kills: 0, refusals: 0 });
  writeFileSync(events, 'low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\n');
  writeFileSync(at('machine/emperor/blog/payload/pids.events'), 'max 7\n');
  expect(controllers.counts('blog')).toEqual({ kills: 2, refusals: 7 });
});
