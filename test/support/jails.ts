/** What test files about jails share: a world with the tiny distro and a launcher, and jails that end with their test. */
import { afterAll, afterEach, beforeAll, expect } from 'vitest';
import type { JailSpec } from '../../src/jail/plan.ts';
import { launch, launchToGate, type TestJail } from './jail.ts';
import { type World, type WorldOptions, world } from './world.ts';

export interface Jails {
  /** A name that no other vassal of the file has. */
  freshName(): string;
  /** Launches a vassal and lets it through its gate. */
  vassal(changes?: Partial<JailSpec>): Promise<TestJail>;
  /** Launches a vassal, which waits at its gate. */
  gate(changes?: Partial<JailSpec>): Promise<TestJail>;
  /** Has a jail that the test launched by itself end with the test. */
  own(jail: TestJail): TestJail;
}

/**
 * Gives the tests of a file one world; to be called outside of any test. After each test its jails are stopped,
 * and nothing may be left of them.
 */
export function useJails(
  prefix: string,
  given: (world: World) => void,
  options: WorldOptions = {},
): Jails {
  let w: World;
  let names = 0;
  const jails: TestJail[] = [];

  beforeAll(async () => {
    w = await world(options);
    w.tinyDistro();
    await w.launcher();
    w.settle();
    given(w);
  });
  afterAll(() => w.close());
  afterEach(async () => {
    for (const jail of jails.splice(0)) await jail.stop();
    expect(await w.leaks()).toEqual([]);
  });

  const freshName = () => `${prefix}${++names}`;
  const own = (jail: TestJail) => {
    jails.push(jail);
    return jail;
  };
  return {
    freshName,
    own,
    vassal: async (changes) => own(await launch(w, w.plan(freshName(), changes))),
    gate: async (changes) => own(await launchToGate(w, w.plan(freshName(), changes))),
  };
}
