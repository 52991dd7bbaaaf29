/** A living jail as the emperor holds it. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { type JailHost, removeRemains } from '../../src/vassal/jail.ts';
import { jailHostOf, launchJail } from '../support/jail-host.ts';
import { type World, world } from '../support/world.ts';

let w: World;
let host: JailHost;

beforeAll(async () => {
  w = await world();
  host = await jailHostOf(w);
});
afterAll(async () => {
  await host.poller.close();
  await w.close();
});

test('an init that hangs up and lives on is ended, so that its vassal can be started anew', async () => {
  const jail = await launchJail(w, host, 'deaf');
  const died = new Promise<void>((resolve) => {
    jail.onDeath = resolve;
  });
  jail.init.close();
  await died;
  await removeRemains(host, 'deaf');
  expect(w.membership.isPopulated('deaf')).toBe(false);
});

test('a jail that was let go of lives on, for the next emperor', async () => {
  const jail = await launchJail(w, host, 'free');
  let isOver = false;
  jail.onDeath = () => {
    isOver = true;
  };
  jail.release();
  await new Promise((resolve) => systemClock.after(1500, () => resolve(null)));
  expect(isOver).toBe(false);
  expect(w.membership.isPopulated('free')).toBe(true);
  await jail.kill();
  expect(w.membership.isPopulated('free')).toBe(false);
});
