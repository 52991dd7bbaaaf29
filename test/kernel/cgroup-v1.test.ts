/** Vassals where cgroup v1's freezer decides membership: nothing there kills a whole cgroup at once. */
import { beforeEach, describe, expect, test } from 'vitest';
import { hasCgroups } from '../support/cgroup-tree.ts';
import { useJails } from '../support/jails.ts';
import { until } from '../support/wait.ts';
import type { World } from '../support/world.ts';

let w: World;
const { vassal } = useJails(
  'old',
  (world) => {
    w = world;
  },
  { cgroups: 'v1' },
);
const WITHOUT_PID = ['fs', 'ipc', 'uts', 'net'] as const;

beforeEach(() => {
  expect(w.membership.kind).toBe('v1');
});

describe.runIf(hasCgroups('v1'))('without a pid namespace, a stop', () => {
  test('ends a daemon that has left its session', async () => {
    const jail = await vassal({ namespaces: WITHOUT_PID });
    await jail.run(['/bin/forks-twice']);
    await until('the daemon runs', () => w.logOf(jail.plan.name).includes('daemon'));
    await jail.init.stop({ graceMs: 100 });
    await jail.ended;
    expect(w.membership.payloadPids(jail.plan.name)).toEqual([]);
  });

  // Who is missed forks on for ever.
  test.each(Array.from({ length: 3 }, (_, run) => run + 1))(
    'leaves none of those that fork without pause, run %i',
    async () => {
      const jail = await vassal({ namespaces: WITHOUT_PID });
      await jail.start(['/bin/runs-away', '20']);
      await until('they run', () => w.logOf(jail.plan.name).includes('running'));
      await jail.init.stop({ graceMs: 50 });
      await jail.ended;
      // What is dying is still there for a moment; what runs away would be there for ever.
      await until('nobody is left', () => !w.membership.isPopulated(jail.plan.name), 2000);
    },
  );
});
