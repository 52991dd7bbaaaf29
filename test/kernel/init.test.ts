/** PID 1 under load, and against peers and processes that do their worst: it answers, and loses nothing. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import type { SlotExit } from '../../src/jail/init-client.ts';
import { STDIO, TAG, VERB } from '../../src/jail/wire.ts';
import { forget, launch, logLines, socketOf, type TestJail } from '../support/jail.ts';
import { useJails } from '../support/jails.ts';
import { switchesOf } from '../support/proc.ts';
import { type RawPeer, rawPeer } from '../support/raw-peer.ts';
import { patienceMs } from '../support/slowness.ts';
import { until } from '../support/wait.ts';
import { type World, world } from '../support/world.ts';

const { errno, signals } = constants;
const MAX_SLOTS = 256;
const MAX_PEERS = 256;

let w: World;
const { freshName, vassal, gate, own } = useJails('i', (given) => {
  w = given;
});

const peers: RawPeer[] = [];
// Before the jails are stopped: what is registered last is done first.
afterEach(() => {
  for (const peer of peers.splice(0)) peer.close();
});

async function peerOf(jail: TestJail): Promise<RawPeer> {
  const peer = await rawPeer(socketOf(w, jail.plan.name));
  peers.push(peer);
  return peer;
}

function askStart(peer: RawPeer, slot: number, argv: readonly string[], kind = 'command'): void {
  peer.send(
    VERB.START,
    [
      [TAG.SLOT, slot],
      [TAG.KIND, kind],
      [TAG.LABEL, 'raw'],
      ...argv.map((arg) => [TAG.ARG, arg] as const),
      [TAG.STDIO, STDIO.LOG],
    ],
    slot,
  );
}

const payload = (jail: TestJail) => w.membership.payloadPids(jail.plan.name);

/** Resolves to how long a greeting takes. */
async function answerMs(jail: TestJail): Promise<number> {
  const before = performance.now();
  await jail.init.hello({ subscribe: true });
  return performance.now() - before;
}

describe('the gate', () => {
  test('is passed by one GO only; a second one, from whomever, is refused', async () => {
    const jail = await gate();
    const [one, other] = [await peerOf(jail), await peerOf(jail)];
    one.sendBytes(Buffer.alloc(0));
    one.send(VERB.GO, [], 1);
    one.send(VERB.GO, [], 2);
    const second = await one.next('the second answer', ({ id }) => id === 2);
    expect([second.verb, second.fields.number(TAG.ERRNO)]).toEqual([VERB.ERROR, errno.EALREADY]);
    expect((await one.next('the first answer', ({ id }) => id === 1)).verb).toBe(VERB.OK);
    other.send(VERB.GO, [], 3);
    const third = await other.next('the third answer', ({ id }) => id === 3);
    expect([third.verb, third.fields.number(TAG.ERRNO)]).toEqual([VERB.ERROR, errno.EALREADY]);
    expect((await jail.init.hello()).state).toBe('running');
  });

  test('is not shut by one who comes, does not greet, and goes', async () => {
    const jail = await gate();
    const visitor = await peerOf(jail);
    askStart(visitor, 1, ['/bin/forever']);
    expect((await visitor.next('a refusal', () => true)).fields.number(TAG.ERRNO)).toBe(
      errno.EAGAIN,
    );
    visitor.close();
    expect((await jail.init.hello({ subscribe: true })).state).toBe('gate');
    await jail.init.go(jail.plan);
  });

  test('is shut when who said GO hangs up before it is passed, or it is passed: never half', async () => {
    const jail = await gate();
    const peer = await peerOf(jail);
    peer.send(VERB.GO);
    peer.socket.end();
    const state = await until('it is not at the gate any more', async () => {
      const welcome = await jail.init.hello().catch(() => null);
      return welcome?.state !== 'gate' && (welcome?.state ?? 'gone');
    });
    expect(['running', 'gone']).toContain(state);
    expect(payload(jail)).toEqual([]);
  });

  test('refuses a GO that comes while hooks still run', async () => {
    const done = join(w.directory, 'hook-may-end');
    const hook = `until test -e ${done}; do sleep 0.01; done`;
    const plan = w.plan(freshName(), { hooks: [hook] });
    const { client } = await w.launcher();
    const launching = client.launch(plan);
    const early = await until('it listens', () =>
      rawPeer(socketOf(w, plan.name)).catch(() => null),
    );
    early.send(VERB.GO);
    const answer = await early.next('an answer', () => true);
    expect([answer.verb, answer.fields.number(TAG.ERRNO)]).toEqual([VERB.ERROR, errno.EAGAIN]);
    writeFileSync(done, '');
    const { pid } = await launching;
    early.close();
    process.kill(pid, 'SIGKILL');
    await until('it has ended', async () =>
      (await client.list()).some((child) => child.pid === pid && child.state === 'ended'),
    );
    await forget(w, plan.name, pid);
  });
});

describe('starts', () => {
  test('are answered before their exit is told, however short they live', async () => {
    const jail = await vassal();
    const peer = await peerOf(jail);
    const count = 200;
    for (let slot = 1; slot <= count; slot++)
      askStart(peer, slot, ['/bin/ends', 'exit', '7'], 'exec');
    await until('all have ended', () => peer.frames.length >= 2 * count);
    const order = new Map<bigint, number[]>();
    for (const { verb, fields } of peer.frames) {
      const slot = fields.bigint(TAG.SLOT);
      order.set(slot, [...(order.get(slot) ?? []), verb]);
    }
    expect(order.size).toBe(count);
    for (const verbs of order.values()) expect(verbs).toEqual([VERB.STARTED, VERB.EXITED]);
  });

  test('of one slot while its exec is under way start one process, and the last is answered', async () => {
    const jail = await vassal();
    const [one, other] = [await peerOf(jail), await peerOf(jail)];
    w.membership.setFrozen(jail.plan.name, true);
    askStart(one, 5, ['/bin/forever']);
    await until('it is forked', () => payload(jail).length === 1);
    askStart(other, 5, ['/bin/forever']);
    const refusal = await one.next('a refusal', () => true);
    expect([refusal.verb, refusal.fields.number(TAG.ERRNO)]).toEqual([VERB.ERROR, errno.ECANCELED]);
    w.membership.setFrozen(jail.plan.name, false);
    expect((await other.next('the answer', () => true)).verb).toBe(VERB.STARTED);
    expect(payload(jail)).toHaveLength(1);
  });

  test('whose exec is under way when STOP comes get its signal too', async () => {
    const jail = await vassal();
    const peer = await peerOf(jail);
    w.membership.setFrozen(jail.plan.name, true);
    askStart(peer, 5, ['/bin/forever']);
    await until('it is forked', () => payload(jail).length === 1);
    await jail.init.stop({ graceMs: 60_000 });
    w.membership.setFrozen(jail.plan.name, false);
    await jail.ended;
  });

  test('fill every slot, are refused then, and go on when there is room', async () => {
    const jail = await vassal();
    const started = await Promise.all(
      Array.from({ length: MAX_SLOTS }, () => jail.start(['/bin/forever'])),
    );
    await expect(jail.start(['/bin/forever'])).rejects.toMatchObject({ errno: errno.EAGAIN });
    const [first] = started;
    await jail.init.signal(first?.slot ?? 0n, signals.SIGKILL);
    await first?.exit;
    expect((await jail.run(['/bin/ends', 'exit', '5'])).status).toBe(5 << 8);
  });

  test('do not leak what is open to them: 0, 1, 2 only, also amid many others', async () => {
    const jail = await vassal();
    for (let i = 0; i < 20; i++) await jail.start(['/bin/forever']);
    for (let i = 0; i < 20; i++) await peerOf(jail);
    expect((await jail.look()).get('fd')).toEqual(['0', '1', '2']);
  });
});

describe('exits', () => {
  test('are told one for one when 250 processes end at the same moment', async () => {
    const jail = await vassal();
    const started = await Promise.all(
      Array.from({ length: 250 }, () => jail.start(['/bin/forever'])),
    );
    for (const pid of payload(jail)) process.kill(pid, 'SIGUSR1');
    const exits = await Promise.all(started.map(({ exit }) => exit));
    for (const [index, { status, pid, slot }] of exits.entries()) {
      const { pid: expected, slot: place } = started[index] ?? {};
      expect([status, pid, slot]).toEqual([signals.SIGUSR1, expected, place]);
    }
  });

  test('come after the last line of output is in the log', async () => {
    const jail = await vassal();
    const ended = (label: string) => async () => {
      await jail.run(['/bin/says', '-b', '50000', label], { label });
      return logLines(w.logOf(jail.plan.name)).filter((line) => line.label === label);
    };
    const all = await Promise.all(Array.from({ length: 20 }, (_, index) => ended(`l${index}`)()));
    for (const [index, lines] of all.entries()) expect(lines.at(-1)?.text).toMatch(`l${index}`);
  });

  test('of what a stop kills are told too', async () => {
    const jail = await vassal();
    const started = await Promise.all(
      Array.from({ length: 10 }, () => jail.start(['/bin/ignores-sigterm'])),
    );
    await until('they ignore it', () => w.logOf(jail.plan.name).split('running').length === 11);
    await jail.init.stop({ graceMs: 0 });
    const exits: readonly SlotExit[] = await Promise.all(started.map(({ exit }) => exit));
    expect(exits.map(({ status }) => status)).toEqual(exits.map(() => signals.SIGKILL));
  });
});

describe('stop', () => {
  const withPid = ['fs', 'ipc', 'uts', 'net', 'pid'] as const;
  const without = ['fs', 'ipc', 'uts', 'net'] as const;

  test.each([
    ['with a pid namespace', withPid],
    ['without one', without],
  ])('ends what forks without pause, by itself, %s', async (_, namespaces) => {
    const jail = await vassal({ namespaces });
    await jail.start(['/bin/runs-away', '20']);
    await until('they run', () => w.logOf(jail.plan.name).includes('running'));
    const before = performance.now();
    await jail.init.stop({ graceMs: 100 });
    await jail.ended;
    await until('nobody is left', () => !w.membership.isPopulated(jail.plan.name), 2000);
    expect(performance.now() - before).toBeLessThan(patienceMs(3000));
  });

  test('waits for a daemon that has left its session as long as for a command', async () => {
    const jail = await vassal();
    await jail.run(['/bin/forks-twice']);
    await until('the daemon runs', () => w.logOf(jail.plan.name).includes('daemon'));
    const before = performance.now();
    await jail.init.stop({ graceMs: 400 });
    await jail.ended;
    expect(performance.now() - before).toBeGreaterThan(390);
  });
});

describe('a peer', () => {
  test('that never reads is dropped, and delays nobody', async () => {
    const jail = await vassal();
    for (let i = 0; i < 50; i++) await jail.start(['/bin/forever', 'x'.repeat(1000)]);
    const deaf = await peerOf(jail);
    deaf.socket.pause();
    for (let id = 1; id < 2000; id++) deaf.send(VERB.LIST, [], id);
    expect(await answerMs(jail)).toBeLessThan(patienceMs(1000));
    deaf.socket.resume();
    await until('it is dropped', () => deaf.isClosed());
    expect(await jail.init.list()).toHaveLength(50);
  });

  test('that sends nonsense is dropped', async () => {
    const jail = await vassal();
    const head = (length: number) => {
      const bytes = Buffer.alloc(12);
      bytes.writeUInt32LE(length, 0);
      return bytes;
    };
    for (const bytes of [head(0), head(7), head(0xffff_ffff), head(256 * 1024), Buffer.alloc(64)]) {
      const peer = await peerOf(jail);
      peer.sendBytes(bytes);
      await until('it is dropped', () => peer.isClosed());
    }
    expect((await jail.init.hello()).state).toBe('running');
  });

  test('that stops in the middle of a frame waits alone', async () => {
    const jail = await vassal();
    const slow = await peerOf(jail);
    slow.sendBytes(Buffer.from([8, 0, 0, 0, VERB.LIST]));
    expect(await answerMs(jail)).toBeLessThan(patienceMs(1000));
    slow.sendBytes(Buffer.from([0, 0, 0, 9, 0, 0, 0]));
    expect((await slow.next('the answer', ({ id }) => id === 9)).verb).toBe(VERB.LISTED);
  });

  test('that is one too many is turned away, and those who are there stay', async () => {
    const jail = await vassal();
    const here = await Promise.all(Array.from({ length: MAX_PEERS - 1 }, () => peerOf(jail)));
    for (const peer of here) peer.send(VERB.HELLO);
    for (const peer of here) await peer.next('a welcome', ({ verb }) => verb === VERB.WELCOME);
    const more = await peerOf(jail);
    await until('it is turned away', () => more.isClosed());
    here[0]?.close();
    await until('there is room', async () => {
      const late = await peerOf(jail);
      late.send(VERB.HELLO);
      await until('it is answered or not', () => late.isClosed() || late.frames.length > 0);
      return late.frames.length > 0;
    });
  });
});

describe('the log', () => {
  const limits = { logMaxBytes: 256 * 1024, logFiles: 3 };
  const sizes = (jail: TestJail) => {
    const directory = join(w.paths.log, jail.plan.name);
    return readdirSync(directory).map((file) => sizeIfThere(join(directory, file)));
  };

  test.each(['lines', 'bytes'])(
    'is bounded in memory and on disk under a flood of %s, and init answers',
    async (kind) => {
      const jail = await vassal(limits);
      const memory = memoryOf(jail.pid);
      for (let i = 0; i < 4; i++) await jail.start(['/bin/floods', kind]);
      let written = 0;
      const deadline = performance.now() + 1500;
      while (performance.now() < deadline) {
        const all = sizes(jail);
        written = Math.max(
          written,
          all.reduce((sum, size) => sum + size, 0),
        );
        expect(all.length).toBeLessThanOrEqual(limits.logFiles);
        for (const size of all) expect(size).toBeLessThanOrEqual(limits.logMaxBytes);
        expect(await answerMs(jail)).toBeLessThan(patienceMs(500));
      }
      expect(written).toBeGreaterThan(limits.logMaxBytes);
      expect(memoryOf(jail.pid) - memory).toBeLessThan(2048);
      // Every line keeps its form, whatever is in it.
      const [file = ''] = readdirSync(join(w.paths.log, jail.plan.name)).filter(
        (name) => name === 'current.2',
      );
      const text = readFileSync(join(w.paths.log, jail.plan.name, file), 'latin1');
      for (const line of text.split('\n').slice(0, -1)) {
        expect(line).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]{18}Z stdout [FP] command /s);
      }
    },
  );

  test('keeps as many files as are asked for now, not as there were before', async () => {
    const many = await vassal({ logMaxBytes: 4096, logFiles: 6 });
    for (let i = 0; i < 60; i++) await many.run(['/bin/says', 'y'.repeat(500)]);
    expect(sizes(many)).toHaveLength(6);
    await many.stop();
    const few = own(await launch(w, w.plan(many.plan.name, { logMaxBytes: 4096, logFiles: 2 })));
    for (let i = 0; i < 20; i++) await few.run(['/bin/says', 'z'.repeat(500)]);
    expect(readdirSync(join(w.paths.log, few.plan.name)).toSorted()).toEqual([
      'current',
      'current.1',
    ]);
  });
});

describe('a full disk', () => {
  test('costs lines, which are counted and told when there is room again, and nothing else', async () => {
    const elsewhere = await world();
    const disk = join(elsewhere.paths.log, 'disk');
    mkdirSync(disk);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', disk]);
    try {
      const plan = elsewhere.plan('full', {
        logDirectory: join(disk, 'full'),
        logMaxBytes: 1 << 20,
      });
      const jail = await launch(elsewhere, plan);
      const lines = () => logLines(readFileSync(join(disk, 'full', 'current'), 'utf8'));
      writeFileSync(join(disk, 'filler'), Buffer.alloc(128 * 1024));
      for (let i = 0; i < 4; i++) await jail.run(['/bin/says', '-b', '50000', `${i}`]);
      rmSync(join(disk, 'filler'));
      expect((await jail.run(['/bin/says', 'room again'])).status).toBe(0);
      const texts = (stream: string) =>
        lines().flatMap((line) => (line.stream === stream ? [line.text] : []));
      expect(texts('stdout').at(-1)).toBe('room again');
      const told = texts('system').map(
        (text) => /^(\d+) bytes of output could not be written$/.exec(text)?.[1],
      );
      const lost = told.reduce((sum, number) => sum + Number(number), 0);
      const written = texts('stdout').join('').length;
      // A lost line counts with its time and label.
      expect(written + lost).toBeGreaterThan(200_000);
      expect(written + lost).toBeLessThan(220_000);
      expect(lost).toBeGreaterThan(50_000);
      await jail.stop();
    } finally {
      execFileSync('umount', ['--lazy', disk]);
      await elsewhere.close();
    }
  });
});

describe('an idle init', () => {
  test('does not wake up for a start that cannot begin, nor for who left meanwhile', async () => {
    const jail = await vassal();
    w.membership.setFrozen(jail.plan.name, true);
    const peer = await peerOf(jail);
    askStart(peer, 9, ['/bin/forever'], 'exec');
    await until('it is forked', () => payload(jail).length === 1);
    peer.close();
    await jail.init.hello();
    await until('it waits', () => /^\d+ /.test(readFileSync(`/proc/${jail.pid}/syscall`, 'utf8')));
    const before = switchesOf(jail.pid);
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(switchesOf(jail.pid) - before).toBe(0);
    w.membership.setFrozen(jail.plan.name, false);
    await until('it is hung up', () => payload(jail).length === 0);
  });

  test('waits without a time limit', async () => {
    const jail = await vassal();
    await jail.start(['/bin/forever']);
    // proc_pid_syscall(5): number and arguments of the call it is in, epoll_pwait(2)'s fourth is the limit.
    const call = await until('it waits', () => {
      const words = readFileSync(`/proc/${jail.pid}/syscall`, 'utf8').split(' ');
      return words.length > 4 && words;
    });
    expect(BigInt(call[4] ?? 0) & 0xffff_ffffn).toBe(0xffff_ffffn);
  });
});

function memoryOf(pid: number): number {
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
}

/** Voluntary and other switches: a process that wakes up has some. */

function sizeIfThere(path: string): number {
  try {
    return statSync(path).size;
  } catch {
    // It was rotated between the two calls.
    return 0;
  }
}
