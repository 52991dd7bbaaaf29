import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Scope } from '../../../src/base/scope.ts';
import type { Field, Frame } from '../../../src/jail/frames.ts';
import { type ChildExit, LauncherClient } from '../../../src/jail/launcher-client.ts';
import type { JailPlan } from '../../../src/jail/plan.ts';
import { STATE, TAG, VERB } from '../../../src/jail/wire.ts';
import { type Answer, type FrameServer, frameServer } from '../../support/frame-server.ts';
import { ONE_OF_EACH } from '../../support/steps.ts';

const PLAN: JailPlan = {
  name: 'blog',
  generation: 1,
  hash: 'h',
  namespaces: ['pid'],
  steps: ONE_OF_EACH,
};
const EXIT: readonly Field[] = [
  [TAG.NAME, 'blog'],
  [TAG.PID, 42],
  [TAG.START_TIME, 2n ** 60n],
  [TAG.STATUS, 0x0300],
  [TAG.UTIME_US, 1],
  [TAG.STIME_US, 2],
  [TAG.MAXRSS_KB, 3],
  [TAG.TIME_MS, 4],
];
const EXITED: ChildExit = {
  name: 'blog',
  pid: 42,
  startTime: 2n ** 60n,
  status: 0x0300,
  userTimeUs: 1,
  systemTimeUs: 2,
  maxRssKb: 3,
  endedAtMs: 4,
};

const ok: Answer = { verb: VERB.OK, fields: [] };

describe('LauncherClient', () => {
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
    answer: (request: Frame) => Answer | Promise<Answer>,
    options: { readonly timeoutMs?: number } = {},
  ): Promise<{ client: LauncherClient; server: FrameServer }> {
    const path = join(directory, 'launcher.sock');
    const server = scope.add(await frameServer(path, answer), (one) => one.close());
    const client = await LauncherClient.connect(path, options);
    return { client: scope.add(client, (one) => one.close()), server };
  }

  test('says hello and subscribes', async () => {
    const { client, server } = await connect(() => ({
      verb: VERB.WELCOME,
      fields: [
        [TAG.VERSION, 1],
        [TAG.PID, 7],
        [TAG.BOOT_ID, 'b'],
        [TAG.TIME_MS, 99],
      ],
    }));
    expect(await client.hello()).toEqual({ version: 1, pid: 7, bootId: 'b', startedAtMs: 99 });
    expect(server.requests[0]?.fields.number(TAG.SUBSCRIBE)).toBe(1);
  });

  test('keeps answers and requests together when they come in another order', async () => {
    const held: (() => void)[] = [];
    const { client } = await connect(async ({ fields }) => {
      const pid = fields.number(TAG.PID);
      await new Promise<void>((resolve) => {
        held.unshift(resolve);
        if (held.length === 50) for (const release of held) release();
      });
      if (pid % 2 === 0) return ok;
      return {
        verb: VERB.ERROR,
        fields: [
          [TAG.ERRNO, 3],
          [TAG.DETAIL, `pid ${pid}`],
        ],
      };
    });
    const acks = Array.from({ length: 50 }, (_, pid) => client.ack(pid));
    const results = await Promise.allSettled(acks);
    for (const [pid, result] of results.entries()) {
      if (pid % 2 === 0) expect(result.status).toBe('fulfilled');
      else expect(String((result as PromiseRejectedResult).reason)).toContain(`pid ${pid}`);
    }
  });

  test('launches and returns pid and start time', async () => {
    const { client } = await connect(() => ({
      verb: VERB.LAUNCHED,
      fields: [
        [TAG.PID, 42],
        [TAG.START_TIME, 2n ** 60n],
      ],
    }));
    expect(await client.launch(PLAN)).toEqual({ pid: 42, startTime: 2n ** 60n });
  });

  test('turns a failed step into the sentence for the operator', async () => {
    const { client } = await connect(() => ({
      verb: VERB.ERROR,
      fields: [
        [TAG.STEP, 6],
        [TAG.ERRNO, 2],
        [TAG.DETAIL, '/proc'],
      ],
    }));
    await expect(client.launch(PLAN)).rejects.toMatchObject({
      code: 'jail-failed',
      message: expect.stringContaining('Cannot mount /proc in vassal blog (step 7 `proc`): ENOENT'),
    });
  });

  test('lists children, the ended ones with how they ended', async () => {
    const live: readonly Field[] = [
      [TAG.NAME, 'shop'],
      [TAG.PID, 43],
      [TAG.START_TIME, 5],
      [TAG.STATE, STATE.RUNNING],
    ];
    const { client } = await connect(() => ({
      verb: VERB.LISTED,
      fields: [
        [TAG.ENTRY, live],
        [TAG.ENTRY, [...EXIT, [TAG.STATE, STATE.ENDED]]],
      ],
    }));
    expect(await client.list()).toEqual([
      { name: 'shop', pid: 43, startTime: 5n, state: 'running', exit: null },
      { name: 'blog', pid: 42, startTime: 2n ** 60n, state: 'ended', exit: EXITED },
    ]);
  });

  test('keeps exits for the first listener', async () => {
    const { client, server } = await connect(() => ok);
    server.post(VERB.EXITED, EXIT);
    // The answer comes behind the event.
    await client.ack(1);
    const exit = await new Promise<ChildExit>((resolve) => client.onExit(resolve));
    expect(exit).toEqual(EXITED);
  });

  test('rejects what is in flight when the connection breaks, and what comes after', async () => {
    const { client, server } = await connect(() => null);
    const closed = new Promise<void>((resolve) => client.onClose(resolve));
    const list = client.list();
    while (server.requests.length === 0) await new Promise(setImmediate);
    server.disconnect();
    await expect(list).rejects.toMatchObject({ code: 'not-reachable' });
    await closed;
    await expect(client.list()).rejects.toMatchObject({ code: 'not-reachable' });
    await new Promise<void>((resolve) => client.onClose(resolve));
  });

  test('gives up on an answer that does not come', async () => {
    const { client } = await connect(() => null, { timeoutMs: 20 });
    await expect(client.list()).rejects.toMatchObject({ code: 'timeout' });
  });

  test('closes the connection on bytes that are no frame', async () => {
    const { client, server } = await connect(() => null);
    const list = client.list();
    while (server.requests.length === 0) await new Promise(setImmediate);
    server.sendRaw(Buffer.alloc(64, 0xff));
    await expect(list).rejects.toMatchObject({
      code: 'not-reachable',
      message: expect.stringContaining('is too long'),
    });
  });

  test('closes the connection on an answer without the fields it must have', async () => {
    const { client } = await connect(() => ok);
    await expect(client.hello()).rejects.toMatchObject({
      code: 'not-reachable',
      message: expect.stringContaining('VERSION is missing'),
    });
  });

  test('says not-reachable where nobody listens', async () => {
    const connecting = LauncherClient.connect(join(directory, 'none.sock'));
    await expect(connecting).rejects.toMatchObject({ code: 'not-reachable' });
  });
});
