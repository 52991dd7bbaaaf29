import { expect, test } from 'vitest';
import { Doors, type DoorsHost } from '../../../src/emperor/doors.ts';
import { ManualClock, settled } from '../../support/manual-clock.ts';
import { configOf } from '../../support/vassal-config.ts';

test('a door that cannot be opened is tried again once in five seconds, however often its vassal changes', async () => {
  const clock = new ManualClock();
  let troubles = 0;
  const doors = new Doors({
    clock,
    runDirectory: '/nowhere',
    onTrouble: () => {
      troubles += 1;
    },
  } as unknown as DoorsHost);
  const changes = 50;
  const config = configOf('blog', { sshUser: 'nobody-has-this-name' });
  for (let change = 0; change < changes; change += 1) doors.apply(config);
  for (let turn = 0; turn < changes; turn += 1) await settled();
  expect([troubles, clock.timers]).toEqual([changes, 1]);
  for (let attempts = 1; attempts <= 3; attempts += 1) {
    await clock.pass(5000);
    await settled();
    expect([troubles, clock.timers]).toEqual([changes + attempts, 1]);
  }
});
