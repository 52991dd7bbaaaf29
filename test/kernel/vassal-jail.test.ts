/** A living jail as the emperor holds it. */
import { mkdirSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { silentLog } from '../../src/base/log.ts';
import { planJail } from '../../src/jail/plan.ts';
import { Poller } from '../../src/linux/poller.ts';
import { Jail, type JailHost, removeRemains } from '../../src/vassal/jail.ts';
import { type World, world } from '../support/world.ts';

let w: World;
let host: JailHost;

beforeAll(async () => {
  w = await world();
  const { client } = await w.launcher();
  mkdirSync(`${w.paths.run}/vassals`);
  host = {
    clock: systemClock,
    log: silentLog,
    poller: Poller.start(),
    membership: w.membership,
    controllers: w.controllers,
    launcher: () => client,
    runDirectory: `${w.paths.run}/vassals`,
    onGone: () => {},
  };
});
afterAll(async () => {
  await host.poller.close();
  await w.close();
});

const launch = (name: string) =>
  Jail.launch(host, name, {
    plan: (cgroups) => planJail(w.spec(name, { cgroups })),
    limits: {},
    onUnmet: () => {},
    connect: null,
  });

test('an init that hangs up and lives on is ended, so that its vassal can be started anew', async () => {
  const jail = await launch('deaf');
  const died = new Promise<void>((resolve) => {
    jail.onDeath = resolve;
  });
  jail.init.close();
  await died;
  await removeRemains(host, 'deaf');
  expect(w.membership.isPopulated('deaf')).toBe(false);
});

test('a jail that was let go of lives on, for the next emperor', async () => {
  const jail = await launch('free');
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
