/** The image that a home lies in, when it cannot be mounted: the operator gets a sentence, and no loop device is left. */
import { spawnSync } from 'node:child_process';
import { truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { lackForImages } from '../../src/emperor/home-needs.ts';
import { failureOf } from '../support/jail.ts';
import { useJails } from '../support/jails.ts';
import { loopDevicesOf } from '../support/loop-devices.ts';
import type { World } from '../support/world.ts';

let w: World;
const { freshName } = useJails('i', (given) => {
  w = given;
});

test('an image that is not there fails the launch, and leaves nothing behind', async () => {
  const plan = w.plan(freshName(), { homeImage: '/nowhere/image' });
  expect(await failureOf(w, plan)).toMatch(
    /^Cannot mount the image \/nowhere\/image on \S+ in vassal \S+ .*: ENOENT, there is no \/nowhere\/image$/,
  );
  expect(await w.leaks()).toEqual([]);
});

describe.skipIf(lackForImages() !== null)('where there are loop devices', () => {
  // On a slow machine that takes longer than a launch may; where it is not a module, nothing is to be done.
  beforeAll(() => {
    spawnSync('modprobe', ['-q', 'ext4']);
  });

  test('an image that holds no file system fails the launch, and no device stays before it', async () => {
    const homeImage = join(w.paths.homes, 'image');
    writeFileSync(homeImage, 'no file system');
    truncateSync(homeImage, 1 << 20);
    const plan = w.plan(freshName(), { homeImage });
    expect(await failureOf(w, plan)).toMatch(/: EINVAL, it is damaged; mend it with `e2fsck -f /);
    expect(loopDevicesOf(homeImage)).toEqual([]);
    expect(await w.leaks()).toEqual([]);
  });
});
