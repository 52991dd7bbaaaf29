/** What an emperor gives its jails, out of a world. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { systemClock } from '../../src/base/clock.ts';
import { silentLog } from '../../src/base/log.ts';
import { planJail } from '../../src/jail/plan.ts';
import { Poller } from '../../src/linux/poller.ts';
import { Jail, type JailHost } from '../../src/vassal/jail.ts';
import type { World } from './world.ts';

/** Its poller is the caller's to close. */
export async function jailHostOf(world: World): Promise<JailHost> {
  const { client } = await world.launcher();
  const runDirectory = join(world.paths.run, 'vassals');
  mkdirSync(runDirectory, { recursive: true });
  return {
    clock: systemClock,
    log: silentLog,
    poller: Poller.start(),
    membership: world.membership,
    controllers: world.controllers,
    launcher: () => client,
    runDirectory,
    onGone: () => {},
  };
}

/** Makes the jail of `name` as an emperor does. */
export function launchJail(world: World, host: JailHost, name: string): Promise<Jail> {
  return Jail.launch(host, name, {
    plan: (cgroups) => planJail(world.spec(name, { cgroups })),
    limits: {},
    onUnmet: () => {},
    connect: null,
  });
}
