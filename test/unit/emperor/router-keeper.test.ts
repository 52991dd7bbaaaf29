import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { Attachments } from '../../../src/emperor/attachments.ts';
import { RouterKeeper } from '../../../src/emperor/router-keeper.ts';
import type { RouterClient } from '../../../src/router/client.ts';
import { address } from '../../support/addresses.ts';
import { type FakeRouter, fakeRouter } from '../../support/fake-router.ts';
import { ManualClock } from '../../support/manual-clock.ts';

let directory: string;
let clock: ManualClock;
let router: FakeRouter;
/** Lets the router answer what it was asked. */
let release: () => void;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'emperor-keeper-'));
  clock = new ManualClock();
});

afterEach(() => {
  router.close();
  rmSync(directory, { recursive: true });
});

/** Serves a router that does not answer `held` until release() is called. */
async function serve(held: string): Promise<void> {
  const gate = new Promise<void>((resolve) => {
    release = resolve;
  });
  router = await fakeRouter(directory, (asked) => (asked === held ? gate : Promise.resolve()));
}

function keep(prepare: (client: RouterClient) => Promise<unknown>): RouterKeeper {
  return new RouterKeeper({
    setting: {
      device: 'emperor0',
      runDirectory: directory,
      stateDirectory: directory,
      logDirectory: directory,
    },
    clock,
    log: pino({ level: 'silent' }),
    prepare: async (client) => void (await prepare(client)),
    onTrouble: () => {},
  });
}

const settled = (client: RouterClient) => client.call('settled', null);

describe('a router that is being prepared', () => {
  test('hears what changes meanwhile', async () => {
    await serve('settled');
    const keeper = keep(settled);
    await vi.waitFor(() => expect(router.asked).toContain('settled'));
    expect(keeper.running).toBeNull();
    await keeper.tell((client) => client.call('keep', null));
    expect(router.asked).toContain('keep');
    release();
    await keeper.firstAttempt;
    keeper.close();
  });

  test('ends with quit(), and so does its device', async () => {
    await serve('settled');
    const keeper = keep(settled);
    await vi.waitFor(() => expect(router.asked).toContain('settled'));
    const quit = keeper.quit();
    release();
    await quit;
    expect(router.asked.at(-1)).toBe('end');
  });

  test('is waited for by who needs it, and no timer is left then', async () => {
    await serve('settled');
    const keeper = keep(settled);
    const client = keeper.client();
    release();
    expect(await client).toBe(keeper.running);
    // The one that makes a spare.
    expect(clock.timers).toBe(1);
    keeper.close();
  });

  test('that takes long is told of to who needs it', async () => {
    await serve('settled');
    const keeper = keep(settled);
    const client = keeper.client();
    const refused = expect(client).rejects.toMatchObject({ code: 'not-reachable' });
    await clock.pass(5000);
    await refused;
    release();
    await keeper.firstAttempt;
    keeper.close();
  });

  test('and cannot be, is not tried again by an emperor that leaves', async () => {
    await serve('');
    const keeper = keep(() => Promise.reject(new Error('no')));
    await keeper.firstAttempt;
    expect(router.asked).toEqual(['hello']);
    keeper.close();
    await clock.pass(1000);
    expect(router.asked).toEqual(['hello']);
    expect(clock.timers).toBe(0);
  });
});

describe('a vassal that is attached to a new router', () => {
  /** A keeper whose router attaches `blog`, which an earlier one had attached. */
  async function attaching(): Promise<{ keeper: RouterKeeper; attachments: Attachments }> {
    await serve('settled');
    const attachments: Attachments = new Attachments({
      clock,
      log: pino({ level: 'silent' }),
      tell: (say) => keeper.tell(say),
    });
    const spec = { init: '', address4: address('10.0.0.2'), address6: null, rules: [] };
    const keeper = keep(async (client) => {
      await attachments.attach(client, { ...spec, name: 'blog' });
      await attachments.attachMissing(client);
      await client.call('settled', null);
    });
    await vi.waitFor(() => expect(router.asked).toContain('settled'));
    return { keeper, attachments };
  }

  test('and ends meanwhile, is detached from it', async () => {
    const { keeper, attachments } = await attaching();
    attachments.detach('blog');
    await vi.waitFor(() => expect(router.asked.at(-1)).toBe('detach blog'));
    release();
    await keeper.firstAttempt;
    keeper.close();
  });

  test('has there the rules that its file got meanwhile', async () => {
    const { keeper, attachments } = await attaching();
    const any = { family: 4, words: [0], length: 0 } as const;
    const rule = { chain: 'out', action: 'deny', sides: { src: any, dst: any } } as const;
    await attachments.setRules('blog', [rule]);
    expect(router.asked.at(-1)).toBe('rules blog');
    release();
    await keeper.firstAttempt;
    keeper.close();
  });
});
