/** What a Vassal of a unit test stands on: a clock by hand, no kernel, and jails of the test's own. */
import type { Clock } from '../../src/base/clock.ts';
import { silentLog } from '../../src/base/log.ts';
import { Semaphore } from '../../src/base/semaphore.ts';
import type { Welcome } from '../../src/jail/init-client.ts';
import type { Jail } from '../../src/vassal/jail.ts';
import { type Applied, Vassal, type VassalHost } from '../../src/vassal/vassal.ts';
import { configOf } from './vassal-config.ts';

const WELCOME: Welcome = {
  version: 1,
  name: '',
  generation: 1,
  hash: 'h',
  bootId: 'b',
  startTime: 1n,
  startedAtMs: 0,
  state: 'running',
  uid: 200_000,
  address: null,
  address6: null,
};

/** Those of a machine that keeps no limits. */
export const NO_CONTROLLERS = {
  apply: () => [],
  counts: () => ({ kills: 0, refusals: 0 }),
} as unknown as VassalHost['controllers'];

export function vassalHost(clock: Clock): VassalHost {
  return {
    clock,
    log: silentLog,
    membership: { isFrozen: () => false } as unknown as VassalHost['membership'],
    controllers: NO_CONTROLLERS,
    cpuReadings: { read: () => undefined, write: () => {} },
    processors: 2,
    ksmFailure: () => null,
    startLimit: new Semaphore(2),
    endLimit: new Semaphore(2),
    backoff: () => ({ firstMs: 500, maxMs: 180_000 }),
    random: () => 0.5,
    onChange: () => {},
    commandLine: () => ({ argv: ['x'], env: [], cwd: '/' }),
    readyOf: () => null,
    hooks: { hasBefore: () => false, before: async () => {}, after: async () => {} },
    homes: { isSlow: () => false, prepare: async () => [], follow: async () => [] },
    hookPlace: () => ({ place: { cwd: '/', env: [] }, timeoutMs: 1000 }),
  } as unknown as VassalHost;
}

export function appliedOf(name: string, changes: Parameters<typeof configOf>[1] = {}): Applied {
  const sha256 = JSON.stringify(changes);
  const config = configOf(name, { command: ['x'], ...changes });
  return { config, hash: `h${sha256}`, sha256, generation: 1 };
}

/** One that has taken over `jail`, and is what its file says. */
export async function vassalIn(jail: Jail, name: string, host: VassalHost): Promise<Vassal> {
  const past = { applied: null, isHeld: false, heldSha256: null, isFinished: false };
  const vassal = new Vassal(name, host, past);
  await vassal.adopt(jail, WELCOME, appliedOf(name));
  vassal.want(appliedOf(name));
  return vassal;
}
