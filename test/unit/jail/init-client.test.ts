import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { EmperorError } from '../../../src/base/errors.ts';
import { Scope } from '../../../src/base/scope.ts';
import { Connection } from '../../../src/jail/connection.ts';
import { encodeFrame, type Field, type Frame } from '../../../src/jail/frames.ts';
import { InitClient, StartError } from '../../../src/jail/init-client.ts';
import { STATE, STDIO, TAG, VERB } from '../../../src/jail/wire.ts';
import { type Answer, type FrameServer, frameServer } from '../../support/frame-server.ts';
import { ManualClock, settled } from '../../support/manual-clock.ts';
import { until } from '../../support/wait.ts';

const ok: Answer = { verb: VERB.OK, fields: [] };
const welcome = (state: number, more: readonly Field[] = []): Answer => ({
  verb: VERB.WELCOME,
  fields: [
    [TAG.VERSION, 1],
    [TAG.NAME, 'blog'],
    [TAG.GENERATION, 3],
    [TAG.HASH, 'h'],
    [TAG.BOOT_ID, 'b'],
    [TAG.START_TIME, 12345],
    [TAG.TIME_MS, 1_700_000_000_000],
    [TAG.STATE, state],
    [TAG.UID, 200000],
    ...more,
  ],
});
const refusal = (errno: number, detail: string): Answer => ({
  verb: VERB.ERROR,
  fields: [
    [TAG.ERRNO, errno],
    [TAG.DETAIL, detail],
  ],
});
const COMMAND = {
  slot: 1n,
  kind: 'command',
  label: 'command',
  argv: ['python3', '-m', 'http.server'],
  env: ['PATH=/bin', 'HOME=/home/blog'],
  cwd: '/home/blog',
};

describe('InitClient', () => {
  let scope: Scope;
  let directory: string;
  beforeEach(() => {
    scope = new Scope();
    directory = scope.add(mkdtempSync(join(tmpdir(), 'emperor-')), (path) =>
      rmSync(path, { recursive: true }),
    );
  });
  afterEach(() => scope.close());

  async function connect(
    answer: (request: Frame) => Answer,
  ): Promise<{ client: InitClient; server: FrameServer }> {
    const path = join(directory, 'init.sock');
    const server = scope.add(await frameServer(path, answer), (one) => one.close());
    const client = scope.add(await InitClient.connect(path), (one) => one.close());
    return { client, server };
  }

  test('learns who init is', async () => {
    const { client, server } = await connect(() => welcome(STATE.GATE));
    expect(await client.hello({ subscribe: true })).toEqual({
      version: 1,
      name: 'blog',
      generation: 3,
      hash: 'h',
      bootId: 'b',
      startTime: 12345n,
      startedAtMs: 1_700_000_000_000,
      state: 'gate',
      uid: 200000,
      address: null,
      address6: null,
    });
    expect(server.requests[0]?.fields.number(TAG.SUBSCRIBE)).toBe(1);
  });

  test('learns the addresses of its tun', async () => {
    const addresses: readonly Field[] = [
      [TAG.ADDRESS, '192.168.0.2/24'],
      [TAG.ADDRESS6, 'fd00::2/64'],
    ];
    const { client } = await connect(() => welcome(STATE.GATE, addresses));
    expect(await client.hello()).toMatchObject({
      address: '192.168.0.2/24',
      address6: 'fd00::2/64',
    });
  });

  test.each([
    ['no address', TAG.ADDRESS, 'here/24'],
    ['one without prefix', TAG.ADDRESS, '192.168.0.2'],
    ['two prefixes', TAG.ADDRESS, '192.168.0.2/24/24'],
    ['a prefix that is too long', TAG.ADDRESS, '192.168.0.2/33'],
    ['one of the other family', TAG.ADDRESS, 'fd00::2/64'],
    ['one of the other family', TAG.ADDRESS6, '192.168.0.2/24'],
    ['the name of a zone', TAG.ADDRESS6, 'fd00::2%uwsgi0/64'],
  ] as const)('does not take %s for an address', async (_, tag, text) => {
    const { client } = await connect(() => welcome(STATE.RUNNING, [[tag, text]]));
    await expect(client.hello()).rejects.toMatchObject({ code: 'not-reachable' });
  });

  test('does not believe a state that does not exist', async () => {
    const { client } = await connect(() => welcome(17));
    await expect(client.hello()).rejects.toMatchObject({ code: 'not-reachable' });
  });

  test('reaches a socket whose path is longer than the kernel takes, and leaves no descriptor', async () => {
    const deep = join(directory, 'd'.repeat(100), 'e'.repeat(100));
    mkdirSync(deep, { recursive: true });
    // The server listens by a short way, as init does.
    const path = join(deep, 'init.sock');
    const cwd = process.cwd();
    process.chdir(deep);
    const server = await frameServer('init.sock', () => welcome(STATE.RUNNING)).finally(() =>
      process.chdir(cwd),
    );
    scope.add(server, (one) => one.close());
    const before = readdirSync('/proc/self/fd').length;
    const client = scope.add(await InitClient.connect(path), (one) => one.close());
    expect((await client.hello()).state).toBe('running');
    // Both ends of one connection.
    expect(readdirSync('/proc/self/fd').length).toBe(before + 2);
  });

  test('sends a start with argv, env and cwd in order, its output to the log', async () => {
    const { client, server } = await connect(() => ({
      verb: VERB.STARTED,
      fields: [
        [TAG.SLOT, 1],
        [TAG.PID, 2],
      ],
    }));
    expect(await client.start(COMMAND)).toEqual({ slot: 1n, pid: 2 });
    const fields = server.requests[0]?.fields;
    expect(fields?.texts(TAG.ARG)).toEqual(COMMAND.argv);
    expect(fields?.texts(TAG.ENV)).toEqual(COMMAND.env);
    expect(fields?.text(TAG.CWD)).toBe('/home/blog');
    expect(fields?.number(TAG.STDIO)).toBe(STDIO.LOG);
  });

  test.each([
    [constants.errno.ENOENT, 'python3', /^Cannot start python3: ENOENT, there is no such command/],
    [constants.errno.EACCES, 'python3', /^Cannot start python3: EACCES, it is not executable/],
    [
      constants.errno.ENOENT,
      '/home/blog',
      /^Cannot start python3 in \/home\/blog: ENOENT, there is no such directory/,
    ],
    [constants.errno.EIO, 'fork', /^Cannot start python3: EIO \(fork\)$/],
  ])('tells by errno %i and detail %s why a start failed', async (errno, detail, sentence) => {
    const { client } = await connect(() => refusal(errno, detail));
    const error = await client.start(COMMAND).catch((one: unknown) => one);
    expect(error).toBeInstanceOf(StartError);
    expect(error).toMatchObject({ code: 'start-failed', errno });
    expect((error as StartError).message).toMatch(sentence);
  });

  test('refuses a start that no frame can hold, before it is sent', async () => {
    const { client, server } = await connect(() => ok);
    const start = client.start({ ...COMMAND, argv: ['sh', '-c', 'x'.repeat(300_000)] });
    await expect(start).rejects.toMatchObject({
      code: 'start-failed',
      errno: constants.errno.E2BIG,
    });
    expect(server.requests).toEqual([]);
  });

  test('sends go, meta, signal, ack and stop with their fields', async () => {
    const { client, server } = await connect(() => ok);
    await client.go();
    await client.meta({ generation: 4, hash: 'i' });
    await client.signal(7n, 15);
    await client.ack(7n);
    await client.stop({ graceMs: 500, signal: 2 });
    await client.stop({ graceMs: 0 });
    expect(server.requests.map(({ verb }) => verb)).toEqual([
      VERB.GO,
      VERB.META,
      VERB.SIGNAL,
      VERB.ACK,
      VERB.STOP,
      VERB.STOP,
    ]);
    const [, meta, signal, ack, stop, stopNow] = server.requests.map(({ fields }) => fields);
    expect([meta?.number(TAG.GENERATION), meta?.text(TAG.HASH)]).toEqual([4, 'i']);
    expect([signal?.bigint(TAG.SLOT), signal?.number(TAG.SIGNAL)]).toEqual([7n, 15]);
    expect(ack?.bigint(TAG.SLOT)).toBe(7n);
    expect([stop?.number(TAG.GRACE_MS), stop?.number(TAG.SIGNAL)]).toEqual([500, 2]);
    expect(stopNow?.has(TAG.SIGNAL)).toBe(false);
  });

  test('lists slots, the ended ones with how they ended', async () => {
    const slot = (number: number, state: number): readonly Field[] => [
      [TAG.SLOT, number],
      [TAG.KIND, 'command'],
      [TAG.LABEL, 'command'],
      [TAG.PID, 2],
      [TAG.STATE, state],
      [TAG.ARG, 'sleep'],
      [TAG.ARG, '1'],
      [TAG.TIME_MS, 1000],
    ];
    const end: readonly Field[] = [
      [TAG.STATUS, 9],
      [TAG.UTIME_US, 1],
      [TAG.STIME_US, 2],
      [TAG.MAXRSS_KB, 3],
    ];
    const { client } = await connect(() => ({
      verb: VERB.LISTED,
      fields: [
        [TAG.ENTRY, [...slot(1, STATE.RUNNING), [TAG.READY, 1]]],
        [TAG.ENTRY, [...slot(2, STATE.ENDED), ...end]],
      ],
    }));
    const common = { kind: 'command', label: 'command', pid: 2 };
    expect(await client.list()).toEqual([
      {
        ...common,
        slot: 1n,
        state: 'running',
        argv: ['sleep', '1'],
        startedAtMs: 1000,
        isReady: true,
        exit: null,
      },
      {
        ...common,
        slot: 2n,
        state: 'ended',
        argv: ['sleep', '1'],
        startedAtMs: null,
        isReady: false,
        exit: {
          ...common,
          slot: 2n,
          status: 9,
          userTimeUs: 1,
          systemTimeUs: 2,
          maxRssKb: 3,
          endedAtMs: 1000,
        },
      },
    ]);
  });

  test('names the errno when init refuses', async () => {
    const { client } = await connect(() => refusal(constants.errno.ESRCH, ''));
    await expect(client.signal(9n, 15)).rejects.toMatchObject({
      code: 'system-call',
      message: 'Cannot send signal 15 to slot 9: init says ESRCH',
    });
  });

  describe('of an init that its tenant has taken over', () => {
    const entry = (changes: readonly Field[] = []): readonly Field[] => [
      ...changes,
      [TAG.SLOT, 1],
      [TAG.KIND, 'command'],
      [TAG.LABEL, 'x'.repeat(100_000)],
      [TAG.PID, 2],
      [TAG.STATE, STATE.RUNNING],
      [TAG.TIME_MS, 1000],
    ];
    const listed = (...fields: readonly Field[]): Answer => ({ verb: VERB.LISTED, fields });

    test.each<[string, Answer]>([
      ['pages without end', listed([TAG.ENTRY, entry()], [TAG.NUMBER, 0])],
      ['pages of nothing', listed([TAG.NUMBER, 0])],
      ['a moment that no date can be', listed([TAG.ENTRY, entry([[TAG.TIME_MS, 2 ** 53 - 1]])])],
    ])('takes no list of %s', async (_, answer) => {
      const { client, server } = await connect(() => answer);
      await expect(client.list()).rejects.toMatchObject({ code: 'not-reachable' });
      expect(server.requests.length).toBeLessThan(260);
    });

    test('takes no more of a word than there can be', async () => {
      const answers = [
        listed([TAG.ENTRY, entry()]),
        refusal(constants.errno.EIO, 'x'.repeat(200_000)),
      ];
      const { client } = await connect(() => answers.shift() ?? ok);
      expect((await client.list())[0]?.label).toHaveLength(63);
      const error = await client.start(COMMAND).catch((one: unknown) => one);
      expect((error as StartError).message.length).toBeLessThan(1200);
    });

    test('keeps so many requests that are not answered, and so much that is not read', async () => {
      const { client } = await connect(() => null);
      const waiting = Array.from({ length: 1024 }, () => client.ack(1n).catch(() => 'ended'));
      await expect(client.ack(1n)).rejects.toMatchObject({ code: 'timeout' });
      client.close();
      expect(new Set(await Promise.all(waiting))).toEqual(new Set(['ended']));

      const path = join(directory, 'deaf.sock');
      const deaf = createServer((socket) => socket.pause()).listen(path);
      scope.add(deaf, (one) => void one.close());
      await once(deaf, 'listening');
      const talker = scope.add(await InitClient.connect(path), (one) => one.close());
      const large = { ...COMMAND, env: [`A=${'x'.repeat(200_000)}`] };
      const outcomes = Array.from({ length: 20 }, (_, slot) =>
        talker.start({ ...large, slot }).catch((error: EmperorError) => error.code),
      );
      expect(await outcomes.at(-1)).toBe('timeout');
      talker.close();
      expect(await outcomes[0]).toBe('not-reachable');
    });

    test('rests from a flood', async () => {
      const clock = new ManualClock();
      const path = join(directory, 'init.sock');
      const server = scope.add(await frameServer(path, () => null), (one) => one.close());
      let heard = 0;
      const readEvent = () => {
        heard += 1;
        void clock.pass(1);
        return null;
      };
      const dialect = { peer: 'init', readEvent, mayFlood: true as const, clock };
      const connection = scope.add(await Connection.connect(path, dialect), (one) => one.close());
      const event = encodeFrame({ verb: VERB.CRONTAB_CHANGED, id: 0, fields: [] });
      server.sendRaw(Buffer.concat(Array.from({ length: 100_000 }, () => event)));
      await until('it has heard some', async () => heard > 0);
      const before = heard;
      for (let turn = 0; turn < 20; turn += 1) await settled();
      expect([heard, before < 100_000]).toEqual([before, true]);
      await clock.pass(50);
      await until('it listens again', async () => heard > before);
      connection.close();
    });
  });
});
