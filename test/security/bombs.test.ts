/**
 * Bombs: a tenant takes all it can get of one thing, beside a neighbour that goes on as if nothing were, and its own
 * vassal can still be asked and ended.
 */
import { mkdirSync, readFileSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { compileFixture } from '../support/compile.ts';
import { TestEmperor, until } from '../support/emperor.ts';
import { patienceMs } from '../support/slowness.ts';

const MEMORY_MAX = 48 << 20;
const PIDS_MAX = 40;
/** A neighbour beats each 20 ms. Where the machine is emulated, what the kernel does meanwhile takes longer, too. */
const MAX_GAP_MS = patienceMs(1000);

/** TMPFS_MAGIC of linux/magic.h: homes are memory themselves, and have no page cache. */
const IS_IN_MEMORY = statfsSync(tmpdir()).type === 0x01021994;

const EMFILE = 24;
const ENOSPC = 28;

let emperor: TestEmperor;
const status = (name: string) => emperor.status(name);

beforeAll(async () => {
  emperor = new TestEmperor();
  const opt = join(emperor.directory, 'programs');
  mkdirSync(opt);
  for (const name of ['bombs', 'beats']) compileFixture(name, join(opt, name));
  emperor.writeIni({
    ini: `opt = ${opt}
vassal-set = memory-max=${MEMORY_MAX}
vassal-set = pids-max=${PIDS_MAX}
vassal-set = cpu-max=50%`,
  });
  await emperor.start();
  emperor.apply('neighbour', '[vassal]\ncommand = /opt/beats beats\n');
});
afterAll(() => emperor.close());

/** When the neighbour has beaten, in ms; the first may be torn. */
function beats(): readonly number[] {
  const file = join(emperor.directory, 'homes/neighbour/beats');
  return readFileSync(file, 'utf8').trim().split('\n').map(Number);
}

/** Runs `act` and returns the neighbour's longest gap meanwhile; one that beats no more is waited for in vain. */
async function gapDuring(act: () => Promise<void>): Promise<number> {
  const before = beats().length;
  await act();
  const after = beats().length;
  await until('the neighbour has beaten', () => beats().length > after);
  const times = beats().slice(before - 1);
  return Math.max(...times.slice(1).map((time, at) => time - (times[at] ?? 0)));
}

interface Bomb {
  /** Words for test/fixtures/bombs.c. */
  readonly bomb: string;
  /** Further lines of the vassal's file. */
  readonly more?: string;
  /** Whether no more can be taken. */
  readonly isMet: (name: string) => boolean;
  /** What is looked at then. */
  readonly look: (name: string) => void | Promise<void>;
}

/** Has it explode in a vassal that is ended behind it, beside a neighbour that takes no notice. */
async function explode(name: string, { bomb, more = '', isMet, look }: Bomb): Promise<void> {
  const { pid } = status('neighbour');
  const gap = await gapDuring(async () => {
    const command = `sh -c '[ -e ~/once ] || { >~/once; /opt/bombs ${bomb}; }; exec sleep 100000'`;
    emperor.write(name, `[vassal]\ncommand = ${command}\nstop-grace = 1s\n${more}`);
    emperor.wait(name, 'applied');
    const init = status(name).pid;
    await until(`all is taken in ${name}`, () => isMet(name));
    await look(name);
    expect(status(name).pid).toBe(init);
    emperor.remove(name);
    emperor.wait(name, 'gone');
  });
  expect(gap).toBeLessThanOrEqual(MAX_GAP_MS);
  expect(status('neighbour')).toMatchObject({ state: 'running', pid, restarts: 0, alarms: [] });
}

/** What it says once it has taken all it gets. */
function took(name: string): { readonly count: number; readonly errno: number } | null {
  const [, count, errno] = /took (\d+) \w+, errno (\d+)/.exec(emperor.log(name)) ?? [];
  return count === undefined ? null : { count: Number(count), errno: Number(errno) };
}

const isFull = (name: string) => took(name) !== null;
const isKilled = (name: string) => status(name).alarms.some(({ kind }) => kind === 'oom');
const run = (name: string, ...words: readonly string[]) =>
  emperor.cli('exec', name, '--', ...words);

function answers(name: string): void {
  expect(run(name, 'echo', 'here')).toMatchObject({ status: 0, stdout: 'here\n' });
}

/** No process can be made in it, by nobody, and whoever asks is told so. */
function refuses(name: string): void {
  expect(run(name, 'true').stderr).toMatch(/no process can be made/);
}

/** Where memory is used up by what nobody can be killed for, each process may be the next that is killed. */
async function answersWithinMemory(name: string): Promise<void> {
  await until(`${name} answers`, () => run(name, 'echo', 'here').stdout === 'here\n');
  expect(status(name).usage.memoryBytes).toBeLessThanOrEqual(MEMORY_MAX);
}

describe('a bomb of memory', () => {
  test.each([
    ['heap', 'heap'],
    ['pipes', 'pipes'],
    ['segments', 'segments'],
  ])('of %s is killed in its vassal, which goes on', (kind, bomb) =>
    explode(kind, { bomb, isMet: isKilled, look: answersWithinMemory }),
  );

  // Files in memory outlive who wrote them.
  test.each([
    ['tmp', '/tmp/bomb'],
    ['var-tmp', '/var/tmp/bomb'],
    ['run', '/run/bomb'],
    ['shm', '/dev/shm/bomb'],
  ])('of files in memory (%s) leaves a vassal in which they can be removed', (kind, file) =>
    explode(kind, {
      bomb: `bytes ${file}`,
      // More than there may be of memory; /dev/shm has 64 MB.
      more: 'tmp-size = 1G\nrun-size = 1G\n',
      isMet: isKilled,
      async look(name) {
        await answersWithinMemory(name);
        await until('the file is removed', () => run(name, 'rm', file).status === 0);
        expect(status(name).usage.memoryBytes).toBeLessThan(MEMORY_MAX / 2);
      },
    }),
  );

  test.each(['tcp', 'udp'])('of what waits in %s sockets is kept within as much again', (kind) =>
    explode(kind, {
      bomb: kind,
      isMet: (name) => isFull(name) || isKilled(name),
      async look(name) {
        await answersWithinMemory(name);
        expect(took(name)?.count ?? 0).toBeLessThanOrEqual((1.25 * MEMORY_MAX) >> 20);
      },
    }),
  );

  test.skipIf(IS_IN_MEMORY)(
    'of the page cache has its own pages taken away, and nothing is killed',
    () =>
      explode('pages', {
        bomb: 'pages pages',
        isMet: isFull,
        async look(name) {
          await answersWithinMemory(name);
          expect(status(name).alarms).toEqual([]);
        },
      }),
  );
});

describe('a bomb', () => {
  test.each(['/tmp', '/var/tmp', '/run', '/dev/shm'])(
    'of bytes in %s fills that and no more',
    (place) =>
      explode(`bytes${place.replaceAll('/', '-')}`, {
        bomb: `bytes ${place}/bomb`,
        more: 'memory-max = 128M\n',
        isMet: isFull,
        look(name) {
          expect(took(name)?.errno).toBe(ENOSPC);
          answers(name);
        },
      }),
  );

  test.each(['/tmp', '/var/tmp', '/run', '/dev/shm'])(
    'of files in %s has as many as that may hold',
    (place) =>
      explode(`files${place.replaceAll('/', '-')}`, {
        bomb: `inodes ${place}`,
        isMet: isFull,
        look(name) {
          expect(took(name)?.errno).toBe(ENOSPC);
          expect(took(name)?.count).toBeLessThanOrEqual(4096);
          answers(name);
        },
      }),
  );

  test('of descriptors has as many as each process may, in as many processes as there may be', () =>
    explode('descriptors', {
      bomb: 'descriptors',
      isMet: isFull,
      look(name) {
        expect(took(name)?.errno).toBe(EMFILE);
        expect(took(name)?.count).toBeLessThan(4096);
        refuses(name);
      },
    }));

  test('of terminals has 64, of its own', () =>
    explode('terminals', {
      bomb: 'terminals',
      isMet: isFull,
      look(name) {
        expect(took(name)).toEqual({ count: 64, errno: ENOSPC });
        answers(name);
        expect(run('neighbour', 'python3', '-c', 'import os; os.openpty()').status).toBe(0);
      },
    }));

  test('of inotify has what one user may', () =>
    explode('inotify', {
      bomb: 'watches /tmp',
      isMet: isFull,
      async look(name) {
        expect(took(name)?.errno).toBe(EMFILE);
        await answersWithinMemory(name);
        const watch = 'import ctypes; assert ctypes.CDLL(None).inotify_init() >= 0';
        expect(run('neighbour', 'python3', '-c', watch).status).toBe(0);
      },
    }));

  test('of processes that never gives up has as many as it may, and is ended', () =>
    explode('forks', {
      bomb: 'forks',
      isMet: isFull,
      look(name) {
        expect(status(name).usage.pids).toBe(PIDS_MAX);
        refuses(name);
      },
    }));

  test('of 64 threads that count gets what its vassal may have of the processors', () =>
    explode('threads', {
      bomb: 'threads',
      more: 'pids-max = 100\n',
      isMet: isFull,
      async look(name) {
        expect(took(name)?.count).toBe(64);
        const used = () => status(name).usage.cpuSeconds ?? 0;
        const [from, since] = [used(), performance.now()];
        await until('two seconds have gone by', () => performance.now() - since > 2000);
        answers(name);
        expect((used() - from) / ((performance.now() - since) / 1000)).toBeLessThan(0.75);
      },
    }));
});
