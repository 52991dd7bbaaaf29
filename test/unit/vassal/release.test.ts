/** A vassal whose emperor leaves while it is being started: the next emperor may start it before we have heard. */
import { expect, test } from 'vitest';
import { Vassal } from '../../../src/vassal/vassal.ts';
import { ManualClock, settled } from '../../support/manual-clock.ts';
import { appliedOf, vassalHost } from '../../support/vassal-host.ts';

test('nothing of its name is ended once its emperor has let go of it', async () => {
  const ended: string[] = [];
  let isPrepared = () => {};
  const host = {
    ...vassalHost(new ManualClock()),
    membership: { isPopulated: () => ended.push('looked at'), kill: () => ended.push('killed') },
    homes: {
      isSlow: () => false,
      prepare: () => new Promise((resolve) => (isPrepared = () => resolve([]))),
    },
  } as unknown as ReturnType<typeof vassalHost>;
  const past = { applied: null, isHeld: false, heldSha256: null, isFinished: false };
  const vassal = new Vassal('blog', host, past);
  vassal.want(appliedOf('blog'));
  await settled();
  vassal.release();
  isPrepared();
  await settled();
  expect(ended).toEqual([]);
});
